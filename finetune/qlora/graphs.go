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

// loss is the summed weighted cross-entropy of a batch, and the sum of its weights. The scores over the vocabulary, the widest thing of
// all, are computed where a token is asked and nowhere else.
func (t *trainer) loss(batch, params, frozen []*Node) (sum, weight *Node) {
	tokens, places, weights, cos, sin := batch[0], batch[1], batch[2], batch[3], batch[4]
	byName := map[string]*Node{}
	for i, s := range t.trained {
		byName[s.name] = params[i]
	}
	for i, s := range t.frozen {
		byName[s.name] = frozen[i]
	}
	c := t.opts.Config
	length := tokens.Shape().Dimensions[1] - 1
	network := llama.Network{Config: c, Weight: func(name string) *Node { return byName[name] }}
	if t.opts.Rank > 0 {
		scale := float64(t.opts.Alpha) / float64(t.opts.Rank)
		network.Adapter = func(name string, x *Node) *Node {
			return MulScalar(Einsum("rk,ok->ro", Einsum("ri,ki->rk", x, byName[name+".A"]), byName[name+".B"]), scale)
		}
	}
	if n := t.opts.Prefix; n > 0 {
		prefix := Reshape(byName[prefixName], 1, n, 2*c.Layers, c.KVHeads, c.HeadDim)
		network.Cache = func(layer int, k, v *Node) (*Node, *Node) {
			after := func(part int, rows *Node) *Node {
				first := Reshape(Slice(prefix, AxisRange(), AxisRange(), AxisElem(2*layer+part)), 1, n, c.KVHeads, c.HeadDim)
				return Concatenate([]*Node{BroadcastToDims(first, rows.Shape().Dimensions[0], n, c.KVHeads, c.HeadDim), rows}, 1)
			}
			return after(0, k), after(1, v)
		}
	}
	read := Slice(tokens, AxisRange(), AxisRange(0, length))
	next := Slice(tokens, AxisRange(), AxisRange(1))
	asked := Gather(Reshape(next, next.Shape().Size()), ExpandAxes(places, -1))
	hidden := network.Forward(t.embed(read, byName[llama.EmbeddingName]), cos, sin, llama.Causal(tokens.Graph(), length, t.opts.Prefix))
	hidden = Gather(Reshape(hidden, read.Shape().Size(), c.HiddenSize), ExpandAxes(places, -1))
	logits := network.Logits(hidden)
	highest := StopGradient(ReduceMax(logits, -1))
	all := Add(highest, Log(ReduceSum(Exp(Sub(logits, ExpandAxes(highest, -1))), -1)))
	wanted := ReduceSum(Mul(hidden, t.embed(asked, network.Head())), -1) // the asked token's score, without a second table as wide
	return ReduceAllSum(Mul(Sub(all, wanted), weights)), ReduceAllSum(weights)
}

// embed looks tokens up in a matrix with a row for each. Where it trains, as a product, whose gradient is one too.
func (t *trainer) embed(tokens, embedding *Node) *Node {
	if t.opts.full() {
		flat := OneHot(Reshape(tokens, tokens.Shape().Size()), t.opts.Config.VocabSize, dtypes.Float32)
		return Reshape(Einsum("rv,vh->rh", flat, embedding), append(slices.Clone(tokens.Shape().Dimensions), t.opts.Config.HiddenSize)...)
	}
	return Gather(embedding, ExpandAxes(tokens, -1))
}

// accumulateGraph adds a batch's gradient. Inputs: the batch, [loss sum, weight sum], gradients so far, parameters, frozen. Outputs: the
// sums, the gradients.
func (t *trainer) accumulateGraph(in []*Node) []*Node {
	n := len(t.trained)
	batch, totals, rest := in[:batchInputs], in[batchInputs], in[batchInputs+1:]
	gradients, params, frozen := rest[:n], rest[n:2*n], rest[2*n:]
	sum, weight := t.loss(batch, params, frozen)
	out := []*Node{Add(totals, Concatenate([]*Node{Reshape(sum, 1), Reshape(weight, 1)}, 0))}
	for i, g := range Gradient(sum, params...) {
		out = append(out, Add(gradients[i], g))
	}
	return out
}

// lossGraph measures a batch. Inputs: the batch, parameters, frozen. Outputs: loss sum, weight sum.
func (t *trainer) lossGraph(in []*Node) []*Node {
	n := len(t.trained)
	sum, weight := t.loss(in[:batchInputs], in[batchInputs:batchInputs+n], in[batchInputs+n:])
	return []*Node{sum, weight}
}

// updateGraph is one AdamW update (Loshchilov and Hutter 2019) by the mean gradient, its norm clipped. Inputs: sums,
// [rate, 1-beta1^t, 1-beta2^t], gradients, parameters, moments. Outputs: the mean loss, zeroed sums and gradients, parameters,
// moments.
func (t *trainer) updateGraph(in []*Node) []*Node {
	n := len(t.trained)
	totals, rates, gradients, params, moments := in[0], in[1], in[2:2+n], in[2+n:2+2*n], in[2+2*n:]
	pick := func(x *Node, i int) *Node { return Reshape(Slice(x, AxisElem(i))) }
	weight := AddScalar(pick(totals, 1), 1e-6)
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
	out := []*Node{Div(pick(totals, 0), weight), ZerosLike(totals)}
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
