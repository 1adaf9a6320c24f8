// Package qlora trains Llama models on GoMLX: all parameters, or a LoRA adapter over a frozen base whose linear layers are what NF4
// gives back (QLoRA, Dettmers et al. 2023). The loss is the cross-entropy of the next token, weighted token by token, so that a
// prompt can weigh nothing.
package qlora

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"

	"llamaxr/inference/engine"
	"llamaxr/inference/llama"

	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
)

// Batch is B sequences of T+1 tokens: the model reads the first T and is asked for the last T; Weights [B*T] says how much each
// asked token counts.
type Batch struct {
	Size, Length int
	Tokens       []int32 // B * (T+1)
	Weights      []float32
}

// Options are the settings of one run.
type Options struct {
	Config *llama.Config
	// Base are the weights to start from. They train, unless Rank is above zero: then they stay and an adapter trains.
	Base        llama.Weights
	Rank, Alpha int
	// Adapter is one to go on from, of the same rank and alpha; nil starts a new one that at first changes nothing.
	Adapter  *llama.Adapter
	Steps    int
	PeakRate float64
	Decay    float64 // AdamW's weight decay of matrices
	Seed     uint64
	Next     func(step int) Batch
	Progress func(step int, loss float64)
}

const (
	beta1   = 0.9
	beta2   = 0.98
	epsilon = 1e-8
	// clip bounds the norm of a whole gradient.
	clip = 1.0
)

// Result is what a run leaves: trained weights, or an adapter.
type Result struct {
	Weights llama.Weights
	Adapter *llama.Adapter
}

// slot is one tensor of the graph.
type slot struct {
	name  string
	shape []int
}

// Train runs all steps. The same options give the same result on the same engine.
func Train(ctx context.Context, eng *engine.Engine, opts Options) (*Result, error) {
	c := opts.Config
	var trained, frozen []slot
	var values, constants [][]float32
	for _, p := range Parameters(c) {
		if opts.Rank > 0 {
			frozen, constants = append(frozen, slot(p)), append(constants, opts.Base[p.name])
		} else {
			trained, values = append(trained, slot(p)), append(values, opts.Base[p.name])
		}
	}
	if opts.Rank > 0 {
		start := opts.Adapter
		if start == nil {
			start = newAdapter(c, opts)
		} else if start.Rank != opts.Rank || start.Alpha != opts.Alpha {
			return nil, fmt.Errorf("qlora: the adapter to go on from has rank %d and alpha %d, not %d and %d",
				start.Rank, start.Alpha, opts.Rank, opts.Alpha)
		}
		for _, l := range c.Linears() {
			a, b := start.A[l.Name], start.B[l.Name]
			if len(a) != opts.Rank*l.In || len(b) != opts.Rank*l.Out {
				return nil, fmt.Errorf("qlora: the adapter to go on from does not fit layer %s", l.Name)
			}
			trained = append(trained, slot{l.Name + ".A", []int{opts.Rank, l.In}}, slot{l.Name + ".B", []int{l.Out, opts.Rank}})
			values = append(values, a, b)
		}
	}
	tensorsOf := func(slots []slot, values [][]float32) []*tensors.Tensor {
		out := make([]*tensors.Tensor, len(slots))
		for i, s := range slots {
			out[i] = tensors.FromFlatDataAndDimensions(values[i], s.shape...)
		}
		return out
	}
	zeros := make([][]float32, len(values))
	for i := range zeros {
		zeros[i] = make([]float32, len(values[i]))
	}
	params, m, v, fixed := tensorsOf(trained, values), tensorsOf(trained, zeros), tensorsOf(trained, zeros), tensorsOf(frozen, constants)
	exec, err := NewExec(eng.Backend, func(in []*Node) []*Node { return step(in, opts, trained, frozen) })
	if err != nil {
		return nil, fmt.Errorf("qlora: %w", err)
	}
	defer exec.Finalize()
	n := len(trained)
	for i := range opts.Steps {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("qlora: stopped at step %d: %w", i, err)
		}
		batch := opts.Next(i)
		cos, sin := c.Rotary(batch.Length)
		args := []any{
			tensors.FromFlatDataAndDimensions(batch.Tokens, batch.Size, batch.Length+1),
			tensors.FromFlatDataAndDimensions(batch.Weights, batch.Size, batch.Length),
			tensors.FromFlatDataAndDimensions([]float32{
				float32(opts.PeakRate * Schedule(i, opts.Steps)),
				float32(1 - math.Pow(beta1, float64(i+1))), float32(1 - math.Pow(beta2, float64(i+1))),
			}, 3),
			tensors.FromFlatDataAndDimensions(cos, batch.Length, c.HeadDim), tensors.FromFlatDataAndDimensions(sin, batch.Length, c.HeadDim),
		}
		for _, list := range [][]*tensors.Tensor{params, m, v} {
			for _, t := range list {
				donated, err := DonateTensorBuffer(t, eng.Backend, 0)
				if err != nil {
					return nil, fmt.Errorf("qlora: %w", err)
				}
				args = append(args, donated)
			}
		}
		for _, t := range fixed {
			args = append(args, t)
		}
		out, err := exec.Call(args...)
		if err != nil {
			return nil, fmt.Errorf("qlora: step %d: %w", i, err)
		}
		loss := float64(tensors.ToScalar[float32](out[0]))
		if math.IsNaN(loss) {
			return nil, fmt.Errorf("qlora: the loss of step %d is not a number", i)
		}
		params, m, v = out[1:1+n], out[1+n:1+2*n], out[1+2*n:]
		if opts.Progress != nil {
			opts.Progress(i, loss)
		}
	}
	return collect(opts, trained, params), nil
}

