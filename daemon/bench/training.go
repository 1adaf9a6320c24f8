package main

import (
	"context"
	_ "embed" // training.py
	"encoding/json"
	"math/rand/v2"
	"os"
	"path/filepath"

	"llamaxr/finetune/qlora"
	"llamaxr/inference/engine"
	"llamaxr/inference/llama"
	"llamaxr/internal/figures"
)

//go:embed training.py
var trainingScript string

// trainingPython is where oracles/setup.sh puts torch and PEFT.
const trainingPython = ".cache/oracles/bin/python"

// lessonWork is what both train: LoRA on the seven linear layers of every block of a Llama, in float32, by AdamW.
type lessonWork struct {
	Config  *llama.Config `json:"config"`
	Rank    int           `json:"rank"`
	Alpha   int           `json:"alpha"`
	Size    int           `json:"size"` // rows of a batch
	Length  int           `json:"length"`
	Asked   int           `json:"asked"` // tokens of a row that weigh in the loss, the last ones
	WarmUps int           `json:"warm_ups"`
	Steps   int           `json:"steps"`
}

// trained is what it took.
type trained struct {
	Steps  []float64 `json:"step_s"`
	PeakMB float64   `json:"peak_mb"`
	Engine string    `json:"engine"`
}

// trainingRow is one piece of work, done by both.
type trainingRow struct {
	Asked      int `json:"asked"`
	Ours, Peft trained
}

// training measures our trainer and PEFT on torch in turn, each in a process of its own.
func training(ctx context.Context, opts options) (table []trainingRow, w lessonWork, err error) {
	source, err := llama.OpenSource(smolLM2)
	if err != nil {
		return nil, w, err
	}
	defer source.Close()
	w = lessonWork{Config: source.Config, Rank: 16, Alpha: 32, Size: 4, Length: 256, WarmUps: 1, Steps: 3}
	base := filepath.Join(opts.scratch, llama.WeightsFile)
	file, err := os.Create(base)
	if err != nil {
		return nil, w, err
	}
	defer file.Close()
	if err := packTo(source, file); err != nil {
		return nil, w, err
	}
	script := filepath.Join(opts.scratch, "training.py")
	if err := os.WriteFile(script, []byte(trainingScript), 0o600); err != nil {
		return nil, w, err
	}
	program, err := os.Executable()
	if err != nil {
		return nil, w, err
	}
	for _, asked := range []int{w.Length, w.Length / 2} {
		w.Asked = asked
		input, err := json.Marshal(w)
		if err != nil {
			return nil, w, err
		}
		row := trainingRow{Asked: asked}
		for _, one := range []struct {
			into    *trained
			program string
			args    []string
		}{{&row.Ours, program, []string{"-train", base}}, {&row.Peft, trainingPython, []string{script}}} {
			out, err := pinned(ctx, 0, input, one.program, one.args...)
			if err == nil {
				err = json.Unmarshal(out, one.into)
			}
			if err != nil {
				return nil, w, err
			}
			say("%d of %d tokens asked, %s: steps of %.2f s, %.0f MB", asked, w.Length, one.into.Engine, one.into.Steps, one.into.PeakMB)
		}
		table = append(table, row)
	}
	return table, w, nil
}

// trainOurs is the process that is measured.
func trainOurs(ctx context.Context, base string) (*trained, error) {
	var w lessonWork
	if err := json.NewDecoder(os.Stdin).Decode(&w); err != nil {
		return nil, err
	}
	data, err := os.ReadFile(base)
	if err != nil {
		return nil, err
	}
	weights, err := llama.ReadWeights(w.Config, data)
	if err != nil {
		return nil, err
	}
	eng, err := engine.Open(engine.Auto)
	if err != nil {
		return nil, err
	}
	out := &trained{Engine: eng.Name}
	now := clock()
	last := now()
	_, err = qlora.Train(ctx, eng, qlora.Options{
		Config: w.Config, Base: weights, Rank: w.Rank, Alpha: w.Alpha, Seed: 1, Steps: w.WarmUps + w.Steps, PeakRate: 1e-4,
		Next: func(number int) qlora.Batch {
			rng := rand.New(rand.NewPCG(1, uint64(number)))
			b := qlora.Batch{Size: w.Size, Length: w.Length}
			for range w.Size {
				for at := range w.Length + 1 {
					b.Tokens = append(b.Tokens, rng.Int32N(int32(w.Config.VocabSize)))
					if at > 0 {
						weight := float32(0)
						if at > w.Length-w.Asked {
							weight = 1
						}
						b.Weights = append(b.Weights, weight)
					}
				}
			}
			last = now() // making it is not measured
			return b
		},
		Progress: func(step int, _ float64) {
			if step >= w.WarmUps {
				out.Steps = append(out.Steps, now()-last)
			}
		},
	})
	if err != nil {
		return nil, err
	}
	out.PeakMB, err = status(os.Getpid(), "VmHWM")
	return out, err
}

func trainingSection(table []trainingRow, w lessonWork) *figures.Section {
	s := figures.Begin("Training beside PEFT (`make bench-training`)")
	s.Line("%s. Load average of the last minute %g. SmolLM2-135M's shape, batches of %d x %d tokens, LoRA of rank %d on all seven linear layers of every block, float32,", machine(), loadAverage(), w.Size, w.Length, w.Rank)
	s.Line("AdamW, norm of the gradient cut; each in a process of its own on all cores. A step is the median of %d after %d that warms up (ours compiles in it). A ratio is ours over PEFT's.\n", w.Steps, w.WarmUps)
	s.Line("| tokens asked of a row | step | peak memory | ours (%s): step, peak | %s: step, peak |", table[0].Ours.Engine, table[0].Peft.Engine)
	s.Line("| ---: | ---: | ---: | ---: | ---: |")
	for _, r := range table {
		ours, peft := median(r.Ours.Steps), median(r.Peft.Steps)
		s.Line("| %d | **%.2f** | **%.2f** | %.2f s, %.0f MB | %.2f s, %.0f MB |", r.Asked, ours/peft, r.Ours.PeakMB/r.Peft.PeakMB, ours, r.Ours.PeakMB, peft, r.Peft.PeakMB)
	}
	return s
}

// besidePEFT measures and writes the section.
func besidePEFT(ctx context.Context, opts options) (any, error) {
	table, w, err := training(ctx, opts)
	if err != nil {
		return nil, err
	}
	return table, trainingSection(table, w).Replace(opts.out)
}
