package main

import (
	"context"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"llamaxr/inference"
	"llamaxr/inference/engine"
	"llamaxr/inference/llama"
	"llamaxr/inference/prompt"
	"llamaxr/internal/figures"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
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
	// Milliseconds of two views, of a report of the starter model.
	Views, Report float64
	Bandwidth     float64 // bytes a second
	Language      []onDevice
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
	if r.Bandwidth, err = bandwidth(cuda, gpuValues); err != nil {
		return nil, err
	}
	for _, c := range comparedModels {
		if err := r.language(ctx, c, filepath.Join(opts.scratch, c.Name), cuda, cpu); err != nil {
			return nil, fmt.Errorf("%s: %w", c.Name, err)
		}
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
		written, err := ours.Write(ctx, scores, nil)
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
		text, err := held.Write(ctx, scores, nil) // the same scores: it is the writing that is compared
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

// onDevice is one language model as a graph.
type onDevice struct {
	Model string
	llama.Footprint
	Load, First     float64 // seconds: to load it; its first text, which compiles
	Prompt, Written float64 // tokens a second
}

// share is what decoding reads of weights, of what the device can read.
func (o onDevice) share(bandwidth float64) float64 { return float64(o.Read) * o.Written / bandwidth }

// language runs a model as a graph. SmolLM2-135M is held to the CPU's kernels in float32.
func (r *onGPU) language(ctx context.Context, c compared, folder string, on, cpu *engine.Engine) error {
	if err := c.makeOurs(folder); err != nil {
		return err
	}
	defer os.RemoveAll(folder) // 6 GB
	o := onDevice{Model: c.Name}
	now := clock()
	began := now()
	model, err := llama.LoadAs(on, os.DirFS(folder), llama.OnGraph)
	if err != nil {
		return err
	}
	o.Load, o.Footprint = now()-began, model.Footprint()
	text := prompt.Grounded.Fill(otherScores())
	if c.shape == nil {
		if err := r.logits(model, folder, text, cpu); err != nil {
			return err
		}
	}
	written := strings.Repeat("No effusion. ", textTokens/4)
	for i := range 2 {
		began := now()
		result, err := model.Replay(ctx, text, written)
		if err != nil {
			return err
		}
		if i == 0 {
			o.First = now() - began
		}
		o.Prompt = float64(result.PromptTokens) / result.Prefill.Seconds()
		o.Written = float64(result.NewTokens) / result.Decode.Seconds()
	}
	say("%+v", o)
	r.Language = append(r.Language, o)
	return nil
}

// logits holds a graph's to the CPU's kernels in float32.
func (r *onGPU) logits(model *llama.Model, folder, text string, cpu *engine.Engine) error {
	native, err := llama.LoadAs(cpu, os.DirFS(folder), llama.NativeExact)
	if err != nil {
		return err
	}
	ids := model.Tokenizer.Prompt(text)
	for _, n := range []int{1, 17, len(ids)} {
		got, err := model.Logits(ids[:n])
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
	return nil
}

// bandwidth is how many bytes a second a device reads: those of one sum over many float32.
func bandwidth(eng *engine.Engine, values int) (float64, error) {
	backend, err := eng.Backend()
	if err != nil {
		return 0, err
	}
	many, err := tensors.FromShapeForBackend(backend, 0, shapes.Make(dtypes.Float32, values))
	if err != nil {
		return 0, err
	}
	defer many.MustFinalizeAll()
	sum, err := graph.NewExec(backend, func(x *graph.Node) *graph.Node { return graph.ReduceAllSum(x) })
	if err != nil {
		return 0, err
	}
	defer sum.Finalize()
	now := clock()
	best := 0.0
	for i := range sums + 1 { // the first compiles
		began := now()
		out, err := sum.Call1(many)
		if err != nil {
			return 0, err
		}
		if _, err := out.ValueSafe(); err != nil { // waits for it
			return 0, err
		}
		if i > 0 {
			best = max(best, 4*float64(values)/(now()-began))
		}
	}
	return best, nil
}

const (
	sums      = 10
	gpuValues = 1 << 29 // 2 GiB: far more than a GPU's caches hold
)

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
	s.Line("\nLanguage models as graphs: weights in NF4 (head and embedding in 16 bits), arithmetic in float32, one text at a time, no speculation. The device reads %.0f GB/s in one sum over float32;", r.Bandwidth/1e9)
	s.Line("the share is of that: bytes of weights that a token reads, times tokens a second. 1B and 8B have random weights.\n")
	s.Line("| model | bytes a weight | weights (GB) | loaded, first text (s) | prompt (tokens/s) | text (tokens/s) | share of the read bandwidth |")
	s.Line("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
	for _, o := range r.Language {
		s.Line("| %s | %.3f | %.2f | %.1f, %.1f | %.0f | %.1f | %.1f %% |", o.Model, float64(o.Bytes)/float64(o.Values), float64(o.Bytes)/1e9, o.Load, o.First,
			o.Prompt, o.Written, 100*o.share(r.Bandwidth))
	}
	return s
}