// newAdapter is PEFT's: A from kaiming_uniform with a = sqrt(5), B zero.
func newAdapter(c *llama.Config, opts Options) *llama.Adapter {
	rng := rand.New(rand.NewPCG(opts.Seed, 5))
	adapter := &llama.Adapter{Rank: opts.Rank, Alpha: opts.Alpha, A: map[string][]float32{}, B: map[string][]float32{}}
	for _, l := range c.Linears() {
		a := make([]float32, opts.Rank*l.In)
		bound := 1 / math.Sqrt(float64(l.In))
		for i := range a {
			a[i] = float32((2*rng.Float64() - 1) * bound)
		}
		adapter.A[l.Name], adapter.B[l.Name] = a, make([]float32, l.Out*opts.Rank)
	}
	return adapter
}

func collect(opts Options, trained []slot, params []*tensors.Tensor) *Result {
	byName := map[string][]float32{}
	for i, s := range trained {
		params[i].MustConstFlatData(func(flat any) { byName[s.name] = append([]float32(nil), flat.([]float32)...) })
	}
	if opts.Rank == 0 {
		return &Result{Weights: byName}
	}
	adapter := &llama.Adapter{Rank: opts.Rank, Alpha: opts.Alpha, A: map[string][]float32{}, B: map[string][]float32{}}
	for _, l := range opts.Config.Linears() {
		adapter.A[l.Name], adapter.B[l.Name] = byName[l.Name+".A"], byName[l.Name+".B"]
	}
	return &Result{Adapter: adapter}
}

type parameter slot

// Parameters lists a model's own parameters in a fixed order.
func Parameters(c *llama.Config) []parameter {
	out := []parameter{{llama.EmbeddingName, []int{c.VocabSize, c.HiddenSize}}}
	for _, l := range c.Linears() {
		out = append(out, parameter{l.Name + ".weight", []int{l.Out, l.In}})
	}
	for _, name := range c.Norms() {
		out = append(out, parameter{name, []int{c.HiddenSize}})
	}
	if !c.TieWordEmbeddings {
		out = append(out, parameter{llama.HeadName, []int{c.VocabSize, c.HiddenSize}})
	}
	return out
}

