package daemon

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"time"

	"llamaxr/daemon/commitment"
	"llamaxr/daemon/config"
	"llamaxr/dicomnet"
	"llamaxr/dicomnet/dimse"
	"llamaxr/queue"
	"llamaxr/reporting/sr"
	"llamaxr/study"
)

// Storage commitment as its user (PS3.4, annex J): a destination is asked to commit to what it was sent; what it does not is sent again.

// kindCommit is the job that waits for one destination's commitment to the documents of a revision or to a signed report.
const kindCommit = "commit"

// answerHere is how long a destination is listened to on the association on which it was asked: some answer there at once.
const answerHere = 2 * time.Second

// committal is the payload of such a job.
type committal struct {
	Revision    int    `json:"revision"`
	Destination string `json:"destination"`
	Signature   int    `json:"signature,omitempty"` // number of a signed report; 0 is the draft
	// Open are the objects that are not committed to yet; nil before the first request, which names all.
	Open []study.SOPReference `json:"open,omitempty"`
	// Asked says that the last request was not answered, Refused that the answer was no: Open is sent again first.
	Asked   bool `json:"asked,omitempty"`
	Refused bool `json:"refused,omitempty"`
}

func (c committal) job(uid string) queue.Job {
	c.Open, c.Asked, c.Refused = nil, false, false
	id := fmt.Sprintf("%s/%s/%d/%d/%s", kindCommit, uid, c.Revision, c.Signature, c.Destination)
	return queue.Job{ID: id, Kind: kindCommit, Study: uid, Payload: mustJSON(c)}
}

func (c committal) String() string {
	if c.Signature > 0 {
		return fmt.Sprintf("signed report %d", c.Signature)
	}
	return fmt.Sprintf("revision %d", c.Revision)
}

// askCommitment has a destination that was just sent something asked to commit to it; nil when this one is not asked.
func (a *Appliance) askCommitment(tx *queue.Tx, uid string, c committal) (*queue.Commitment, error) {
	if to, err := a.destination(c.Destination); err != nil || !to.Commit {
		return nil, nil
	}
	return new(queue.Commitment), tx.Again(c.job(uid))
}

// commit sends the request and waits: the job ends when the answer comes, and is here again when it does not.
func (a *Appliance) commit(ctx context.Context, lease *queue.Lease) error {
	c, err := payloadOf[committal](lease)
	if err != nil {
		return err
	}
	to, err := a.destination(c.Destination)
	if err == nil && !to.Commit {
		err = queue.Permanent(fmt.Errorf("daemon: storage commitment of destination %s %w", c.Destination, errNotConfigured))
	}
	if err != nil {
		return err
	}
	uid := lease.Job.Study
	documents, err := a.committable(ctx, lease, to, c)
	if err != nil {
		return err
	}
	if len(documents) == 0 {
		return a.done(lease, nil) // it was withdrawn: the destination is told to forget it
	}
	if c.Asked && lease.Job.Attempts > a.cfg().Limits.Attempts {
		return queue.Permanent(fmt.Errorf("daemon: %s did not answer %d requests for storage commitment of %s", to.AETitle, lease.Job.Attempts-1, c))
	}
	if c.Open == nil {
		for _, d := range documents {
			c.Open = append(c.Open, d.SOPReference)
		}
	}
	if err := a.ask(ctx, to, lease.Job, c, documents); err != nil {
		return err
	}
	first := !c.Asked && !c.Refused
	c.Asked, c.Refused = true, false
	return lease.Later(a.cfg().Commitment.AnswerTime, mustJSON(c), func(tx *queue.Tx) error {
		return onCommitment(tx, uid, c, func(s *queue.Study, state *queue.Commitment) error {
			state.Asked = tx.Now().UTC()
			if c.Signature == 0 && s.Withdrawal(c.Revision) != nil {
				return tx.End(lease.Job.ID) // while it was asked
			}
			if first {
				s.Note(tx.Now(), fmt.Sprintf("%s was asked for storage commitment of %s", to.AETitle, c))
			}
			return nil
		})
	})
}

// committable is a document that a destination is to commit to.
type committable struct {
	study.SOPReference
	path string
}

