package daemon

import (
	"fmt"
	"testing"

	"llamaxr/queue"
	"llamaxr/study"
)

// TestAccessionThatIsNone: two studies of one accession number are one examination; of a number that every study has, none is, and nothing is
// looked at for it.
func TestAccessionThatIsNone(t *testing.T) {
	a := withLedger(t)
	put := func(uid, view string, lateral float64) {
		t.Helper()
		h := study.Header{
			SOPClassUID: "1.2.840.10008.5.1.4.1.1.1", StudyInstanceUID: uid, SOPInstanceUID: uid + ".1", SeriesInstanceUID: uid + ".2", PatientID: "P",
			PatientBirthDate: "19600101", StudyDate: "20260101", AccessionNumber: "0", BodyPartExamined: "CHEST", ViewPosition: view, NumberOfFrames: 1,
		}
		err := a.db.Update(func(tx *queue.Tx) error {
			i := &queue.Instance{Instance: study.Instance{Header: h}, Examined: &queue.Examination{LogOddsLateral: lateral}}
			if err := tx.PutInstance(i); err != nil {
				return err
			}
			if err := tx.IndexAccession(h.AccessionNumber, uid); err != nil {
				return err
			}
			return tx.PutStudy(&queue.Study{UID: uid, State: queue.Receiving, Instances: []string{h.SOPInstanceUID}})
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	partner := func() string {
		t.Helper()
		p, err := a.pairOf("2.25.1")
		if err != nil || p.pair.Frontal != "2.25.1.1" {
			t.Fatalf("%+v, %v", p, err)
		}
		return p.partner
	}
	put("2.25.1", "PA", -6)
	put("2.25.2", "LL", 6)
	if got := partner(); got != "2.25.2" {
		t.Errorf("with one other study: %q", got)
	}
	for i := range mostOfAccession {
		put(fmt.Sprintf("2.25.9%d", i), "PA", -6)
	}
	if got := partner(); got != "" {
		t.Errorf("with many others: %q", got)
	}
}
