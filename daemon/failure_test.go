package daemon

import (
	"errors"
	"testing"

	"llamaxr/queue"
)

// TestADraftThatWasGivenUpIsNotTheOlderOne: when a new revision cannot be drafted the study no longer says what the draft before it found; when a
// draft cannot be sent it does.
func TestADraftThatWasGivenUpIsNotTheOlderOne(t *testing.T) {
	a := withLedger(t)
	for kind, stays := range map[string]bool{kindDeliver: true, kindHL7: true, kindDraft: false} {
		var s *queue.Study
		err := a.db.Update(func(tx *queue.Tx) (err error) {
			if err := tx.PutStudy(&queue.Study{UID: "2.25.1", Revision: 2, State: queue.Drafted, Summary: &queue.DraftSummary{}}); err != nil {
				return err
			}
			if err := a.noteFailure(tx, queue.Job{ID: kind, Kind: kind, Study: "2.25.1", Dead: true}, errors.New("no")); err != nil {
				return err
			}
			s, err = tx.Study("2.25.1")
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		if s.State != queue.Failed || (s.Summary != nil) != stays {
			t.Errorf("after %s was given up the study is %s, its summary %v", kind, s.State, s.Summary)
		}
	}
}

// TestADraftThatCouldNotBeSentRests: such a study has nothing on its way and can be drafted again, one whose draft was given up cannot.
func TestADraftThatCouldNotBeSentRests(t *testing.T) {
	a := &Appliance{drafts: drafts{root: t.TempDir()}}
	if err := a.drafts.write("2.25.1", 2, recordFile, []byte("{}")); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		state    string
		revision int
		rests    bool
	}{
		{queue.Drafted, 2, true},
		{queue.Delivered, 2, true},
		{queue.Failed, 2, true},
		{queue.Failed, 3, false},
		{queue.Complete, 3, false},
		{queue.Receiving, 2, false},
	} {
		if got := a.rests(&queue.Study{UID: "2.25.1", State: c.state, Revision: c.revision}); got != c.rests {
			t.Errorf("%s at revision %d rests: %v, want %v", c.state, c.revision, got, c.rests)
		}
	}
}