// committable returns what a destination is to commit to; nothing when it was taken back.
func (a *Appliance) committable(ctx context.Context, lease *queue.Lease, to config.Destination, c committal) (out []committable, err error) {
	uid := lease.Job.Study
	folder := a.drafts.folder(uid, c.Revision)
	if c.Signature > 0 {
		reading, signature, err := a.signature(uid, c.Signature)
		if err != nil {
			return nil, err
		}
		path, err := a.wholeSigned(reading, signature)
		if err != nil {
			return nil, err
		}
		o := study.SOPReference{SOPClassUID: sr.BasicTextSR, SOPInstanceUID: signature.SOPInstanceUID}
		return []committable{{o, path}}, nil
	}
	record, err := a.drafts.load(uid, c.Revision)
	if err != nil {
		return nil, err
	}
	if goes, err := a.leaves(lease, delivery{c.Revision, c.Destination}, record); err != nil || !goes {
		return nil, err
	}
	if err := a.wholeDocuments(ctx, record); err != nil {
		return nil, err
	}
	for _, d := range record.Documents {
		if !to.Takes(d.Kind) {
			continue
		}
		o := study.SOPReference{SOPClassUID: d.SOPClassUID, SOPInstanceUID: d.SOPInstanceUID}
		out = append(out, committable{o, filepath.Join(folder, d.File)})
	}
	return out, nil
}

// ask sends what was refused again and then N-ACTION, whose Transaction UID is durable before: the answer may be quicker than its response.
func (a *Appliance) ask(ctx context.Context, to config.Destination, job queue.Job, c committal, documents []committable) error {
	if c.Refused {
		var again []string
		for _, d := range documents {
			if slices.Contains(c.Open, d.SOPReference) {
				again = append(again, d.path)
			}
		}
		if err := a.sendTo(ctx, to, job.Study, again...); err != nil {
			return err
		}
	}
	t := &queue.Transaction{UID: sr.DeriveUID("storage commitment", rand.Text()), Job: job.ID, Study: job.Study, Objects: c.Open}
	err := a.db.Update(func(tx *queue.Tx) error {
		t.Asked = tx.Now().UTC()
		return tx.PutTransaction(t)
	})
	if err != nil {
		return err
	}
	association, err := a.client(to.AETitle, to.TLS).Dial(ctx, to.Address, []dicomnet.ProposedContext{dicomnet.ProposeHeaders(dicomnet.StorageCommitment, false)})
	if err != nil {
		return refusal(err)
	}
	syntax := association.TransferSyntax(dicomnet.StorageCommitment)
	request := commitment.Request{TransactionUID: t.UID, Objects: t.Objects}
	err = association.Action(ctx, wellKnown(commitment.ActionType, syntax), request.Encode(syntax))
	if errors.Is(err, dicomnet.ErrNotAccepted) {
		err = queue.Permanent(fmt.Errorf("%s does not offer storage commitment: %w", to.AETitle, err))
	}
	if err != nil {
		return errors.Join(refusal(err), a.leave(association, err))
	}
	a.log.Info("storage commitment asked", "study", job.Study, "destination", c.Destination, "transaction", t.UID, "objects", len(t.Objects))
	heard := &listener{a: a}
	if err := association.Serve(ctx, heard, answerHere, func() bool { return heard.results > 0 }); err == nil {
		_ = association.Release() // it was asked; how the association ends changes nothing
	}
	return nil
}

// listener takes the answer of a destination on the association on which it was asked, and nothing else.
type listener struct {
	a       *Appliance
	results int
}

// Echo implements dicomnet.Session.
func (l *listener) Echo(context.Context) error { return nil }

// Store implements dicomnet.Session.
func (l *listener) Store(context.Context, *dicomnet.StoreRequest, io.Reader) error {
	return &dimse.StatusError{Status: dimse.UnrecognisedOperation, Comment: "only results are taken here"}
}

// Close implements dicomnet.Session.
func (l *listener) Close(bool) {}

// Event implements dicomnet.EventSession.
func (l *listener) Event(_ context.Context, event *dicomnet.Notification, data io.Reader) error {
	l.results++
	return l.a.event(event, data)
}

// Event implements dicomnet.EventSession: the answer to a request of ours, durable before the destination hears that we have it.
func (s *session) Event(_ context.Context, event *dicomnet.Notification, data io.Reader) error {
	err := s.a.event(event, data)
	if err != nil {
		s.a.log.Warn("result of storage commitment refused", "calling", s.info.CallingAETitle, "error", err)
	}
	return err
}

