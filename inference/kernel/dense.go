package kernel

import (
	"encoding/binary"
	"fmt"
	"math"

	"llamaxr/inference/safetensors"
)

// Dense is a matrix [Out, In] of floats as a file holds them: F32, F16 or BF16, little endian: an embedding or a head, of which a pass reads
// single rows.
type Dense struct {
	Out, In int
	dtype   safetensors.DType
	data    []byte
}

// NewDense takes a tensor as a matrix; its bytes are not copied.
func NewDense(dtype safetensors.DType, data []byte, out, in int) (*Dense, error) {
	width := map[safetensors.DType]int{safetensors.F32: 4, safetensors.F16: 2, safetensors.BF16: 2}[dtype]
	if width == 0 || len(data) != out*in*width {
		return nil, fmt.Errorf("kernel: %d bytes of %s are no matrix %d x %d", len(data), dtype, out, in)
	}
	return &Dense{out, in, dtype, data}, nil
}

// Row writes row o into values, In of them.
func (m *Dense) Row(o int, values []float32) {
	vectors, rest := active.widenBF16, portableWidenBF16
	switch m.dtype {
	case safetensors.F32:
		for i := range values {
			values[i] = math.Float32frombits(binary.LittleEndian.Uint32(m.data[4*(o*m.In+i):]))
		}
		return
	case safetensors.F16:
		vectors, rest = active.widenF16, portableWidenF16
	}
	data, n := m.data[2*o*m.In:2*(o+1)*m.In], m.In/lanes*lanes
	if n > 0 {
		vectors(data[:2*n], values[:n])
	}
	rest(data[2*n:], values[n:])
}

// Dots computes the products of some rows with x.
func (m *Dense) Dots(y []float32, rows []int, x []float32) {
	row := make([]float32, m.In)
	for k, o := range rows {
		m.Row(o, row)
		y[k] = Dot(row, x)
	}
}

// Rows returns the number of rows of the matrix.
func (m *Dense) Rows() int { return m.Out }

// Multiply is NF4's, in float32 whatever the arithmetic.
func (m *Dense) Multiply(y []float32, x *Rows, from, to int) {
	row := make([]float32, m.In)
	for o := from; o < to; o++ {
		m.Row(o, row)
		for i := range x.n {
			y[i*m.Out+o] = Dot(row, x.Row(i))
		}
	}
}

// Floats is a matrix [Out, In] of float32 values, multiplied in float32 whatever the arithmetic.
type Floats struct {
	out, in int
	values  []float32
}

// NewFloats takes values as a matrix; they are not copied.
func NewFloats(values []float32, out, in int) *Floats { return &Floats{out, in, values[:out*in]} }

// Rows returns the number of rows of the matrix.
func (m *Floats) Rows() int { return m.out }

// Row returns row o.
func (m *Floats) Row(o int) []float32 { return m.values[o*m.in : (o+1)*m.in] }

// Multiply is NF4's.
func (m *Floats) Multiply(y []float32, x *Rows, from, to int) {
	for o := from; o < to; o++ {
		row := m.Row(o)
		for i := range x.n {
			y[i*m.out+o] = Dot(row, x.Row(i))
		}
	}
}
