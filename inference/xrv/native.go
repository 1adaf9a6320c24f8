package xrv

import (
	"fmt"
	"sync"

	"llamaxr/inference/kernel"
	"llamaxr/inference/team"
)

// native is a DenseNet computed on the processor by inference/kernel, without a graph: nothing is compiled, and it is the faster.
//
// Maps are points of channels, all pictures one after another. A block's map has room for the channels that its layers add, so that nothing is
// put together: a layer reads the channels that are there and writes its own behind them.
type native struct {
	shape       Shape
	input       Input
	stem        *kernel.Panels
	stemShift   []float32
	blocks      [][]denseLayer
	transitions []transition // one fewer than blocks
	last        scaling
	classifier  [][]float32 // by output
	bias        []float32

	// Room that calls, one after another, use again.
	maps   [2]room // of blocks, in turn
	narrow room
	parts  sync.Pool // *room, of each that is computed
}

// room is memory for values, of which nothing is known.
type room struct{ values []float32 }

func (r *room) take(n int) []float32 {
	if len(r.values) < n {
		r.values = make([]float32, n)
	}
	return r.values[:n]
}

// scaling is a norm: x scale + shift.
type scaling struct{ scale, shift []float32 }

// denseLayer narrows what it sees to the bottleneck, by a matrix that the second norm is folded into, and looks around by a 3x3 convolution.
type denseLayer struct {
	norm   scaling
	narrow *kernel.Panels
	shift  []float32
	look   *kernel.Winograd
}

type transition struct {
	norm   scaling
	narrow *kernel.Panels
}

// Work is shared out in parts of so many tiles of rows: enough of them for every core, and small enough for its cache.
const tilesAPart = 2

// nativeOf returns the network in native form, nil where there is no code for its measures or this processor.
func nativeOf(s Shape, w *weights, in Input) *native {
	if !kernel.Convolves() || s.Stem%kernel.PanelColumns != 0 || s.Growth%kernel.PanelColumns != 0 || s.Bottleneck%kernel.PanelColumns != 0 {
		return nil
	}
	values := map[string][]float32{}
	for i, name := range w.names {
		values[name] = w.values[i]
	}
	scalingOf := func(name string) scaling { return scaling{values[name+".scale"], values[name+".shift"]} }
	n := &native{
		shape: s, input: in, bias: values["classifier.bias"], last: scalingOf("features.norm5"), stemShift: values["features.norm0.shift"],
		stem: kernel.NewPanels(values["features.conv0.weight"], stemSide*stemSide*s.Channels, s.Stem),
	}
	channels := s.Stem
	for b, layers := range s.Blocks {
		var block []denseLayer
		for l := range layers {
			name := fmt.Sprintf("features.denseblock%d.denselayer%d", b+1, l+1)
			block = append(block, denseLayer{
				scalingOf(name + ".norm1"), kernel.NewPanels(values[name+".conv1.weight"], channels, s.Bottleneck), values[name+".norm2.shift"],
				kernel.NewWinograd(values[name+".conv2.weight"], s.Bottleneck, s.Growth),
			})
			channels += s.Growth
		}
		n.blocks = append(n.blocks, block)
		if b == len(s.Blocks)-1 {
			break
		}
		if channels%(2*kernel.PanelColumns) != 0 {
			return nil
		}
		name := fmt.Sprintf("features.transition%d", b+1)
		n.transitions = append(n.transitions, transition{scalingOf(name + ".norm"), kernel.NewPanels(values[name+".conv.weight"], channels, channels/2)})
		channels /= 2
	}
	for o := range n.bias {
		n.classifier = append(n.classifier, values["classifier.weight"][o*channels:(o+1)*channels])
	}
	return n
}

// block is the map of a dense block while it is made.
type block struct {
	values        []float32
	views, side   int
	channels, all int // there now, and with what all layers add
}

// newBlock is the map of block i, with room for as many rows as whole tiles have.
func (n *native) newBlock(i, views, side, channels int) *block {
	all := channels + len(n.blocks[i])*n.shape.Growth
	return &block{n.maps[i%2].take(kernel.WholeTiles(views*side*side) * all), views, side, channels, all}
}

func (b *block) points() int { return b.views * b.side * b.side }

// run computes logits and maps of pictures [views, side, side] of levels.
func (n *native) run(levels []float32, views int) *outputs {
	side := n.input.Size
	b := n.begin(levels, views, side)
	for i, layers := range n.blocks {
		for _, layer := range layers {
			n.add(&layer, b)
		}
		if i < len(n.transitions) {
			b = n.next(i+1, b)
		}
	}
	return n.end(b)
}

