package qlora

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"llamaxr/inference/engine"
	"llamaxr/inference/llama"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
)

var small = &llama.Config{
	HiddenSize: 64, IntermediateSize: 96, Layers: 2, Heads: 4, KVHeads: 2, HeadDim: 16, VocabSize: 64, MaxPositions: 32, NormEpsilon: 1e-5,
	RopeTheta: 100, TieWordEmbeddings: true,
}

// sentences makes batches of sequences in which each token follows from the one before.
func sentences(seed uint64) func(int) Batch {
	return func(number int) Batch {
		rng := rand.New(rand.NewPCG(seed, uint64(number)))
		b := Batch{Size: 2, Length: 12}
		for range b.Size {
			token := int32(rng.IntN(small.VocabSize))
			for i := range b.Length + 1 {
				b.Tokens = append(b.Tokens, token)
				if i > 0 {
					b.Weights = append(b.Weights, 1)
				}
				token = (token*5 + 3) % int32(small.VocabSize)
			}
		}
		return b
	}
}

func openEngine(t *testing.T) *engine.Engine {
	t.Helper()
	eng, err := engine.Open(engine.Auto)
	if err != nil {
		t.Fatal(err)
	}
	return eng
}

func options() Options {
	return Options{
		Config: small, Base: RandomWeights(small, 1), Rank: 16, Alpha: 16, Seed: 2, Next: sentences(3), Steps: 12, Accumulate: 2, PeakRate: 1e-2,
		Schedule: Linear(2), Decay: 0.01, Beta2: 0.999, EightBit: true, Validate: []Batch{sentences(4)(0)}, ValidateEvery: 3,
	}
}

// TestResumedRunIsTheSame: a run killed after any checkpoint goes on from it and ends with the same adapter, bit for bit.
func TestResumedRunIsTheSame(t *testing.T) {
	t.Run("LoRA", func(t *testing.T) { resumedRunIsTheSame(t, options) })
	t.Run("LoRA, checkpointing, mixed", func(t *testing.T) {
		resumedRunIsTheSame(t, func() Options {
			opts := options()
			opts.Checkpointing, opts.Mixed = true, true
			return opts
		})
	})
	t.Run("prefix", func(t *testing.T) {
		resumedRunIsTheSame(t, func() Options {
			opts := options()
			opts.Rank, opts.Alpha, opts.Prefix = 0, 0, 40 // wide enough for moments in 8 bits
			return opts
		})
	})
}

func resumedRunIsTheSame(t *testing.T, options func() Options) {
	eng := openEngine(t)
	whole := options()
	var checkpoints [][]byte
	whole.CheckpointEvery, whole.Checkpoint = 4, func(s *State) error {
		data, err := s.Encode()
		checkpoints = append(checkpoints, data)
		return err
	}
	want, err := Train(t.Context(), eng, whole)
	if err != nil {
		t.Fatal(err)
	}
	if len(checkpoints) != 3 {
		t.Fatalf("%d checkpoints, want 3", len(checkpoints))
	}
	for _, data := range checkpoints[:2] {
		rest := options()
		if rest.Resume, err = DecodeState(data); err != nil {
			t.Fatal(err)
		}
		at := rest.Resume.Step
		got, err := Train(t.Context(), eng, rest)
		if err != nil {
			t.Fatal(err)
		}
		if got.BestStep != want.BestStep || got.BestLoss != want.BestLoss {
			t.Errorf("resumed at step %d: best %g after %d, without a break %g after %d", at, got.BestLoss, got.BestStep, want.BestLoss, want.BestStep)
		}
		for name, values := range parts(small, want.Adapter) {
			if !slices.Equal(parts(small, got.Adapter)[name], values) {
				t.Errorf("resumed at step %d: %s is another", at, name)
			}
		}
	}
}

