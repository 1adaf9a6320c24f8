package qlora

import (
	"fmt"
	"math"
	"math/rand/v2"

	"llamaxr/inference/llama"
)

// slot is one tensor of the graph.
type slot struct {
	name  string
	shape []int
}

func (s slot) size() int {
	n := 1
	for _, d := range s.shape {
		n *= d
	}
	return n
}

// A matrix that stays in 4 bits is two tensors.
const (
	codesSuffix      = ".codes"
	magnitudesSuffix = ".magnitudes"
)

// slots lists what trains, with the values it starts from.
func slots(opts Options) (trained []slot, values [][]float32, err error) {
	c := opts.Config
	if opts.Rank > 0 && opts.Prefix > 0 {
		return nil, nil, fmt.Errorf("qlora: an adapter is LoRA of rank %d or a prefix of %d tokens, not both", opts.Rank, opts.Prefix)
	}
	if opts.full() {
		for _, p := range Parameters(c) {
			trained, values = append(trained, slot(p)), append(values, opts.Base[p.name])
		}
		return trained, values, nil
	}
	start := opts.Adapter
	if start == nil {
		start = newAdapter(c, opts)
	} else if start.Prefix.Tokens != opts.Prefix {
		return nil, nil, fmt.Errorf("qlora: the adapter to go on from has %d virtual tokens, not %d", start.Prefix.Tokens, opts.Prefix)
	} else if start.Rank != opts.Rank || start.Alpha != opts.Alpha {
		return nil, nil, fmt.Errorf("qlora: the adapter to go on from has rank %d and alpha %d, not %d and %d",
			start.Rank, start.Alpha, opts.Rank, opts.Alpha)
	}
	if opts.Prefix > 0 {
		if len(start.Prefix.Values) != opts.Prefix*c.PrefixWidth() {
			return nil, nil, fmt.Errorf("qlora: the prefix to go on from does not fit the model")
		}
		return []slot{{prefixName, []int{opts.Prefix, c.PrefixWidth()}}}, [][]float32{start.Prefix.Values}, nil
	}
	for _, l := range c.Linears() {
		a, b := start.A[l.Name], start.B[l.Name]
		if len(a) != opts.Rank*l.In || len(b) != opts.Rank*l.Out {
			return nil, nil, fmt.Errorf("qlora: the adapter to go on from does not fit layer %s", l.Name)
		}
		trained = append(trained, slot{l.Name + ".A", []int{opts.Rank, l.In}}, slot{l.Name + ".B", []int{l.Out, opts.Rank}})
		values = append(values, a, b)
	}
	return trained, values, nil
}

// Trainable counts the numbers that train: of LoRA (41,943,040 for rank 16 on Llama 3.1 8B), of a prefix, or with neither all.
func Trainable(c *llama.Config, rank, prefix int) int {
	n := prefix * c.PrefixWidth()
	for _, l := range c.Linears() {
		n += rank * (l.In + l.Out)
	}
	if n == 0 {
		for _, p := range Parameters(c) {
			n += slot(p).size()
		}
	}
	return n
}

// prefixName is the one tensor of a prefix.
const prefixName = "prefix"

// newAdapter is PEFT's: A from kaiming_uniform with a = sqrt(5), B zero; a prefix from the normal distribution.
func newAdapter(c *llama.Config, opts Options) *llama.Adapter {
	rng := rand.New(rand.NewPCG(opts.Seed, 5))
	if opts.Prefix > 0 {
		values := make([]float32, opts.Prefix*c.PrefixWidth())
		for i := range values {
			values[i] = float32(rng.NormFloat64())
		}
		return &llama.Adapter{Prefix: llama.Prefix{Tokens: opts.Prefix, Values: values}}
	}
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