// begin is the stem: a 7x7 convolution of stride 2, and the largest of 3x3 points at stride 2.
func (n *native) begin(levels []float32, views, side int) *block {
	k, in := n.stem.K, len(n.input.Mean)
	half := side / 2
	rows, width := views*half*half, n.shape.Stem
	seen := n.narrow.take(kernel.WholeTiles(rows) * width)
	scale, shift := make([]float32, in), make([]float32, in)
	for c := range in {
		scale[c], shift[c] = n.input.normalise(c)
	}
	n.inParts(rows, tilesAPart*kernel.Tile(), func(from, to int, r *room) {
		patches := r.take(kernel.WholeTiles(to-from) * k)
		clear(patches)
		for r := from; r < to; r++ {
			picture, top, left := levels[r/(half*half)*side*side:], r/half%half*2-stemSide/2, r%half*2-stemSide/2
			patch := patches[(r-from)*k:]
			for y := max(0, -top); y < stemSide && top+y < side; y++ {
				for x := max(0, -left); x < stemSide && left+x < side; x++ {
					level := picture[(top+y)*side+left+x]
					for c := range in {
						patch[(y*stemSide+x)*in+c] = level*scale[c] + shift[c]
					}
				}
			}
		}
		n.stem.Multiply(seen[from*width:], width, patches, k, kernel.WholeTiles(to-from), n.stemShift, 0)
	})
	b := n.newBlock(0, views, half/2, width)
	n.inParts(views*b.side, 1, func(from, _ int, _ *room) {
		view, row := from/b.side, from%b.side
		for column := range b.side {
			point := b.values[((view*b.side+row)*b.side+column)*b.all:][:width]
			clear(point) // what the stem gives is not negative
			for y := max(0, 2*row-1); y <= 2*row+1; y++ {
				for x := max(0, 2*column-1); x <= 2*column+1; x++ {
					kernel.Most(point, seen[((view*half+y)*half+x)*width:])
				}
			}
		}
	})
	return b
}

// add computes a layer and adds its channels to the map.
func (n *native) add(l *denseLayer, b *block) {
	width := n.shape.Bottleneck
	narrow := n.narrow.take(kernel.WholeTiles(b.points()) * width)
	n.inParts(b.points(), tilesAPart*kernel.Tile(), func(from, to int, r *room) {
		seen := r.take(kernel.WholeTiles(to-from) * b.channels)
		for p := from; p < to; p++ {
			kernel.NormReLU(seen[(p-from)*b.channels:][:b.channels], b.values[p*b.all:], l.norm.scale, l.norm.shift)
		}
		l.narrow.Multiply(narrow[from*width:], width, seen, b.channels, kernel.WholeTiles(to-from), l.shift, 0)
	})
	across := (b.side + 1) / 2
	n.inParts(b.views*across*across, tilesAPart*kernel.Tile(), func(from, to int, r *room) {
		l.look.Tiles(b.values[b.channels:], b.all, narrow, b.side, b.side, from, to, r.take(l.look.Scratch(to-from)))
	})
	b.channels += n.shape.Growth
}

// next makes the map of block i from the one before: a mean of 2x2 points and a 1x1 convolution have changed places, which is a quarter of the
// products.
func (n *native) next(i int, b *block) *block {
	t := n.transitions[i-1]
	next := n.newBlock(i, b.views, b.side/2, t.narrow.N)
	n.inParts(next.points(), tilesAPart*kernel.Tile(), func(from, to int, r *room) {
		seen := r.take((kernel.WholeTiles(to-from) + 1) * b.channels)
		one, seen := seen[:b.channels], seen[b.channels:]
		for p := from; p < to; p++ {
			view, row, column := p/(next.side*next.side), p/next.side%next.side, p%next.side
			mean := seen[(p-from)*b.channels:][:b.channels]
			clear(mean)
			for i := range 4 {
				at := (view*b.side+2*row+i/2)*b.side + 2*column + i%2
				kernel.NormReLU(one, b.values[at*b.all:], t.norm.scale, t.norm.shift)
				kernel.AddScaled(mean, one, 0.25)
			}
		}
		t.narrow.Multiply(next.values[from*next.all:], next.all, seen, b.channels, kernel.WholeTiles(to-from), nil, kernel.NoFloor)
	})
	return next
}

// end is the classifier: each point's part is the class-activation map, their mean and the bias the logit.
func (n *native) end(b *block) *outputs {
	out := &outputs{labels: len(n.bias), grid: b.side}
	out.cam = make([]float32, b.points()*out.labels)
	out.logits = make([]float32, b.views*out.labels)
	point := make([]float32, b.channels)
	cells := b.side * b.side
	for p := range b.points() {
		kernel.NormReLU(point, b.values[p*b.all:], n.last.scale, n.last.shift)
		for o, weights := range n.classifier {
			v := kernel.Dot(weights, point)
			out.cam[p*out.labels+o] = v
			out.logits[p/cells*out.labels+o] += v / float32(cells)
		}
	}
	for i := range out.logits {
		out.logits[i] += n.bias[i%out.labels]
	}
	return out
}

// inParts calls do for parts of 0 to n on all cores, with room of the part's own.
func (n *native) inParts(of, part int, do func(from, to int, r *room)) {
	team.Share((of+part-1)/part, func(at int) {
		r, _ := n.parts.Get().(*room)
		if r == nil {
			r = new(room)
		}
		do(at*part, min(of, (at+1)*part), r)
		n.parts.Put(r)
	})
}
