package daemon

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"llamaxr/daemon/chain"
	"llamaxr/ingest"
	"llamaxr/ingest/spool"
	"llamaxr/queue"
	"llamaxr/reporting/sr"
	"llamaxr/study"
)

// TestMovedIsTakenBackWithoutANextDraft: a draft that stands under another patient or order since a correction, also of a view that came as a study of its
// own, is withdrawn, once, whether or not a next draft is ever made. One whose patient is only spelled otherwise stands.
func TestMovedIsTakenBackWithoutANextDraft(t *testing.T) {
	const home, other, to = "2.25.1", "2.25.2", "PACS@127.0.0.1:1"
	for name, c := range map[string]struct {
		uid    string // whose image comes again
		change func(*study.Header)
		then   func(*study.Header) // once more
		want   int
	}{
		"another patient":                   {home, func(h *study.Header) { h.PatientID = "B" }, nil, 1},
		"an issuer where there was none":    {home, func(h *study.Header) { h.IssuerOfPatientID = "HOSP" }, nil, 0},
		"a birth date where there was none": {home, func(h *study.Header) { h.PatientBirthDate = "19600101" }, nil, 0},
		"an issuer, and then another":       {home, func(h *study.Header) { h.IssuerOfPatientID = "HOSP" }, func(h *study.Header) { h.IssuerOfPatientID = "CLINIC" }, 1},
		"another order":                     {home, func(h *study.Header) { h.AccessionNumber = "A2" }, nil, 1},
		"another spelling":                  {home, func(h *study.Header) { h.PatientName = "DOE^JON" }, nil, 0},
		"another patient's lateral":         {other, func(h *study.Header) { h.PatientID = "B" }, nil, 1},
		"a lateral spelled otherwise":       {other, func(h *study.Header) { h.PatientName = "DOE^JON" }, nil, 0},
	} {
		t.Run(name, func(t *testing.T) {
			a := withDrafts(t, 1, &queue.Study{UID: home, Sent: map[string][]int{to: {1}}, Drafted: []string{home + ".1"}})
			record, err := a.drafts.load(home, 1)
			if err != nil {
				t.Fatal(err)
			}
			record.Frontal.SOPClassUID, record.Frontal.SeriesInstanceUID = "1.2.840.10008.5.1.4.1.1.1.1", home+".2"
			lateral := *record.Frontal
			lateral.StudyInstanceUID, lateral.SOPInstanceUID = other, other+".1"
			record.Lateral = &lateral
			record.Documents[0].SOPClassUID, record.Documents[0].SeriesInstanceUID = sr.BasicTextSR, "2.25.91"
			err = a.db.Update(func(tx *queue.Tx) error {
				read := &queue.Study{UID: other, State: queue.Refused, ReadWith: home, Instances: []string{lateral.SOPInstanceUID}}
				return errors.Join(tx.PutStudy(read), tx.PutInstance(&queue.Instance{Instance: study.Instance{Header: lateral}}))
			})
			if err = errors.Join(err, a.drafts.save(record)); err != nil {
				t.Fatal(err)
			}
			if a.spool, err = spool.Open(t.TempDir(), 0); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = a.spool.Close() })
			if a.record, err = chain.Open(filepath.Join(t.TempDir(), recordLog), maxRecordLine); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = a.record.Close() })
			again := *record.Frontal
			if c.uid == other {
				again = lateral
			}
			c.change(&again)
			a.receiver = a.newReceiver()
			a.receiver.ReadHeader = func(path string) (study.Header, error) { _, err := os.Stat(path); return again, err }
			a.receiver.SamePicture = func(string, string) (bool, error) { return true, nil }
			receive := func() {
				t.Helper()
				in := ingest.Incoming{SOPClassUID: again.SOPClassUID, SOPInstanceUID: again.SOPInstanceUID, Calling: "PACS"}
				if _, err := a.receiver.Receive(in, strings.NewReader(fmt.Sprint(again))); err != nil {
					t.Fatal(err)
				}
			}
			receive()
			if c.then != nil {
				c.then(&again)
				receive()
			}
			withdraw := func() {
				t.Helper()
				jobs, err := a.Jobs()
				if err != nil {
					t.Fatal(err)
				}
				for _, j := range jobs {
					if j.Kind != kindWithdraw {
						continue
					}
					lease, err := a.db.Lease(t.Context(), time.Minute, kindWithdraw)
					if err != nil {
						t.Fatal(err)
					}
					if err := a.withdraw(lease); err != nil {
						t.Fatal(err)
					}
				}
			}
			for _, next := range []bool{false, true} {
				if next { // a next draft is made after all
					if err := a.db.Update(func(tx *queue.Tx) error { return a.lookBack(tx, home, 2) }); err != nil {
						t.Fatal(err)
					}
				}
				withdraw()
				s, err := a.studyRecord(home)
				if err != nil || len(s.Withdrawn) != c.want || c.want > 0 && (s.Withdrawn[0].Title != study.RejectedWorklist || s.Withdrawn[0].Deliveries[to] == nil) {
					t.Errorf("with a next draft %v: withdrawn %+v (%v), want %d", next, s.Withdrawn, err, c.want)
				}
			}
			err = a.db.Update(func(tx *queue.Tx) error { // the same correction, after it was undone
				s, err := tx.Study(home)
				if err != nil {
					return err
				}
				i, err := tx.Instance(again.SOPInstanceUID)
				if err != nil {
					return err
				}
				if err := a.moved(tx, s, i); err != nil {
					return err
				}
				j, err := tx.Job(withdrawJob(home, fmt.Sprintf("%.12s", i.SHA256)).ID)
				if j == nil {
					t.Error("drafts under another patient are not looked for once more")
				}
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			err = a.db.Update(func(tx *queue.Tx) error { // the correction is undone
				return errors.Join(tx.PutInstance(&queue.Instance{Instance: study.Instance{Header: *record.Frontal}}), tx.PutInstance(&queue.Instance{Instance: study.Instance{Header: lateral}}))
			})
			if err != nil {
				t.Fatal(err)
			}
			if before, err := a.replaced(home, 2, record); err != nil || (before == nil) != (c.want > 0) {
				t.Errorf("the next draft names %+v as the one before (%v)", before, err)
			}
		})
	}
}
