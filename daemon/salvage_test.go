package daemon

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"llamaxr/daemon/chain"
	"llamaxr/daemon/config"
	"llamaxr/ingest/rejection"
	"llamaxr/queue"
	"llamaxr/reporting/sr"
	"llamaxr/study"
)

// TestALostDraftIsTakenBack: a draft whose record was lost and that may have left is withdrawn by what its documents say when what it rests on is taken
// back; where these are lost too somebody is told so, once.
func TestALostDraftIsTakenBack(t *testing.T) {
	const uid = "2.25.1"
	to := config.Destination{AETitle: "PACS", Address: "127.0.0.1:1"}
	safety := func(tx *queue.Tx) error {
		return tx.Reject(&queue.Rejection{Object: study.ObjectReference{StudyInstanceUID: uid, SOPInstanceUID: uid + ".1"}, Title: study.RejectedSafety, Note: "2.25.8"})
	}
	patient := func(tx *queue.Tx) error {
		i, err := tx.Instance(uid + ".1")
		if err != nil {
			return err
		}
		i.Header.PatientID = "B"
		return tx.PutInstance(i)
	}
	nothing := func(*queue.Tx) error { return nil }
	for name, c := range map[string]struct {
		happens func(*queue.Tx) error
		stays   bool // here: it was not sent
		lost    bool // its documents are as well
		want    study.RejectionTitle
		beyond  bool
	}{
		"nothing":                            {happens: nothing},
		"nothing, documents lost":            {happens: nothing, lost: true},
		"patient safety":                     {happens: safety, want: study.RejectedSafety},
		"another patient":                    {happens: patient, want: study.RejectedWorklist},
		"patient safety, never sent":         {happens: safety, stays: true},
		"patient safety, documents lost":     {happens: safety, lost: true, beyond: true},
		"patient safety, all lost, not sent": {happens: safety, stays: true, lost: true},
	} {
		t.Run(name, func(t *testing.T) {
			a := withSigned(t, to)
			var err error
			if a.record, err = chain.Open(filepath.Join(t.TempDir(), recordLog), maxRecordLine); err != nil {
				t.Fatal(err)
			}
			defer a.record.Close()
			record, err := a.drafts.load(uid, 1)
			if err != nil {
				t.Fatal(err)
			}
			narrative, err := sr.Narrative(sr.Input{Draft: record.Draft, Frontal: record.Frontal, Time: time.Now(), Device: a.device})
			if err != nil {
				t.Fatal(err)
			}
			folder := a.drafts.folder(uid, 1)
			_, err = a.writeDocument(uid, 1, narrativeDocument+".dcm", narrative)
			err = errors.Join(err, os.Truncate(filepath.Join(folder, recordFile), 100))
			if c.lost {
				err = errors.Join(err, os.Truncate(filepath.Join(folder, narrativeDocument+".dcm"), 100))
			}
			if err != nil {
				t.Fatal(err)
			}
			err = a.db.Update(func(tx *queue.Tx) error {
				s, err := tx.Study(uid)
				if err != nil {
					return err
				}
				s.Withdrawn = nil
				if !c.stays {
					s.Sent = map[string][]int{to.String(): {1}}
				}
				return errors.Join(tx.PutStudy(s), tx.Enqueue(queue.Job{ID: "withdraw", Kind: kindWithdraw, Study: uid}), c.happens(tx))
			})
			if err != nil {
				t.Fatal(err)
			}
			lease, err := a.db.Lease(t.Context(), leaseTime, kindWithdraw)
			if err != nil {
				t.Fatal(err)
			}
			err = a.perform(t.Context(), lease)
			if c.beyond != errors.Is(err, errBeyond) || !c.beyond && err != nil {
				t.Fatal(err)
			}
			if c.beyond {
				a.fail(lease, err)
				if s, err := a.studyRecord(uid); err != nil || s.State != queue.Failed {
					t.Fatalf("%v: the study is %s", err, s.State)
				}
				if err := a.Resend("withdraw"); err != nil {
					t.Fatal(err)
				}
				if lease, err = a.db.Lease(t.Context(), leaseTime, kindWithdraw); err != nil {
					t.Fatal(err)
				}
				if err := a.perform(t.Context(), lease); !nobodyThere(lease.Job, err) {
					t.Errorf("when it is sent again: %v", err)
				}
				return
			}
			s, err := a.studyRecord(uid)
			if err != nil {
				t.Fatal(err)
			}
			w := s.Withdrawal(1)
			if c.want == "" {
				if w != nil {
					t.Errorf("it is withdrawn: %+v", w)
				}
				return
			}
			if w == nil || w.Title != c.want || w.Deliveries[to.String()] == nil {
				t.Fatalf("withdrawn is %+v, want %s", w, c.want)
			}
			note, err := rejection.Read(a.object, filepath.Join(folder, withdrawalFile))
			if err != nil || note.Title != c.want || len(note.Objects) != 1 || note.Objects[0].SOPInstanceUID != narrative.SOPInstanceUID {
				t.Errorf("the note is %+v, %v", note, err)
			}
			if err := os.Remove(filepath.Join(folder, withdrawalFile)); err != nil {
				t.Fatal(err)
			}
			if _, err := a.wholeWithdrawal(uid, 1); err != nil || a.drafts.hold(folder, withdrawalFile, w.SHA256) != nil {
				t.Errorf("the note is not the same when it is made again: %v", err)
			}
			if jobs, err := a.Jobs(); err != nil || !slices.ContainsFunc(jobs, func(j *queue.Job) bool { return j.Kind == kindRetract }) {
				t.Errorf("%v: jobs are %+v", err, jobs)
			}
		})
	}
}
