package daemon

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"llamaxr/daemon/config"
	"llamaxr/finetune/tune"
	"llamaxr/inference"
	"llamaxr/inference/engine"
	"llamaxr/inference/models"

	"github.com/gofrs/flock"
)

// writer is a learner with the starter's models.
func writer(t *testing.T) *Appliance {
	t.Helper()
	a := learner(t)
	cfg := config.Default()
	cfg.State = t.TempDir()
	a.settings.Store(&cfg)
	eng, err := engine.Open(engine.Go)
	if err != nil {
		t.Fatal(err)
	}
	if a.reader, err = inference.OpenStarter(eng); err != nil {
		t.Fatal(err)
	}
	return a
}

// TestARunThatNeverBeganLearntNothing: a run that is refused because another is under way leaves its corrections new, so that they are still due
// when that one ends.
func TestARunThatNeverBeganLearntNothing(t *testing.T) {
	a := writer(t)
	for i := range tune.LeastCorrections {
		uid := fmt.Sprintf("1.2.%d", i)
		a.drafted(t, uid)
		if _, err := a.AddCorrection(t.Context(), CorrectionInput{StudyInstanceUID: uid, Report: "FINDINGS: Clear.\nIMPRESSION: Normal."}); err != nil {
			t.Fatal(err)
		}
	}
	a.tuner.running = "20260101-010000"
	if _, err := a.StartTuning(""); !errors.Is(err, errTuning) {
		t.Fatalf("a second run: %v", err)
	}
	if learnt, err := lastLearnt(a.tuneRoot()); err != nil || len(learnt) > 0 {
		t.Errorf("%v: %d corrections count as learnt", err, len(learnt))
	}
}

// TestARunWaitsForTheRegistry: a run that ends while a model is imported is promoted when that is done. One that is stopped meanwhile says what it
// waited for.
func TestARunWaitsForTheRegistry(t *testing.T) {
	a := writer(t)
	bundle, err := models.Starter()
	if err != nil {
		t.Fatal(err)
	}
	learnt, err := fs.Sub(bundle.Files, models.AdapterFolder)
	if err != nil {
		t.Fatal(err)
	}
	ended := func(id string) *tune.Record {
		if err := os.CopyFS(filepath.Join(a.tuneRoot(), id, tune.AdapterFolder), learnt); err != nil {
			t.Fatal(err)
		}
		return &tune.Record{ID: id, State: tune.Promoted, Verdict: &tune.Verdict{Pass: true}}
	}
	registry := filepath.Join(a.cfg().State, ModelFolder)
	if err := os.Mkdir(registry, 0o700); err != nil {
		t.Fatal(err)
	}
	promoted, stopped := ended("1"), ended("2")
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
