package kernel

import (
	"errors"
	"fmt"
	"math"

	"llamaxr/inference/quant"
	"llamaxr/inference/safetensors"
)

// NF4 is a matrix [Out, In] of 4-bit weights for one arithmetic. In must be a multiple of 64, so that no scale is shared by two rows.
type NF4 struct {
	Out, In    int
	arithmetic Arithmetic
	packed     []byte // Out x In/2, as bitsandbytes packs them
	// scales are Out x In/64, and one more that is read but not used, for Exact.
	scales []float32
	// halves are those of rounded levels in 16 bits, for Int16. Where the code has tiles those of whole tiles lie block by block.
	halves []uint16
}

// NewNF4 takes a quantised tensor as a matrix; its packed bytes are not copied.
func NewNF4(arithmetic Arithmetic, t *quant.Tensor, out, in int) (*NF4, error) {
	if in%Block != 0 || out*in != t.Len {
		return nil, fmt.Errorf("kernel: %d values are no matrix %d x %d of whole blocks of %d", t.Len, out, in, Block)
	}
	m := &NF4{Out: out, In: in, arithmetic: arithmetic, packed: t.Packed}
	if arithmetic == Exact {
		scales, err := t.Scales()
		m.scales = append(scales, 0)
		return m, err
	}
	if err := t.Check(); err != nil {
		return nil, err
	}
	m.halves = make([]uint16, t.Len/Block)
	largest := uint16(0)
	for i := range m.halves {
		half := safetensors.ToF16(t.Scale(i) * (unit / halfUnit))
		m.halves[i], largest = half, max(largest, half&infinite)
	}
	if largest == infinite {
		return nil, errors.New("kernel: a block's largest weight is not finite, or more than is computed with in 16 bits")
	}
	m.layOut()
	return m, nil
}

// layOut lays scales as the code's tiles want them.
func (m *NF4) layOut() {
	if active.tiles != nil {
		turn(m.halves, m.Out/tileRows, m.In/Block)
	}
}

// halfUnit is what scales of weights are multiples of in 16 bits: from a millionth to a thousand they keep 11 bits. Scales of activations have it
// as a factor.
const halfUnit = 1.0 / (1 << 18)

// infinite are bits that infinity and NaN have, of 16.
const infinite = 0x7c00

// turn lays the scales of tiles out block by block.
func turn(scales []uint16, tiles, blocks int) {
	row := make([]uint16, tileRows*blocks)
	for tile := range tiles {
		of := scales[tile*len(row):][:len(row)]
		copy(row, of)
		for r := range tileRows {
			for b, s := range row[r*blocks:][:blocks] {
				of[b*tileRows+r] = s
			}
		}
	}
}

// Rows returns the number of rows of the matrix.
func (m *NF4) Rows() int { return m.Out }

// Multiply computes rows from to to-1 of the product for every row of x: y[i*Out + o] for row i.
func (m *NF4) Multiply(y []float32, x *Rows, from, to int) {
	switch {
	case x.arithmetic != m.arithmetic:
		panic(fmt.Sprintf("kernel: a matrix for %s times rows for %s", m.arithmetic, x.arithmetic))
	case m.arithmetic == Exact:
		m.multiplyExact(y, x, from, to)
	case active.tiles != nil || active.panels != nil && x.n >= active.panels.rows:
		tiled := m.Out / tileRows * tileRows
		m.multiplyTiles(y, x, from, min(to, tiled))
		m.multiplyInt16(y, x, 0, max(from, tiled), to)
	default:
		m.multiplyInt16(y, x, 0, from, to)
	}
}

// cached is how many rows of a matrix stay in the first-level cache while the rows of activations pass, four at a time.
const cached = 8

func (m *NF4) multiplyExact(y []float32, x *Rows, from, to int) {
	whole, half := m.In/group, m.In%group/Block
	var sums [4]float32
	for ; from < to; from += cached {
		end := min(from+cached, to)
		i := 0
		for ; i+4 <= x.n; i += 4 {
			for o := from; o < end; o++ {
				active.nf4Exactx4(m.packed[o*m.In/2:], m.scales[o*m.In/Block:], x.permuted[i*x.stride*group:], x.stride, whole, half, &sums)
				for k, s := range sums {
					y[(i+k)*m.Out+o] = s
				}
			}
		}
		for ; i < x.n; i++ {
			for o := from; o < end; o++ {
				y[i*m.Out+o] = active.nf4Exact(m.packed[o*m.In/2:], m.scales[o*m.In/Block:], x.permuted[i*x.stride*group:], whole, half)
			}
		}
	}
}

// multiplyInt16 goes row by row, for those of x from the first on.
func (m *NF4) multiplyInt16(y []float32, x *Rows, first, from, to int) {
	whole, half := m.In/group, m.In%group/Block
	var sums [4]float32
	for ; from < to; from += cached {
		end := min(from+cached, to)
		i := first
		for ; i+4 <= x.n; i += 4 {
			for o := from; o < end; o++ {
				active.nf4Int16x4(m.packed[o*m.In/2:], m.halves[o*m.In/Block:], x.rounded[i*x.stride*group:], x.scales[i*x.stride:], x.stride, whole, half, &sums)
				for k, s := range sums {
					y[(i+k)*m.Out+o] = s
				}
			}
		}
		for ; i < x.n; i++ {
			for o := from; o < end; o++ {
				y[i*m.Out+o] = active.nf4Int16(m.packed[o*m.In/2:], m.halves[o*m.In/Block:], x.rounded[i*x.stride*group:], x.scales[i*x.stride:], whole, half)
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
