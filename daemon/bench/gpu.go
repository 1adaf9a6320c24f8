package main

import (
	"context"
	"fmt"
	"math"
	"os/exec"
	"strings"

	"llamaxr/inference"
	"llamaxr/inference/engine"
	"llamaxr/inference/llama"
	"llamaxr/inference/prompt"
	"llamaxr/internal/figures"
)

// How far the GPU's results may lie from the CPU's: what the engines are held to against the reference programs.
const (
	scoreTolerance = 1e-4
	mapTolerance   = 1e-3
	logitTolerance = 1e-3
)

const gpuStudies = 10

// onGPU is what a check of a GPU found.
type onGPU struct {
	Device string `json:"device"`
	CPU    string `json:"cpu_engine"`
	// Largest differences from the CPU, and texts of all that were the same.
	Scores, Maps, Logits float64
	Same, Texts          int
	// Milliseconds of two views, of a report of the starter model; tokens a second of SmolLM2-135M in float32.
	Views, Report   float64
	Prompt, Written float64
}

// checkGPU holds XLA on CUDA to the CPU and measures it. Without a GPU that can be used it is an error that says so.
func checkGPU(ctx context.Context, opts options) (*onGPU, error) {
	cuda, err := engine.Open(engine.XLACUDA)
	if err != nil {
		return nil, fmt.Errorf("no GPU can be used here: nothing was checked: %w", err)
	}
	cpu, err := engine.Open(engine.XLACPU)
	if err != nil {
		if cpu, err = engine.Open(engine.Go); err != nil {
			return nil, err
		}
	}
	r := &onGPU{Device: cuda.Why, CPU: cpu.Name}
	if names, err := exec.CommandContext(ctx, "nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader").Output(); err == nil {
		r.Device = strings.TrimSpace(string(names))
	}
	if err := r.studies(ctx, cuda, cpu); err != nil {
		return nil, err
	}
	if err := r.language(ctx, cuda, cpu); err != nil {
		return nil, err
	}
	if err := r.section().Replace(opts.out); err != nil {
		return nil, err
	}
	say("%s", r.section())
	return r, r.verdict()
}

// studies drafts phantoms on both.
func (r *onGPU) studies(ctx context.Context, cuda, cpu *engine.Engine) error {
	ours, err := inference.OpenStarter(cuda)
	if err != nil {
		return err
	}
	held, err := inference.OpenStarter(cpu)
	if err != nil {
		return err
	}
	var views, reports []float64
	now := clock()
	for i := range gpuStudies + 1 { // the first compiles
		pair := viewsOf(firstSeed + uint64(i))
		began := now()
		scores, maps, err := ours.Score(ctx, pair[0], pair[1])
		if err != nil {
			return err
		}
		scored := now()
		written, err := ours.Write(ctx, scores)
		if err != nil {
			return err
		}
		if i > 0 {
			views, reports = append(views, 1000*(scored-began)), append(reports, 1000*(now()-scored))
		}
		want, wantMaps, err := held.Score(ctx, pair[0], pair[1])
		if err != nil {
			return err
		}
		for f, v := range want.Frontal {
			r.Scores = apart(r.Scores, scores.Frontal[f], v)
			r.Scores = apart(r.Scores, scores.Lateral[f], want.Lateral[f])
		}
		if len(maps) != len(wantMaps) {
			return fmt.Errorf("%d heat maps, %d on the CPU", len(maps), len(wantMaps))
		}
		for k := range maps {
			for at, v := range wantMaps[k].Values {
				r.Maps = apart(r.Maps, maps[k].Values[at], v)
			}
		}
		text, err := held.Write(ctx, scores) // the same scores: it is the writing that is compared
		if err != nil {
			return err
		}
		r.Texts++
		if text.Text == written.Text {
			r.Same++
		}
	}
	r.Views, r.Report = median(views), median(reports)
	return nil
}

// apart is the larger of what was found and the difference of two values; NaNs, of what is not scored, are the same.
func apart(worst float64, a, b float32) float64 {
	if a != a && b != b {
		return worst
	}
	d := math.Abs(float64(a) - float64(b))
	if d != d {
		return math.Inf(1)
	}
	return max(worst, d)
}

// language runs SmolLM2-135M as a graph on the GPU, and by the CPU's kernels in float32.
func (r *onGPU) language(ctx context.Context, cuda, cpu *engine.Engine) error {
	source, err := llama.OpenSource(smolLM2)
	if err != nil {
		return err
	}
	defer source.Close()
	graph, err := llama.LoadSource(cuda, source, llama.OnGraph)
	if err != nil {
		return err
	}
	native, err := llama.LoadSource(cpu, source, llama.NativeExact)
	if err != nil {
		return err
	}
	text := prompt.Grounded.Fill(otherScores())
	ids := graph.Tokenizer.Prompt(text)
	for _, n := range []int{1, 17, len(ids)} {
		got, err := graph.Logits(ids[:n])
		if err != nil {
			return err
		}
		want, err := native.Logits(ids[:n])
		if err != nil {
			return err
		}
		for i, v := range want {
			r.Logits = apart(r.Logits, got[i], v)
		}
	}
	for range 2 { // the first compiles
		result, err := graph.Generate(ctx, text, textTokens)
		if err != nil {
			return err
		}
		r.Prompt = float64(result.PromptTokens-result.KeptTokens) / result.Prefill.Seconds()
		r.Written = float64(result.NewTokens) / result.Decode.Seconds()
	}
	return nil
}

// verdict is an error where the GPU's results are not the CPU's.
func (r *onGPU) verdict() error {
	if r.Scores > scoreTolerance || r.Maps > mapTolerance || r.Logits > logitTolerance || r.Same < r.Texts {
		return fmt.Errorf("the GPU's results are not the CPU's: scores %.2g apart (%g allowed), heat maps %.2g (%g), logits %.2g (%g), %d of %d texts the same",
			r.Scores, scoreTolerance, r.Maps, mapTolerance, r.Logits, logitTolerance, r.Same, r.Texts)
	}
	return nil
}

func (r *onGPU) section() *figures.Section {
	s := figures.Begin("On a GPU (`make gpu-check`)")
	s.Line("%s; held to %s. %s.\n", r.Device, r.CPU, machine())
	s.Line("| what | measured | allowed |")
	s.Line("| --- | ---: | ---: |")
	s.Line("| scores, largest difference | %.2g | %g |", r.Scores, scoreTolerance)
	s.Line("| heat maps, largest difference | %.2g | %g |", r.Maps, mapTolerance)
	s.Line("| logits of SmolLM2-135M, largest difference | %.2g | %g |", r.Logits, logitTolerance)
	s.Line("| texts of the starter model, the same | %d of %d | all |", r.Same, r.Texts)
	s.Line("| two views with heat maps (ms) | %.1f | |", r.Views)
	s.Line("| a report by the starter model (ms) | %.0f | |", r.Report)
	s.Line("| SmolLM2-135M in float32, prompt and text (tokens/s) | %.0f, %.0f | |", r.Prompt, r.Written)
	return s
}
