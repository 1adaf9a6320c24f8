package daemon

import (
	"errors"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"llamaxr/daemon/config"
	"llamaxr/queue"
	"llamaxr/study"
)

// withLedger is an appliance with a ledger and the default configuration, and nothing that runs.
func withLedger(t *testing.T) *Appliance {
	t.Helper()
	db, err := queue.Open(filepath.Join(t.TempDir(), databaseFile), queue.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	cfg := config.Default()
	a := &Appliance{db: db, log: slog.New(slog.DiscardHandler)}
	a.settings.Store(&cfg)
	return a
}

// TestWithdrawnIsNotSigned: a draft whose images were rejected cannot be made a final report, and the next revision can.
func TestWithdrawnIsNotSigned(t *testing.T) {
	a := withLedger(t)
	const uid = "2.25.1"
	begin := func(revision int) {
		err := a.db.Update(func(tx *queue.Tx) error {
			s := &queue.Study{
				UID: uid, Revision: 2, State: queue.Delivered,
				Withdrawn: []*queue.Withdrawal{{Revision: 1, Title: study.RejectedSafety, Reason: "wrong side marked", Time: time.Now()}},
			}
			if err := tx.PutStudy(s); err != nil {
				return err
			}
			return tx.PutReading(&queue.Reading{StudyInstanceUID: uid, Revision: revision, State: queue.ReadingOpen})
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for revision, want := range map[int]error{1: ErrWithdrawn, 2: nil} {
		begin(revision)
		_, err := a.SignReading(uid, Hand{User: "jane"}, "DOE^JANE", Edit{Revision: revision, Findings: "No pneumothorax.", Impression: "Normal."})
		if !errors.Is(err, want) || want == nil && err != nil {
			t.Errorf("revision %d: %v, want %v", revision, err, want)
		}
	}
}
