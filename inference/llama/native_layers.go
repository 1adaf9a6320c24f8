package llama

import (
	"math"

	"llamaxr/inference/kernel"
	"llamaxr/inference/team"
)

// norm is RMSNorm (Zhang and Sennrich 2019) of each row of x, to be used before the next one.
func (m *native) norm(x, weight []float32) []float32 {
	out := sized(&m.buffers.normed, len(x))
	h := len(weight)
	for at := 0; at < len(x); at += h {
		row := x[at : at+h]
		scale := 1 / float32(math.Sqrt(float64(kernel.Dot(row, row)/float32(h))+m.config.NormEpsilon))
		kernel.Weigh(out[at:at+h], row, weight, scale)
	}
	return out
}

func add(x, y []float32) { kernel.AddScaled(x, y, 1) }

// gated turns gate into SiLU(gate) times up.
func gated(gate, up []float32) {
	const piece = 4096
	team.Share((len(gate)+piece-1)/piece, func(at int) {
		end := min((at+1)*piece, len(gate))
		kernel.Gate(gate[at*piece:end], up[at*piece:end])
	})
}

// attendRows is how many rows of a prompt attend together: their weights stay in the second-level cache.
const attendRows = 8

// block is rows of a pass that attend together: from row on, at positions from on of one text.
type block struct {
	*cache
	row, rows, from int
}

// attention keeps the keys and values of the pass's rows, and mixes values for each row and head by what it may attend to: itself and what is
// before it in its text. q, k and v are rows of heads; q and k are not turned yet.
func (m *native) attention(layer int, q, k, v []float32) []float32 {
	c, blocks := m.config, m.buffers.blocks
	d, heads, kv := c.HeadDim, c.Heads, c.KVHeads
	for _, b := range blocks {
		for row := range b.rows {
			position, i := b.from+row, b.row+row
			cos, sin := m.cos[position*d:(position+1)*d], m.sin[position*d:(position+1)*d]
			for h := range heads {
				turn(q[(i*heads+h)*d:(i*heads+h+1)*d], cos, sin)
			}
			for h := range kv {
				at := (h*b.room + position) * d
				key := b.keys[layer][at : at+d]
				copy(key, k[(i*kv+h)*d:])
				turn(key, cos, sin)
				copy(b.values[layer][at:at+d], v[(i*kv+h)*d:])
			}
		}
	}
	out := sized(&m.buffers.mixed, len(q))
	scale := float32(1 / math.Sqrt(float64(d)))
	group := heads / kv
	team.Share(kv*len(blocks), func(at int) {
		shared, b := at/len(blocks), blocks[at%len(blocks)]
		first := (b.row*heads + shared*group) * d
		a := kernel.Attention{
			Out: out[first:], Queries: q[first:], Rows: b.rows, Heads: group, Stride: heads * d, Dim: d, Positions: b.from + 1,
			Keys: b.keys[layer][shared*b.room*d:][:b.room*d], Values: b.values[layer][shared*b.room*d:][:b.room*d], Scale: scale,
		}
		a.Attend()
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
