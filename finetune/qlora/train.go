package qlora

import (
	"context"
	"fmt"
	"math"
	"runtime/debug"

	"llamaxr/inference/engine"
	"llamaxr/inference/llama"
	"llamaxr/inference/safetensors"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
)

// trainer is a run under way.
type trainer struct {
	opts            Options
	eng             *engine.Engine
	backend         compute.Backend
	compiled        map[shape]bool
	trained, frozen []slot
	constants       []*tensors.Tensor // of frozen

	way       way
	update    *Exec
	state     *State
	gradients []*tensors.Tensor
}

// Train runs all steps. The same options give the same result on the same engine.
func Train(ctx context.Context, eng *engine.Engine, opts Options) (*Result, error) {
	opts.defaults()
	backend, err := eng.Backend()
	if err != nil {
		return nil, err
	}
	if !opts.large() { // of whose memory holes would be many
		defer engine.KeepMemory()()
	}
	t := &trainer{opts: opts, eng: eng, backend: backend, compiled: map[shape]bool{}}
	if opts.Source != nil && opts.Base == nil && (opts.full() || !opts.inPieces()) {
		if t.opts.Base, err = opts.Source.Weights(); err != nil {
			return nil, fmt.Errorf("qlora: %w", err)
		}
	}
	trained, values, err := slots(t.opts)
	if err != nil {
		return nil, err
	}
	if t.trained = trained; !opts.full() {
		for _, p := range Parameters(opts.Config) {
			if err := t.keep(slot(p)); err != nil {
				return nil, fmt.Errorf("qlora: %w", err)
			}
		}
	}
	t.opts.Base = nil
	if t.state = opts.Resume; t.state != nil {
		if err := t.state.fits(t); err != nil {
			return nil, err
		}
	} else {
		t.state = &State{moments: t.zeroMoments()}
		for i, s := range trained {
			t.state.params = append(t.state.params, tensors.FromFlatDataAndDimensions(values[i], s.shape...))
		}
	}
	for _, s := range trained {
		t.gradients = append(t.gradients, tensors.FromFlatDataAndDimensions(make([]float32, s.size()), s.shape...))
	}
	for _, list := range [][]*tensors.Tensor{t.state.params, t.state.moments, t.gradients} {
		for _, tensor := range list {
			if err := tensor.ToDevice(t.backend, 0); err != nil {
				return nil, fmt.Errorf("qlora: %w", err)
			}
		}
	}
	debug.FreeOSMemory() // what the base took, unless the caller keeps it, and our side's copies
	if t.update, err = NewExec(t.backend, t.updateGraph); err != nil {
		return nil, fmt.Errorf("qlora: %w", err)
	}
	defer t.update.Finalize()
	if t.way, err = t.newWay(); err != nil {
		return nil, fmt.Errorf("qlora: %w", err)
	}
	defer t.way.finalize()
	if err := t.run(ctx); err != nil {
		return nil, err
	}
	return t.result(), nil
}

// keep puts a weight that stays on the device: one copy, and not another on our side.
func (t *trainer) keep(s slot) (err error) {
	names, list := []string{s.name}, []*tensors.Tensor(nil)
	switch values := t.opts.Base[s.name]; {
	case t.opts.Base == nil:
		if list, err = t.opts.Source.Tensors(t.backend, s.name); len(list) == 2 {
			names = []string{s.name + codesSuffix, s.name + magnitudesSuffix}
		}
	case t.opts.Mixed && len(s.shape) == 2:
		list = make([]*tensors.Tensor, 1)
		list[0], err = tensors.FromRaw(t.backend, 0, shapes.Make(dtypes.BFloat16, s.shape...), safetensors.FromFloats(safetensors.BF16, nil, values).Data)
	default:
		list = []*tensors.Tensor{tensors.FromFlatDataAndDimensions(values, s.shape...)}
	}
	if err != nil {
		return err
	}
	for i, tensor := range list {
		if err := tensor.ToDevice(t.backend, 0); err != nil {
			return err
		}
		t.frozen, t.constants = append(t.frozen, slot{names[i], s.shape}), append(t.constants, tensor)
	}
	if t.opts.Base == nil { // the next may be as large
		t.opts.Source.Forget()
		debug.FreeOSMemory()
	}
	return nil
}

func (t *trainer) run(ctx context.Context) error {
	s, opts := t.state, t.opts
	for s.Step < opts.Steps && (opts.Patience == 0 || s.Worse < opts.Patience) {
		if opts.Yield != nil {
			if err := opts.Yield(ctx); err != nil {
				return fmt.Errorf("qlora: stopped at step %d: %w", s.Step, err)
			}
		}
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("qlora: stopped at step %d: %w", s.Step, err)
		}
		loss, err := t.step()
		if err != nil {
			return fmt.Errorf("qlora: step %d: %w", s.Step, err)
		}
		if !finite(loss) {
			return fmt.Errorf("qlora: the loss of step %d is %g", s.Step, loss)
		}
		if opts.Progress != nil {
			opts.Progress(s.Step, loss)
		}
		s.Step++
		if len(opts.Validate) > 0 && opts.ValidateEvery > 0 && (s.Step%opts.ValidateEvery == 0 || s.Step == opts.Steps) {
			if err := t.validate(); err != nil {
				return fmt.Errorf("qlora: validation after step %d: %w", s.Step, err)
			}
		}
		if opts.Checkpoint != nil && opts.CheckpointEvery > 0 && s.Step%opts.CheckpointEvery == 0 {
			if err := opts.Checkpoint(s); err != nil {
				return fmt.Errorf("qlora: checkpoint after step %d: %w", s.Step, err)
			}
		}
	}
	return nil
}

func finite(loss float64) bool { return !math.IsNaN(loss) && !math.IsInf(loss, 0) }