// RandomWeights are a model's weights before any training: normal with standard deviation 0.02, norms one, the projections back
// into the stream scaled down by depth (Radford et al. 2019).
func RandomWeights(c *llama.Config, seed uint64) llama.Weights {
	rng := rand.New(rand.NewPCG(seed, 9))
	out := llama.Weights{}
	for _, p := range Parameters(c) {
		n := 1
		for _, d := range p.shape {
			n *= d
		}
		values := make([]float32, n)
		spread := 0.02
		if len(p.shape) == 2 && p.shape[0] == c.HiddenSize {
			spread /= math.Sqrt(2 * float64(c.Layers))
		}
		for i := range values {
			if len(p.shape) == 1 {
				values[i] = 1
			} else {
				values[i] = float32(rng.NormFloat64() * spread)
			}
		}
		out[p.name] = values
	}
	return out
}

// Schedule is the rate's share of its peak: a linear warm-up of a twentieth, then a cosine to a twentieth.
func Schedule(step, steps int) float64 {
	warm := max(steps/20, 1)
	if step < warm {
		return float64(step+1) / float64(warm)
	}
	t := float64(step-warm) / float64(max(steps-warm, 1))
	return 0.05 + 0.95*0.5*(1+math.Cos(math.Pi*t))
}

// step is the graph of one step. Inputs: tokens, weights, [rate, 1-beta1^t, 1-beta2^t], cos, sin, parameters, m, v, frozen.
func step(in []*Node, opts Options, trained, frozen []slot) []*Node {
	c := opts.Config
	n := len(trained)
	tokens, weights, rates, cos, sin := in[0], in[1], in[2], in[3], in[4]
	params, m, v, fixed := in[5:5+n], in[5+n:5+2*n], in[5+2*n:5+3*n], in[5+3*n:]
	byName := map[string]*Node{}
	for i, s := range trained {
		byName[s.name] = params[i]
	}
	for i, s := range frozen {
		byName[s.name] = fixed[i]
	}
	length := tokens.Shape().Dimensions[1] - 1
	network := llama.Network{Config: c, Weight: func(name string) *Node { return byName[name] }}
	if opts.Rank > 0 {
		scale := float64(opts.Alpha) / float64(opts.Rank)
		network.Adapter = func(name string, x *Node) *Node {
			return MulScalar(Einsum("rk,ok->ro", Einsum("ri,ki->rk", x, byName[name+".A"]), byName[name+".B"]), scale)
		}
	}
	read := Slice(tokens, AxisRange(), AxisRange(0, length))
	asked := Slice(tokens, AxisRange(), AxisRange(1))
	x := Einsum("btv,vh->bth", OneHot(read, c.VocabSize, dtypes.Float32), byName[llama.EmbeddingName])
	hidden := network.Forward(x, cos, sin, llama.Causal(tokens.Graph(), length))
	logProbabilities := LogSoftmax(network.Logits(hidden), -1)
	picked := ReduceSum(Mul(logProbabilities, OneHot(asked, c.VocabSize, dtypes.Float32)), -1)
	loss := Neg(Div(ReduceAllSum(Mul(picked, weights)), AddScalar(ReduceAllSum(weights), 1e-6)))
	gradients := Gradient(loss, params...)
	var square *Node
	for _, g := range gradients {
		s := ReduceAllSum(Square(g))
		if square == nil {
			square = s
		} else {
			square = Add(square, s)
		}
	}
	shrink := Div(ConstAs(square, float32(clip)), MaxScalar(Sqrt(square), clip))
	rate := Reshape(Slice(rates, AxisElem(0)))
	fix1, fix2 := Reshape(Slice(rates, AxisElem(1))), Reshape(Slice(rates, AxisElem(2)))
	out := make([]*Node, 1+3*n)
	out[0] = loss
	for i, g := range gradients {
		g = Mul(g, shrink)
		newM := Add(MulScalar(m[i], beta1), MulScalar(g, 1-beta1))
		newV := Add(MulScalar(v[i], beta2), MulScalar(Square(g), 1-beta2))
		update := Div(Div(newM, fix1), AddScalar(Sqrt(Div(newV, fix2)), epsilon))
		if opts.Decay > 0 && params[i].Rank() == 2 {
			update = Add(update, MulScalar(params[i], opts.Decay))
		}
		out[1+i], out[1+n+i], out[1+2*n+i] = Sub(params[i], Mul(rate, update)), newM, newV
	}
	return out
}
