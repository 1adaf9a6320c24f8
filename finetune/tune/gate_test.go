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

// TestGateFallsAddUp: of the model's own faithfulness runs may lose a little each and not more in all; a wide interval of few held-out reports hides no large fall.
func TestGateFallsAddUp(t *testing.T) {
	past := func(digest, state string, was, is float64) *Record {
		return &Record{State: state, Base: digest, Verdict: &Verdict{Measures: []Measure{{Name: aloneName, Old: was, New: is}}}}
	}
	r := &run{opts: Options{Digest: "ours", Past: []*Record{past("ours", Promoted, 0.997, 0.98), past("ours", Promoted, 0.98, 0.965), past("ours", Kept, 0.999, 0.999), past("another", Promoted, 1, 1), {State: Failed}}}}
	if best := r.best(aloneName); best != 0.997 {
		t.Fatalf("the best is %g", best)
	}
	constant := func(n int, value float64) (out []float64) {
		for range n {
			out = append(out, value)
		}
		return out
	}
	for _, test := range []struct {
		was, is float64
		pass    bool
	}{{0.965, 0.97, true}, {0.965, 0.958, true}, {0.965, 0.95, false}, {0.95, 0.94, false}, {0.94, 0.95, true}} {
		if m := tolerated(compareMeans(aloneName, constant(60, test.was), constant(60, test.is), 1), r.best(aloneName)); m.Pass != test.pass {
			t.Errorf("from %g to %g where 0.997 was the best: pass %t", test.was, test.is, m.Pass)
		}
	}
	if m := compareMeans("", []float64{0.9, 0.9, 0.9, 0.9}, []float64{0.6, 0.6, 0.91, 0.91}, 1); m.Pass {
		t.Errorf("four reports fall from %g to %g: pass", m.Old, m.New)
	}
	if m := compareMeans("", []float64{0.9, 0.9, 0.9, 0.9}, []float64{0.8, 0.91, 0.9, 0.91}, 1); !m.Pass {
		t.Errorf("four reports fall from %g to %g: held back", m.Old, m.New)
	}
}
