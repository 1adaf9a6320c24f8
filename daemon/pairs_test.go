package daemon

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"llamaxr/queue"
	"llamaxr/study"
)

// TestAccessionThatIsNone: two studies of one accession number are one examination; of a number that every study has, none is, and nothing is
// looked at for it.
func TestAccessionThatIsNone(t *testing.T) {
	a := withLedger(t)
	put := func(uid, view string, lateral float64) { putView(t, a, uid, view, lateral) }
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

// TestDoubtfulPicturesAreOnePair: a doubt of a picture, unlike one of the view, keeps two studies of one examination from nothing, and stands in
// what is read of both.
func TestDoubtfulPicturesAreOnePair(t *testing.T) {
	a := withLedger(t)
	for uid, looked := range map[string]*queue.Examination{
		"2.25.1": {LogOddsLateral: -6, Inverted: true}, "2.25.2": {LogOddsLateral: 6, Doubts: []string{"only 64 x 64 pixels"}},
	} {
		putView(t, a, uid, "", looked.LogOddsLateral)
		err := a.db.Update(func(tx *queue.Tx) error {
			i, err := tx.Instance(uid + ".1")
			if err != nil {
				return err
			}
			i.Examined = looked
			return tx.PutInstance(i)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	p, err := a.pairOf("2.25.1")
	if want := "frontal view: its grey levels look turned round; lateral view: only 64 x 64 pixels"; err != nil || p.partner != "2.25.2" || p.pair.Doubt != want {
		t.Errorf("partner %q, doubt %q, %v; want %q", p.partner, p.pair.Doubt, err, want)
	}
}

// putView has a study of one view in the ledger, of one patient, day and accession number.
func putView(t *testing.T, a *Appliance, uid, view string, lateral float64) {
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

// TestLateralWhileTheFrontalIsDrafted: a lateral view that comes as a study of its own while the frontal one's draft is written, too late for
// that draft, has it written anew.
func TestLateralWhileTheFrontalIsDrafted(t *testing.T) {
	a := withLedger(t)
	const frontal, lateral = "2.25.1", "2.25.2"
	putView(t, a, frontal, "PA", -6)
	lease := func(uid string) *queue.Lease {
		t.Helper()
		err := a.db.Update(func(tx *queue.Tx) error {
			s, err := tx.Study(uid)
			if err != nil {
				return err
			}
			s.State, s.Revision = queue.Complete, 1
			if err := tx.PutStudy(s); err != nil {
				return err
			}
			return tx.Enqueue(queue.Job{ID: kindDraft + "/" + uid + "/1", Kind: kindDraft, Study: uid, Payload: mustJSON(1)})
		})
		if err != nil {
			t.Fatal(err)
		}
		l, err := a.db.Lease(t.Context(), time.Minute, kindDraft)
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	home := lease(frontal)
	give, err := a.drafting.take(t.Context(), frontal) // its draft is being written
	if err != nil {
		t.Fatal(err)
	}
	p, err := a.pairOf(frontal)
	if err != nil || p.partner != "" {
		t.Fatalf("%+v, %v", p, err)
	}
	putView(t, a, lateral, "LL", 6)
	done := make(chan error, 1)
	other := lease(lateral)
	go func() { done <- a.draft(t.Context(), other) }()
	select {
	case err := <-done:
		t.Fatalf("it was decided before the draft was there: %v", err)
	case <-time.After(100 * time.Millisecond):
	}
	err = home.Done(func(tx *queue.Tx) error {
		return a.setState(tx, frontal, 1, queue.Drafted, "", func(s *queue.Study) { s.Pair = &p.pair })
	})
	if err != nil {
		t.Fatal(err)
	}
	give()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	for uid, want := range map[string]string{frontal: queue.Receiving, lateral: queue.Refused} {
		err := a.db.View(func(tx *queue.Tx) error {
			s, err := tx.Study(uid)
			if err == nil && s.State != want {
				t.Errorf("%s is %s, want %s", uid, s.State, want)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestTurns: nobody has a study beside another, other studies wait for none, and who gives up waiting takes nothing.
func TestTurns(t *testing.T) {
	var turns turns
	give, err := turns.take(t.Context(), "1")
	if err != nil {
		t.Fatal(err)
	}
	other, err := turns.take(t.Context(), "2")
	if err != nil {
		t.Fatal(err)
	}
	other()
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if _, err := turns.take(ctx, "1"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a taken study: %v", err)
	}
	var all sync.WaitGroup
	having := 0
	for range 50 {
		all.Go(func() {
			give, err := turns.take(t.Context(), "1")
			if err != nil {
				t.Error(err)
				return
			}
			having++
			if having != 1 {
				t.Errorf("%d have it", having)
			}
			having--
			give()
			give()
		})
	}
	give()
	all.Wait()
}

// TestReleased: a study whose lateral view was read with another, and is no more, is asked about anew, also one that a dead letter has failed.
func TestReleased(t *testing.T) {
	const frontal, lateral = "2.25.1", "2.25.2"
	joint := study.Pair{Frontal: frontal + ".1", Lateral: lateral + ".1"}
	for state, want := range map[string]string{queue.Refused: queue.Receiving, queue.Failed: queue.Receiving, queue.Complete: queue.Complete} {
		a := withLedger(t)
		putView(t, a, frontal, "PA", -6)
		putView(t, a, lateral, "LL", 6)
		err := a.db.Update(func(tx *queue.Tx) error {
			s, err := tx.Study(lateral)
			if err != nil {
				return err
			}
			s.State, s.ReadWith, s.Pair = state, frontal, &joint
			return errors.Join(tx.PutStudy(s), a.release(tx, &queue.Study{UID: frontal, Pair: &joint}))
		})
		if err != nil {
			t.Fatal(err)
		}
		if s, err := a.studyRecord(lateral); err != nil || s.State != want || (s.ReadWith == "") != (want == queue.Receiving) {
			t.Errorf("of %s became %s, read with %q (%v)", state, s.State, s.ReadWith, err)
		}
	}
}
