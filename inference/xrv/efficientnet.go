package xrv

import (
	"fmt"
	"slices"

	. "github.com/gomlx/gomlx/core/graph"
)

// EfficientNet is EfficientNet-B0 (Tan and Le 2019, table 1) under torchvision's names.
type EfficientNet struct {
	Channels int
	blocks   []inverted
	features int
}

// inverted is one block: it widens its channels where expand is not 1, looks at each of them by a kernel of side k, weighs them, and narrows
// them to out.
type inverted struct {
	name                                 string
	expand, k, stride, in, out, squeezed int
}

// efficientStages is table 1: expansion, kernel, stride, outputs, blocks of each stage.
var efficientStages = [][5]int{
	{1, 3, 1, 16, 1}, {6, 3, 2, 24, 2}, {6, 5, 2, 40, 2}, {6, 3, 2, 80, 3}, {6, 5, 1, 112, 3}, {6, 5, 2, 192, 4}, {6, 3, 1, 320, 1},
}

// efficientStem is the number of channels before the first stage, efficientSqueeze the part of a block's inputs that weigh its channels.
const (
	efficientStem    = 32
	efficientSqueeze = 4
)

func efficientNetOf(shapes map[string][]int) (network, error) {
	stem, head := dims(shapes, "features.0.0.weight", 4), dims(shapes, "features.8.0.weight", 4)
	n := EfficientNet{Channels: stem[1], features: head[0]}
	in := efficientStem
	for s, stage := range efficientStages {
		for b := range stage[4] {
			block := inverted{fmt.Sprintf("features.%d.%d.block", s+1, b), stage[0], stage[1], stage[2], in, stage[3], max(1, in/efficientSqueeze)}
			if b > 0 {
				block.stride = 1
			}
			n.blocks = append(n.blocks, block)
			in = block.out
		}
	}
	last := n.blocks[len(n.blocks)-1]
	narrow := fmt.Sprintf("%s.3.0.weight", last.name)
	if deeper := "features.7.1.block.0.0.weight"; stem[0] != efficientStem || !slices.Equal(shapes[narrow], []int{last.out, last.in * last.expand, 1, 1}) || shapes[deeper] != nil {
		return nil, fmt.Errorf("xrv: the tensors are an EfficientNet's other than B0: stem %v, %s %v", stem, narrow, shapes[narrow])
	}
	return n, nil
}

func (n EfficientNet) String() string { return "efficientnet_b0" }
func (n EfficientNet) channels() int  { return n.Channels }
func (n EfficientNet) side() int      { return anySide }

// parts names a block's convolutions: where nothing is widened the others move up by one.
func (b inverted) parts() (widen, look, weigh, narrow string) {
	if b.expand == 1 {
		return "", b.name + ".0", b.name + ".1", b.name + ".2"
	}
	return b.name + ".0", b.name + ".1", b.name + ".2", b.name + ".3"
}

func (n EfficientNet) params(r *reader, outputs int) *weights {
	w := new(weights)
	conv := func(name string, out, in, k int) { w.kernel(r, name+".0", name+".1", []int{out, in, k, k}) }
	one := func(name string, out, in int) {
		w.plain(r, name+".weight", out, in, 1, 1)
		w.plain(r, name+".bias", out)
	}
	conv("features.0", efficientStem, n.Channels, 3)
	for _, b := range n.blocks {
		widen, look, weigh, narrow := b.parts()
		wide := b.in * b.expand
		if widen != "" {
			conv(widen, wide, b.in, 1)
		}
		conv(look, wide, 1, b.k)
		one(weigh+".fc1", b.squeezed, wide)
		one(weigh+".fc2", wide, b.squeezed)
		conv(narrow, b.out, wide, 1)
	}
	conv("features.8", n.features, n.blocks[len(n.blocks)-1].out, 1)
	w.plain(r, "classifier.1.weight", outputs, n.features)
	w.plain(r, "classifier.1.bias", outputs)
	return w
}

func (n EfficientNet) forward(p func(string) *Node, x *Node) (logits, cam *Node) {
	x = silu(convolve(p, "features.0.0", x, 2, 1))
	for _, b := range n.blocks {
		widen, look, weigh, narrow := b.parts()
		y := x
		if widen != "" {
			y = silu(convolve(p, widen+".0", y, 1, 1))
		}
		y = silu(convolve(p, look+".0", y, b.stride, b.in*b.expand))
		mean := ReduceMean(y, 1, 2)
		gate := silu(linear(mean, squareless(p(weigh+".fc1.weight")), p(weigh+".fc1.bias")))
		gate = Sigmoid(linear(gate, squareless(p(weigh+".fc2.weight")), p(weigh+".fc2.bias")))
		d := gate.Shape().Dimensions
		y = convolve(p, narrow+".0", Mul(y, Reshape(gate, d[0], 1, 1, d[1])), 1, 1)
		if b.stride == 1 && b.in == b.out {
			y = Add(x, y)
		}
		x = y
	}
	x = silu(convolve(p, "features.8.0", x, 1, 1))
	return pooled(x, p("classifier.1.weight"), p("classifier.1.bias"))
}

func silu(x *Node) *Node { return Mul(x, Sigmoid(x)) }

// squareless drops the two axes of length 1 from a kernel [out, in, 1, 1].
func squareless(kernel *Node) *Node {
	d := kernel.Shape().Dimensions
	return Reshape(kernel, d[0], d[1])
}

// linear is torch's: x [..., in] by weight [out, in], plus bias [out].
func linear(x, weight, bias *Node) *Node {
	d := x.Shape().Dimensions
	last := len(d) - 1
	rows := 1
	for _, n := range d[:last] {
		rows *= n
	}
	y := MatMul(Reshape(x, rows, d[last]), Transpose(weight, 0, 1))
	y = Add(y, ExpandLeftToRank(bias, 2))
	return Reshape(y, append(slices.Clone(d[:last]), weight.Shape().Dimensions[0])...)
}
