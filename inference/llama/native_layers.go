package llama

import (
	"math"

	"llamaxr/inference/kernel"
)

// norm is RMSNorm (Zhang and Sennrich 2019) of each row of x.
func (m *native) norm(x, weight []float32) []float32 {
	out := make([]float32, len(x))
	h := len(weight)
	for at := 0; at < len(x); at += h {
		row := x[at : at+h]
		scale := 1 / float32(math.Sqrt(float64(kernel.Dot(row, row)/float32(h))+m.config.NormEpsilon))
		for i, v := range row {
			out[at+i] = float32(v*scale) * weight[i]
		}
	}
	return out
}

func add(x, y []float32) {
	for i := range x {
		x[i] += y[i]
	}
}

// gated turns gate into SiLU(gate) times up (Shazeer 2020).
func gated(gate, up []float32) {
	const piece = 4096
	parallel((len(gate)+piece-1)/piece, func(at int) {
		for i := at * piece; i < min((at+1)*piece, len(gate)); i++ {
			g := gate[i]
			gate[i] = float32(g/float32(1+math.Exp(-float64(g)))) * up[i]
		}
	})
}

// attention keeps the rows' keys and values, at positions from on, and mixes values for each row and head by what it may attend to: itself
// and what is before it. q, k and v are rows of heads; q and k are not turned yet.
func (m *native) attention(l *nativeLayer, q, k, v []float32, from int) []float32 {
	c := m.config
	d, heads, kv := c.HeadDim, c.Heads, c.KVHeads
	n := len(q) / (heads * d)
	for i := range n {
		cos, sin := m.cos[(from+i)*d:(from+i+1)*d], m.sin[(from+i)*d:(from+i+1)*d]
		for h := range heads {
			turn(q[(i*heads+h)*d:(i*heads+h+1)*d], cos, sin)
		}
		for h := range kv {
			at := (h*m.room + from + i) * d
			key := l.keys[at : at+d]
			copy(key, k[(i*kv+h)*d:])
			turn(key, cos, sin)
			copy(l.values[at:at+d], v[(i*kv+h)*d:])
		}
	}
	out := make([]float32, len(q))
	scale := float32(1 / math.Sqrt(float64(d)))
	parallel(n*heads, func(at int) {
		i, h := at/heads, at%heads
		shared := h / (heads / kv) * m.room * d
		keys, values := l.keys[shared:shared+m.room*d], l.values[shared:shared+m.room*d]
		query := q[at*d : (at+1)*d]
		weights := make([]float32, from+i+1)
		top := float32(math.Inf(-1))
		for s := range weights {
			weights[s] = kernel.Dot(query, keys[s*d:(s+1)*d]) * scale
			top = max(top, weights[s])
		}
		sum := float32(0)
		for s, w := range weights {
			weights[s] = float32(math.Exp(float64(w - top)))
			sum += weights[s]
		}
		mix := out[at*d : (at+1)*d]
		for s, w := range weights {
			kernel.AddScaled(mix, values[s*d:(s+1)*d], w/sum)
		}
	})
	return out
}

// turn rotates the two halves of a head by the position's angle (Su et al. 2021, in transformers' half-split form).
func turn(x, cos, sin []float32) {
	half := len(x) / 2
	for i := range half {
		a, b := x[i], x[half+i]
		x[i] = float32(a*cos[i]) - float32(b*sin[i])
		x[half+i] = float32(b*cos[half+i]) + float32(a*sin[half+i])
	}
}
