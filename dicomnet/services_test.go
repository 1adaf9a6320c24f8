package dicomnet

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"llamaxr/dicomnet/dimse"
	"llamaxr/internal/peertest"
)

// notified is a session that takes notifications and answers actions with a report.
type notified struct {
	sink
	actions chan []byte
	events  chan []byte
	done    chan error
	report  bool
}

func newNotified(report bool) *notified {
	return &notified{newSink(), make(chan []byte, 8), make(chan []byte, 8), make(chan error, 8), report}
}

func (n *notified) Action(_ context.Context, action *Notification, data io.Reader) (*Report, error) {
	all, err := io.ReadAll(data)
	n.actions <- all
	if !n.report || err != nil {
		return nil, err
	}
	report := *action
	report.Type = 1
	return &Report{Notification: report, Data: all, Done: func(err error) { n.done <- err }}, nil
}

func (n *notified) Event(_ context.Context, event *Notification, data io.Reader) error {
	all, err := io.ReadAll(data)
	n.events <- all
	if bytes.Contains(all, []byte("unknown")) {
		return &dimse.StatusError{Status: dimse.InvalidArgument, Comment: "unknown Transaction UID"}
	}
	return err
}

var commitment = Notification{StorageCommitment, StorageCommitmentInstance, 1, ""}

// TestNotificationsBothWays: N-ACTION goes out, its N-EVENT-REPORT comes back on the same association while it is kept open, and is lost,
// and said to be, when it is not.
func TestNotificationsBothWays(t *testing.T) {
	theirs := newNotified(true)
	port, _ := start(t, func(s *Server) {
		s.Accept, s.NewSession = AcceptCommitment, func(context.Context, *AssociationInfo) (Session, error) { return theirs, nil }
	})
	client := Client{CallingAETitle: "X", CalledAETitle: "LLAMAXR"}
	for _, stays := range []bool{true, false} {
		a, err := client.Dial(t.Context(), "127.0.0.1:"+port, []ProposedContext{ProposeHeaders(StorageCommitment, false)})
		if err != nil {
			t.Fatal(err)
		}
		if err := a.Action(t.Context(), commitment, []byte("question")); err != nil {
			t.Fatal(err)
		}
		if got := <-theirs.actions; string(got) != "question" {
			t.Errorf("the action had %q", got)
		}
		if stays {
			ours := newNotified(false)
			if err := a.Serve(t.Context(), ours, time.Minute, func() bool { return len(ours.events) > 0 }); err != nil {
				t.Fatal(err)
			}
			if got := <-ours.events; string(got) != "question" {
				t.Errorf("the report had %q", got)
			}
		}
		if err := a.Release(); err != nil {
			t.Error(err)
		}
		if err := <-theirs.done; stays != (err == nil) {
			t.Errorf("association stays %t: the report ended with %v", stays, err)
		}
	}
}

// TestReportAsProvider: results come to us on an association on which the peer took the provider's role; the status goes back.
func TestReportAsProvider(t *testing.T) {
	ours := newNotified(false)
	port, _ := start(t, func(s *Server) {
		s.Accept, s.NewSession = AcceptCommitment, func(context.Context, *AssociationInfo) (Session, error) { return ours, nil }
	})
	a, err := Client{CallingAETitle: "X", CalledAETitle: "LLAMAXR"}.Dial(t.Context(), "127.0.0.1:"+port, []ProposedContext{
		ProposeHeaders(StorageCommitment, true), {AbstractSyntax: crClass, TransferSyntaxes: []string{ExplicitVRLittleEndian}, Provide: true},
	})
	if err != nil {
		t.Fatal(err)
	}
	if a.Accepted(crClass, "") {
		t.Error("the provider's role was granted for a Storage class")
	}
	if err := a.Report(t.Context(), Report{Notification: commitment, Data: []byte("result")}); err != nil {
		t.Error(err)
	}
	var status *dimse.StatusError
	if err := a.Report(t.Context(), Report{Notification: commitment, Data: []byte("unknown")}); !errors.As(err, &status) || status.Status != dimse.InvalidArgument {
		t.Errorf("an unknown result: %v", err)
	}
	if err := a.Action(t.Context(), commitment, []byte("again")); err != nil { // the association goes on
		t.Error(err)
	}
	if err := a.Release(); err != nil {
		t.Error(err)
	}
}

// TestNotificationsWithoutASession: a session that takes none answers so.
func TestNotificationsWithoutASession(t *testing.T) {
	port, _ := start(t, func(s *Server) { s.Accept = AcceptCommitment })
	a, err := Client{CallingAETitle: "X", CalledAETitle: "LLAMAXR"}.Dial(t.Context(), "127.0.0.1:"+port, []ProposedContext{ProposeHeaders(StorageCommitment, false)})
	if err != nil {
		t.Fatal(err)
	}
	var status *dimse.StatusError
	if err := a.Action(t.Context(), commitment, []byte("x")); !errors.As(err, &status) || status.Status != dimse.UnrecognisedOperation {
		t.Errorf("got %v", err)
	}
	_ = a.Release()
}

