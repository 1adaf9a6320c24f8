package llama

import (
	"context"
	"encoding/json"
	"io/fs"
	"math"
	"os"
	"slices"
	"testing"
	"testing/fstest"

	"llamaxr/inference/engine"
)

// tolerance of logits of magnitude 1: another order of summation in float32.
const tolerance = 1e-3

type answers struct {
	Last   []float64 `json:"last"`
	Best   []int     `json:"best"`
	Greedy []int     `json:"greedy"`
}

// tinyFiles is the oracle's folder with a tokenizer that fits it; transformers needs none for numbers.
func tinyFiles(t testing.TB) (fs.FS, fs.FS) {
	t.Helper()
	tokenizer, err := TrainTokenizer([]string{"No effusion."}, nil, 20)
	if err != nil {
		t.Fatal(err)
	}
	return fstest.MapFS{
		"config.json":       {Data: read(t, "tiny", "config.json")},
		"model.safetensors": {Data: read(t, "tiny", "model.safetensors")},
		"tokenizer.json":    {Data: tokenizer},
	}, os.DirFS("testdata/tiny/adapter")
}

func engines(t testing.TB) []*engine.Engine {
	t.Helper()
	var out []*engine.Engine
	for _, want := range []string{engine.Go, engine.XLACPU} {
		eng, err := engine.Open(want)
		if err != nil {
			if want == engine.Go {
				t.Fatal(err)
			}
			t.Logf("without %s: %v", want, err)
			continue
		}
		out = append(out, eng)
	}
	return out
}

// TestTransformers holds every engine's logits, and 30 greedy tokens through the KV cache, to what transformers, bitsandbytes and
// PEFT make of the same folder (oracles/llama.py): grouped-query attention, Llama 3's rope scaling, NF4 and an unmerged adapter.
func TestTransformers(t *testing.T) {
	var expected struct {
		Tokens        []int32
		Base, Adapted answers
	}
	if err := json.Unmarshal(read(t, "tiny", "expected.json"), &expected); err != nil {
		t.Fatal(err)
	}
	base, adapter := tinyFiles(t)
	for _, eng := range engines(t) {
		t.Run(eng.Name, func(t *testing.T) {
			model, err := Load(eng, base)
			if err != nil {
				t.Fatal(err)
			}
			check(t, "base", model, expected.Tokens, expected.Base)
			if err := model.SetAdapter(adapter); err != nil {
				t.Fatal(err)
			}
			check(t, "adapted", model, expected.Tokens, expected.Adapted)
		})
	}
}

func check(t *testing.T, name string, model *Model, tokens []int32, want answers) {
	t.Helper()
	ids := make([]int, len(tokens))
	for i, token := range tokens {
		ids[i] = int(token)
	}
	logits, err := model.Logits(ids)
	if err != nil {
		t.Fatal(err)
	}
	worst := 0.0
	for i, v := range logits {
		worst = max(worst, math.Abs(float64(v)-want.Last[i]))
	}
	if worst > tolerance {
		t.Errorf("%s: logits are %.2g from transformers', tolerance %g", name, worst, tolerance)
	}
	padded := append(slices.Clone(tokens), make([]int32, 64-len(tokens))...)
	next, caches, err := model.pass(padded, 0, len(tokens)-1, model.emptyCaches())
	if err != nil {
		t.Fatal(err)
	}
	greedy := []int{next}
	for len(greedy) < len(want.Greedy) {
		if next, caches, err = model.pass([]int32{int32(next)}, len(tokens)+len(greedy)-1, 0, caches); err != nil {
			t.Fatal(err)
		}
		greedy = append(greedy, next)
	}
	if !slices.Equal(greedy, want.Greedy) {
		t.Errorf("%s: greedy\n got %v\nwant %v", name, greedy, want.Greedy)
	}
	t.Logf("%s: largest difference of a logit %.2g", name, worst)
}

// TestEnginesWriteTheSameText: the prompt's text comes out the same on every engine, and twice on one.
func TestEnginesWriteTheSameText(t *testing.T) {
	base, adapter := tinyFiles(t)
	var texts []string
	for _, eng := range engines(t) {
		model, err := Load(eng, base)
		if err != nil {
			t.Fatal(err)
		}
		if err := model.SetAdapter(adapter); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			result, err := model.Generate(context.Background(), "No effusion. 0.5", 40)
			if err != nil {
				t.Fatal(err)
			}
			if result.NewTokens == 0 || result.PromptTokens == 0 {
				t.Errorf("%s: %+v", eng.Name, result)
			}
			texts = append(texts, result.Text)
		}
	}
	for _, text := range texts {
		if text != texts[0] {
			t.Errorf("%q, elsewhere %q", text, texts[0])
		}
	}
}

func TestPromptsThatDoNotFitAreRefused(t *testing.T) {
	base, _ := tinyFiles(t)
	eng, err := engine.Open(engine.Go)
	if err != nil {
		t.Fatal(err)
	}
	model, err := Load(eng, base)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := model.Generate(context.Background(), "No effusion.", 1000); err == nil {
		t.Error("1000 tokens are promised in a context of 128")
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := model.Generate(ctx, "No effusion.", 40); err == nil {
		t.Error("a cancelled generation ends without an error")
	}
}
