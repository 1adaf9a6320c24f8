package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"llamaxr/inference/quant"
	"llamaxr/inference/safetensors"
)

// shapes have whole groups of 128, a half one at the end, one alone, and more rows than a tile.
var shapes = [][2]int{{1, 64}, {3, 128}, {19, 576}, {9, 4096}, {5, 832}}

func random(rng *rand.Rand, n int, spread float64) []float32 {
	out := make([]float32, n)
	for i := range out {
		out[i] = float32(rng.NormFloat64() * spread)
	}
	return out
}

func packed(t testing.TB, rng *rand.Rand, out, in int) (*NF4, []float32) {
	t.Helper()
	q, err := quant.Quantise(random(rng, out*in, 0.05))
	if err != nil {
		t.Fatal(err)
	}
	m, err := NewNF4(q, out, in)
	if err != nil {
		t.Fatal(err)
	}
	values, err := q.Dequantise() // held to bitsandbytes' by its own test
	if err != nil {
		t.Fatal(err)
	}
	return m, values
}

// product is what is to come out, in float64, and the size of what is summed.
func product(w, x []float32) (sum, size float64) {
	for i := range w {
		p := float64(w[i]) * float64(x[i])
		sum += p
		size += math.Abs(p)
	}
	return sum, size
}

// TestExactIsTheProduct: packed weights times float32 activations are dequantised weights times the same, but for the order of summing.
func TestExactIsTheProduct(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for _, s := range shapes {
		m, w := packed(t, rng, s[0], s[1])
		x := NewRows(Exact, s[1])
		x.Set(random(rng, 3*s[1], 1))
		y := make([]float32, 3*s[0])
		m.Multiply(y, x, 0, s[0])
		for i := range 3 {
			for o := range s[0] {
				want, size := product(w[o*s[1]:(o+1)*s[1]], x.Row(i))
				if d := math.Abs(float64(y[i*s[0]+o]) - want); d > 2e-6*size {
					t.Errorf("%v row %d of %d: %g, want %g", s, o, i, y[i*s[0]+o], want)
				}
			}
		}
	}
}

// How far a product with rounded activations and weights may be from the exact one, as a share of what is summed: half a step of 2047 for the
// largest level, of 127 for the largest weight of a head; errors of either sign average out.
const (
	packedBound = 0.0005
	headBound   = 0.005
)

// TestInt16IsNear holds products with 16-bit activations to the exact ones, for packed weights and for a head of 8 bits.
func TestInt16IsNear(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 2))
	for _, s := range shapes {
		m, w := packed(t, rng, s[0], s[1])
		head, err := Quantise(s[0], s[1], func(o int, values []float32) error { copy(values, w[o*s[1]:]); return nil })
		if err != nil {
			t.Fatal(err)
		}
		x := NewRows(Int16, s[1])
		x.Set(random(rng, 5*s[1], 1))
		for m, bound := range map[interface {
			Multiply([]float32, *Rows, int, int)
		}]float64{m: packedBound, head: headBound} {
			y := make([]float32, 5*s[0])
			m.Multiply(y, x, 0, s[0])
			for i := range 5 {
				for o := range s[0] {
					want, size := product(w[o*s[1]:(o+1)*s[1]], x.Row(i))
					if d := math.Abs(float64(y[i*s[0]+o]) - want); d > bound*size {
						t.Errorf("%T %v row %d of %d: %g, want %g", m, s, o, i, y[i*s[0]+o], want)
					}
				}
			}
		}
	}
}

// TestVectorsAreThePortableCode: the assembly gives the portable code's bits, so that a draft does not depend on the processor.
func TestVectorsAreThePortableCode(t *testing.T) {
	if Name() == "portable" {
		t.Skip("this processor has no AVX-512 with VNNI: there is only the portable code")
	}
	rng := rand.New(rand.NewPCG(3, 3))
	for _, s := range shapes {
		out, in := s[0], s[1]
		m, _ := packed(t, rng, out, in)
		head, err := Quantise(out, in, func(_ int, values []float32) error { copy(values, random(rng, in, 0.1)); return nil })
		if err != nil {
			t.Fatal(err)
		}
		values := random(rng, in, 3)
		exact, rounded16 := NewRows(Exact, in), NewRows(Int16, in)
		exact.Set(values)
		rounded16.Set(values)
		whole, half := in/group, in%group/Block
		for o := range out {
			p, sc := m.packed[o*in/2:], m.scales[o*in/Block:]
			same(t, "exact", s, nf4Exact(p, sc, exact.permuted, whole, half), portableNF4Exact(p, sc, exact.permuted, whole, half))
			same(t, "int16", s, nf4Int16(p, sc, rounded16.rounded, rounded16.scales, whole, half), portableNF4Int16(p, sc, rounded16.rounded, rounded16.scales, whole, half))
			w, sc := head.weights[o*head.groups*group:], head.scales[2*o*head.groups:]
			same(t, "head", s, dotQuantised(w, sc, rounded16.rounded, rounded16.scales, head.groups), portableQuantised(w, sc, rounded16.rounded, rounded16.scales, head.groups))
		}
		other := random(rng, in, 1)
		same(t, "dot", s, Dot(values, other), portableDot(values, other))
		a, b := append([]float32(nil), other...), append([]float32(nil), other...)
		AddScaled(a, values, 0.37)
		portableAddScaled(b, values, 0.37)
		for i := range a {
			same(t, "add", s, a[i], b[i])
		}
	}
}

