package xrv

import (
	"fmt"

	. "github.com/gomlx/gomlx/core/graph" //nolint:revive // graph code reads as formulas
)

// The shape of DenseNet121.
const (
	growth       = 32
	bottleneck   = 4 * growth
	stemChannels = 64
	// Features is the number of channels that the classifier sees.
	Features = 1024
	// Stride is how many input pixels one cell of the last feature map covers.
	Stride = 32
)

var blocks = [4]int{6, 12, 24, 16}

// Spec names a tensor as torchxrayvision does and gives its shape: a kernel's is [out, in, height, width], a norm's
// [channels] for each of weight, bias, running_mean and running_var.
type Spec struct {
	Name  string
	Shape []int
}

// Layout lists every kernel and every norm in the order of the forward pass. The classifier's weight and bias come on top.
func Layout() (convolutions, norms []Spec) {
	conv := func(name string, out, in, k int) {
		convolutions = append(convolutions, Spec{name + ".weight", []int{out, in, k, k}})
	}
	norm := func(name string, channels int) { norms = append(norms, Spec{name, []int{channels}}) }
	conv("features.conv0", stemChannels, 1, 7)
	norm("features.norm0", stemChannels)
	channels := stemChannels
	for b, layers := range blocks {
		for l := range layers {
			name := fmt.Sprintf("features.denseblock%d.denselayer%d", b+1, l+1)
			norm(name+".norm1", channels)
			conv(name+".conv1", bottleneck, channels, 1)
			norm(name+".norm2", bottleneck)
			conv(name+".conv2", growth, bottleneck, 3)
			channels += growth
		}
		if b < len(blocks)-1 {
			name := fmt.Sprintf("features.transition%d", b+1)
			norm(name+".norm", channels)
			conv(name+".conv", channels/2, channels, 1)
			channels /= 2
		}
	}
	norm("features.norm5", channels)
	return convolutions, norms
}

// Network is the forward pass; how a weight is found and how a norm is done differ between scoring and training.
type Network struct {
	// Weight returns a convolution's kernel as a matrix: [in, out] for 1x1, [in, 9*out] for 3x3 (kernel position major),
	// [7, 7, 1, 64] for the stem.
	Weight func(name string) *Node
	// Norm applies a batch norm.
	Norm func(name string, x *Node) *Node
	// FixedStem keeps gradients out of the first convolution and its norm.
	FixedStem bool
}

// Forward maps x [N, S, S, 1] to the last feature map [N, S/32, S/32, 1024], after the final norm and ReLU.
func (n Network) Forward(x *Node) *Node {
	x = Convolve(x, n.Weight("features.conv0.weight")).Strides(2).PaddingPerDim([][2]int{{3, 3}, {3, 3}}).Done()
	x = relu(n.Norm("features.norm0", x))
	x = MaxPool(x).Window(3).Strides(2).PaddingPerDim([][2]int{{1, 1}, {1, 1}}).Done()
	if n.FixedStem {
		x = StopGradient(x)
	}
	for b, layers := range blocks {
		for l := range layers {
			name := fmt.Sprintf("features.denseblock%d.denselayer%d", b+1, l+1)
			y := relu(n.Norm(name+".norm1", x))
			y = pointwise(y, n.Weight(name+".conv1.weight"))
			y = relu(n.Norm(name+".norm2", y))
			y = threeByThree(y, n.Weight(name+".conv2.weight"))
			x = Concatenate([]*Node{x, y}, -1)
		}
		if b < len(blocks)-1 {
			name := fmt.Sprintf("features.transition%d", b+1)
			x = pointwise(relu(n.Norm(name+".norm", x)), n.Weight(name+".conv.weight"))
			x = halve(x)
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

// threeByThree is a padded 3x3 convolution as one matrix product to all nine kernel positions, then the sum of nine shifted views.
func threeByThree(x, w *Node) *Node {
	d := x.Shape().Dimensions
	out := w.Shape().Dimensions[1] / 9
	kernel := TransposeAllAxes(Reshape(w, d[3], 3, 3, out), 1, 2, 0, 3)
	return Convolve(x, kernel).PadSame().Done()
}

// halve averages 2x2 cells; an odd last row or column is dropped, as torch's AvgPool2d does.
func halve(x *Node) *Node {
	d := x.Shape().Dimensions
	h, w := d[1]/2, d[2]/2
	x = Slice(x, AxisRange(), AxisRange(0, 2*h), AxisRange(0, 2*w), AxisRange())
	return ReduceMean(Reshape(x, d[0], h, 2, w, 2, d[3]), 2, 4)
}