// event reads and records a result; the error is the status of N-EVENT-REPORT (PS3.7, 10.1.1.1.8).
func (a *Appliance) event(event *dicomnet.Notification, data io.Reader) error {
	switch {
	case event.SOPInstanceUID != dicomnet.StorageCommitmentInstance:
		return &dimse.StatusError{Status: dimse.NoSuchInstance, Comment: "not the well-known instance of storage commitment"}
	case event.Type != commitment.AllCommitted && event.Type != commitment.SomeFailed:
		return &dimse.StatusError{Status: dimse.NoSuchEventType, Comment: "only event types 1 and 2 are known"}
	}
	all, err := io.ReadAll(data)
	if err != nil {
		return err
	}
	result, err := commitment.ReadResult(all, event.TransferSyntaxUID)
	if err != nil {
		return &dimse.StatusError{Status: dimse.InvalidArgument, Comment: "the result cannot be read"}
	}
	return a.answered(result)
}

// answered ends the job that waits when all is committed to, and lets it send again what is not. An answer that comes again, or late, is
// taken for what it says.
func (a *Appliance) answered(result *commitment.Result) error {
	return a.db.Update(func(tx *queue.Tx) error {
		t, err := tx.Transaction(result.TransactionUID)
		if err != nil {
			return err
		}
		if t == nil {
			return &dimse.StatusError{Status: dimse.InvalidArgument, Comment: "no request of ours has this Transaction UID"}
		}
		t.Answered = tx.Now().UTC()
		if err := tx.PutTransaction(t); err != nil {
			return err
		}
		job, err := tx.Job(t.Job)
		if err != nil || job == nil {
			return err
		}
		var c committal
		if err := json.Unmarshal(job.Payload, &c); err != nil {
			return err
		}
		if c.Open == nil {
			c.Open = slices.Clone(t.Objects)
		}
		c.Open = slices.DeleteFunc(c.Open, func(o study.SOPReference) bool {
			return slices.Contains(t.Objects, o) && slices.Contains(result.Committed, o)
		})
		if len(c.Open) == 0 {
			return a.allCommitted(tx, job, c)
		}
		c.Asked, c.Refused = false, true
		cause := notCommitted(c, result)
		if err := tx.FailJob(job, cause, mustJSON(c)); err != nil {
			return err
		}
		a.log.Warn("destination did not commit", "study", job.Study, "destination", c.Destination, "reason", cause)
		return a.noteFailure(tx, *job, cause)
	})
}

// notCommitted says what a destination does not commit to and why.
func notCommitted(c committal, result *commitment.Result) error {
	why := "no reason given"
	for _, f := range result.Failed {
		if slices.Contains(c.Open, f.SOPReference) {
			why = commitment.Reason(f.Reason)
		}
	}
	return fmt.Errorf("daemon: %s is not committed to: %d objects, %s", c, len(c.Open), why)
}

// noteUncommitted lets what is known of a commitment say why there is none yet.
func noteUncommitted(tx *queue.Tx, job queue.Job, cause error) error {
	var c committal
	if err := json.Unmarshal(job.Payload, &c); err != nil {
		return err
	}
	return onCommitment(tx, job.Study, c, func(_ *queue.Study, state *queue.Commitment) error {
		state.Error = cause.Error()
		return nil
	})
}

// allCommitted ends the wait.
func (a *Appliance) allCommitted(tx *queue.Tx, job *queue.Job, c committal) error {
	if err := tx.End(job.ID); err != nil {
		return err
	}
	a.log.Info("destination committed", "study", job.Study, "destination", c.Destination)
	return onCommitment(tx, job.Study, c, func(s *queue.Study, state *queue.Commitment) error {
		state.Committed, state.Error = tx.Now().UTC(), ""
		s.Note(tx.Now(), fmt.Sprintf("%s committed by %s", c, c.Destination))
		return a.mendState(tx, s)
	})
}

// onCommitment changes what is known of a destination's commitment.
func onCommitment(tx *queue.Tx, uid string, c committal, change func(*queue.Study, *queue.Commitment) error) error {
	s, err := tx.Study(uid)
	if err != nil || s == nil {
		return err
	}
	state := new(queue.Commitment) // of a revision that a later one has replaced
	if c.Signature > 0 {
		r, err := tx.Reading(uid)
		if err != nil || r == nil || c.Signature > len(r.Signatures) {
			return err
		}
		if known := r.Signatures[c.Signature-1].Commitments[c.Destination]; known != nil {
			state = known
		}
		if err := errors.Join(change(s, state), tx.PutReading(r)); err != nil {
			return err
		}
		return tx.PutStudy(s)
	}
	if d := s.Deliveries[c.Destination]; d != nil && d.Revision == c.Revision && d.Commitment != nil {
		state = d.Commitment
	}
	return errors.Join(change(s, state), tx.PutStudy(s))
}
