package daemon

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"llamaxr/daemon/config"
	"llamaxr/finetune/tune"
	"llamaxr/inference"
	"llamaxr/inference/engine"
	"llamaxr/inference/llama"
	"llamaxr/inference/models"
	"llamaxr/queue"
	"llamaxr/study"

	"github.com/gofrs/flock"
)

// writer is a learner with the starter's models.
func writer(t *testing.T) *Appliance {
	t.Helper()
	a := learner(t)
	cfg := config.Default()
	cfg.State = t.TempDir()
	a.settings.Store(&cfg)
	a.tuner.ctx = t.Context()
	eng, err := engine.Open(engine.Go)
	if err != nil {
		t.Fatal(err)
	}
	if a.reader, err = inference.OpenStarter(eng); err != nil {
		t.Fatal(err)
	}
	return a
}

// corrected drafts so many studies and has their reports come.
func (a *Appliance) corrected(t *testing.T, studies int) {
	t.Helper()
	for i := range studies {
		uid := fmt.Sprintf("1.2.%d", i)
		a.drafted(t, uid)
		if _, err := a.AddCorrection(t.Context(), CorrectionInput{StudyInstanceUID: uid, Report: "FINDINGS: Clear.\nIMPRESSION: Normal."}); err != nil {
			t.Fatal(err)
		}
	}
}