// TestBestAdapterIsRestored: the run stops when validation has got worse as often as Patience says, and returns the best weights.
func TestBestAdapterIsRestored(t *testing.T) {
	opts := options()
	opts.EightBit, opts.Steps, opts.ValidateEvery, opts.Patience = false, 200, 5, 2
	// What trains teaches the opposite of what validates.
	other := opts.Next
	opts.Next = func(number int) Batch {
		b := other(number)
		if number > 60 {
			for i := range b.Tokens {
				b.Tokens[i] = int32(i*number) % int32(small.VocabSize)
			}
		}
		return b
	}
	var losses []float64
	opts.Validated = func(_ int, loss float64, _ bool) { losses = append(losses, loss) }
	got, err := Train(t.Context(), openEngine(t), opts)
	if err != nil {
		t.Fatal(err)
	}
	if got.Steps >= opts.Steps || got.BestLoss != slices.Min(losses) || got.BestStep != got.Steps-opts.Patience*opts.ValidateEvery {
		t.Errorf("%d steps, best %.4f after %d; losses %.4f", got.Steps, got.BestLoss, got.BestStep, losses)
	}
	// The adapter that is returned has the loss that was the best.
	again := opts
	again.Adapter, again.Steps, again.PeakRate, again.ValidateEvery = got.Adapter, 1, 0, 1
	losses = nil
	if _, err := Train(t.Context(), openEngine(t), again); err != nil {
		t.Fatal(err)
	}
	if math.Abs(losses[0]-got.BestLoss) > 1e-5 {
		t.Errorf("the returned adapter has validation loss %.6f, the best was %.6f", losses[0], got.BestLoss)
	}
}

// TestAccumulationIsALargerBatch: two batches accumulated make the step of one that holds both.
func TestAccumulationIsALargerBatch(t *testing.T) {
	eng := openEngine(t)
	opts := options()
	opts.EightBit, opts.Validate, opts.Steps = false, nil, 3
	accumulated, err := Train(t.Context(), eng, opts)
	if err != nil {
		t.Fatal(err)
	}
	next := opts.Next
	opts.Accumulate, opts.Next = 1, func(number int) Batch {
		a, b := next(2*number), next(2*number+1)
		return Batch{Size: a.Size + b.Size, Length: a.Length, Tokens: append(a.Tokens, b.Tokens...), Weights: append(a.Weights, b.Weights...)}
	}
	together, err := Train(t.Context(), eng, opts)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range small.Linears() {
		a, b := accumulated.Adapter.B[l.Name], together.Adapter.B[l.Name]
		if off, size := distance(a, b), distance(b, make([]float32, len(b))); off > 1e-3*size {
			t.Errorf("%s: %.3g apart of %.3g", l.Name, off, size)
		}
	}
}

// TestEightBitMoments: twenty steps with moments in 8 bits end where bitsandbytes' AdamW8bit ends (oracles/adam8.py). What one level
// of the maps is worth in a step, over all steps, is the tolerance.
func TestEightBitMoments(t *testing.T) {
	var want struct {
		Rows, Columns, Steps int
		Peak, Decay          float64
		Final                []float64
	}
	if err := json.Unmarshal(file(t, "testdata", "adam8.json"), &want); err != nil {
		t.Fatal(err)
	}
	value := func(step int, scale float32) []float32 {
		out := make([]float32, want.Rows*want.Columns)
		for i := range out {
			whole := (i*7919+step*104729)%2003 - 1001
			out[i] = float32(whole) / 1001 * float32(1+i%7) * 0.001 * scale
		}
		return out
	}
	eng := openEngine(t)
	shape := []int{want.Rows, want.Columns}
	backend, err := eng.Backend()
	if err != nil {
		t.Fatal(err)
	}
	run := &trainer{
		opts: Options{PeakRate: want.Peak, Decay: want.Decay, Beta2: 0.999, EightBit: true, Steps: want.Steps}, backend: backend, trained: []slot{{"matrix", shape}},
	}
	exec, err := graph.NewExec(backend, run.updateGraph)
	if err != nil {
		t.Fatal(err)
	}
	defer exec.Finalize()
	params, moments := tensors.FromFlatDataAndDimensions(value(0, 10), shape...), run.zeroMoments()
	for step := 1; step <= want.Steps; step++ {
		rates := []float32{float32(want.Peak), float32(1 - math.Pow(beta1, float64(step))), float32(1 - math.Pow(0.999, float64(step)))}
		args := lend([]any{
			float32(1), tensors.FromFlatDataAndDimensions(rates, 3),
			tensors.FromFlatDataAndDimensions(value(step, 1), shape...), params,
		}, moments)
		out, err := exec.Call(args...)
		if err != nil {
			t.Fatal(err)
		}
		params, moments = out[1], out[2:]
	}
	final := floatsOf([]*tensors.Tensor{params})[0]
	worst, moved := 0.0, 0.0
	start := value(0, 10)
	for i, v := range want.Final {
		worst = max(worst, math.Abs(float64(final[16*i])-v))
		moved = max(moved, math.Abs(float64(start[16*i])-v))
	}
	t.Logf("furthest from bitsandbytes %.2g, which moved up to %.2g", worst, moved)
	if worst > 0.02*moved {
		t.Errorf("%.3g from bitsandbytes, which moved up to %.3g", worst, moved)
	}
}

