package llama

import (
	"bytes"
	"context"
	"encoding/json"
	"io/fs"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"testing/fstest"

	"llamaxr/inference/engine"
	"llamaxr/internal/peertest"
)

// smolNF4 is SmolLM2-135M packed to NF4, as `models import` would.
func smolNF4(t testing.TB) fs.FS {
	t.Helper()
	source, err := OpenSource(peertest.SmolLM2(t))
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	p, err := source.Pack(NF4)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	for step := range p.Steps() {
		if err := p.Write(step, &out); err != nil {
			t.Fatal(err)
		}
	}
	config, err := json.Marshal(source.Config)
	if err != nil {
		t.Fatal(err)
	}
	return fstest.MapFS{ConfigFile: {Data: config}, TokenizerFile: {Data: source.Tokenizer}, WeightsFile: {Data: out.Bytes()}}
}

// What 16-bit activations may change (of 50 prompts of a real model, every token asked for).
const (
	keptTokens     = 0.99  // share of greedy tokens that stay, at least
	perplexityRise = 0.005 // relative
	int16Logit     = 1.0   // largest change of a logit; logits of this model spread over about 30
)

// TestInt16KeepsTheText holds the 16-bit arithmetic to the exact one on a real 4-bit model: greedy tokens, perplexity, logits.
func TestInt16KeepsTheText(t *testing.T) {
	eng, err := engine.Open(engine.Go)
	if err != nil {
		t.Fatal(err)
	}
	files := smolNF4(t)
	var models [2]*Model
	for i, kind := range []Kind{NativeExact, NativeInt16} {
		if models[i], err = LoadAs(eng, files, kind); err != nil {
			t.Fatal(err)
		}
	}
	same, all, contenders, worst := 0, 0, 0, 0.0
	var surprise [2]float64
	for _, c := range smolCases(t) {
		ids := append(slices.Clone(c.IDs), c.Greedy...)
		var scores [2][][]float32
		for i, m := range models {
			scores[i] = scoresAfter(t, m, ids, 0, len(ids))
		}
		contenders += likeliest(t, models[1], scores[1])
		for at := range ids {
			all++
			if argMax(scores[0][at]) == argMax(scores[1][at]) {
				same++
			}
			for k, v := range scores[0][at] {
				worst = max(worst, math.Abs(float64(v-scores[1][at][k])))
			}
			if at+1 < len(ids) {
				for i := range models {
					surprise[i] -= logProbability(scores[i][at], ids[at+1])
				}
			}
		}
	}
	rise := math.Exp((surprise[1]-surprise[0])/float64(all)) - 1
	t.Logf("%s: %d of %d greedy tokens stay (%.2f %%), perplexity %+.3f %%, largest change of a logit %.2f",
		models[1].Engine(), same, all, 100*float64(same)/float64(all), 100*rise, worst)
	t.Logf("%.1f rows of the head a token could be the largest", float64(contenders)/float64(all))
	if float64(same) < keptTokens*float64(all) || math.Abs(rise) > perplexityRise || worst > int16Logit {
		t.Errorf("want %.0f %% of the tokens, a perplexity within %.1f %%, logits within %.1f", 100*keptTokens, 100*perplexityRise, int16Logit)
	}
}

// TestPerplexityOfReports holds the 16-bit arithmetic to the exact one on what people wrote: reports of the shared data, ten here and 200 with
// LLAMAXR_LONG=1.
func TestPerplexityOfReports(t *testing.T) {
	reports := sharedReports(t)
	count := 10
	if os.Getenv("LLAMAXR_LONG") != "" {
		count = 200
	}
	if peertest.Race {
		count = 1
	}
	eng, err := engine.Open(engine.Go)
	if err != nil {
		t.Fatal(err)
	}
	files := smolNF4(t)
	var surprise [2]float64
	all := 0
	for i, kind := range []Kind{NativeExact, NativeInt16} {
		model, err := LoadAs(eng, files, kind)
		if err != nil {
			t.Fatal(err)
		}
		all = 0
		for n := range count {
			ids := model.Tokenizer.Encode(reports[n*len(reports)/count])
			ids = ids[:min(len(ids), 100)]
			for at, scores := range scoresAfter(t, model, ids, 0, len(ids))[:len(ids)-1] {
				surprise[i] -= logProbability(scores, ids[at+1])
				all++
			}
		}
	}
	rise := math.Exp((surprise[1]-surprise[0])/float64(all)) - 1
	t.Logf("%d tokens of %d reports: perplexity %.3f, %+.4f %%", all, count, math.Exp(surprise[0]/float64(all)), 100*rise)
	if math.Abs(rise) > perplexityRise {
		t.Errorf("perplexity changes by %.2f %%, want %.1f %%", 100*rise, 100*perplexityRise)
	}
}

