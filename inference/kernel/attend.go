package kernel

import (
	"math"
	"sync"
)

// Attention is a block of rows of queries whose heads share keys and values. A row's heads lie together, rows Stride values apart. The first row
// attends to Positions positions, each later one to one more. Keys and values are [positions][Dim], with room for the last row's positions
// rounded up to a multiple of 16.
type Attention struct {
	Out, Queries        []float32
	Rows, Heads, Stride int
	Dim, Positions      int
	Keys, Values        []float32
	Scale               float32
}

// chunk is how many positions' keys or values stay in the first-level cache while the queries pass.
const chunk = 64

// weightsOf are the weights of a block's queries, one slice for each core that attends.
var weightsOf = sync.Pool{New: func() any { return new([]float32) }}

// Attend mixes values by how well their keys fit each query: softmax(keys query scale) values (Vaswani et al. 2017).
func (a *Attention) Attend() {
	code := active
	if a.Dim%lanes != 0 {
		code = portable
	}
	queries, most := a.Rows*a.Heads, a.Positions+a.Rows-1
	width := padded(most)
	kept := weightsOf.Get().(*[]float32)
	*kept = grown(*kept, queries*(width+1))
	d, weights, sums := a.Dim, (*kept)[queries:], (*kept)[:queries]
	// each calls do for every query that attends to position from: its number, where its values lie and how many positions it attends to.
	each := func(from int, do func(q, at, n int)) {
		for row := max(0, from+1-a.Positions); row < a.Rows; row++ {
			for head := range a.Heads {
				do(row*a.Heads+head, row*a.Stride+head*d, a.Positions+row)
			}
		}
	}
	for from := 0; from < most; from += chunk {
		each(from, func(q, at, n int) {
			end := min(from+chunk, padded(n))
			code.scores(a.Queries[at:at+d], a.Keys[from*d:end*d], a.Scale, weights[q*width+from:q*width+end])
		})
	}
	each(0, func(q, at, n int) {
		row := weights[q*width:][:padded(n)]
		for s := n; s < len(row); s++ {
			row[s] = float32(math.Inf(-1))
		}
		sums[q] = code.softmax(row)
		clear(a.Out[at : at+d])
	})
	for from := 0; from < most; from += chunk {
		each(from, func(q, at, n int) {
			end := min(from+chunk, n)
			code.mix(a.Out[at:at+d], a.Values[from*d:end*d], weights[q*width+from:q*width+end])
		})
	}
	each(0, func(q, at, _ int) {
		inverse := 1 / sums[q]
		for i := range d {
			a.Out[at+i] *= inverse
		}
	})
	weightsOf.Put(kept)
}

// padded is a number of positions rounded up to whole vectors.
func padded(n int) int { return (n + lanes - 1) / lanes * lanes }

// Gate turns gate into SiLU(gate) times up (Shazeer 2020); up has at least as many values.
func Gate(gate, up []float32) {
	n := len(gate) / lanes * lanes
	if n > 0 {
		active.gate(gate[:n], up[:n])
	}
	portableGate(gate[n:], up[n:])
}

// Weigh writes x times scale times weights to out, as many as it has.
func Weigh(out, x, weights []float32, scale float32) {
	n := len(out) / lanes * lanes
	if n > 0 {
		active.weigh(out[:n], x[:n], weights[:n], scale)
	}
	portableWeigh(out[n:], x[n:], weights[n:], scale)
}

// scoresBy makes scores of code for one product.
func scoresBy(dot func(a, b []float32) float32) func(query, keys []float32, scale float32, scores []float32) {
	return func(query, keys []float32, scale float32, scores []float32) {
		d := len(query)
		for s := range scores {
			scores[s] = dot(query, keys[s*d:(s+1)*d]) * scale
		}
	}
}

// mixBy makes mix of code for one row.
func mixBy(addScaled func(y, x []float32, a float32)) func(out, values, weights []float32) {
	return func(out, values, weights []float32) {
		d := len(out)
		for s := range len(values) / d {
			addScaled(out, values[s*d:(s+1)*d], weights[s])
		}
	}
}

// The exponential function in float32, as vectors compute it: within two units in the last place, 0 below leastExponent. The polynomial is
// Cephes' (S. Moshier, expf).
const (
	leastExponent, mostExponent = -87, 88
	log2e                       = 1.44269504088896341
	ln2High, ln2Low             = 0.693359375, -2.12194440e-4
	bias                        = 127 // of a float32's exponent
)

var expTerms = [6]float32{1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1}

// expConstants are vectors of what assembly needs for exp, one after another: the limits, log2 e, -ln 2 in two parts, the bias as an integer, 1
// and the terms.
//
//lint:ignore U1000 assembly reads it
var expConstants = func() (out [13 * 8]float32) {
	constants := append([]float32{leastExponent, mostExponent, log2e, -ln2High, -ln2Low, math.Float32frombits(bias), 1}, expTerms[:]...)
	for i := range out {
		out[i] = constants[i/8]
	}
	return out
}()

func exp(x float32) float32 {
	if x < leastExponent {
		return 0
	}
	n := float32(math.RoundToEven(float64(float32(x * log2e))))
	r := fma(n, -ln2High, x)
	r = fma(n, -ln2Low, r)
	p := expTerms[0]
	for _, term := range expTerms[1:] {
		p = fma(p, r, term)
	}
	y := fma(p, float32(r*r), r) + 1
	return float32(y * math.Float32frombits(uint32(int32(n)+bias)<<23))
}

func portableSoftmax(weights []float32) float32 {
	top := portableLargest(weights)
	var sum [lanes]float32
	for i, w := range weights {
		weights[i] = exp(w - top)
		sum[i%lanes] += weights[i]
	}
	return total(&sum)
}

func portableGate(gate, up []float32) {
	for i, g := range gate {
		e := exp(min(-g, mostExponent))
		gate[i] = float32(g/float32(1+e)) * up[i]
	}
}

func portableWeigh(out, x, weights []float32, scale float32) {
	for i := range out {
		out[i] = float32(x[i]*scale) * weights[i]
	}
}
