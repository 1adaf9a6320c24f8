package tune

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"llamaxr/finetune/metrics"
	"llamaxr/finetune/starter"
	"llamaxr/inference/llama"
	"llamaxr/reporting/guard"
	"llamaxr/study"
)

// Settings of the gate.
const (
	DefaultGateVectors = 60
	mostHeldOut        = 60  // held-out corrections that are written about; more cost hours on a CPU
	leastChoosing      = 20  // held-out corrections by which weights are chosen without those that the gate judges by
	longestReport      = 220 // tokens
)

// leaning is how much the share of findings that the model itself says as scored may fall: the guard rewrites the rest, so that what is
// delivered says them all the same. Of the best that any adapter in use had it may lose mostLeaning: each run may fall a little, all of them not more.
const (
	leaning     = 0.02
	mostLeaning = 0.04
	aloneName   = "findings said as scored, before the guard"
)

// The interval of a few held-out reports is wide: of fewer than manyHeldOut the mean itself may not fall by more than fallOfFew.
const (
	manyHeldOut = 20
	fallOfFew   = 0.05
)

// Measure is one figure of the old and the new adapter. Low and High bound the mean difference, new less old, with 95 % confidence.
type Measure struct {
	Name string  `json:"name"`
	Old  float64 `json:"old"`
	New  float64 `json:"new"`
	Low  float64 `json:"difference_low"`
	High float64 `json:"difference_high"`
	Best float64 `json:"best,omitempty"` // of all adapters that were in use, where New is held against that too
	Pass bool    `json:"pass"`           // not worse beyond its confidence interval, or beyond leaning where that is what counts
}

// Verdict is what the gate says of a new adapter.
type Verdict struct {
	Pass     bool      `json:"pass"`
	Why      string    `json:"why"`
	Measures []Measure `json:"measures"`
	Examples []Example `json:"examples"` // the held-out reports that changed most
}

// Example is a held-out report as signed and as both adapters write it.
type Example struct {
	Final string `json:"final"`
	Old   string `json:"old"`
	New   string `json:"new"`
}

// judge lets both adapters write about the held-out corrections and about unseen score vectors. What is measured is what a reader gets, after
// the guard, and of the model's own text how well it follows the scores.
func (r *run) judge(ctx context.Context, heldOut []example) (*Verdict, error) {
	model, err := llama.Load(r.eng, r.opts.Base)
	if err != nil {
		return nil, err
	}
	rng := rand.New(rand.NewPCG(r.opts.Seed, 71))
	vectors, flips, flipped := make([]study.PairScores, r.opts.GateVectors), make([]study.PairScores, r.opts.GateVectors), make([]study.Finding, r.opts.GateVectors)
	for i := range vectors {
		vectors[i], flipped[i] = starter.RandomScores(rng), study.Finding(rng.IntN(study.NumFindings))
		flips[i] = starter.Flip(vectors[i], flipped[i], rng)
	}
	var texts [2][]string
	var grounded, alone, followed [2][]float64
	for k := range 2 {
		switch {
		case k == 1 && r.opts.Preset.full():
			model, err = llama.Load(r.eng, os.DirFS(filepath.Join(r.opts.Folder, ModelFolder)))
		case k == 1:
			err = model.SetAdapter(os.DirFS(filepath.Join(r.opts.Folder, AdapterFolder)))
		case r.opts.Adapter != nil:
			err = model.SetAdapter(r.opts.Adapter)
		}
		if err != nil {
			return nil, err
		}
		for _, e := range heldOut {
			text, err := r.generate(ctx, model, e.scores)
			if err != nil {
				return nil, err
			}
			if text, err = r.delivered(ctx, model, text, e.scores); err != nil {
				return nil, err
			}
			texts[k] = append(texts[k], text)
		}
		for i := range vectors {
			text, err := r.generate(ctx, model, vectors[i])
			if err != nil {
				return nil, err
			}
			said := metrics.Statements(text)
			alone[k] = append(alone[k], agreement(said, vectors[i]))
			if text, err = r.delivered(ctx, model, text, vectors[i]); err != nil {
				return nil, err
			}
			grounded[k] = append(grounded[k], agreement(metrics.Statements(text), vectors[i]))
			if text, err = r.generate(ctx, model, flips[i]); err != nil {
				return nil, err
			}
			moved := metrics.Statements(text)
			followed[k] = append(followed[k], score(moved[flipped[i]] != said[flipped[i]]))
		}
	}
	v := new(Verdict)
	compare := func(name string, of func(e example, text string) float64) {
		var values [2][]float64
		for k := range 2 {
			for i, e := range heldOut {
				values[k] = append(values[k], of(e, texts[k][i]))
			}
		}
		v.Measures = append(v.Measures, compareMeans(name, values[0], values[1], r.opts.Seed))
	}
	compare("ROUGE-L to the signed report", func(e example, text string) float64 { return metrics.RougeL(e.text, text) })
	compare("findings said as in the signed report (F1)", func(e example, text string) float64 { return findingsF1(e.text, text) })
	v.Measures = append(v.Measures,
		compareMeans("findings said as scored", grounded[0], grounded[1], r.opts.Seed),
		tolerated(compareMeans(aloneName, alone[0], alone[1], r.opts.Seed), r.best(aloneName)),
		compareMeans("a changed score changes its statement", followed[0], followed[1], r.opts.Seed))
	var failed []string
	for _, m := range v.Measures {
		if !m.Pass {
			failed = append(failed, fmt.Sprintf("%s fell from %.3f to %.3f", m.Name, max(m.Old, m.Best), m.New))
		}
	}
	if v.Pass = len(failed) == 0; v.Pass {
		v.Why = "nothing fell beyond its confidence interval"
	} else {
		v.Why = strings.Join(failed, "; ")
	}
	v.Examples = examples(heldOut, texts)
	return v, nil
}

