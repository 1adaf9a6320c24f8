package tune

import (
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"llamaxr/finetune/starter"
	"llamaxr/inference/engine"
	"llamaxr/inference/models"
	"llamaxr/inference/prompt"
	"llamaxr/study"
)

// TestASiteHabitIsLearnt: from corrections that put the pneumothorax first and spell in British, a run makes an adapter that does the
// same of scores that it never saw, follows its scores as before, and so passes the gate.
func TestASiteHabitIsLearnt(t *testing.T) {
	eng, err := engine.Open(engine.Auto)
	if err != nil {
		t.Fatal(err)
	}
	if eng.Name == engine.Go {
		t.Skip("training takes an hour on the pure-Go engine")
	}
	bundle, err := models.Starter()
	if err != nil {
		t.Fatal(err)
	}
	sub := func(name string) fs.FS {
		folder, err := fs.Sub(bundle.Files, name)
		if err != nil {
			t.Fatal(err)
		}
		return folder
	}
	rng := rand.New(rand.NewPCG(7, 7))
	var list []*study.Correction
	for i := range 50 {
		scores := starter.RandomScores(rng)
		list = append(list, &study.Correction{ID: fmt.Sprint(i), Patient: fmt.Sprint("patient ", i), Scores: scores, Final: habit(starter.FinalReport(scores))})
	}
	preset := Site
	if steps := os.Getenv("STEPS"); steps != "" {
		fmt.Sscan(steps, &preset.MaxSteps, &preset.Epochs, &preset.Composed, &preset.PeakRate)
	}
	record, err := Run(t.Context(), eng, Options{
		ID: "habit", Folder: t.TempDir(), Preset: preset, Seed: 1, Base: sub(models.LlamaFolder), Adapter: sub(models.AdapterFolder),
		Template: prompt.Grounded, Corrections: list,
		Progress: func(r *Record) {
			if r.Step%10 == 0 {
				fmt.Printf("%d/%d loss %.4f\n", r.Step, r.Steps, r.Loss)
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("validation %v best %d", record.Validation, record.BestStep)
	for _, m := range record.Verdict.Measures {
		t.Logf("%s: %.3f -> %.3f [%.3f, %.3f]", m.Name, m.Old, m.New, m.Low, m.High)
	}
	for _, e := range record.Verdict.Examples {
		t.Logf("\nsigned %s\nnew    %s", e.Final, e.New)
	}
	if record.State != Promoted {
		t.Errorf("%s: %s", record.State, record.Verdict.Why)
	}
}

func habit(text string) string {
	body, impression, _ := strings.Cut(strings.TrimPrefix(text, "FINDINGS: "), "\nIMPRESSION:")
	var first, rest []string
	for _, s := range strings.SplitAfter(body, ".") {
		switch s = strings.TrimSpace(s); {
		case s == "":
		case strings.Contains(s, "pneumothorax"):
			first = append(first, s)
		default:
			rest = append(rest, s)
		}
	}
	return strings.ReplaceAll("FINDINGS: "+strings.Join(append(first, rest...), " ")+"\nIMPRESSION:"+impression, "edema", "oedema")
}