func same(t *testing.T, what string, shape [2]int, got, want float32) {
	t.Helper()
	if math.Float32bits(got) != math.Float32bits(want) {
		t.Errorf("%s %v: %g, portable %g", what, shape, got, want)
	}
}

// TestNothingDependsOnTheBatch: a row's product is the same to the last bit alone, among others, and however the matrix is shared out.
func TestNothingDependsOnTheBatch(t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 4))
	const out, in, most = 21, 576, 11
	m, _ := packed(t, rng, out, in)
	values := random(rng, most*in, 1)
	for _, arithmetic := range []Arithmetic{Exact, Int16} {
		var alone [most][]float32
		for i := range most {
			x := NewRows(arithmetic, in)
			x.Set(values[i*in : (i+1)*in])
			alone[i] = make([]float32, out)
			m.Multiply(alone[i], x, 0, out)
		}
		for n := 1; n <= most; n++ {
			x := NewRows(arithmetic, in)
			x.Set(values[:n*in])
			y := make([]float32, n*out)
			cut := rng.IntN(out)
			m.Multiply(y, x, 0, cut)
			m.Multiply(y, x, cut, out)
			for i := range n {
				for o := range out {
					same(t, fmt.Sprint(arithmetic, " row ", i, " of ", n), [2]int{o, cut}, y[i*out+o], alone[i][o])
				}
			}
		}
	}
}

func TestDenseRowsAreTheFiles(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 5))
	values := random(rng, 3*40, 1)
	for _, dtype := range []safetensors.DType{safetensors.F32, safetensors.F16, safetensors.BF16} {
		tensor := safetensors.FromFloats(dtype, []int{3, 40}, values)
		m, err := NewDense(dtype, tensor.Data, 3, 40)
		if err != nil {
			t.Fatal(err)
		}
		want, _ := tensor.Floats()
		for o := range 3 {
			row := make([]float32, 40)
			m.Row(o, row)
			for i, v := range row {
				same(t, string(dtype), [2]int{o, i}, v, want[o*40+i])
			}
		}
	}
}

func TestWhatDoesNotFitIsRefused(t *testing.T) {
	q, err := quant.Quantise(make([]float32, 96*2))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := NewNF4(q, 2, 96); err == nil {
		t.Error("rows of 96 share scales and are taken")
	}
	if _, err := NewDense(safetensors.F16, make([]byte, 10), 2, 3); err == nil {
		t.Error("10 bytes are taken for 2 x 3")
	}
	if _, err := Quantise(1, 64, func(_ int, values []float32) error { values[3] = float32(math.NaN()); return nil }); err == nil {
		t.Error("a NaN is quantised")
	}
}

// BenchmarkMultiply reads a matrix of Llama 3.1 8B's MLP; GB/s are of packed weights and scales on one thread.
func BenchmarkMultiply(b *testing.B) {
	rng := rand.New(rand.NewPCG(6, 6))
	const out, in = 14336, 4096
	m, _ := packed(b, rng, out, in)
	for _, n := range []int{1, 4, 16} {
		for _, arithmetic := range []Arithmetic{Exact, Int16} {
			b.Run(fmt.Sprintf("%s/%d", arithmetic, n), func(b *testing.B) {
				x := NewRows(arithmetic, in)
				x.Set(random(rng, n*in, 1))
				y := make([]float32, n*out)
				b.SetBytes(out * in * 9 / 16)
				for b.Loop() {
					m.Multiply(y, x, 0, out)
				}
				b.ReportMetric(float64(n*out*in)*2*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFLOP/s")
			})
		}
	}
}