// delivered is a text as it leaves the guard.
func (r *run) delivered(ctx context.Context, model *llama.Model, text string, scores study.PairScores) (string, error) {
	sentences, err := guard.CheckAgain(text, scores, nil, func(from, to int, worth, takes func(string) bool) error {
		return model.Others(ctx, r.opts.Template.Fill(scores), text, from, to, worth, takes)
	})
	draft := study.Draft{Sentences: sentences}
	return "FINDINGS: " + draft.Text(study.SectionFindings) + "\nIMPRESSION: " + draft.Text(study.SectionImpression), err
}

// tolerated lets a measure fall by leaning, but no more below the best there was than by mostLeaning.
func tolerated(m Measure, best float64) Measure {
	m.Best = best
	m.Pass = (m.Pass || m.New >= m.Old-leaning) && m.New >= min(m.Old, best-mostLeaning)
	return m
}

// best is the highest value that a measure of this model's adapters had in a run that was promoted, before or after it. All runs judge by the same score vectors.
func (r *run) best(name string) (best float64) {
	for _, past := range r.opts.Past {
		if past.State != Promoted || past.Verdict == nil || past.Base != r.opts.Digest || past.Template != r.opts.Template.Name {
			continue
		}
		for _, m := range past.Verdict.Measures {
			if m.Name == name {
				best = max(best, m.Old, m.New)
			}
		}
	}
	return best
}

// examples are the held-out reports whose likeness to the signed one changed most.
func examples(heldOut []example, texts [2][]string) (out []Example) {
	order := make([]int, len(heldOut))
	change := make([]float64, len(heldOut))
	for i, e := range heldOut {
		order[i], change[i] = i, metrics.RougeL(e.text, texts[1][i])-metrics.RougeL(e.text, texts[0][i])
	}
	slices.SortStableFunc(order, func(a, b int) int {
		switch x, y := abs(change[a]), abs(change[b]); {
		case x > y:
			return -1
		case x < y:
			return 1
		}
		return 0
	})
	for _, i := range order[:min(len(order), 3)] {
		out = append(out, Example{heldOut[i].text, texts[0][i], texts[1][i]})
	}
	return out
}

func abs(x float64) float64 { return max(x, -x) }

func score(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}

// agreement is the share of the 18 findings of which the text says what the scores say.
func agreement(said [study.NumFindings]bool, scores study.PairScores) float64 {
	right := 0
	for _, f := range study.Findings() {
		if said[f] == scores.Present(f) {
			right++
		}
	}
	return float64(right) / study.NumFindings
}

// findingsF1 compares what two texts say is present; two that say nothing is agree.
func findingsF1(reference, candidate string) float64 {
	var c metrics.Counts
	c.Add(metrics.Statements(reference), metrics.Statements(candidate))
	return c.Micro()
}

// compareMeans bounds the mean difference by a paired bootstrap (Efron 1979), seeded.
func compareMeans(name string, before, after []float64, seed uint64) Measure {
	m := Measure{Name: name}
	n := len(before)
	differences := make([]float64, n)
	for i := range before {
		m.Old += before[i] / float64(n)
		m.New += after[i] / float64(n)
		differences[i] = after[i] - before[i]
	}
	within := metrics.MeanInterval(differences, seed)
	m.Low, m.High = within[0], within[1]
	m.Pass = m.High >= 0 && (n >= manyHeldOut || m.New >= m.Old-fallOfFew)
	return m
}
