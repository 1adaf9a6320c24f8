package llama

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"llamaxr/inference/quant"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
)

// TestPackedGraph: on every engine a matrix in 4 bits is dequantised to quant's bits, its products, of one row and of several, are those of that
// matrix, and so is the gradient that goes through it. Rows need not be whole blocks, magnitudes not be quantised.
func TestPackedGraph(t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 4))
	for _, w := range ways(t) {
		if w.kind != OnGraph {
			continue
		}
		backend, err := w.eng.Backend()
		if err != nil {
			t.Fatal(err)
		}
		for _, shape := range [][2]int{{96, 192}, {5, 30}, {300, 64}} {
			for _, nested := range []bool{true, false} {
				out, in := shape[0], shape[1]
				q := randomPacked(t, rng, out*in, nested)
				want, err := q.Dequantise()
				if err != nil {
					t.Fatal(err)
				}
				for _, rows := range []int{1, 3} {
					t.Run(fmt.Sprintf("%s/%dx%d/nested=%t/rows=%d", w.name, out, in, nested, rows), func(t *testing.T) {
						codes, magnitudes, err := PackedTensors(q)
						if err != nil {
							t.Fatal(err)
						}
						x := make([]float32, rows*in)
						for i := range x {
							x[i] = float32(rng.NormFloat64())
						}
						exec, err := NewExec(backend, func(args []*Node) []*Node {
							p := Packed{Out: out, In: in, Codes: args[0], Magnitudes: args[1]}
							y := p.Times(args[2])
							return []*Node{p.Matrix(), y, Gradient(ReduceAllSum(y), args[2])[0]}
						})
						if err != nil {
							t.Fatal(err)
						}
						defer exec.Finalize()
						got, err := exec.Call(codes, magnitudes, tensors.FromFlatDataAndDimensions(x, rows, in))
						if err != nil {
							t.Fatal(err)
						}
						if matrix := floatsOf(got[0]); !slices.Equal(matrix, want) {
							t.Errorf("the matrix is not quant's")
						}
						products, gradient := make([]float64, rows*out), make([]float64, rows*in)
						for i, v := range want {
							for r := range rows {
								products[r*out+i/in] += float64(v) * float64(x[r*in+i%in])
								gradient[r*in+i%in] += float64(v)
							}
						}
						near(t, "products", floatsOf(got[1]), products)
						near(t, "gradient", floatsOf(got[2]), gradient)
					})
				}
			}
		}
	}
}

func randomPacked(t *testing.T, rng *rand.Rand, n int, nested bool) *quant.Tensor {
	t.Helper()
	values := make([]float32, n)
	for i := range values {
		values[i] = float32(rng.NormFloat64() * 0.02)
	}
	q, err := quant.Quantise(values)
	if err != nil {
		t.Fatal(err)
	}
	if !nested {
		scales, err := q.Scales()
		if err != nil {
			t.Fatal(err)
		}
		q = &quant.Tensor{Len: n, Packed: q.Packed, Magnitudes: scales}
	}
	return q
}

func floatsOf(t *tensors.Tensor) (out []float32) {
	t.MustConstFlatData(func(flat any) { out = slices.Clone(flat.([]float32)) })
	return out
}

func near(t *testing.T, what string, got []float32, want []float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d, want %d", what, len(got), len(want))
	}
	for i, v := range got {
		if math.Abs(float64(v)-want[i]) > 1e-5 {
			t.Fatalf("%s: %g at %d, want %g", what, v, i, want[i])
		}
	}
}
