package qlora

import (
	"slices"

	"llamaxr/inference/llama"

	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph"
)

// batchInputs is how many inputs of a graph are a batch: tokens [B, T+1], places [R] (the places, of B*T, whose next token is asked),
// the asked tokens' weights [R], cos and sin.
const batchInputs = 5

// part is what a graph has of the network: the inputs that are the batch, and tensors by name.
type part struct {
	*trainer
	batch  []*Node
	byName map[string]*Node
	first  *Node // number of the network's layer that the graph calls 0
}

func (p part) length() int { return p.batch[0].Shape().Dimensions[1] - 1 }

func (p part) network() llama.Network {
	c := p.opts.Config
	network := llama.Network{
		Config: c, Mixed: p.opts.Mixed, Weight: func(name string) *Node { return p.byName[name] },
		Packed: func(name string) (llama.Packed, bool) {
			codes, ok := p.byName[name+codesSuffix]
			i := slices.IndexFunc(c.Linears(), func(l llama.Linear) bool { return l.Name+".weight" == name })
			if !ok || i < 0 {
				return llama.Packed{}, false
			}
			l := c.Linears()[i]
			return llama.Packed{Out: l.Out, In: l.In, Codes: codes, Magnitudes: p.byName[name+magnitudesSuffix]}, true
		},
	}
	if p.opts.Rank > 0 {
		scale := float64(p.opts.Alpha) / float64(p.opts.Rank)
		network.Adapter = func(name string, x *Node) *Node {
			// Scaled where it is narrow: what is wide, and its gradient, would be computed twice.
			return network.Times(MulScalar(network.Times(x, p.byName[name+".A"]), scale), p.byName[name+".B"])
		}
	}
	if n := p.opts.Prefix; n > 0 {
		network.Cache = func(layer int, k, v *Node) (*Node, *Node) {
			parts := TransposeAllAxes(Reshape(p.byName[prefixName], n, 2*c.Layers, c.KVHeads*c.HeadDim), 1, 0, 2)
			at := MulScalar(AddScalar(p.first, float64(layer)), 2)
			after := func(at, rows *Node) *Node {
				rowsBefore := Reshape(Gather(parts, Reshape(at, 1)), 1, n, c.KVHeads, c.HeadDim)
				return Concatenate([]*Node{BroadcastToDims(rowsBefore, rows.Shape().Dimensions[0], n, c.KVHeads, c.HeadDim), rows}, 1)
			}
			return after(at, k), after(AddScalar(at, 1), v)
		}
	}
	return network
}

// embedding is what the first layer takes.
func (p part) embedding() *Node {
	return p.embed(Slice(p.batch[0], AxisRange(), AxisRange(0, p.length())), p.byName[llama.EmbeddingName])
}

func (p part) layer(i int, x *Node) *Node {
	return p.network().Layer(i, x, p.batch[3], p.batch[4], llama.Causal(x.Graph(), p.length(), p.opts.Prefix))
}

// loss is, of the last layer's output, the summed weighted cross-entropy of a batch, and the sum of its weights: [2]. The scores over the
// vocabulary, the widest thing of all, are computed where a token is asked and nowhere else.
func (p part) loss(x *Node) *Node {
	places, weights, network := p.batch[1], p.batch[2], p.network()
	next := Slice(p.batch[0], AxisRange(), AxisRange(1))
	asked := Gather(Reshape(next, next.Shape().Size()), ExpandAxes(places, -1))
	hidden := network.Norm(llama.FinalNormName, Gather(Reshape(x, next.Shape().Size(), p.opts.Config.HiddenSize), ExpandAxes(places, -1)))
	logits := network.Logits(hidden)
	highest := StopGradient(ReduceMax(logits, -1))
	all := Add(highest, Log(ReduceSum(Exp(Sub(logits, ExpandAxes(highest, -1))), -1)))
	wanted := ReduceSum(Mul(hidden, p.embed(asked, network.Head())), -1) // the asked token's score, without a second table as wide
	return Concatenate([]*Node{Reshape(ReduceAllSum(Mul(Sub(all, wanted), weights)), 1), Reshape(ReduceAllSum(weights), 1)}, 0)
}

// embed looks tokens up in a matrix with a row for each. Where it trains, as a product, whose gradient is one too.
func (t *trainer) embed(tokens, embedding *Node) *Node {
	if t.opts.full() {
		flat := OneHot(Reshape(tokens, tokens.Shape().Size()), t.opts.Config.VocabSize, dtypes.Float32)
		return Reshape(Einsum("rv,vh->rh", flat, embedding), append(slices.Clone(tokens.Shape().Dimensions), t.opts.Config.HiddenSize)...)
	}
	return ConvertDType(Gather(embedding, ExpandAxes(tokens, -1)), dtypes.Float32)
}

// updateGraph is one AdamW update (Loshchilov and Hutter 2019) by the mean gradient, its norm clipped. Inputs: the sum of
// weights, [rate, 1-beta1^t, 1-beta2^t], gradients, parameters, moments. Outputs: zeroed gradients, parameters, moments.
func (t *trainer) updateGraph(in []*Node) []*Node {
	n := len(t.trained)
	weight, rates, gradients, params, moments := AddScalar(in[0], little), in[1], in[2:2+n], in[2+n:2+2*n], in[2+2*n:]
	pick := func(x *Node, i int) *Node { return Reshape(Slice(x, AxisElem(i))) }
	means := make([]*Node, n)
	var square *Node
	for i, g := range gradients {
		means[i] = Div(g, weight)
		if s := ReduceAllSum(Square(means[i])); square == nil {
			square = s
		} else {
			square = Add(square, s)
		}
	}
	shrink := Div(ConstAs(square, float32(clip)), MaxScalar(Sqrt(square), clip))
	rate, fix1, fix2 := pick(rates, 0), pick(rates, 1), pick(rates, 2)
	var out []*Node
	for _, g := range gradients {
		out = append(out, ZerosLike(g))
	}
	var newParams, newMoments []*Node
	for i, g := range means {
		g = Mul(g, shrink)
		width := t.momentsOf(i)
		m, v := t.unpack(i, moments[:width])
		moments = moments[width:]
		m = Add(MulScalar(m, beta1), MulScalar(g, 1-beta1))
		v = Add(MulScalar(v, t.opts.Beta2), MulScalar(Square(g), 1-t.opts.Beta2))
		step := Div(Div(m, fix1), AddScalar(Sqrt(Div(v, fix2)), epsilon))
		if t.opts.Decay > 0 && params[i].Rank() == 2 {
			step = Add(step, MulScalar(params[i], t.opts.Decay))
		}
		newParams = append(newParams, Sub(params[i], Mul(rate, step)))
		newMoments = append(newMoments, t.pack(i, m, v)...)
	}
	return append(append(out, newParams...), newMoments...)
}
