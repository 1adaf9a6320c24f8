package kernel

import (
	"errors"
	"fmt"
	"math"
	"runtime"
	"sync"
)

// Quantised is a matrix [Out, In] of 8-bit weights with one scale for 64, for the head of a large model, which no one packs to 4 bits. Its
// rows can be multiplied in Int16 only.
type Quantised struct {
	Out, In int
	groups  int
	weights []int8    // Out x groups x 128, in the order of activations
	scales  []float32 // Out x groups x 2
}

// Quantise rounds a matrix to 8 bits, on all cores. row fills a row's values and is called for several rows at once.
func Quantise(out, in int, row func(o int, values []float32) error) (*Quantised, error) {
	groups := (in + group - 1) / group
	m := &Quantised{Out: out, In: in, groups: groups, weights: make([]int8, out*groups*group), scales: make([]float32, 2*out*groups)}
	workers := max(1, min(runtime.GOMAXPROCS(0), out))
	faults := make([]error, workers)
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			values := make([]float32, groups*group)
			for o := w * out / workers; o < (w+1)*out/workers && faults[w] == nil; o++ {
				if faults[w] = row(o, values[:in]); faults[w] == nil {
					faults[w] = m.round(o, values)
				}
			}
		})
	}
	wg.Wait()
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	return m, nil
}

// round keeps row o of whole groups.
func (m *Quantised) round(o int, values []float32) error {
	for b := range 2 * m.groups {
		part := values[b*Block : (b+1)*Block]
		top := float32(0)
		for _, v := range part {
			top = max(top, float32(math.Abs(float64(v))))
		}
		if !(top <= math.MaxFloat32) {
			return fmt.Errorf("kernel: row %d of a matrix holds a value that is not finite", o)
		}
		m.scales[2*o*m.groups+b] = top / 127 / halfUnit
		inverse := 127 / max(top, math.SmallestNonzeroFloat32*127)
		weights := m.weights[(o*m.groups+b/2)*group:][:group]
		order := active.order[b%2*Block:][:Block]
		for i, v := range part {
			weights[order[i]] = int8(math.RoundToEven(float64(v * inverse)))
		}
	}
	return nil
}

// Rows returns the number of rows of the matrix.
func (m *Quantised) Rows() int { return m.Out }

// Multiply is NF4's.
func (m *Quantised) Multiply(y []float32, x *Rows, from, to int) {
	for ; from < to; from += cached {
		weights, scales := m.weights[from*m.groups*group:], m.scales[2*from*m.groups:]
		for i := range x.n {
			part := y[i*m.Out+from : i*m.Out+min(from+cached, to)]
			active.quantised(weights, scales, x.rounded[i*x.stride*group:], x.scales[i*x.stride:], m.groups, part)
		}
	}
}
