package xrv

import (
	"fmt"
	"slices"

	. "github.com/gomlx/gomlx/core/graph" //nolint:revive // graph code reads as formulas
)

// Shape is the measures of a DenseNet (Huang et al. 2017, table 1).
type Shape struct {
	Channels, Stem, Growth, Bottleneck int
	Blocks                             []int // layers of each dense block
}

// DenseNet121 is the one that torchxrayvision releases.
func DenseNet121() Shape {
	return Shape{Channels: 1, Stem: 64, Growth: 32, Bottleneck: 128, Blocks: []int{6, 12, 24, 16}}
}

// Features is the number of channels that DenseNet121's classifier sees.
const Features = 1024

// Limits of a DenseNet that is believed: the largest known has blocks of up to 48 layers and 2,208 features.
const (
	maxBlocks = 4
	maxLayers = 64
)

// shapeOf reads a DenseNet's measures from its tensors' shapes.
func shapeOf(shapes map[string][]int) (Shape, error) {
	dim := func(name string, axis int) int {
		if s := shapes[name]; axis < len(s) {
			return s[axis]
		}
		return 0
	}
	const stem, first = "features.conv0.weight", "features.denseblock1.denselayer1"
	s := Shape{Channels: dim(stem, 1), Stem: dim(stem, 0), Growth: dim(first+".conv2.weight", 0), Bottleneck: dim(first+".conv1.weight", 0)}
	for b := 1; b <= maxBlocks; b++ {
		layers := 0
		for layers < maxLayers && shapes[fmt.Sprintf("features.denseblock%d.denselayer%d.conv1.weight", b, layers+1)] != nil {
			layers++
		}
		if layers == 0 {
			break
		}
		s.Blocks = append(s.Blocks, layers)
	}
	if len(s.Blocks) == 0 || min(s.Channels, s.Stem, s.Growth, s.Bottleneck) < 1 || max(s.Stem, s.Growth, s.Bottleneck) > 1024 {
		return s, fmt.Errorf("xrv: the tensors' shapes are no DenseNet's: %d channels, stem %d, growth %d, bottleneck %d, blocks %v", s.Channels, s.Stem,
			s.Growth, s.Bottleneck, s.Blocks)
	}
	return s, nil
}

func (s Shape) String() string {
	if s.Growth == 32 && s.Stem == 64 && slices.Equal(s.Blocks, DenseNet121().Blocks) {
		return "densenet121"
	}
	return fmt.Sprintf("densenet %v, growth %d", s.Blocks, s.Growth)
}

// Spec names a tensor as torchxrayvision does and gives its shape: a kernel's is [out, in, height, width], a norm's
// [channels] for each of weight, bias, running_mean and running_var.
type Spec struct {
	Name  string
	Shape []int
}

// Layout lists every kernel and every norm in the order of the forward pass, and the number of channels that the classifier sees. The
// classifier's weight and bias come on top.
func (s Shape) Layout() (convolutions, norms []Spec, features int) {
	conv := func(name string, out, in, k int) {
		convolutions = append(convolutions, Spec{name + ".weight", []int{out, in, k, k}})
	}
	norm := func(name string, channels int) { norms = append(norms, Spec{name, []int{channels}}) }
	conv("features.conv0", s.Stem, s.Channels, 7)
	norm("features.norm0", s.Stem)
	channels := s.Stem
	for b, layers := range s.Blocks {
		for l := range layers {
			name := fmt.Sprintf("features.denseblock%d.denselayer%d", b+1, l+1)
			norm(name+".norm1", channels)
			conv(name+".conv1", s.Bottleneck, channels, 1)
			norm(name+".norm2", s.Bottleneck)
			conv(name+".conv2", s.Growth, s.Bottleneck, 3)
			channels += s.Growth
		}
		if b < len(s.Blocks)-1 {
			name := fmt.Sprintf("features.transition%d", b+1)
			norm(name+".norm", channels)
			conv(name+".conv", channels/2, channels, 1)
			channels /= 2
		}
	}
	norm("features.norm5", channels)
	return convolutions, norms, channels
}

