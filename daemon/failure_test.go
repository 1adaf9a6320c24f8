package daemon

import (
	"errors"
	"log/slog"
	"path/filepath"
	"testing"

	"llamaxr/daemon/config"
	"llamaxr/queue"
)

// TestADraftThatWasGivenUpIsNotTheOlderOne: when a new revision cannot be drafted the study no longer says what the draft before it found; when a
// draft cannot be sent it does.
func TestADraftThatWasGivenUpIsNotTheOlderOne(t *testing.T) {
	db, err := queue.Open(filepath.Join(t.TempDir(), databaseFile), queue.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	cfg := config.Default()
	a := &Appliance{db: db, log: slog.New(slog.DiscardHandler)}
	a.settings.Store(&cfg)
	for kind, stays := range map[string]bool{kindDeliver: true, kindHL7: true, kindDraft: false} {
		var s *queue.Study
		err := db.Update(func(tx *queue.Tx) (err error) {
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
