package qlora

import (
	"context"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"llamaxr/inference/engine"
	"llamaxr/inference/llama"
)

// tiny is the model of oracles/llama.py, which the oracle of this package trains.
const tiny = "../../inference/llama/testdata/tiny"

func file(t *testing.T, path ...string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// adapterOf reads an adapter of the tiny model whose settings are those of its folder of that name.
func adapterOf(t *testing.T, c *llama.Config, folder string, path ...string) *llama.Adapter {
	t.Helper()
	adapter, err := llama.ReadAdapter(c, file(t, tiny, folder, "adapter_config.json"), file(t, path...))
	if err != nil {
		t.Fatal(err)
	}
	return adapter
}

// parts are an adapter's tensors by name.
func parts(c *llama.Config, a *llama.Adapter) map[string][]float32 {
	if a.Prefix.Tokens > 0 {
		return map[string][]float32{prefixName: a.Prefix.Values}
	}
	out := map[string][]float32{}
	for _, l := range c.Linears() {
		out[l.Name+" A"], out[l.Name+" B"] = a.A[l.Name], a.B[l.Name]
	}
	return out
}

// TestStepsAreThoseOfPEFT: from the same adapter, the same batches give the losses, within 1e-3, and the adapter, within 1e-3 of its size, that torch
// and PEFT give after 20 steps (oracles/qlora.py), of LoRA and of a prefix: forward, gradient, its clipping, AdamW, decay and the rate's schedule.
func TestStepsAreThoseOfPEFT(t *testing.T) {
	t.Run("LoRA", func(t *testing.T) { stepsAreThoseOfPEFT(t, "adapter", "steps.json") })
	t.Run("prefix", func(t *testing.T) { stepsAreThoseOfPEFT(t, "prefix", "prefix.json") })
}

func stepsAreThoseOfPEFT(t *testing.T, kind, record string) {
	var want struct {
		Steps, Size, Length int
		Peak, Decay         float64
		Losses              []float64
		Batches             []struct {
			Tokens  []int32
			Weights []float32
		}
	}
	if err := json.Unmarshal(file(t, "testdata", record), &want); err != nil {
		t.Fatal(err)
	}
	config, err := llama.ParseConfig(file(t, tiny, "config.json"))
	if err != nil {
		t.Fatal(err)
	}
	base, err := llama.ReadWeights(config, file(t, tiny, "model.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	start := adapterOf(t, config, kind, tiny, kind, "adapter_model.safetensors")
	end := adapterOf(t, config, kind, "testdata", kind+".safetensors")
	for name, test := range map[string]struct {
		engine        string
		tokens        int // of a pass
		checkpointing bool
		mixed         bool
		within        float64 // of the losses, and ten times that of the adapter where products are rounded
	}{
		"go": {engine.Go, 0, false, false, 1e-3}, "xla": {engine.XLACPU, 0, false, false, 1e-3}, "xla, a row at a time": {engine.XLACPU, want.Length, false, false, 1e-3},
		"go, checkpointing": {engine.Go, 0, true, false, 1e-3}, "xla, checkpointing": {engine.XLACPU, 0, true, false, 1e-3},
		"xla, mixed": {engine.XLACPU, 0, true, true, 2e-2},
	} {
		t.Run(name, func(t *testing.T) {
			eng, err := engine.Open(test.engine)
			if err != nil {
				t.Skip(err)
			}
			furthestLoss := 0.0
			result, err := Train(context.Background(), eng, Options{
				Config: config, Base: base, Rank: start.Rank, Alpha: start.Alpha, Prefix: start.Prefix.Tokens, Adapter: start, Steps: want.Steps, PeakRate: want.Peak,
				Decay: want.Decay, passTokens: test.tokens, Checkpointing: test.checkpointing, Mixed: test.mixed,
				Next: func(step int) Batch {
					b := want.Batches[step]
					return Batch{Size: want.Size, Length: want.Length, Tokens: b.Tokens, Weights: b.Weights}
				},
				Progress: func(step int, loss float64) {
					furthestLoss = max(furthestLoss, math.Abs(loss-want.Losses[step]))
					if math.Abs(loss-want.Losses[step]) > test.within {
						t.Errorf("step %d: loss %.6f, want %.6f", step, loss, want.Losses[step])
					}
				},
			})
			if err != nil {
				t.Fatal(err)
			}
			furthest := 0.0
			got, began := parts(config, result.Adapter), parts(config, start)
			for name, want := range parts(config, end) {
				off, size := distance(got[name], want), distance(want, make([]float32, len(want)))
				if furthest = max(furthest, off/size); off > 1e-3*size && !test.mixed {
					t.Errorf("%s: %.2g from PEFT's, which is %.2g and moved %.2g", name, off, size, distance(began[name], want))
				}
			}
			t.Logf("no loss is further than %.1e from PEFT's, no matrix of the adapter than %.1e, relative to its size", furthestLoss, furthest)
		})
	}
}

// TestPasses: every row goes through the network once, in order, in parts of one shape and of no more tokens than asked for unless one row has.
func TestPasses(t *testing.T) {
	for _, c := range []struct{ size, length, tokens, rows int }{{4, 3, 100, 4}, {4, 3, 6, 2}, {4, 3, 11, 2}, {3, 3, 6, 1}, {2, 9, 4, 1}} {
		b := Batch{Size: c.size, Length: c.length}
		for i := range c.size * (c.length + 1) {
			b.Tokens = append(b.Tokens, int32(i))
		}
		for i := range c.size * c.length {
			b.Weights = append(b.Weights, float32(i))
		}
		var all Batch
		for _, p := range b.passes(c.tokens) {
			if p.Size != c.rows || p.Length != c.length {
				t.Errorf("%+v: a pass of %d x %d", c, p.Size, p.Length)
			}
			all.Tokens, all.Weights = append(all.Tokens, p.Tokens...), append(all.Weights, p.Weights...)
		}
		if !slices.Equal(all.Tokens, b.Tokens) || !slices.Equal(all.Weights, b.Weights) {
			t.Errorf("%+v: %v", c, all)
		}
	}
}

// TestAskedPlaces: every place whose token is asked for is there once with its weight, what fills the list weighs nothing, and few lengths occur.
func TestAskedPlaces(t *testing.T) {
	for _, weights := range [][]float32{{0, 0, 4, 0, 1, 1}, {0, 0, 0, 0}, {1, 1, 1}} {
		b := Batch{Size: 1, Length: len(weights), Weights: weights}
		places, asked := b.asked()
		left := slices.Clone(weights)
		for i, at := range places {
			if asked[i] != 0 && asked[i] != left[at] {
				t.Errorf("%v: place %d weighs %g", weights, at, asked[i])
			}
			if asked[i] != 0 {
				left[at] = 0
			}
		}
		if slices.ContainsFunc(left, func(w float32) bool { return w != 0 }) || len(places) != len(asked) || len(places)%((len(weights)+askedParts-1)/askedParts) != 0 {
			t.Errorf("%v: asked %v with %v", weights, places, asked)
		}
	}
}

// distance is the root of the summed squares of differences.
func distance(a, b []float32) float64 {
	sum := 0.0
	for i := range a {
		sum += float64(a[i]-b[i]) * float64(a[i]-b[i])
	}
	return math.Sqrt(sum)
}

// TestFullTrainingLearnsAndRepeats: every parameter trains, the loss of a fixed batch falls, and a second run gives the same bytes.
func TestFullTrainingLearnsAndRepeats(t *testing.T) {
	config := &llama.Config{
		HiddenSize: 16, IntermediateSize: 24, Layers: 1, Heads: 2, KVHeads: 1, HeadDim: 8, VocabSize: 24, MaxPositions: 16, NormEpsilon: 1e-5,
		RopeTheta: 100, TieWordEmbeddings: true,
	}
	eng, err := engine.Open(engine.Auto)
	if err != nil {
		t.Fatal(err)
	}
	batch := Batch{Size: 1, Length: 6, Tokens: []int32{1, 5, 9, 2, 7, 3, 11}, Weights: []float32{0, 0, 1, 1, 1, 1}}
	train := func() (llama.Weights, []float64) {
		var losses []float64
		result, err := Train(context.Background(), eng, Options{
			Config: config, Base: RandomWeights(config, 3), Steps: 40, PeakRate: 1e-2, Decay: 0.01, Seed: 3,
			Next: func(int) Batch { return batch }, Progress: func(_ int, loss float64) { losses = append(losses, loss) },
		})
		if err != nil {
			t.Fatal(err)
		}
		return result.Weights, losses
	}
	start := RandomWeights(config, 3)
	first, losses := train()
	second, _ := train()
	if losses[39] > losses[0]/4 {
		t.Errorf("loss %.3f after %.3f", losses[39], losses[0])
	}
	for _, p := range Parameters(config) {
		if slices.Equal(first[p.name], start[p.name]) {
			t.Errorf("%s did not train", p.name)
		}
		if !slices.Equal(first[p.name], second[p.name]) {
			t.Errorf("%s is another in the second run", p.name)
		}
	}
}

// TestALossThatIsNoNumberEndsTheRun: in training and in validation, before anybody is told of it.
func TestALossThatIsNoNumberEndsTheRun(t *testing.T) {
	config, err := llama.ParseConfig(file(t, tiny, "config.json"))
	if err != nil {
		t.Fatal(err)
	}
	eng, err := engine.Open(engine.Go)
	if err != nil {
		t.Fatal(err)
	}
	huge := float32(math.MaxFloat32)
	good, nothing, infinite := Batch{Size: 1, Length: 2, Tokens: []int32{1, 5, 9}, Weights: []float32{1, 1}}, Batch{Size: 1, Length: 2, Tokens: []int32{1, 5, 9}, Weights: []float32{0, 0}},
		Batch{Size: 1, Length: 2, Tokens: []int32{1, 5, 9}, Weights: []float32{huge, 1}}
	for what, batches := range map[string][2]Batch{"training": {infinite, good}, "validation": {good, nothing}, "validation of much": {good, infinite}} {
		_, err := Train(context.Background(), eng, Options{
			Config: config, Base: RandomWeights(config, 3), Rank: 2, Alpha: 2, Steps: 1, ValidateEvery: 1, Next: func(int) Batch { return batches[0] }, Validate: batches[1:],
			Progress: func(_ int, loss float64) {
				if math.IsInf(loss, 0) {
					t.Errorf("%s: told of %g", what, loss)
				}
			},
			Validated: func(_ int, loss float64, _ bool) { t.Errorf("%s: told of %g", what, loss) },
		})
		if err == nil || !strings.Contains(err.Error(), "loss") {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestForeignAdaptersAreRefused(t *testing.T) {
	config, err := llama.ParseConfig(file(t, tiny, "config.json"))
	if err != nil {
		t.Fatal(err)
	}
	eng, err := engine.Open(engine.Go)
	if err != nil {
		t.Fatal(err)
	}
	lora := adapterOf(t, config, "adapter", tiny, "adapter", "adapter_model.safetensors")
	prefix := adapterOf(t, config, "prefix", tiny, "prefix", "adapter_model.safetensors")
	for what, opts := range map[string]Options{
		"rank 4 goes on as rank 8":   {Rank: 8, Alpha: 8, Adapter: lora},
		"LoRA goes on as a prefix":   {Prefix: 6, Adapter: lora},
		"a prefix goes on as LoRA":   {Rank: 4, Alpha: 10, Adapter: prefix},
		"a prefix of 6 goes on as 8": {Prefix: 8, Adapter: prefix},
		"LoRA and a prefix in one":   {Prefix: 6, Rank: 4, Alpha: 4},
		"a prefix of another model":  {Prefix: 6, Adapter: &llama.Adapter{Prefix: llama.Prefix{Tokens: 6, Values: []float32{1}}}},
	} {
		opts.Config, opts.Base, opts.Steps = config, RandomWeights(config, 1), 1
		if _, err := Train(context.Background(), eng, opts); err == nil {
			t.Errorf("%s: accepted", what)
		}
	}
}
