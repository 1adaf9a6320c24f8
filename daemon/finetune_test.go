package daemon

import (
	"errors"
	"fmt"
	"testing"

	"llamaxr/daemon/config"
	"llamaxr/finetune/tune"
	"llamaxr/inference"
	"llamaxr/inference/engine"
)

// TestARunThatNeverBeganLearntNothing: a run that is refused because another is under way leaves its corrections new, so that they are still due
// when that one ends.
func TestARunThatNeverBeganLearntNothing(t *testing.T) {
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
