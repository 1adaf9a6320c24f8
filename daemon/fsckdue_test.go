package daemon

import (
	"errors"
	"testing"
	"time"

	"llamaxr/queue"
	"llamaxr/study"
)

// TestLostJobsAreAskedForAgain: whatever a study waits for has a job, though the record of the job was lost; what is over has none.
func TestLostJobsAreAskedForAgain(t *testing.T) {
	const uid, to = "2.25.1", "PACS@127.0.0.1:1"
	signature := queue.Signature{Number: 1, Revision: 1, Findings: "Clear.", Impression: "Normal."}
	made, arrived := signature, signature
	made.SOPInstanceUID, arrived.SOPInstanceUID, arrived.Delivered = "2.25.5", "2.25.5", map[string]time.Time{to: time.Now()}
	reading := func(s queue.Signature) func(*queue.Tx) error {
		return func(tx *queue.Tx) error {
			return tx.PutReading(&queue.Reading{StudyInstanceUID: uid, Revision: 1, State: queue.ReadingSigned, Signatures: []queue.Signature{s}})
		}
	}
	failed := func(tx *queue.Tx) error {
		s, err := tx.Study(uid)
		if err != nil {
			return err
		}
		s.State, s.Reason = queue.Failed, "deliver: no"
		return tx.PutStudy(s)
	}
	for name, c := range map[string]struct {
		happens func(*queue.Tx) error
		want    string // kind of the job
	}{
		"nothing":          {func(*queue.Tx) error { return nil }, ""},
		"a signature":      {reading(signature), kindSign},
		"a signed report":  {reading(made), kindDeliverSigned},
		"one that arrived": {reading(arrived), ""},
		"a dead letter":    {failed, kindReport},
		"one that is still there": {func(tx *queue.Tx) error {
			return errors.Join(failed(tx), tx.Enqueue(queue.Job{ID: "x", Kind: "x", Study: uid}))
		}, ""},
		"the withdrawal of what rests on a rejected image": {func(tx *queue.Tx) error {
			return tx.Reject(&queue.Rejection{Object: study.ObjectReference{StudyInstanceUID: uid, SOPInstanceUID: uid + ".1"}, Title: study.RejectedSafety, Note: "2.25.8"})
		}, kindWithdraw},
	} {
		t.Run(name, func(t *testing.T) {
			a := withDrafts(t, 1, &queue.Study{UID: uid, Deliveries: map[string]*queue.Delivery{to: {Revision: 1}}})
			err := a.db.Update(func(tx *queue.Tx) error {
				i, err := tx.Instance(uid + ".1")
				if err != nil {
					return err
				}
				i.Examined = new(queue.Examination)
				return errors.Join(tx.PutInstance(i), c.happens(tx))
			})
			if err != nil {
				t.Fatal(err)
			}
			var due []queue.Job
			if err := a.db.View(func(tx *queue.Tx) (err error) { due, err = a.due(tx, uid); return err }); err != nil {
				t.Fatal(err)
			}
			if got := len(due); got > 1 || (got == 1) != (c.want != "") || got == 1 && due[0].Kind != c.want {
				t.Errorf("due is %+v, want %q", due, c.want)
			}
		})
	}
}
