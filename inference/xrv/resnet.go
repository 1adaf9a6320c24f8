package xrv

import (
	"fmt"
	"slices"

	. "github.com/gomlx/gomlx/core/graph"
)

// dims returns a tensor's shape, or zeros where it has not that many axes.
func dims(shapes map[string][]int, name string, axes int) []int {
	if s := shapes[name]; len(s) == axes {
		return s
	}
	return make([]int, axes)
}

// kernel takes a convolution and the norm that follows it as one kernel [k, k, in, out] and what is to be added to its outputs.
func (w *weights) kernel(r *reader, conv, norm string, shape []int) {
	values := r.floats(conv+".weight", shape...)
	scale, shift := r.norm(norm, shape[0], NormEpsilon)
	w.add(conv+".weight", []int{shape[2], shape[3], shape[1], shape[0]}, channelsLast(values, shape, scale))
	w.add(conv+".shift", []int{shape[0]}, shift)
}

// channelsLast turns a torch kernel [out, in, k, k] into [k, k, in, out], each output scaled.
func channelsLast(values []float32, shape []int, scale []float32) []float32 {
	out, in, cells := shape[0], shape[1], shape[2]*shape[3]
	kernel := make([]float32, len(values))
	if len(values) == 0 {
		return kernel // after an error
	}
	for o := range out {
		for i := range in {
			for c := range cells {
				kernel[(c*in+i)*out+o] = values[(o*in+i)*cells+c] * scale[o]
			}
		}
	}
	return kernel
}

// plain takes tensors as they are.
func (w *weights) plain(r *reader, name string, shape ...int) {
	w.add(name, shape, r.floats(name, shape...))
}

// convolve is a folded convolution, padded so that only the stride makes the picture smaller. groups divides the channels.
func convolve(p func(string) *Node, name string, x *Node, stride, groups int) *Node {
	kernel := p(name + ".weight")
	k := kernel.Shape().Dimensions[0]
	if k == 1 && stride == 1 {
		d := kernel.Shape().Dimensions
		x = pointwise(x, Reshape(kernel, d[2], d[3]))
	} else {
		side := [2]int{k / 2, k / 2}
		x = Convolve(x, kernel).Strides(stride).PaddingPerDim([][2]int{side, side}).ChannelGroupCount(groups).Done()
	}
	return Add(x, ExpandLeftToRank(p(name+".shift"), 4))
}

// ResNet is the measures of a residual network with bottlenecks (He et al. 2016, table 1; strides in the 3x3 convolutions), under
// torchvision's names.
type ResNet struct {
	Channels, Stem int
	Blocks         []int // of each of the four stages
	shapes         map[string][]int
}

// residualStages of a ResNet.
const residualStages = 4

func resnetOf(shapes map[string][]int) (network, error) {
	stem := dims(shapes, "conv1.weight", 4)
	n := ResNet{Channels: stem[1], Stem: stem[0], shapes: shapes}
	for stage := 1; stage <= residualStages; stage++ {
		blocks := 0
		for blocks < maxLayers && shapes[fmt.Sprintf("layer%d.%d.conv3.weight", stage, blocks)] != nil {
			blocks++
		}
		if blocks == 0 {
			return nil, fmt.Errorf("xrv: stage %d of the ResNet has no bottleneck", stage)
		}
		n.Blocks = append(n.Blocks, blocks)
	}
	return n, nil
}

func (n ResNet) String() string {
	for name, blocks := range map[string][]int{"resnet50": {3, 4, 6, 3}, "resnet101": {3, 4, 23, 3}, "resnet152": {3, 8, 36, 3}} {
		if n.Stem == 64 && slices.Equal(n.Blocks, blocks) {
			return name
		}
	}
	return fmt.Sprintf("resnet %v", n.Blocks)
}

func (n ResNet) channels() int { return n.Channels }
func (n ResNet) side() int     { return anySide }

// each calls do for every block in order; first says that it changes the picture's size or channels.
func (n ResNet) each(do func(name string, stride int, first bool)) {
	for stage, blocks := range n.Blocks {
		for b := range blocks {
			stride := 1
			if b == 0 && stage > 0 {
				stride = 2
			}
			do(fmt.Sprintf("layer%d.%d", stage+1, b), stride, b == 0)
		}
	}
}

func (n ResNet) params(r *reader, outputs int) *weights {
	w := new(weights)
	w.kernel(r, "conv1", "bn1", []int{n.Stem, n.Channels, 7, 7})
	features := n.Stem
	n.each(func(name string, _ int, first bool) {
		width, out := dims(n.shapes, name+".conv1.weight", 4)[0], dims(n.shapes, name+".conv3.weight", 4)[0]
		w.kernel(r, name+".conv1", name+".bn1", []int{width, features, 1, 1})
		w.kernel(r, name+".conv2", name+".bn2", []int{width, width, 3, 3})
		w.kernel(r, name+".conv3", name+".bn3", []int{out, width, 1, 1})
		if first {
			w.kernel(r, name+".downsample.0", name+".downsample.1", []int{out, features, 1, 1})
		} else if out != features && r.err == nil {
			r.err = fmt.Errorf("xrv: tensor %s has %d outputs, want %d", r.prefix+name+".conv3.weight", out, features)
		}
		features = out
	})
	w.plain(r, "fc.weight", outputs, features)
	w.plain(r, "fc.bias", outputs)
	return w
}

func (n ResNet) forward(p func(string) *Node, x *Node) (logits, cam *Node) {
	x = relu(convolve(p, "conv1", x, 2, 1))
	x = MaxPool(x).Window(3).Strides(2).PaddingPerDim([][2]int{{1, 1}, {1, 1}}).Done()
	n.each(func(name string, stride int, first bool) {
		y := relu(convolve(p, name+".conv1", x, 1, 1))
		y = relu(convolve(p, name+".conv2", y, stride, 1))
		y = convolve(p, name+".conv3", y, 1, 1)
		if first {
			x = convolve(p, name+".downsample.0", x, stride, 1)
		}
		x = relu(Add(x, y))
	})
	return pooled(x, p("fc.weight"), p("fc.bias"))
}