// scoresAfter runs tokens and returns the scores after the last want of them.
func scoresAfter(t testing.TB, m *Model, tokens []int, from, want int) [][]float32 {
	t.Helper()
	if err := m.forward(part{0, tokens, from, want}); err != nil {
		t.Fatal(err)
	}
	var out [][]float32
	for _, scores := range m.machine.scores() {
		out = append(out, slices.Clone(scores)) // the next pass writes where they are
	}
	return out
}

// likeliest holds the tokens that a machine finds likeliest after its last pass to the first of the largest scores, and returns how many rows of
// the head it computed for them.
func likeliest(t *testing.T, m *Model, scores [][]float32) (contenders int) {
	t.Helper()
	for i, id := range m.machine.best() {
		if want := argMax(scores[i]); id != want {
			t.Errorf("%s: token %d of a pass: %d, score %g, is taken for the likeliest, not %d, score %g", m.Engine(), i, id, scores[i][id], want, scores[i][want])
		}
		if n := m.machine.(*native); n.likely != nil {
			v := n.config.VocabSize
			contenders += len(n.likely.coarse.Contenders(n.buffers.scores[i*v:(i+1)*v], n.buffers.last.Row(i)))
		}
	}
	return contenders
}

func logProbability(scores []float32, id int) float64 {
	top := slices.Max(scores)
	sum := 0.0
	for _, s := range scores {
		sum += math.Exp(float64(s - top))
	}
	return float64(scores[id]-top) - math.Log(sum)
}

// TestPassesChangeNothing: prompts whole or in pieces, after another text or not, one token a pass or several, give the same bits.
func TestPassesChangeNothing(t *testing.T) {
	base, adapter := tinyFiles(t)
	rng := rand.New(rand.NewPCG(8, 8))
	for _, w := range ways(t) {
		if w.kind == OnGraph {
			continue
		}
		model, err := LoadAs(w.eng, base, w.kind)
		if err != nil {
			t.Fatal(err)
		}
		if err := model.SetAdapter(adapter); err != nil {
			t.Fatal(err)
		}
		ids := make([]int, 90)
		for i := range ids {
			ids[i] = rng.IntN(model.Config.VocabSize)
		}
		whole := scoresAfter(t, model, ids, 0, len(ids))
		likeliest(t, model, whole)
		for range 5 {
			for at := 0; at < len(ids); {
				n := min(1+rng.IntN(12), len(ids)-at)
				part := scoresAfter(t, model, ids[at:at+n], at, n)
				likeliest(t, model, part)
				for i := range n {
					if !slices.Equal(part[i], whole[at+i]) {
						t.Fatalf("%s: token %d of a pass of %d has other scores than in one of %d", w.name, i, n, len(ids))
					}
				}
				at += n
			}
		}
		var texts []string
		for _, prompt := range []string{"No effusion. 0.5", "No effusion. 0.7", "No effusion. 0.5"} {
			result, err := model.Generate(context.Background(), prompt, 40)
			if err != nil {
				t.Fatal(err)
			}
			texts = append(texts, result.Text)
			if len(texts) > 1 && result.KeptTokens == 0 {
				t.Errorf("%s: nothing is kept of a prompt that begins alike", w.name)
			}
		}
		if texts[0] != texts[2] {
			t.Errorf("%s: %q, after another text %q", w.name, texts[0], texts[2])
		}
	}
}

// TestSpeculationChangesNothing: what a table of earlier texts guesses, right or wrong, leaves every token as plain decoding writes it, and
// saves passes where texts repeat.
func TestSpeculationChangesNothing(t *testing.T) {
	eng, err := engine.Open(engine.Go)
	if err != nil {
		t.Fatal(err)
	}
	model, err := LoadAs(eng, smolNF4(t), NativeInt16)
	if err != nil {
		t.Fatal(err)
	}
	const limit = 40
	prompts := []string{"The chest radiograph shows", "The chest radiograph shows", "A chest radiograph shows", "The lungs are clear. The heart"}
	passes, tokens := 0, 0
	for _, prompt := range prompts {
		ids := model.Tokenizer.Prompt(prompt)
		plain, err := greedily(model, ids, limit)
		if err != nil {
			t.Fatal(err)
		}
		if at := slices.IndexFunc(plain, func(id int) bool { return model.stops[id] }); at >= 0 {
			plain = plain[:at]
		}
		result, err := model.Generate(context.Background(), prompt, limit)
		if err != nil {
			t.Fatal(err)
		}
		if want := model.Tokenizer.Decode(plain); result.Text != want || result.NewTokens != len(plain) {
			t.Errorf("%q: %d tokens %q, plainly %d tokens %q", prompt, result.NewTokens, result.Text, len(plain), want)
		}
		passes, tokens = passes+result.Passes, tokens+result.NewTokens
	}
	t.Logf("%d tokens in %d passes", tokens, passes)
	if passes >= tokens*9/10 {
		t.Errorf("%d tokens took %d passes though a text was written twice", tokens, passes)
	}
}