// dcmqrscp starts DCMTK's archive, which knows us at our port, and puts files into it.
func dcmqrscp(t *testing.T, ours string, files ...string) (port string) {
	t.Helper()
	folder, port := t.TempDir(), freePort(t)
	store := filepath.Join(folder, "db")
	if err := os.Mkdir(store, 0o700); err != nil {
		t.Fatal(err)
	}
	cfg := "NetworkTCPPort = " + port + "\nMaxPDUSize = 16384\nMaxAssociations = 16\nHostTable BEGIN\nours = (LLAMAXR, 127.0.0.1, " + ours +
		")\nHostTable END\nAETable BEGIN\nARCHIVE " + store + " RW (200, 1024mb) ANY\nAETable END\n"
	path := filepath.Join(folder, "dcmqrscp.cfg")
	if err := os.WriteFile(path, []byte(cfg), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(peertest.Program(t, "dcmqrscp"), "-c", path)
	cmd.Env = append(os.Environ(), "TCP_NODELAY=1")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	a := dialUntil(t, Client{CallingAETitle: "LLAMAXR", CalledAETitle: "ARCHIVE"}, port, verification)
	if err := a.Release(); err != nil {
		t.Fatal(err)
	}
	run(t, peertest.Program(t, "storescu"), append([]string{"-aec", "ARCHIVE", "127.0.0.1", port}, files...)...)
	return port
}

// identifier is a query in explicit VR little endian: elements of two-letter VR with short lengths.
func identifier(elements ...string) []byte {
	var b []byte
	for i := 0; i < len(elements); i += 3 {
		tag, vr, value := elements[i], elements[i+1], elements[i+2]
		if len(value)%2 == 1 {
			value += map[bool]string{true: "\x00", false: " "}[vr == "UI"]
		}
		b = append(append(append(b, tag...), vr...), byte(len(value)), 0)
		b = append(b, value...)
	}
	return b
}

// TestQueryRetrieveFromDCMTK: C-FIND finds what was stored, can be cut short, C-MOVE brings it to our server and C-GET on the association,
// byte for byte.
func TestQueryRetrieveFromDCMTK(t *testing.T) {
	ours, got := start(t, nil)
	file := peertest.SharedData(t, "dicom/radiographs/6154.dcm")
	meta, want := dataSetOf(t, file)
	port := dcmqrscp(t, ours, file, peertest.SharedData(t, "dicom/sr/test-SR.dcm"))
	a, err := Client{CallingAETitle: "LLAMAXR", CalledAETitle: "ARCHIVE"}.Dial(t.Context(), "127.0.0.1:"+port, append(ProposeRetrieval()[:80], ProposeHeaders(StudyRootMove, false)))
	if err != nil {
		t.Fatal(err)
	}
	if ts := a.TransferSyntax(StudyRootFind); ts != ExplicitVRLittleEndian {
		t.Fatalf("C-FIND in %q", ts)
	}
	find := func(uid string, visit func([]byte) error) error {
		return a.Find(t.Context(), StudyRootFind, identifier("\x08\x00\x52\x00", "CS", "STUDY", "\x20\x00\x0d\x00", "UI", uid), visit)
	}
	matches := 0
	if err := find("", func(match []byte) error { matches++; return nil }); err != nil || matches != 2 {
		t.Errorf("%d matches, %v", matches, err)
	}
	if err := find("", func([]byte) error { return ErrEnough }); err != nil {
		t.Errorf("cut short: %v", err)
	}
	boom := errors.New("boom")
	if err := find("", func([]byte) error { return boom }); !errors.Is(err, boom) {
		t.Errorf("a visitor that fails: %v", err)
	}
	study := studyOf(t, file)
	if err := find(study, func(match []byte) error {
		if !bytes.Contains(match, []byte(study)) {
			t.Errorf("match %q", match)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}

	query := identifier("\x08\x00\x52\x00", "CS", "STUDY", "\x20\x00\x0d\x00", "UI", study)
	session := memory{new(sync.Mutex), map[string][]byte{}, new(int)}
	count, err := a.Get(t.Context(), StudyRootGet, query, session, nil)
	if err != nil || count.Completed != 1 || count.Failed != 0 {
		t.Errorf("C-GET: %+v, %v", count, err)
	}
	if !bytes.Equal(session.objects[meta.SOPInstanceUID], want) {
		t.Errorf("C-GET brought %d bytes, %d were stored", len(session.objects[meta.SOPInstanceUID]), len(want))
	}
	count, err = a.Move(t.Context(), StudyRootMove, "LLAMAXR", query, nil)
	if err != nil || count.Completed != 1 || count.Failed != 0 {
		t.Errorf("C-MOVE: %+v, %v", count, err)
	}
	got.mu.Lock()
	if !bytes.Equal(got.objects[meta.SOPInstanceUID], want) {
		t.Errorf("C-MOVE brought %d bytes, %d were stored", len(got.objects[meta.SOPInstanceUID]), len(want))
	}
	got.mu.Unlock()
	var status *dimse.StatusError
	if _, err = a.Move(t.Context(), StudyRootMove, "NOBODY", query, nil); !errors.As(err, &status) || status.Status != 0xA801 {
		t.Errorf("C-MOVE to nobody: %v, want status 0xA801", err)
	}
	if err := a.Release(); err != nil {
		t.Error(err)
	}
}

// studyOf asks DCMTK for a file's Study Instance UID.
func studyOf(t *testing.T, file string) string {
	t.Helper()
	out, err := exec.Command(peertest.Program(t, "dcmdump"), "+P", "0020,000d", file).Output()
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(out), "[")
	uid, _, _ := strings.Cut(rest, "]")
	return uid
}