// shape is what a graph is compiled for.
type shape struct {
	size, length, asked int
	adds                bool
}

// pass sends a batch through the network, adds its gradient where that is wanted, and returns its sums of loss and weights.
func (t *trainer) pass(b Batch, adds bool) (loss, weight float32, err error) {
	args, way := t.batch(b), t.way.measure
	if adds {
		way = t.way.add
	}
	places, _ := b.asked()
	sums, err := way(args)
	if err != nil {
		return 0, 0, err
	}
	sums.MustConstFlatData(func(flat any) { loss, weight = flat.([]float32)[0], flat.([]float32)[1] })
	if s := (shape{b.Size, b.Length, len(places), adds}); !t.compiled[s] {
		t.compiled[s] = true
		t.eng.Compiled()
	}
	return loss, weight, nil
}

// step makes one update from the next batches.
func (t *trainer) step() (loss float64, err error) {
	n := len(t.trained)
	sum, weight := float32(0), float32(0)
	for k := range t.opts.Accumulate {
		for _, b := range t.opts.Next(t.state.Step*t.opts.Accumulate + k).passes(t.opts.passTokens) {
			s, w, err := t.pass(b, true)
			if err != nil {
				return 0, err
			}
			sum, weight = sum+s, weight+w
		}
	}
	at := float64(t.state.Step + 1)
	rates := tensors.FromFlatDataAndDimensions([]float32{
		float32(t.opts.PeakRate * t.opts.Schedule(t.state.Step, t.opts.Steps)),
		float32(1 - math.Pow(beta1, at)), float32(1 - math.Pow(t.opts.Beta2, at)),
	}, 3)
	args := []any{weight, rates}
	for _, list := range [][]*tensors.Tensor{t.gradients, t.state.params, t.state.moments} {
		if args, err = t.give(args, list); err != nil {
			return 0, err
		}
	}
	out, err := t.update.Call(args...)
	if err != nil {
		return 0, err
	}
	t.gradients, t.state.params, t.state.moments = out[:n], out[n:2*n], out[2*n:]
	return float64(sum / (weight + little)), nil
}

// validate measures the mean loss of the batches that never train and keeps the best weights.
func (t *trainer) validate() error {
	sum, weight := 0.0, 0.0
	for _, b := range t.opts.Validate {
		s, w, err := t.pass(b, false)
		if err != nil {
			return err
		}
		sum, weight = sum+float64(s), weight+float64(w)
	}
	s := t.state
	loss := sum / weight
	if !finite(loss) { // or nothing weighs anything
		return fmt.Errorf("the loss is %g", loss)
	}
	best := s.best == nil || loss < s.BestLoss
	if best {
		s.best, s.BestLoss, s.BestStep, s.Worse = floatsOf(s.params), loss, s.Step, 0
	} else {
		s.Worse++
	}
	if t.opts.Validated != nil {
		t.opts.Validated(s.Step, loss, best)
	}
	return nil
}

// batch makes the first inputs of a graph.
func (t *trainer) batch(b Batch) []any {
	c := t.opts.Config
	cos, sin := c.Rotary(t.opts.Prefix + b.Length)
	cos, sin = cos[t.opts.Prefix*c.HeadDim:], sin[t.opts.Prefix*c.HeadDim:]
	places, weights := b.asked()
	return []any{
		tensors.FromFlatDataAndDimensions(b.Tokens, b.Size, b.Length+1), tensors.FromFlatDataAndDimensions(places, len(places)),
		tensors.FromFlatDataAndDimensions(weights, len(weights)), tensors.FromFlatDataAndDimensions(cos, b.Length, c.HeadDim),
		tensors.FromFlatDataAndDimensions(sin, b.Length, c.HeadDim),
	}
}

// give appends tensors whose memory the graph may use for what it returns.
func (t *trainer) give(args []any, list []*tensors.Tensor) ([]any, error) {
	for _, tensor := range list {
		donated, err := DonateTensorBuffer(tensor, t.backend, 0)
		if err != nil {
			return nil, err
		}
		args = append(args, donated)
	}
	return args, nil
}

// lend appends tensors that stay ours.
func lend(args []any, lists ...[]*tensors.Tensor) []any {
	for _, list := range lists {
		for _, tensor := range list {
			args = append(args, tensor)
		}
	}
	return args
}

func floatsOf(list []*tensors.Tensor) [][]float32 {
	out := make([][]float32, len(list))
	for i, t := range list {
		t.MustConstFlatData(func(flat any) { out[i] = append([]float32(nil), flat.([]float32)...) })
	}
	return out
}

// result returns the best weights, or the last when none were measured.
func (t *trainer) result() *Result {
	r := &Result{Steps: t.state.Step, BestStep: t.state.Step, BestLoss: math.NaN()}
	values := t.state.best
	if values == nil {
		values = floatsOf(t.state.params)
	} else {
		r.BestStep, r.BestLoss = t.state.BestStep, t.state.BestLoss
	}
	byName := map[string][]float32{}
	for i, s := range t.trained {
		byName[s.name] = values[i]
	}
	if t.opts.full() {
		r.Weights = byName
		return r
	}
	if n := t.opts.Prefix; n > 0 {
		r.Adapter = &llama.Adapter{Prefix: llama.Prefix{Tokens: n, Values: byName[prefixName]}}
		return r
	}
	r.Adapter = &llama.Adapter{Rank: t.opts.Rank, Alpha: t.opts.Alpha, A: map[string][]float32{}, B: map[string][]float32{}}
	for _, l := range t.opts.Config.Linears() {
		r.Adapter.A[l.Name], r.Adapter.B[l.Name] = byName[l.Name+".A"], byName[l.Name+".B"]
	}
	return r
}
