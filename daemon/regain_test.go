package daemon

import (
	"context"
	"fmt"
	"testing"
	"time"

	"llamaxr/queue"
	"llamaxr/study"
)

// TestDraftsAheadOfTheLedger: a ledger that is older than the drafts numbers the next after them, and takes them for what may have gone anywhere. A draft of the same
// images is made again as what it was.
func TestDraftsAheadOfTheLedger(t *testing.T) {
	for name, c := range map[string]struct {
		onDisk int
		reads  string // the newest on the disk
		want   int
		sent   []int
	}{
		"none":                {1, "", 2, nil},
		"one of these images": {2, "", 2, nil},
		"one of others":       {2, "objects/00/other.dcm", 3, []int{1, 2}},
		"two":                 {3, "", 4, []int{1, 2, 3}},
	} {
		t.Run(name, func(t *testing.T) {
			const uid = "2.25.1"
			a := withDrafts(t, c.onDisk, &queue.Study{UID: uid})
			record, err := a.drafts.load(uid, c.onDisk)
			if err != nil {
				t.Fatal(err)
			}
			record.FrontalPath = c.reads
			if err := a.drafts.save(record); err != nil {
				t.Fatal(err)
			}
			err = a.db.Update(func(tx *queue.Tx) error {
				i := &queue.Instance{Instance: study.Instance{Header: *record.Frontal}, Examined: &queue.Examination{LogOddsLateral: -6}}
				i.Header.SOPClassUID, i.Header.BodyPartExamined, i.Header.ViewPosition, i.Header.NumberOfFrames = "1.2.840.10008.5.1.4.1.1.1.1", "CHEST", "PA", 1
				s := &queue.Study{UID: uid, State: queue.Receiving, Revision: 1, Instances: []string{i.Header.SOPInstanceUID}}
				if err := tx.PutInstance(i); err != nil {
					return err
				}
				if err := tx.PutStudy(s); err != nil {
					return err
				}
				return tx.Enqueue(completionJob(uid, time.Time{}, false))
			})
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			lease, err := a.db.Lease(ctx, leaseTime, kindComplete)
			if err != nil {
				t.Fatal(err)
			}
			if err := a.complete(lease); err != nil {
				t.Fatal(err)
			}
			if s, err := a.studyRecord(uid); err != nil || s.Revision != c.want || fmt.Sprint(s.Sent[anywhere]) != fmt.Sprint(c.sent) {
				t.Errorf("%v: revision %d, want %d; may be anywhere: %v, want %v", err, s.Revision, c.want, s.Sent[anywhere], c.sent)
			}
		})
	}
}
