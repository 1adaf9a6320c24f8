package qlora

import (
	"slices"

	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
)

// way is how batches go through the network.
type way interface {
	// add adds a batch's gradient to the trainer's and returns the sums of loss and weights.
	add(batch []any) (*tensors.Tensor, error)
	// measure returns these sums alone.
	measure(batch []any) (*tensors.Tensor, error)
	finalize()
}

func (t *trainer) newWay() (way, error) {
	if t.opts.inPieces() {
		return newPieces(t)
	}
	return newWhole(t)
}

// whole is one graph for all layers.
type whole struct {
	*trainer
	forward, backward *Exec
}

func newWhole(t *trainer) (_ *whole, err error) {
	w := &whole{trainer: t}
	if w.forward, err = NewExec(t.backend, w.measureGraph); err != nil {
		return nil, err
	}
	w.backward, err = NewExec(t.backend, w.addGraph)
	return w, err
}

func (w *whole) finalize() {
	w.forward.Finalize()
	w.backward.Finalize()
}

func (w *whole) add(batch []any) (*tensors.Tensor, error) {
	args, err := w.give(batch, w.gradients)
	if err != nil {
		return nil, err
	}
	out, err := w.backward.Call(lend(args, w.state.params, w.constants)...)
	if err != nil {
		return nil, err
	}
	w.gradients = out[1:]
	return out[0], nil
}

func (w *whole) measure(batch []any) (*tensors.Tensor, error) {
	return w.forward.Call1(lend(batch, w.state.params, w.constants)...)
}

// measureGraph has the inputs batch, parameters, frozen.
func (w *whole) measureGraph(in []*Node) *Node {
	p := part{w.trainer, in[:batchInputs], named(in[batchInputs:], w.trained, w.frozen), ScalarZero(in[0].Graph(), dtypes.Int32)}
	x := p.embedding()
	for i := range w.opts.Config.Layers {
		x = p.layer(i, x)
	}
	return p.loss(x)
}

// addGraph has the inputs batch, gradients so far, parameters, frozen, and the outputs sums, gradients.
func (w *whole) addGraph(in []*Node) []*Node {
	n := len(w.trained)
	gradients, rest := in[batchInputs:batchInputs+n], in[batchInputs+n:]
	sums := w.measureGraph(append(slices.Clone(in[:batchInputs]), rest...))
	out := []*Node{sums}
	for i, g := range Gradient(Reshape(Slice(sums, AxisElem(0))), rest[:n]...) {
		out = append(out, Add(gradients[i], g))
	}
	return out
}

// named are tensors by the names of their slots.
func named(in []*Node, lists ...[]slot) map[string]*Node {
	out := map[string]*Node{}
	for _, s := range slices.Concat(lists...) {
		out[s.name], in = in[0], in[1:]
	}
	return out
}
