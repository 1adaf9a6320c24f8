package qlora

import (
	"slices"
	"strings"

	"llamaxr/inference/llama"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
)

// pieces is gradient checkpointing (Chen et al. 2016): a graph for the embedding, one for a layer, which all layers share, and one for the
// head with the loss. Of the way forward each piece's input is kept; its inside is computed again on the way back. So one layer's inside,
// and one layer's matrices where the base is packed, are in memory at a time, and one layer is compiled however many there are.
type pieces struct {
	*trainer
	chain []piece // the embedding, the layers, the head
}

// piece is what one graph computes of x. All layers have the graphs of the first.
type piece struct {
	compute           func(p part, x *Node) *Node
	trained, frozen   []int // its tensors, of the trainer's
	forward, backward *Exec
}

func newPieces(t *trainer) (*pieces, error) {
	s := &pieces{trainer: t}
	c := t.opts.Config
	s.append(func(p part, _ *Node) *Node { return p.embedding() }, func(name string) bool { return name == llama.EmbeddingName })
	for i := range c.Layers {
		s.append(func(p part, x *Node) *Node { return p.layer(0, x) }, func(name string) bool {
			return strings.HasPrefix(name, llama.LayerPrefix(i)) || name == prefixName
		})
	}
	head := c.HeadOf()
	s.append(part.loss, func(name string) bool { return name == llama.FinalNormName || name == head })
	last := len(s.chain) - 1
	for i := range s.chain {
		p := &s.chain[i]
		if 1 < i && i < last {
			p.forward, p.backward = s.chain[1].forward, s.chain[1].backward
			continue
		}
		first := *p
		var err error
		if p.forward, err = NewExec(s.backend, func(in []*Node) *Node { return s.forwardGraph(first, in) }); err != nil {
			return s, err
		}
		if p.backward, err = NewExec(s.backend, func(in []*Node) []*Node { return s.backwardGraph(first, in, i == last) }); err != nil {
			return s, err
		}
	}
	return s, nil
}

func (s *pieces) append(compute func(p part, x *Node) *Node, has func(name string) bool) {
	at := func(slots []slot) (out []int) {
		for i, slot := range slots {
			if has(slot.name) {
				out = append(out, i)
			}
		}
		return out
	}
	s.chain = append(s.chain, piece{compute: compute, trained: at(s.trained), frozen: at(s.frozen)})
}

func (s *pieces) finalize() {
	for _, i := range []int{0, 1, len(s.chain) - 1} {
		for _, exec := range []*Exec{s.chain[i].forward, s.chain[i].backward} {
			if exec != nil {
				exec.Finalize()
			}
		}
	}
}

// forwardGraph has the inputs batch, number of the layer, x, parameters, frozen.
func (s *pieces) forwardGraph(p piece, in []*Node) *Node {
	first, x, rest := in[batchInputs], in[batchInputs+1], in[batchInputs+2:]
	return p.compute(part{s.trainer, in[:batchInputs], named(rest, pick(s.trained, p.trained), pick(s.frozen, p.frozen)), first}, x)
}

// backwardGraph has the inputs gradient of the output, gradients so far, and forwardGraph's; and the outputs gradient of x, gradients,
// and where that is wanted the output itself.
func (s *pieces) backwardGraph(p piece, in []*Node, value bool) (out []*Node) {
	n := len(p.trained)
	dy, gradients, in := in[0], in[1:1+n], in[1+n:]
	y := s.forwardGraph(p, in)
	for i, g := range Gradient(ReduceAllSum(Mul(y, dy)), in[batchInputs+1:batchInputs+2+n]...) {
		if i > 0 {
			g = Add(gradients[i-1], g)
		}
		out = append(out, g)
	}
	if value {
		out = append(out, y)
	}
	return out
}

// inputs appends forwardGraph's.
func (s *pieces) inputs(args []any, i int, batch []any, x *tensors.Tensor) []any {
	p := s.chain[i]
	args = append(append(args, batch...), int32(max(i-1, 0)), x)
	return lend(args, pick(s.state.params, p.trained), pick(s.constants, p.frozen))
}

// nothing is what the embedding takes for x.
func nothing() *tensors.Tensor { return tensors.FromScalar(float32(0)) }

func (s *pieces) measure(batch []any) (*tensors.Tensor, error) {
	x := nothing()
	for i, p := range s.chain {
		y, err := p.forward.Call1(s.inputs(nil, i, batch, x)...)
		if err == nil {
			err = x.FinalizeAll()
		}
		if err != nil {
			return nil, err
		}
		x = y
	}
	return x, nil
}

func (s *pieces) add(batch []any) (sums *tensors.Tensor, err error) {
	last := len(s.chain) - 1
	kept := []*tensors.Tensor{nothing()}
	for i, p := range s.chain[:last] {
		y, err := p.forward.Call1(s.inputs(nil, i, batch, kept[i])...)
		if err != nil {
			return nil, err
		}
		kept = append(kept, y)
	}
	dy := tensors.FromFlatDataAndDimensions([]float32{1, 0}, 2) // of the loss
	for i, p := range slices.Backward(s.chain) {
		n := len(p.trained)
		if i == 0 && n == 0 {
			break
		}
		args, err := s.give([]any{dy}, pick(s.gradients, p.trained))
		if err != nil {
			return nil, err
		}
		out, err := p.backward.Call(s.inputs(args, i, batch, kept[i])...)
		if err != nil {
			return nil, err
		}
		for k, at := range p.trained {
			s.gradients[at] = out[1+k]
		}
		if i == last {
			sums = out[1+n]
		}
		for _, done := range []*tensors.Tensor{kept[i], dy} {
			if err := done.FinalizeAll(); err != nil {
				return nil, err
			}
		}
		dy = out[0]
	}
	return sums, nil
}

// pick are the elements at these places.
func pick[T any](list []T, at []int) []T {
	out := make([]T, len(at))
	for i, k := range at {
		out[i] = list[k]
	}
	return out
}
