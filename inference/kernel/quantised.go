package kernel

import (
	"fmt"
	"math"
)

// Quantised is a matrix [Out, In] of 8-bit weights with one scale for 64, for the head of a large model, which no one packs to 4 bits. Its
// rows can be multiplied in Int16 only.
type Quantised struct {
	Out, In int
	groups  int
	weights []int8    // Out x groups x 128, in the order of activations
	scales  []float32 // Out x groups x 2
}

// Quantise rounds a matrix to 8 bits. row fills a row's values.
func Quantise(out, in int, row func(o int, values []float32) error) (*Quantised, error) {
	groups := (in + group - 1) / group
	m := &Quantised{Out: out, In: in, groups: groups, weights: make([]int8, out*groups*group), scales: make([]float32, 2*out*groups)}
	values := make([]float32, groups*group)
	for o := range out {
		if err := row(o, values[:in]); err != nil {
			return nil, err
		}
		for b := range 2 * groups {
			part := values[b*Block : (b+1)*Block]
			top := float32(0)
			for _, v := range part {
				top = max(top, float32(math.Abs(float64(v))))
			}
			if !(top <= math.MaxFloat32) {
				return nil, fmt.Errorf("kernel: row %d of a matrix holds a value that is not finite", o)
			}
			m.scales[2*o*groups+b] = top / 127
			inverse := 127 / max(top, math.SmallestNonzeroFloat32*127)
			weights := m.weights[(o*groups+b/2)*group:]
			for i, v := range part {
				weights[active.order[b%2*Block+i]] = int8(math.RoundToEven(float64(v * inverse)))
			}
		}
	}
	return m, nil
}

// Rows returns the number of rows of the matrix.
func (m *Quantised) Rows() int { return m.Out }

// Multiply is NF4's.
func (m *Quantised) Multiply(y []float32, x *Rows, from, to int) {
	for o := from; o < to; o++ {
		weights, scales := m.weights[o*m.groups*group:], m.scales[2*o*m.groups:]
		for i := range x.n {
			y[i*m.Out+o] = active.quantised(weights, scales, x.rounded[i*x.groups*group:], x.scales[i*x.groups:], m.groups)
		}
	}
}
