package tune

import (
	"context"
	"math/rand/v2"
	"strings"
	"testing"

	"llamaxr/finetune/qlora"
	"llamaxr/finetune/starter"
	"llamaxr/inference/engine"
	"llamaxr/inference/models"
	"llamaxr/inference/prompt"
)

// TestGateHoldsBackABadAdapter: an adapter that no longer follows the scores is not let through, and the reason names what fell; the adapter in
// use itself is.
func TestGateHoldsBackABadAdapter(t *testing.T) {
	eng, err := engine.Open(engine.Go)
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(4, 4))
	var heldOut []example
	for range 6 {
		scores := starter.RandomScores(rng)
		heldOut = append(heldOut, example{scores, starter.FinalReport(scores)})
	}
	for _, test := range []struct {
		name  string
		scale float32 // of what the adapter adds
		pass  bool
	}{{"the adapter in use", 1, true}, {"one that says the opposite", -1, false}} {
		t.Run(test.name, func(t *testing.T) {
			r := &run{eng: eng, opts: Options{
				Folder: t.TempDir(), Seed: 1, Base: starterFolder(t, models.LlamaFolder), Adapter: starterFolder(t, models.AdapterFolder), Template: prompt.Grounded, GateVectors: 8,
				Yield: func(context.Context) error { return nil },
			}, record: new(Record)}
			r.opts.Preset = Site
			if err := r.load(); err != nil {
				t.Fatal(err)
			}
			adapter, err := r.adapterInUse()
			if err != nil || adapter == nil {
				t.Fatalf("the starter's adapter: %v, %v", adapter, err)
			}
			for _, values := range adapter.B {
				for i := range values {
					values[i] *= test.scale
				}
			}
			if err := r.write(&qlora.Result{Adapter: adapter}); err != nil {
				t.Fatal(err)
			}
			verdict, err := r.judge(t.Context(), heldOut)
			if err != nil {
				t.Fatal(err)
			}
			if verdict.Pass != test.pass {
				t.Errorf("pass %t: %s", verdict.Pass, verdict.Why)
			}
			if !test.pass && !strings.Contains(verdict.Why, "before the guard fell from") {
				t.Errorf("the reason is %q", verdict.Why)
			}
			for _, m := range verdict.Measures {
				if m.Name == "findings said as scored" && m.New != 1 {
					t.Errorf("%g of what is delivered is said as scored", m.New)
				}
			}
		})
	}
}
