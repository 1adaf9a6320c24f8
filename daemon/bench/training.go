package main

import (
	"context"
	_ "embed" // training.py
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"

	"llamaxr/finetune/qlora"
	"llamaxr/inference/engine"
	"llamaxr/inference/llama"
	"llamaxr/internal/figures"
)

//go:embed training.py
var trainingScript string

// trainingPython is where oracles/setup.sh puts torch and PEFT.
const trainingPython = ".cache/oracles/bin/python"

// lessonWork is what both train by AdamW: LoRA on the seven linear layers of every block of a Llama, or all of it.
type lessonWork struct {
	Config        *llama.Config `json:"config"`
	Whole         bool          `json:"whole"` // all weights train, in place of LoRA
	Rank          int           `json:"rank"`
	Alpha         int           `json:"alpha"`
	Size          int           `json:"size"` // rows of a batch
	Length        int           `json:"length"`
	Asked         int           `json:"asked"` // tokens of a row that weigh in the loss, the last ones
	Checkpointing bool          `json:"checkpointing"`
	Mixed         bool          `json:"mixed"`
	EightBit      bool          `json:"eight_bit"` // moments; PEFT has none of those
	WarmUps       int           `json:"warm_ups"`
	Steps         int           `json:"steps"`
}

func (w lessonWork) String() string {
	arithmetic, kept := "float32", ""
	if w.Mixed {
		arithmetic = "bfloat16"
	}
	if w.Checkpointing {
		kept = ", checkpointing"
	}
	if w.EightBit {
		kept += ", moments in 8 bits"
	}
	if w.Whole {
		kept += ", all weights"
	}
	return fmt.Sprintf("%d of %d tokens asked, %s%s", w.Asked, w.Length, arithmetic, kept)
}

// trained is what it took.
type trained struct {
	Steps  []float64 `json:"step_s"`
	BaseMB float64   `json:"base_mb"` // before the first step
	PeakMB float64   `json:"peak_mb"`
	Engine string    `json:"engine"`
}

// trainingRow is one piece of work, done by both, or of a large model by ours alone.
type trainingRow struct {
	Work       lessonWork
	Ours, Peft trained
}

// smallLessons are measured beside PEFT. A large one is a step whose pass is a whole one of any batch of rows so long.
var (
	smallLessons = []lessonWork{
		{Size: 4, Length: 256, Asked: 256, Steps: 3},
		{Size: 4, Length: 256, Asked: 128, Steps: 3},
		{Size: 4, Length: 256, Asked: 256, Mixed: true, Steps: 3},
		{Size: 4, Length: 256, Asked: 256, Checkpointing: true, Steps: 3},
		{Size: 4, Length: 256, Asked: 256, Mixed: true, EightBit: true, Checkpointing: true, Steps: 3},
		{Size: 4, Length: 256, Asked: 256, Whole: true, Steps: 3},
	}
	largeLessons = []lessonWork{
		{Size: 1, Length: 128, Asked: 128, Mixed: true, EightBit: true, Checkpointing: true, Steps: 1}, {Size: 2, Length: 256, Asked: 256, Mixed: true, EightBit: true, Checkpointing: true, Steps: 1},
	}
)

// training measures our trainer and PEFT on torch in turn, each in a process of its own; a model with random weights without PEFT.
func training(ctx context.Context, opts options, model compared) (table []trainingRow, err error) {
	folder := filepath.Join(opts.scratch, ourFolder)
	if err := model.makeOurs(folder); err != nil {
		return nil, err
	}
	source, err := llama.SourceIn(os.DirFS(folder))
	if err != nil {
		return nil, err
	}
	config := source.Config
	if err := source.Close(); err != nil {
		return nil, err
	}
	script := filepath.Join(opts.scratch, "training.py")
	if err := os.WriteFile(script, []byte(trainingScript), 0o600); err != nil {
		return nil, err
	}
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	lessons := smallLessons
	if model.shape != nil {
		lessons = largeLessons
	}
	for _, w := range lessons {
		w.Config = config
		if !w.Whole {
			w.Rank, w.Alpha = 16, 32
		}
		if model.shape == nil {
			w.WarmUps = 1
		}
		input, err := json.Marshal(w)
		if err != nil {
			return nil, err
		}
		row := trainingRow{Work: w}
		for _, one := range []struct {
			into    *trained
			program string
			args    []string
		}{{&row.Ours, program, []string{"-train", folder}}, {&row.Peft, trainingPython, []string{script}}} {
			if one.program != program && model.shape != nil {
				continue
			}
			out, err := pinned(ctx, 0, input, one.program, one.args...)
			if err == nil {
				err = json.Unmarshal(out, one.into)
			}
			if err != nil {
				return nil, err
			}
			say("%s, %d x %d, %s, %s: steps of %.2f s, %.0f MB", model.Name, w.Size, w.Length, w, one.into.Engine, one.into.Steps, one.into.PeakMB)
		}
		table = append(table, row)
	}
	return table, nil
}

