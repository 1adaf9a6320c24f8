package llama

import (
	"encoding/json"
	"math"
	"os"
	"slices"
	"testing"

	"llamaxr/inference/engine"
	"llamaxr/internal/peertest"
)

// smolCase is what oracles/smollm2.py wrote of one prompt.
type smolCase struct {
	Text      string
	IDs       []int
	Spaced    []float64 // every 256th logit
	Top       []int
	TopLogits []float64 `json:"top_logits"`
	Greedy    []int
}

const (
	smolSpacing = 256
	smolShort   = 10 // prompts that are continued in the short form
)

func smolCases(t testing.TB) []smolCase {
	t.Helper()
	var cases []smolCase
	if err := json.Unmarshal(read(t, "smollm2.json"), &cases); err != nil {
		t.Fatal(err)
	}
	if len(cases) != 50 {
		t.Fatalf("%d prompts", len(cases))
	}
	if peertest.Race {
		cases = cases[:2]
	}
	for i := range cases {
		if os.Getenv("LLAMAXR_LONG") == "" && i%5 != i/5%5 { // one of five is continued, each with another ending
			cases[i].Greedy = nil
		}
	}
	return cases
}

// TestSmolLM2 holds a real model, read from GGUF, to transformers in float32 (oracles/smollm2.py): the logits of 50 prompts, and 64
// greedy tokens through the KV cache, of ten prompts here and of all with LLAMAXR_LONG=1.
func TestSmolLM2(t *testing.T) {
	source, err := OpenSource(peertest.SmolLM2(t))
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	if c := source.Config; !c.TieWordEmbeddings || c.Heads != 9 || c.KVHeads != 3 || source.Licence != "apache-2.0" {
		t.Fatalf("%+v", c)
	}
	eng, err := engine.Open(engine.Auto)
	if err != nil {
		t.Fatal(err)
	}
	model, err := build(eng, source, NativeExact, memory(nil))
	if err != nil {
		t.Fatal(err)
	}
	worst, continued := 0.0, 0
	cases := smolCases(t)
	for _, c := range cases {
		if got := model.Tokenizer.Prompt(c.Text); !slices.Equal(got, c.IDs) {
			t.Errorf("%q\n got %v\nwant %v", c.Text, got, c.IDs)
		}
		logits, err := model.Logits(c.IDs)
		if err != nil {
			t.Fatal(err)
		}
		for k, want := range c.Spaced {
			worst = max(worst, math.Abs(float64(logits[k*smolSpacing])-want))
		}
		for k, id := range c.Top {
			worst = max(worst, math.Abs(float64(logits[id])-c.TopLogits[k]))
		}
		if c.Greedy == nil {
			continue
		}
		continued++
		greedy, err := greedily(model, c.IDs, len(c.Greedy))
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(greedy, c.Greedy) {
			t.Errorf("%q continued\n got %v\nwant %v", c.Text, greedy, c.Greedy)
		}
	}
	t.Logf("%s: largest difference of a logit %.2g, %d texts continued", model.Engine(), worst, continued)
	if continued < min(smolShort, len(cases)/2) {
		t.Errorf("%d texts were continued", continued)
	}
	if worst > tolerance {
		t.Errorf("%s: logits are %.2g from transformers', tolerance %g", model.Engine(), worst, tolerance)
	}
}
