package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"llamaxr/daemon/config"
	"llamaxr/dicomnet"
	"llamaxr/dicomnet/dimse"
	"llamaxr/dicomnet/part10"
	"llamaxr/ingest"
	"llamaxr/ingest/dicomfile"
	"llamaxr/ingest/pairing"
	"llamaxr/ingest/rejection"
	"llamaxr/ingest/report"
	"llamaxr/queue"
	"llamaxr/study"
)

// session is one association that sends to us.
type session struct {
	a    *Appliance
	info *dicomnet.AssociationInfo
	// studies that this association sent something of, and those that it brought something new of.
	studies, brought map[string]bool
	began            time.Time
}

func (a *Appliance) sessionOf(info *dicomnet.AssociationInfo) *session {
	return &session{a, info, map[string]bool{}, map[string]bool{}, time.Now()}
}

func (a *Appliance) newSession(_ context.Context, info *dicomnet.AssociationInfo) (dicomnet.Session, error) {
	return a.sessionOf(info), nil
}

// Echo implements dicomnet.Session.
func (s *session) Echo(context.Context) error { return nil }

// Store implements dicomnet.Session: the one place where a receiver's status becomes a DIMSE status.
func (s *session) Store(_ context.Context, req *dicomnet.StoreRequest, data io.Reader) error {
	head := part10.Encode(part10.Meta{
		SOPClassUID: req.SOPClassUID, SOPInstanceUID: req.SOPInstanceUID, TransferSyntaxUID: req.TransferSyntaxUID,
		SourceAETitle: s.info.CallingAETitle,
	}, dicomnet.ImplementationClassUID, dicomnet.ImplementationVersionName)
	count := &counter{Reader: data}
	header, err := s.a.receiver.Receive(ingest.Incoming{
		SOPClassUID: req.SOPClassUID, SOPInstanceUID: req.SOPInstanceUID, TransferSyntaxUID: req.TransferSyntaxUID,
		Calling: s.info.CallingAETitle, Association: s.info.ID, Head: head,
		Brought: func(uid string) { s.brought[uid] = true },
	}, count)
	s.a.metrics.Bytes.Add(float64(count.n))
	s.a.metrics.Objects.WithLabelValues(statusLabel(statusOf(err))).Inc()
	if header.StudyInstanceUID != "" {
		s.studies[header.StudyInstanceUID] = true
	}
	var status *ingest.StatusError
	if errors.As(err, &status) {
		s.a.log.Warn("object refused", "calling", s.info.CallingAETitle, "status", status.Status, "comment", status.Comment, "error", status.Err)
		return &dimse.StatusError{Status: status.Status, Comment: status.Comment}
	}
	return err
}

// counter counts what is read through it.
type counter struct {
	io.Reader
	n int64
}

// Read implements io.Reader.
func (c *counter) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.n += int64(n)
	return n, err
}

// WriteTo implements io.WriterTo: what streams goes on uncopied.
func (c *counter) WriteTo(w io.Writer) (int64, error) {
	n, err := io.Copy(w, c.Reader)
	c.n += n
	return n, err
}

// statusOf is the DIMSE status that an error of Store becomes.
func statusOf(err error) uint16 {
	var status *ingest.StatusError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &status):
		return status.Status
	}
	return ingest.StatusProcessingFailure
}

// statusLabel is a DIMSE status as the metrics name it.
func statusLabel(status uint16) string { return fmt.Sprintf("%04Xh", status) }

// Close implements dicomnet.Session: the studies that it brought something new of may be complete now. Of the others another may still be sending.
func (s *session) Close(released bool) {
	for uid := range s.studies {
		s.trace(uid, released)
		s.auditReceipt(uid, released)
	}
	if released {
		s.a.released(slices.Collect(maps.Keys(s.brought)))
	}
}

// released asks at once whether studies are complete: who brought something of them is done.
func (a *Appliance) released(studies []string) {
	for _, uid := range studies {
		err := a.db.Update(func(tx *queue.Tx) error {
			st, err := tx.Study(uid)
			if err != nil || st == nil || st.State != queue.Receiving {
				return err
			}
			return tx.Postpone(completionJob(uid, tx.Now(), true))
		})
		if err != nil && !isShutdown(err) {
			a.log.Error("scheduling a study's completion", "error", err)
		}
	}
}

// Kinds of jobs: the stages of a study's way.
const (
	kindExamine  = "examine"  // one instance: look at its pixels
	kindComplete = "complete" // a study: is it whole?
	kindDraft    = "draft"    // a revision: pair, score, write, guard
	kindReport   = "report"   // a revision: make the documents
	kindDeliver  = "deliver"  // a revision to one destination
	kindWithdraw = "withdraw" // a study: take back the drafts that no longer stand
	kindRetract  = "retract"  // our rejection note of a revision to one destination
	kindForget   = "forget"   // one instance: delete its cached copy
	kindRecord   = "record"   // an act of a person: enter it into the record of drafts
)

type completion struct {
	Released bool `json:"released"` // the association that brought the last image was released
}

func completionJob(uid string, at time.Time, released bool) queue.Job {
	payload, _ := json.Marshal(completion{released}) // a struct of a bool encodes
	return queue.Job{ID: kindComplete + "/" + uid, Kind: kindComplete, Study: uid, NotBefore: at, Payload: payload}
}

// scheduleCompletion begins the quiet time of a study anew; it runs in the transaction that makes an object known.
func (a *Appliance) scheduleCompletion(tx *queue.Tx, s *queue.Study) error {
	return tx.Postpone(completionJob(s.UID, tx.Now().Add(a.cfg().QuietTime), false))
}

// look has an object's pixels looked at.
func (a *Appliance) look(tx *queue.Tx, i *queue.Instance) error {
	if i.Examined != nil {
		return nil
	}
	return anew(tx, examineJob(i))
}

// anew has a job done that may have been done before, or given up.
func anew(tx *queue.Tx, j queue.Job) error {
	old, err := tx.Job(j.ID)
	if err != nil {
		return err
	}
	if old != nil && old.Dead {
		return tx.Resend(j.ID)
	}
	return tx.Again(j)
}

func examineJob(i *queue.Instance) queue.Job {
	sop := i.Header.SOPInstanceUID
	id := fmt.Sprintf("%s/%s/%.12s", kindExamine, sop, i.SHA256)
	return queue.Job{ID: id, Kind: kindExamine, Study: i.Header.StudyInstanceUID, Payload: mustJSON(sop)}
}

func mustJSON(v any) json.RawMessage {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err) // strings and numbers always encode
	}
	return text
}

func (a *Appliance) newReceiver() *ingest.Receiver {
	open := dicomfile.Opener(a.object)
	return &ingest.Receiver{
		DB: a.db, Spool: a.spool, ReadHeader: open.ReadHeader, AcceptDuplicates: a.cfg().Duplicates == config.DuplicatesAccept,
		Complete: a.scheduleCompletion, Look: a.look, Rejected: a.rejected, SamePicture: a.samePicture, Moved: a.moved,
		ReadNote: func(path string) (*study.RejectionNote, error) { return rejection.Read(open, path) },
		Unsuited: func(h study.Header) string { return pairing.Unsuited(h, a.pairing()) },
		IsReport: report.Is, Report: a.noteReport, DraftOf: a.drafts.reading, Log: a.log,
	}
}

// object opens a stored object.
func (a *Appliance) object(path string) (*dicomfile.File, error) { return ingest.Open(a.spool, path) }
