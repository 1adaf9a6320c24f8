package xrv

import (
	"fmt"
	"math"
	"slices"

	. "github.com/gomlx/gomlx/core/graph"
)

// VisionTransformer is a ViT (Dosovitskiy et al. 2021, table 1) under torchvision's names. It has no class-activation map: its answer is read
// from one token that has looked at all the picture.
type VisionTransformer struct {
	Channels, Patch, Width, Hidden, Layers, Positions int
}

// headWidth is the number of features of an attention head in every published size; normed is the epsilon of its layer norms.
const (
	headWidth = 64
	normed    = 1e-6
)

func visionTransformerOf(shapes map[string][]int) (network, error) {
	patches, positions := dims(shapes, "conv_proj.weight", 4), dims(shapes, "encoder.pos_embedding", 3)
	n := VisionTransformer{
		Channels: patches[1], Patch: patches[2], Width: patches[0], Positions: positions[1],
		Hidden: dims(shapes, "encoder.layers.encoder_layer_0.mlp.0.weight", 2)[0],
	}
	for n.Layers < maxLayers && shapes[vitLayer(n.Layers)+".ln_1.weight"] != nil {
		n.Layers++
	}
	grid := n.grid()
	if n.Layers == 0 || n.Hidden == 0 || n.Patch == 0 || n.Width == 0 || n.Width%headWidth != 0 || grid == 0 || grid*grid+1 != n.Positions {
		return nil, fmt.Errorf("xrv: the tensors' shapes are no ViT's: %+v", n)
	}
	return n, nil
}

func vitLayer(i int) string { return fmt.Sprintf("encoder.layers.encoder_layer_%d", i) }

// grid is the number of patches on a side.
func (n VisionTransformer) grid() int { return int(math.Sqrt(float64(max(0, n.Positions-1)))) }

func (n VisionTransformer) String() string {
	for name, width := range map[string][2]int{"vit_b": {768, 12}, "vit_l": {1024, 24}} {
		if n.Width == width[0] && n.Layers == width[1] {
			return fmt.Sprintf("%s_%d", name, n.Patch)
		}
	}
	return fmt.Sprintf("vit %d x %d, patch %d", n.Layers, n.Width, n.Patch)
}

func (n VisionTransformer) channels() int { return n.Channels }
func (n VisionTransformer) side() int     { return n.grid() * n.Patch }

func (n VisionTransformer) params(r *reader, outputs int) *weights {
	w := new(weights)
	pair := func(name string, shape ...int) {
		w.plain(r, name+".weight", shape...)
		w.plain(r, name+".bias", shape[0])
	}
	shape := []int{n.Width, n.Channels, n.Patch, n.Patch}
	w.add("conv_proj.weight", []int{n.Patch, n.Patch, n.Channels, n.Width},
		channelsLast(r.floats("conv_proj.weight", shape...), shape, slices.Repeat([]float32{1}, n.Width)))
	w.plain(r, "conv_proj.bias", n.Width)
	w.plain(r, "class_token", 1, 1, n.Width)
	w.plain(r, "encoder.pos_embedding", 1, n.Positions, n.Width)
	for i := range n.Layers {
		layer := vitLayer(i)
		pair(layer+".ln_1", n.Width)
		w.plain(r, layer+".self_attention.in_proj_weight", 3*n.Width, n.Width)
		w.plain(r, layer+".self_attention.in_proj_bias", 3*n.Width)
		pair(layer+".self_attention.out_proj", n.Width, n.Width)
		pair(layer+".ln_2", n.Width)
		pair(layer+".mlp.0", n.Hidden, n.Width)
		pair(layer+".mlp.3", n.Width, n.Hidden)
	}
	pair("encoder.ln", n.Width)
	pair("heads.head", outputs, n.Width)
	return w
}

func (n VisionTransformer) forward(p func(string) *Node, x *Node) (logits, cam *Node) {
	by := func(name string, x *Node) *Node { return linear(x, p(name+".weight"), p(name+".bias")) }
	norm := func(name string, x *Node) *Node { return layerNorm(x, p(name+".weight"), p(name+".bias")) }
	batch := x.Shape().Dimensions[0]
	x = Convolve(x, p("conv_proj.weight")).Strides(n.Patch).NoPadding().Done()
	x = Add(Reshape(x, batch, n.Positions-1, n.Width), ExpandLeftToRank(p("conv_proj.bias"), 3))
	token := BroadcastToDims(p("class_token"), batch, 1, n.Width)
	x = Add(Concatenate([]*Node{token, x}, 1), p("encoder.pos_embedding"))
	for i := range n.Layers {
		layer := vitLayer(i)
		x = Add(x, n.attend(p, layer+".self_attention", norm(layer+".ln_1", x)))
		x = Add(x, by(layer+".mlp.3", gelu(by(layer+".mlp.0", norm(layer+".ln_2", x)))))
	}
	x = norm("encoder.ln", Slice(x, AxisRange(), AxisRange(0, 1), AxisRange()))
	return by("heads.head", Reshape(x, batch, n.Width)), nil
}

// attend is multi-head self-attention of x [N, positions, width].
func (n VisionTransformer) attend(p func(string) *Node, name string, x *Node) *Node {
	batch, heads := x.Shape().Dimensions[0], n.Width/headWidth
	all := linear(x, p(name+".in_proj_weight"), p(name+".in_proj_bias"))
	part := func(i int) *Node {
		return Reshape(Slice(all, AxisRange(), AxisRange(), AxisRange(i*n.Width, (i+1)*n.Width)), batch, n.Positions, heads, headWidth)
	}
	q, k, v := part(0), part(1), part(2)
	scores := MulScalar(Einsum("bqhd,bkhd->bhqk", q, k), 1/math.Sqrt(headWidth))
	mixed := Reshape(Einsum("bhqk,bkhd->bqhd", Softmax(scores, -1), v), batch, n.Positions, n.Width)
	return linear(mixed, p(name+".out_proj.weight"), p(name+".out_proj.bias"))
}

func layerNorm(x, weight, bias *Node) *Node {
	x = Sub(x, ReduceAndKeep(x, ReduceMean, -1))
	x = Mul(x, Rsqrt(AddScalar(ReduceAndKeep(Square(x), ReduceMean, -1), normed)))
	return Add(Mul(x, ExpandLeftToRank(weight, x.Rank())), ExpandLeftToRank(bias, x.Rank()))
}

// gelu is the exact form, by the error function.
func gelu(x *Node) *Node {
	return Mul(MulScalar(x, 0.5), AddScalar(Erf(MulScalar(x, 1/math.Sqrt2)), 1))
}