// TestYieldIsAskedBeforeEachStep: a run waits when it is told to, and ends when waiting fails.
func TestYieldIsAskedBeforeEachStep(t *testing.T) {
	opts := options()
	stop := errors.New("a study came")
	asked := 0
	opts.Yield = func(context.Context) error {
		if asked++; asked == 4 {
			return stop
		}
		return nil
	}
	steps := 0
	opts.Progress = func(int, float64) { steps++ }
	if _, err := Train(t.Context(), openEngine(t), opts); !errors.Is(err, stop) || steps != 3 {
		t.Errorf("%d steps, then %v", steps, err)
	}
}

// TestTrainable counts what the paper trains, rank 16 on all seven linear layers of the 32 layers of Llama 3.1 8B; a prefix of it; and all of it.
func TestTrainable(t *testing.T) {
	config, err := llama.ParseConfig([]byte(`{"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 4096, "intermediate_size": 14336,
		"num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8, "vocab_size": 128256, "max_position_embeddings": 131072,
		"rms_norm_eps": 1e-05, "rope_theta": 500000.0, "tie_word_embeddings": false,
		"rope_scaling": {"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192, "rope_type": "llama3"}}`))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ rank, prefix, want int }{{16, 0, 41_943_040}, {0, 20, 20 * 32 * 2 * 8 * 128}, {0, 0, 8_030_261_248}} {
		if got := Trainable(config, c.rank, c.prefix); got != c.want {
			t.Errorf("rank %d, prefix %d: %d parameters train, want %d", c.rank, c.prefix, got, c.want)
		}
	}
}

func TestForeignCheckpointsAreRefused(t *testing.T) {
	opts := options()
	opts.Steps, opts.CheckpointEvery = 1, 1
	var data []byte
	opts.Checkpoint = func(s *State) (err error) { data, err = s.Encode(); return err }
	if _, err := Train(t.Context(), openEngine(t), opts); err != nil {
		t.Fatal(err)
	}
	state, err := DecodeState(data)
	if err != nil {
		t.Fatal(err)
	}
	other := options()
	other.Rank, other.Alpha, other.Resume = 8, 8, state
	if _, err := Train(t.Context(), openEngine(t), other); err == nil {
		t.Error("a checkpoint of rank 16 goes on as rank 8")
	}
	for _, broken := range [][]byte{nil, data[:100], data[:len(data)-1], bytes.Replace(data, []byte("parameter.0"), []byte("parameter.x"), 1)} {
		if _, err := DecodeState(broken); err == nil {
			t.Error("a broken checkpoint is read")
		}
	}
}

func FuzzDecodeState(f *testing.F) {
	f.Add([]byte{1, 0, 0, 0, 0, 0, 0, 0, '{'})
	f.Add([]byte("\x30\x00\x00\x00\x00\x00\x00\x00{\"__metadata__\":{\"llamaxr_state\":\"{\\\"step\\\":1}\"}}"))
	f.Fuzz(func(_ *testing.T, data []byte) { _, _ = DecodeState(data) })
}
