package kernel

import (
	"fmt"
	"math"

	"llamaxr/inference/quant"
)

// NF4 is a matrix [Out, In] of 4-bit weights. In must be a multiple of 64, so that no scale is shared by two rows.
type NF4 struct {
	Out, In int
	packed  []byte    // Out x In/2, as bitsandbytes packs them
	scales  []float32 // Out x In/64, and one more that is read but not used
}

// NewNF4 takes a quantised tensor as a matrix; its packed bytes are not copied.
func NewNF4(t *quant.Tensor, out, in int) (*NF4, error) {
	if in%Block != 0 || out*in != t.Len {
		return nil, fmt.Errorf("kernel: %d values are no matrix %d x %d of whole blocks of %d", t.Len, out, in, Block)
	}
	scales, err := t.Scales()
	if err != nil {
		return nil, err
	}
	return &NF4{Out: out, In: in, packed: t.Packed, scales: append(scales, 0)}, nil
}

// Rows returns the number of rows of the matrix.
func (m *NF4) Rows() int { return m.Out }

// Multiply computes rows from to to-1 of the product for every row of x: y[i*Out + o] for row i.
func (m *NF4) Multiply(y []float32, x *Rows, from, to int) {
	if x.arithmetic == Exact {
		m.multiplyExact(y, x, from, to)
	} else {
		m.multiplyInt16(y, x, from, to)
	}
}

// tile is how many rows of a matrix stay in the first-level cache while the rows of activations pass, four at a time.
const tile = 8

func (m *NF4) multiplyExact(y []float32, x *Rows, from, to int) {
	whole, half := m.In/group, m.In%group/Block
	var sums [4]float32
	for ; from < to; from += tile {
		end := min(from+tile, to)
		i := 0
		for ; i+4 <= x.n; i += 4 {
			for o := from; o < end; o++ {
				active.nf4Exactx4(m.packed[o*m.In/2:], m.scales[o*m.In/Block:], x.permuted[i*x.groups*group:], x.groups, whole, half, &sums)
				for k, s := range sums {
					y[(i+k)*m.Out+o] = s
				}
			}
		}
		for ; i < x.n; i++ {
			for o := from; o < end; o++ {
				y[i*m.Out+o] = active.nf4Exact(m.packed[o*m.In/2:], m.scales[o*m.In/Block:], x.permuted[i*x.groups*group:], whole, half)
			}
		}
	}
}

func (m *NF4) multiplyInt16(y []float32, x *Rows, from, to int) {
	whole, half := m.In/group, m.In%group/Block
	var sums [4]float32
	for ; from < to; from += tile {
		end := min(from+tile, to)
		i := 0
		for ; i+4 <= x.n; i += 4 {
			for o := from; o < end; o++ {
				active.nf4Int16x4(m.packed[o*m.In/2:], m.scales[o*m.In/Block:], x.rounded[i*x.groups*group:], x.scales[i*x.groups:], x.groups, whole, half, &sums)
				for k, s := range sums {
					y[(i+k)*m.Out+o] = s * unit
				}
			}
		}
		for ; i < x.n; i++ {
			for o := from; o < end; o++ {
				y[i*m.Out+o] = active.nf4Int16(m.packed[o*m.In/2:], m.scales[o*m.In/Block:], x.rounded[i*x.groups*group:], x.scales[i*x.groups:], whole, half) * unit
			}
		}
	}
}

// levels are quant.NF4's.
var levels = quant.NF4

// unit is what one step of rounded levels stands for.
const unit = float32(1) / topLevel

// rounded are the levels as integers, twice: the instruction that looks them up takes five bits, of which the upper belongs to the next nibble.
var rounded = func() (out [words]int16) {
	for i := range out {
		out[i] = int16(math.RoundToEven(float64(levels[i%16]) * topLevel))
	}
	return out
}()

// roundedBytes are the lower bytes of rounded levels, then the upper ones, for instructions that look up bytes.
//
//lint:ignore U1000 assembly reads it
var roundedBytes = func() (out [2 * 16]byte) {
	for i := range 16 {
		out[i], out[16+i] = byte(rounded[i]), byte(uint16(rounded[i])>>8)
	}
	return out
}()