// Network is the forward pass; how a weight is found and how a norm is done differ between scoring and training.
type Network struct {
	Shape Shape
	// Weight returns a convolution's kernel as a matrix: [in, out] for 1x1, [in, 9*out] for 3x3 (kernel position major),
	// [7, 7, in, out] for the stem.
	Weight func(name string) *Node
	// Norm applies a batch norm.
	Norm func(name string, x *Node) *Node
	// Training keeps gradients out of the first convolution and its norm, and leaves 3x3 convolutions whole.
	Training bool
}

// Forward maps x [N, S, S, C] to the last feature map [N, S/32, S/32, features], after the final norm and ReLU.
func (n Network) Forward(x *Node) *Node {
	x = Convolve(x, n.Weight("features.conv0.weight")).Strides(2).PaddingPerDim([][2]int{{3, 3}, {3, 3}}).Done()
	x = relu(n.Norm("features.norm0", x))
	x = MaxPool(x).Window(3).Strides(2).PaddingPerDim([][2]int{{1, 1}, {1, 1}}).Done()
	spatial := shiftedSums
	if n.Training {
		x, spatial = StopGradient(x), threeByThree
	}
	for b, layers := range n.Shape.Blocks {
		for l := range layers {
			name := fmt.Sprintf("features.denseblock%d.denselayer%d", b+1, l+1)
			y := relu(n.Norm(name+".norm1", x))
			y = pointwise(y, n.Weight(name+".conv1.weight"))
			y = relu(n.Norm(name+".norm2", y))
			y = spatial(y, n.Weight(name+".conv2.weight"))
			x = Concatenate([]*Node{x, y}, -1)
		}
		if b < len(n.Shape.Blocks)-1 {
			name := fmt.Sprintf("features.transition%d", b+1)
			// Averaging and a 1x1 convolution change places: a quarter of the products.
			x = pointwise(halve(relu(n.Norm(name+".norm", x))), n.Weight(name+".conv.weight"))
		}
	}
	return relu(n.Norm("features.norm5", x))
}

func relu(x *Node) *Node { return MaxScalar(x, 0) }

// pointwise is a 1x1 convolution as one matrix product.
func pointwise(x, w *Node) *Node {
	d := x.Shape().Dimensions
	flat := MatMul(Reshape(x, d[0]*d[1]*d[2], d[3]), w)
	return Reshape(flat, d[0], d[1], d[2], w.Shape().Dimensions[1])
}

// threeByThree is a padded 3x3 convolution.
func threeByThree(x, w *Node) *Node {
	d := x.Shape().Dimensions
	out := w.Shape().Dimensions[1] / 9
	kernel := TransposeAllAxes(Reshape(w, d[3], 3, 3, out), 1, 2, 0, 3)
	return Convolve(x, kernel).PadSame().Done()
}

// shiftedSums is the same as one matrix product to all nine kernel positions, then the sum of nine shifted views: faster where a network has
// few outputs, as matrix products are faster than convolutions everywhere on a CPU.
func shiftedSums(x, w *Node) *Node {
	d := x.Shape().Dimensions
	out := w.Shape().Dimensions[1] / 9
	all := Reshape(MatMul(Reshape(x, d[0]*d[1]*d[2], d[3]), w), d[0], d[1], d[2], 9*out)
	zero := ScalarZero(x.Graph(), x.DType())
	all = Pad(all, zero, PadAxis{}, PadAxis{Start: 1, End: 1}, PadAxis{Start: 1, End: 1}, PadAxis{})
	var sum *Node
	for p := range 9 {
		dy, dx := p/3, p%3
		part := Slice(all, AxisRange(), AxisRange(dy, dy+d[1]), AxisRange(dx, dx+d[2]), AxisRange(p*out, (p+1)*out))
		if sum == nil {
			sum = part
		} else {
			sum = Add(sum, part)
		}
	}
	return sum
}

// halve averages 2x2 cells; an odd last row or column is dropped, as torch's AvgPool2d does.
func halve(x *Node) *Node {
	d := x.Shape().Dimensions
	h, w := d[1]/2, d[2]/2
	x = Slice(x, AxisRange(), AxisRange(0, 2*h), AxisRange(0, 2*w), AxisRange())
	return ReduceMean(Reshape(x, d[0], h, 2, w, 2, d[3]), 2, 4)
}
