package trial

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"time"

	"llamaxr/dicomnet"
	"llamaxr/dicomnet/part10"
	"llamaxr/ingest/dicomfile"
	"llamaxr/reporting/sr"
)

// DocumentsPerStudy is how many objects a draft is: narrative, scores, heat map, chart.
const DocumentsPerStudy = 4

// Receiver is a PACS: our own storage SCP that keeps objects in memory.
type Receiver struct {
	Address string
	cancel  context.CancelFunc
	done    chan error

	mu      sync.Mutex
	objects map[string][]byte    // by SOP Instance UID, as files
	studies map[string][]string  // SOP Instance UIDs by study
	arrived map[string]time.Time // of the narrative, by study
}

// StartReceiver listens on a free loopback port.
func StartReceiver(ctx context.Context) (*Receiver, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	r := &Receiver{
		Address: listener.Addr().String(), cancel: cancel, done: make(chan error, 1),
		objects: map[string][]byte{}, studies: map[string][]string{}, arrived: map[string]time.Time{},
	}
	server := &dicomnet.Server{AETitle: ReceiverAETitle, NewSession: func(context.Context, *dicomnet.AssociationInfo) (dicomnet.Session, error) { return r, nil }}
	go func() { r.done <- server.Serve(ctx, listener, time.Second) }()
	return r, nil
}

// Stop ends it.
func (r *Receiver) Stop() { r.cancel(); <-r.done }

// Echo implements dicomnet.Session.
func (r *Receiver) Echo(context.Context) error { return nil }

// Close implements dicomnet.Session.
func (r *Receiver) Close(bool) {}

// Store implements dicomnet.Session.
func (r *Receiver) Store(_ context.Context, req *dicomnet.StoreRequest, data io.Reader) error {
	body, err := io.ReadAll(data)
	if err != nil {
		return err
	}
	head := part10.Encode(part10.Meta{SOPClassUID: req.SOPClassUID, SOPInstanceUID: req.SOPInstanceUID, TransferSyntaxUID: req.TransferSyntaxUID},
		dicomnet.ImplementationClassUID, dicomnet.ImplementationVersionName)
	file := append(head, body...)
	uid, err := studyOf(file)
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.objects[req.SOPInstanceUID] = file
	if !slices.Contains(r.studies[uid], req.SOPInstanceUID) {
		r.studies[uid] = append(r.studies[uid], req.SOPInstanceUID)
	}
	if req.SOPClassUID == sr.BasicTextSR {
		r.arrived[uid] = time.Now()
	}
	return nil
}

// Wait returns a study's objects once all are there, and when its narrative came.
func (r *Receiver) Wait(ctx context.Context, uid string, progress io.Writer) (map[string][]byte, time.Time, error) {
	deadline := time.Now().Add(waitFor)
	for n := 0; ; n++ {
		r.mu.Lock()
		if len(r.studies[uid]) >= DocumentsPerStudy {
			out := map[string][]byte{}
			for _, sop := range r.studies[uid] {
				out[sop] = r.objects[sop]
			}
			arrived := r.arrived[uid]
			r.mu.Unlock()
			return out, arrived, nil
		}
		r.mu.Unlock()
		if err := ctx.Err(); err != nil {
			return nil, time.Time{}, err
		}
		if time.Now().After(deadline) {
			return nil, time.Time{}, errors.New("no drafts came back; see appliance.log")
		}
		if n%20 == 0 {
			fmt.Fprint(progress, ".")
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// studyOf reads the Study Instance UID of a file held in memory.
func studyOf(file []byte) (string, error) {
	f, err := dicomfile.Read(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		return "", err
	}
	return f.Header.StudyInstanceUID, nil
}
