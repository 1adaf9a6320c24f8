package llama

import (
	"math"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph"
)

// Network is the forward pass as a graph. Where a weight comes from, and what an adapter adds, is the caller's.
type Network struct {
	Config *Config
	// Weight returns a parameter by Hugging Face name, as stored: matrices are [out, in].
	Weight func(name string) *Node
	// Packed returns a linear layer's matrix that is kept in 4 bits, false for one that Weight has; nil for none.
	Packed func(name string) (Packed, bool)
	// Mixed computes the products with matrices of values rounded to bfloat16, the rest in float32.
	Mixed bool
	// Adapter returns what a LoRA adapter adds to a linear layer's output for x [rows, in], nil for nothing.
	Adapter func(name string, x *Node) *Node
	// Cache takes a layer's new keys and values [B, T, KVHeads, HeadDim] and returns all to attend to [B, S, KVHeads, HeadDim];
	// nil attends to the new ones alone.
	Cache func(layer int, k, v *Node) (*Node, *Node)
}

// Forward maps embeddings x [B, T, hidden] to the final hidden states, after the last norm. cos and sin are [T, HeadDim] for the
// rows' positions; allowed [T, S] says which position each row may attend to.
func (n Network) Forward(x, cos, sin, allowed *Node) *Node {
	for i := range n.Config.Layers {
		x = n.Layer(i, x, cos, sin, allowed)
	}
	return n.Norm(FinalNormName, x)
}

// Layer is one decoder layer of Forward.
func (n Network) Layer(i int, x, cos, sin, allowed *Node) *Node {
	base := LayerPrefix(i)
	x = Add(x, n.attention(i, base, n.Norm(base+"input_layernorm.weight", x), cos, sin, allowed))
	y := n.Norm(base+"post_attention_layernorm.weight", x)
	gate := n.linear(base+"mlp.gate_proj", y)
	y = Mul(Mul(gate, Sigmoid(gate)), n.linear(base+"mlp.up_proj", y))
	return Add(x, n.linear(base+"mlp.down_proj", y))
}

// Head is the matrix [vocabulary, hidden] that Logits multiplies by.
func (n Network) Head() *Node { return n.Weight(n.Config.HeadOf()) }

// Logits maps hidden states [..., hidden] to scores over the vocabulary.
func (n Network) Logits(x *Node) *Node {
	return rows(x, func(flat *Node) *Node { return n.product(n.Config.HeadOf(), flat) })
}

func (n Network) attention(layer int, base string, x, cos, sin, allowed *Node) *Node {
	c := n.Config
	d := x.Shape().Dimensions
	q := Reshape(n.linear(base+"self_attn.q_proj", x), d[0], d[1], c.Heads, c.HeadDim)
	k := Reshape(n.linear(base+"self_attn.k_proj", x), d[0], d[1], c.KVHeads, c.HeadDim)
	v := Reshape(n.linear(base+"self_attn.v_proj", x), d[0], d[1], c.KVHeads, c.HeadDim)
	q, k = rotate(q, cos, sin), rotate(k, cos, sin)
	if n.Cache != nil {
		k, v = n.Cache(layer, k, v)
	}
	// Query heads in groups that share a key-value head: [B, T, KV, G, HeadDim].
	q = Reshape(q, d[0], d[1], c.KVHeads, c.Heads/c.KVHeads, c.HeadDim)
	scores := MulScalar(Einsum("btkgd,bskd->bkgts", q, k), 1/math.Sqrt(float64(c.HeadDim)))
	mask := BroadcastToShape(ExpandLeftToRank(allowed, 5), scores.Shape())
	scores = Where(mask, scores, BroadcastToShape(ConstAs(scores, float32(-1e9)), scores.Shape()))
	mixed := Einsum("bkgts,bskd->btkgd", Softmax(scores, -1), v)
	return n.linear(base+"self_attn.o_proj", Reshape(mixed, d[0], d[1], c.Heads*c.HeadDim))
}

func (n Network) linear(name string, x *Node) *Node {
	return rows(x, func(flat *Node) *Node {
		y := n.product(name+".weight", flat)
		if n.Adapter != nil {
			if extra := n.Adapter(name, flat); extra != nil {
				y = Add(y, extra)
			}
		}
		return y
	})
}