// TestWhatWasTakenBackDoesNotTrain: a correction of a draft whose image was rejected for good counts for no run, whoever begins it.
func TestWhatWasTakenBackDoesNotTrain(t *testing.T) {
	a := writer(t)
	a.corrected(t, tune.LeastCorrections)
	cfg := *a.cfg()
	cfg.Learning.After = 1
	a.settings.Store(&cfg)
	if err := a.db.Update(func(tx *queue.Tx) error {
		return tx.Reject(&queue.Rejection{Object: study.ObjectReference{StudyInstanceUID: "1.2.3", SOPInstanceUID: "1.2.3.1"}, Title: study.RejectedSafety, Note: "2.25.8"})
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := a.StartTuning(""); err == nil || !strings.Contains(err.Error(), "corrections of 19 studies") {
		t.Errorf("a run begins: %v", err)
	}
	if err := a.tuneWhenDue(time.Now()); err != nil || a.tuner.running != "" {
		t.Errorf("%v: run %s begins by schedule", err, a.tuner.running)
	}
}

// TestARunThatNeverBeganLearntNothing: a run that is refused because another is under way leaves its corrections new, so that they are still due
// when that one ends.
func TestARunThatNeverBeganLearntNothing(t *testing.T) {
	a := writer(t)
	a.corrected(t, tune.LeastCorrections)
	a.tuner.running = "20260101-010000"
	if _, err := a.StartTuning(""); !errors.Is(err, errTuning) {
		t.Fatalf("a second run: %v", err)
	}
	if learnt, err := lastLearnt(a.tuneRoot()); err != nil || len(learnt) > 0 {
		t.Errorf("%v: %d corrections count as learnt", err, len(learnt))
	}
}

// learnt is a run with its verdict, as it lies on the disk: what it learnt is what the starter's adapter is.
func (a *Appliance) learnt(t *testing.T, id string) *tune.Record {
	t.Helper()
	bundle, err := models.Starter()
	if err != nil {
		t.Fatal(err)
	}
	adapter, err := fs.Sub(bundle.Files, models.AdapterFolder)
	if err != nil {
		t.Fatal(err)
	}
	folder := filepath.Join(a.tuneRoot(), id)
	record := &tune.Record{ID: id, State: tune.Judging, Ended: time.Now(), Before: a.adapterInUse(), Verdict: &tune.Verdict{Pass: true}}
	if err := errors.Join(os.CopyFS(filepath.Join(folder, tune.AdapterFolder), adapter), os.WriteFile(filepath.Join(folder, correctionsFile), []byte("[]"), 0o600), record.Write(folder)); err != nil {
		t.Fatal(err)
	}
	return record
}

// ended waits for the run under way and is what is on the disk of the newest then.
func (a *Appliance) ended(t *testing.T) *tune.Record {
	t.Helper()
	a.tuner.wg.Wait()
	records, err := readRuns(a.tuneRoot())
	if err != nil || len(records) == 0 {
		t.Fatal(len(records), err)
	}
	return records[len(records)-1]
}

// TestAJudgedRunIsSettledAtTheNextStart: a run whose appliance ends between the verdict and the promotion has not ended; the next start promotes what it learnt,
// whatever of that was done.
func TestAJudgedRunIsSettledAtTheNextStart(t *testing.T) {
	a := writer(t)
	a.learnt(t, "1")
	lock := flock.New(filepath.Join(a.cfg().State, ModelFolder, "lock"))
	if err := os.Mkdir(filepath.Dir(lock.Path()), 0o700); err != nil {
		t.Fatal(err)
	}
	if held, err := lock.TryLock(); err != nil || !held {
		t.Fatal(held, err)
	}
	ctx, stop := context.WithCancel(t.Context())
	a.tuner.ctx = ctx
	if err := a.resumeTuning(); err != nil {
		t.Fatal(err)
	}
	stop()
	if record := a.ended(t); record.State != tune.Judging {
		t.Fatalf("with its promotion cut short a run is %s: %s", record.State, record.Error)
	}
	if err := lock.Unlock(); err != nil {
		t.Fatal(err)
	}
	a.tuner.ctx = t.Context()
	for range 2 { // the second as if its end had not been written
		if err := a.resumeTuning(); err != nil {
			t.Fatal(err)
		}
		record := a.ended(t)
		if record.State != tune.Promoted || record.Adapter != "site-1" || a.Models()[2].Name != "site-1" {
			t.Fatalf("%s %q, in use: %v", record.State, record.Error, a.Models()[2])
		}
		record.State = tune.Judging
		if err := record.Write(filepath.Join(a.tuneRoot(), record.ID)); err != nil {
			t.Fatal(err)
		}
	}
	if name, err := a.RollBackAdapter(); err != nil || name != models.StarterName {
		t.Errorf("rolled back to %q: %v", name, err)
	}
}

// TestARunDoesNotUndoARollback: an adapter that was not compared with the one in use is kept, not promoted: somebody went back while it was made.
func TestARunDoesNotUndoARollback(t *testing.T) {
	a := writer(t)
	first := a.learnt(t, "1")
	config := filepath.Join(a.tuneRoot(), "1", tune.AdapterFolder, llama.AdapterConfigFile) // of other bytes than the starter's
	text, err := os.ReadFile(config)
	if err := errors.Join(err, os.WriteFile(config, append(text, '\n'), 0o600)); err != nil {
		t.Fatal(err)
	}
	a.settleTuning(t.Context(), first, nil)
	second := a.learnt(t, "2")
	if first.State != tune.Promoted {
		t.Fatalf("%+v", first)
	}
	if name, err := a.RollBackAdapter(); err != nil || name != models.StarterName {
		t.Fatal(name, err)
	}
	before := a.Models()
	a.settleTuning(t.Context(), second, nil)
	if second.State != tune.Kept || second.Error != errOvertaken.Error() || second.Adapter != "site-2" || !slices.Equal(a.Models(), before) {
		t.Errorf("%+v; in use: %v", second, a.Models())
	}
}

// TestARunWaitsForTheRegistry: a run that ends while a model is imported is promoted when that is done. One that is stopped meanwhile says what it
// waited for.
func TestARunWaitsForTheRegistry(t *testing.T) {
	a := writer(t)
	registry := filepath.Join(a.cfg().State, ModelFolder)
	if err := os.Mkdir(registry, 0o700); err != nil {
		t.Fatal(err)
	}
	promoted, stopped := a.learnt(t, "1"), a.learnt(t, "2")
	synctest.Test(t, func(t *testing.T) {
		lock := flock.New(filepath.Join(registry, "lock"))
		if held, err := lock.TryLock(); err != nil || !held {
			t.Fatal(held, err)
		}
		var wait sync.WaitGroup
		ctx, stop := context.WithCancel(t.Context())
		wait.Go(func() { a.settleTuning(t.Context(), promoted, nil) })
		wait.Go(func() { a.settleTuning(ctx, stopped, nil) })
		time.Sleep(time.Hour)
		stop()
		synctest.Wait()
		if err := lock.Unlock(); err != nil {
			t.Fatal(err)
		}
		wait.Wait()
	})
	if promoted.State != tune.Promoted || promoted.Adapter != "site-1" || a.Models()[2].Name != "site-1" {
		t.Errorf("%+v; in use: %v", promoted, a.Models()[2])
	}
	if stopped.State != tune.Failed || !strings.Contains(stopped.Error, models.ErrBusy.Error()) {
		t.Errorf("stopped: %+v", stopped)
	}
}
