package qlora

import (
	"bytes"
	"encoding/json"
	"maps"
	"math"
	"slices"
	"testing"
	"testing/fstest"

	"llamaxr/inference/engine"
	"llamaxr/inference/llama"
)

// TestCheckpointing: layer by layer, losses and what is learnt are those of one graph, whatever trains, with a head of its own or the embedding's.
func TestCheckpointing(t *testing.T) {
	eng := openEngine(t)
	untied := *small
	untied.TieWordEmbeddings = false
	for name, set := range map[string]func(*Options){
		"LoRA":   func(o *Options) { o.Config, o.Base = &untied, RandomWeights(&untied, 1) },
		"prefix": func(o *Options) { o.Rank, o.Alpha, o.Prefix = 0, 0, 5 },
		"whole":  func(o *Options) { o.Rank, o.Alpha = 0, 0 },
	} {
		t.Run(name, func(t *testing.T) {
			run := func(checkpointing bool) (losses []float64, learnt map[string][]float32) {
				opts := options()
				opts.EightBit, opts.Steps = false, 6
				set(&opts)
				opts.Checkpointing = checkpointing
				opts.Progress = func(_ int, loss float64) { losses = append(losses, loss) }
				opts.Validated = func(_ int, loss float64, _ bool) { losses = append(losses, loss) }
				result, err := Train(t.Context(), eng, opts)
				if err != nil {
					t.Fatal(err)
				}
				if result.Adapter == nil {
					return losses, result.Weights
				}
				return losses, parts(opts.Config, result.Adapter)
			}
			losses, learnt := run(true)
			wantLosses, want := run(false)
			for i, loss := range wantLosses {
				if math.Abs(losses[i]-loss) > 1e-5 {
					t.Errorf("loss %d is %.7f, in one graph %.7f", i, losses[i], loss)
				}
			}
			for name, values := range want {
				if off, size := distance(learnt[name], values), distance(values, make([]float32, len(values))); off > 1e-4*size {
					t.Errorf("%s: %.2g apart of %.2g", name, off, size)
				}
			}
		})
	}
}

// TestPackedBase: a base that stays in 4 bits trains as its dequantised values do, on every engine.
func TestPackedBase(t *testing.T) {
	var packed bytes.Buffer
	if err := llama.WriteNF4(small, RandomWeights(small, 1), &packed); err != nil {
		t.Fatal(err)
	}
	base, err := llama.ReadWeights(small, packed.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	shape, err := json.Marshal(small)
	if err != nil {
		t.Fatal(err)
	}
	files := fstest.MapFS{llama.ConfigFile: {Data: shape}, llama.WeightsFile: {Data: packed.Bytes()}}
	for _, name := range []string{engine.Go, engine.XLACPU} {
		t.Run(name, func(t *testing.T) {
			eng, err := engine.Open(name)
			if err != nil {
				t.Skip(err)
			}
			run := func(set func(*Options)) (losses []float64) {
				opts := options()
				opts.Steps, opts.Checkpointing, opts.Validate, opts.Base = 4, true, nil, nil
				set(&opts)
				opts.Progress = func(_ int, loss float64) { losses = append(losses, loss) }
				if _, err := Train(t.Context(), eng, opts); err != nil {
					t.Fatal(err)
				}
				return losses
			}
			source, err := llama.SourceIn(files)
			if err != nil {
				t.Fatal(err)
			}
			defer source.Close()
			want := run(func(o *Options) { o.Base = maps.Clone(base) })
			if got := run(func(o *Options) { o.Source = source }); !slices.Equal(got, want) {
				t.Errorf("losses %v, dequantised %v", got, want)
			}
		})
	}
}