// trainOurs is the process that is measured.
func trainOurs(ctx context.Context, folder string) (*trained, error) {
	var w lessonWork
	if err := json.NewDecoder(os.Stdin).Decode(&w); err != nil {
		return nil, err
	}
	base, err := llama.SourceIn(os.DirFS(folder))
	if err != nil {
		return nil, err
	}
	defer base.Close()
	eng, err := engine.Open(engine.Auto)
	if err != nil {
		return nil, err
	}
	out := &trained{Engine: eng.Name}
	now := clock()
	last := now()
	_, err = qlora.Train(ctx, eng, qlora.Options{
		Config: w.Config, Source: base, Rank: w.Rank, Alpha: w.Alpha, Checkpointing: w.Checkpointing, Mixed: w.Mixed, EightBit: w.EightBit, Seed: 1, Steps: w.WarmUps + w.Steps, PeakRate: 1e-4,
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
			if out.BaseMB == 0 {
				out.BaseMB, _ = status(os.Getpid(), "VmRSS")
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

func trainingSection(table []trainingRow) *figures.Section {
	w := table[0].Work
	s := figures.Begin("Training beside PEFT (`make bench-training`)")
	s.Line("%s. Load average of the last minute %g. SmolLM2-135M's shape, batches of %d x %d tokens, LoRA of rank %d on all seven linear layers of every block,", machine(), loadAverage(), w.Size, w.Length, w.Rank)
	s.Line("AdamW, norm of the gradient cut; each in a process of its own on all cores. bfloat16 is mixed precision. PEFT keeps its moments in float32. A step is the median of %d after %d", w.Steps, w.WarmUps)
	s.Line("that warms up (ours compiles in it). A ratio is ours over PEFT's.\n")
	s.Line("| work | step | peak memory | ours (%s): step, peak | %s: step, peak |", table[0].Ours.Engine, table[0].Peft.Engine)
	s.Line("| --- | ---: | ---: | ---: | ---: |")
	for _, r := range table {
		ours, peft := median(r.Ours.Steps), median(r.Peft.Steps)
		s.Line("| %s | **%.2f** | **%.2f** | %.2f s, %.0f MB | %.2f s, %.0f MB |", r.Work, ours/peft, r.Ours.PeakMB/r.Peft.PeakMB, ours, r.Ours.PeakMB, peft, r.Peft.PeakMB)
	}
	plain := table[slices.IndexFunc(table, func(r trainingRow) bool { return r.Work.Whole })].Peft
	s.Line("\nThe paper has its fine-tuning twice as fast as plain fine-tuning, in 60 %% less memory: 0.50 and 0.40 of it. Of what plain fine-tuning takes, torch alone with all weights in float32:\n")
	s.Line("| of plain fine-tuning | ours: step, peak | PEFT: step, peak |")
	s.Line("| --- | ---: | ---: |")
	for _, r := range table {
		if !r.Work.Whole {
			ratio := func(t trained) string {
				return fmt.Sprintf("%.2f, %.2f", median(t.Steps)/median(plain.Steps), t.PeakMB/plain.PeakMB)
			}
			s.Line("| %s | %s | %s |", r.Work, ratio(r.Ours), ratio(r.Peft))
		}
	}
	return s
}

// largeSection is of models with random weights, which train alone.
func largeSection(model compared, table []trainingRow) *figures.Section {
	s := figures.Begin(fmt.Sprintf("Training a model of %s (`go run ./daemon/bench -training -models %s`)", model.Name, model.Name))
	s.Line("%s. Load average of the last minute %g. Random weights, NF4 in memory, embedding and head in 16 bits; LoRA of rank 16 on all seven linear layers of every block, %d numbers;", machine(), loadAverage(), qlora.Trainable(model.shape, 16, 0))
	s.Line("preset `paper`'s arithmetic: bfloat16, checkpointing, moments in 8 bits. One step, compiling included. Memory is the process's.\n")
	s.Line("| rows x tokens of a pass | with the base, MB | peak, MB | step, s |")
	s.Line("| ---: | ---: | ---: | ---: |")
	for _, r := range table {
		s.Line("| %d x %d | %.0f | **%.0f** | %.0f |", r.Work.Size, r.Work.Length, r.Ours.BaseMB, r.Ours.PeakMB, r.Ours.Steps[0])
	}
	return s
}

// besidePEFT measures and writes the section; with names of models, these alone.
func besidePEFT(ctx context.Context, opts options) (any, error) {
	for _, model := range comparedModels {
		if (opts.only == "") != (model.shape == nil) || !opts.wants(model.Name) {
			continue
		}
		table, err := training(ctx, opts, model)
		if err != nil {
			return nil, err
		}
		if model.shape == nil {
			return table, trainingSection(table).Replace(opts.out)
		}
		return table, largeSection(model, table).Replace(opts.out)
	}
	return nil, fmt.Errorf("no model of %q", opts.only)
}