// product is Times a parameter.
func (n Network) product(name string, x *Node) *Node {
	if n.Packed != nil {
		if p, ok := n.Packed(name); ok && n.Mixed {
			return timesMixed(x, p.Matrix())
		} else if ok {
			return p.Times(x)
		}
	}
	return n.Times(x, n.Weight(name))
}

// Times is x [rows, in] times w [out, in] transposed.
func (n Network) Times(x, w *Node) *Node {
	if n.Mixed {
		return timesMixed(x, w)
	}
	return timesTransposed(x, w)
}

// timesMixed is timesTransposed of values rounded to bfloat16, summed in float32, and so are its gradients. The graph library's own gradient
// would be a product of float32 values. Gradients are made from the end of a graph to its beginning: y's before those of x and w.
func timesMixed(x, w *Node) *Node {
	half := func(x *Node) *Node { return ConvertDType(x, dtypes.BFloat16) }
	times := func(a *Node, axisA int, b *Node, axisB int) *Node {
		return Dot(half(a), half(b)).WithOutputDType(dtypes.Float32).General([]int{axisA}, nil, []int{axisB}, nil)
	}
	var gradient *Node
	left := IdentityWithCustomGradient(x, func(_, _ *Node) *Node { return times(gradient, 1, w, 0) })
	right := IdentityWithCustomGradient(w, func(_, _ *Node) *Node { return times(gradient, 0, x, 0) })
	return IdentityWithCustomGradient(times(left, 1, right, 1), func(_, v *Node) *Node {
		gradient = v
		return v
	})
}

// Norm is the RMS norm of that name.
func (n Network) Norm(name string, x *Node) *Node {
	mean := InsertAxes(ReduceMean(Square(x), -1), -1)
	scale := Div(OnesLike(mean), Sqrt(AddScalar(mean, n.Config.NormEpsilon)))
	return Mul(Mul(x, scale), ExpandLeftToRank(n.Weight(name), x.Rank()))
}

// rotate turns the two halves of every head by the position's angle (Su et al. 2021, in transformers' half-split form).
func rotate(x, cos, sin *Node) *Node {
	half := x.Shape().Dimensions[3] / 2
	a := Slice(x, AxisRange(), AxisRange(), AxisRange(), AxisRange(0, half))
	b := Slice(x, AxisRange(), AxisRange(), AxisRange(), AxisRange(half))
	turned := Concatenate([]*Node{Neg(b), a}, -1)
	at := func(t *Node) *Node {
		d := t.Shape().Dimensions
		return Reshape(t, 1, d[0], 1, d[1])
	}
	return Add(Mul(x, at(cos)), Mul(turned, at(sin)))
}

// rows applies f to x with all but the last axis flattened.
func rows(x *Node, f func(flat *Node) *Node) *Node {
	d := x.Shape().Dimensions
	n := 1
	for _, k := range d[:len(d)-1] {
		n *= k
	}
	y := f(Reshape(x, n, d[len(d)-1]))
	out := append(append([]int{}, d[:len(d)-1]...), y.Shape().Dimensions[1])
	return Reshape(y, out...)
}

// timesTransposed is x [rows, in] times w [out, in] transposed. One row times a matrix of 16 bits is a reduction, which XLA makes one loop of: no
// float32 copy of the matrix is written to memory.
func timesTransposed(x, w *Node) *Node {
	if w.DType() == x.DType() {
		return Einsum("ri,oi->ro", x, w)
	}
	w = ConvertDType(w, x.DType())
	if x.Shape().Dimensions[0] > 1 {
		return Einsum("ri,oi->ro", x, w)
	}
	return Reshape(ReduceSum(Mul(w, BroadcastToShape(x, w.Shape())), 1), 1, w.Shape().Dimensions[0])
}

// Causal returns the [t, before+t] mask in which a row attends to itself, the rows before it, and as many positions before them all.
func Causal(g *Graph, t, before int) *Node {
	row := Iota(g, shapes.Make(dtypes.Int32, t, before+t), 0)
	column := Iota(g, shapes.Make(dtypes.Int32, t, before+t), 1)
	return LessOrEqual(column, AddScalar(row, before))
}
