package llama

import (
	"context"
	"encoding/json"
	"io/fs"
	"math"
	"os"
	"slices"
	"strings"
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

// way is one of the ways to compute a model.
type way struct {
	name string
	eng  *engine.Engine
	kind Kind
}

// ways are the graph on every engine that is there, and the native machine in both arithmetics.
func ways(t testing.TB) []way {
	t.Helper()
	var out []way
	for _, want := range []string{engine.Go, engine.XLACPU} {
		eng, err := engine.Open(want)
		if err != nil {
			if want == engine.Go {
				t.Fatal(err)
			}
			t.Logf("without %s: %v", want, err)
			continue
		}
		out = append(out, way{eng.Name, eng, OnGraph})
	}
	return append(out, way{"native float32", out[0].eng, NativeExact}, way{"native int16", out[0].eng, NativeInt16})
}

// exactWays are those that compute in float32.
func exactWays(t testing.TB) []way {
	return slices.DeleteFunc(ways(t), func(w way) bool { return w.kind == NativeInt16 })
}

// TestTransformers holds every engine's logits, and 30 greedy tokens through the KV cache, to what transformers, bitsandbytes and
// PEFT make of the same folder (oracles/llama.py): grouped-query attention, Llama 3's rope scaling, NF4, an unmerged adapter and a prefix.
func TestTransformers(t *testing.T) {
	var expected struct {
		Tokens                  []int32
		Base, Adapted, Prefixed answers
	}
	if err := json.Unmarshal(read(t, "tiny", "expected.json"), &expected); err != nil {
		t.Fatal(err)
	}
	base, adapter := tinyFiles(t)
	for _, w := range exactWays(t) {
		t.Run(w.name, func(t *testing.T) {
			model, err := LoadAs(w.eng, base, w.kind)
			if err != nil {
				t.Fatal(err)
			}
			check(t, "base", model, expected.Tokens, expected.Base)
			if err := model.SetAdapter(adapter); err != nil {
				t.Fatal(err)
			}
			check(t, "adapted", model, expected.Tokens, expected.Adapted)
			if err := model.SetAdapter(os.DirFS("testdata/tiny/prefix")); err != nil {
				t.Fatal(err)
			}
			check(t, "prefixed", model, expected.Tokens, expected.Prefixed)
			if err := model.SetAdapter(nil); err != nil {
				t.Fatal(err)
			}
			check(t, "base again", model, expected.Tokens, expected.Base)
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
	greedy, err := greedily(model, ids, len(want.Greedy))
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(greedy, want.Greedy) {
		t.Errorf("%s: greedy\n got %v\nwant %v", name, greedy, want.Greedy)
	}
	t.Logf("%s: largest difference of a logit %.2g", name, worst)
}

// greedily returns the n most likely tokens after a prompt, through the KV cache.
func greedily(model *Model, ids []int, n int) ([]int, error) {
	err := model.forward(part{tokens: ids, want: 1})
	var out []int
	for err == nil && len(out) < n {
		out = append(out, model.machine.best()[0])
		err = model.forward(part{0, out[len(out)-1:], len(ids) + len(out) - 1, 1})
	}
	return out, err
}

// TestEnginesWriteTheSameText: the prompt's text comes out the same on every engine, and twice on one.
func TestEnginesWriteTheSameText(t *testing.T) {
	base, adapter := tinyFiles(t)
	var texts []string
	for _, w := range exactWays(t) {
		model, err := LoadAs(w.eng, base, w.kind)
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
				t.Errorf("%s: %+v", w.name, result)
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

// TestTextEndsWhereItIsSaid: a text is cut at its end, and no more of it is written, on every engine.
func TestTextEndsWhereItIsSaid(t *testing.T) {
	base, adapter := tinyFiles(t)
	for _, w := range ways(t) {
		model, err := LoadAs(w.eng, base, w.kind)
		if err != nil {
			t.Fatal(err)
		}
		if err := model.SetAdapter(adapter); err != nil {
			t.Fatal(err)
		}
		whole, err := model.Generate(context.Background(), "No effusion. 0.5", 40)
		if err != nil {
			t.Fatal(err)
		}
		half := len(whole.Text) / 2
		for _, again := range []bool{false, true} { // guessed from the text before
			model.SetEnd(func(text string) int {
				if len(text) <= half {
					return -1
				}
				return half
			})
			cut, err := model.Generate(context.Background(), "No effusion. 0.5", 40)
			if err != nil {
				t.Fatal(err)
			}
			if want := strings.TrimRight(whole.Text[:half], " \n"); cut.Text != want || !cut.Finished || cut.NewTokens >= whole.NewTokens {
				t.Errorf("%s, again %t: %d of %d tokens, %q, want %q", w.name, again, cut.NewTokens, whole.NewTokens, cut.Text, want)
			}
		}
		model.SetEnd(nil)
		if after, err := model.Generate(context.Background(), "No effusion. 0.5", 40); err != nil || after.Text != whole.Text {
			t.Errorf("%s: the whole text after a cut one is %q (%v), want %q", w.name, after.Text, err, whole.Text)
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
