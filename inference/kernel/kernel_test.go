package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"llamaxr/inference/quant"
	"llamaxr/inference/safetensors"
)

// shapes have whole groups of 128, a half one at the end, one alone, and more rows than a tile.
var shapes = [][2]int{{1, 64}, {3, 128}, {19, 576}, {9, 4096}, {5, 832}, {35, 192}, {32, 1536}}

func random(rng *rand.Rand, n int, spread float64) []float32 {
	out := make([]float32, n)
	for i := range out {
		out[i] = float32(rng.NormFloat64() * spread)
	}
	return out
}

func packed(t testing.TB, rng *rand.Rand, arithmetic Arithmetic, out, in int) (*NF4, []float32) {
	t.Helper()
	q, err := quant.Quantise(random(rng, out*in, 0.05))
	if err != nil {
		t.Fatal(err)
	}
	m, err := NewNF4(arithmetic, q, out, in)
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
		m, w := packed(t, rng, Exact, s[0], s[1])
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

// packedBound is how far a product with rounded activations, levels and scales may be from the exact one, as a share of what is summed: errors of
// either sign average out.
const packedBound = 0.0005

// TestInt16IsNear holds products with 16-bit activations to the exact ones.
func TestInt16IsNear(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 2))
	for _, s := range shapes {
		m, w := packed(t, rng, Int16, s[0], s[1])
		x := NewRows(Int16, s[1])
		x.Set(random(rng, 5*s[1], 1))
		y := make([]float32, 5*s[0])
		m.Multiply(y, x, 0, s[0])
		for i := range 5 {
			for o := range s[0] {
				want, size := product(w[o*s[1]:(o+1)*s[1]], x.Row(i))
				if d := math.Abs(float64(y[i*s[0]+o]) - want); d > packedBound*size {
					t.Errorf("%v row %d of %d: %g, want %g", s, o, i, y[i*s[0]+o], want)
				}
			}
		}
	}
}

// TestScalesOfAnySize: scales that 16 bits have no place for are refused; small and large ones, down to those that lose bits, give the product and
// every code's are the portable one's.
func TestScalesOfAnySize(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 9))
	const out, in, n = 32, 192, 13
	weights, values := random(rng, out*in, 0.05), random(rng, n*in, 1)
	for _, c := range []struct{ size, bound float64 }{{0, 0}, {math.Ldexp(1, -21), 0.01}, {math.Ldexp(1, -14), packedBound}, {4000, packedBound}} {
		scaled := make([]float32, len(weights))
		for i, w := range weights {
			scaled[i] = w * float32(c.size)
		}
		q, err := quant.Quantise(scaled)
		if err != nil {
			t.Fatal(err)
		}
		w, err := q.Dequantise()
		if err != nil {
			t.Fatal(err)
		}
		var first []float32
		for _, code := range append([]*code{portable}, codes...) {
			using(t, code)
			m, err := NewNF4(Int16, q, out, in)
			if err != nil {
				t.Fatal(err)
			}
			x := NewRows(Int16, in)
			x.Set(values)
			y := make([]float32, n*out)
			m.Multiply(y, x, 0, out)
			if first == nil {
				first = y
			}
			for k, v := range y {
				same(t, code.name, [2]int{k / out, k % out}, v, first[k])
				want, size := product(w[k%out*in:][:in], x.Row(k/out))
				if math.Abs(float64(v)-want) > c.bound*size {
					t.Errorf("%s times %g: value %d is %g, want %g", code.name, c.size, k, v, want)
				}
			}
		}
	}
	for _, large := range []float32{1025, float32(math.Inf(1)), float32(math.NaN())} {
		q := &quant.Tensor{Len: 64, Packed: make([]byte, 32), Magnitudes: []float32{large}}
		if _, err := NewNF4(Int16, q, 1, 64); err == nil {
			t.Errorf("a scale of %g is taken", large)
		}
	}
}

// using computes with another code to the end of the test.
func using(t *testing.T, c *code) {
	t.Helper()
	before := active
	active = c
	t.Cleanup(func() { active = before })
}

// TestEveryCodeIsThePortableOne: vectors of every kind that this processor has give the portable code's bits, so that a draft does not depend
// on the processor. TestNEON runs it for arm64.
func TestEveryCodeIsThePortableOne(t *testing.T) {
	for _, s := range shapes {
		using(t, portable)
		want := everything(t, s[0], s[1])
		for _, c := range codes {
			using(t, c)
			for i, v := range everything(t, s[0], s[1]) {
				same(t, fmt.Sprint(c.name, ", value ", i), s, v, want[i])
			}
		}
	}
}

// everything is what the active code makes of all that a model computes, from the same random numbers.
func everything(t *testing.T, out, in int) (results []float32) {
	rng := rand.New(rand.NewPCG(3, uint64(in)))
	m, w := packed(t, rng, Exact, out, in)
	q, err := quant.Quantise(w)
	if err != nil {
		t.Fatal(err)
	}
	again, err := NewNF4(Int16, q, out, in)
	if err != nil {
		t.Fatal(err)
	}
	weights := random(rng, out*in, 0.1)
	head, err := NewCoarse(denseOf(weights, out, in))
	if err != nil {
		t.Fatal(err)
	}
	const n = 19 // twelve together, four and three alone
	values := random(rng, n*in, 3)
	exact, rounded := NewRows(Exact, in), NewRows(Int16, in)
	exact.Set(values)
	rounded.Set(values)
	y := make([]float32, n*out)
	for _, multiply := range []func(){
		func() { m.Multiply(y, exact, 0, out) }, func() { again.Multiply(y, rounded, 0, out) }, func() { head.Multiply(y, rounded, 0, out) },
	} {
		multiply()
		results = append(results, y...)
	}
	results = append(results, Dot(values[:in], values[in:2*in]))
	mixed, scratch := make([]float32, in), make([]float32, lanes)
	attend := Attention{mixed, values[:in], 2, 1, in / 2, in / 2, 13, values[in:], values[2*in:], 0.05}
	attend.Attend()
	Gate(scratch, values)
	results = append(append(results, mixed...), scratch...)
	Weigh(mixed, values, values[in:], 0.7)
	results = append(results, mixed...)
	AddScaled(y[:out], values[:out], 0.37)
	AddScaled(values[:in], values[in:2*in], 0.37)
	return append(append(results, y...), values[:in]...)
}

// TestAttentionIsTheFormula holds attention and the gate to float64, for fewer positions than a vector and for more.
func TestAttentionIsTheFormula(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 7))
	const heads = 3
	for _, d := range []int{8, 16, 64, 80, 128} {
		for _, shape := range [][2]int{{1, 1}, {3, 15}, {1, 16}, {5, 333}} { // rows, positions of the first
			rows, most := shape[0], shape[1]+shape[0]-1
			room := (most + 15) / 16 * 16
			queries, keys, values := random(rng, rows*heads*d, 1), random(rng, room*d, 1), random(rng, room*d, 1)
			for i := most * d; i < room*d; i++ { // left from before: no numbers of this text
				keys[i], values[i] = float32(math.NaN()), float32(math.NaN())
			}
			out := make([]float32, rows*heads*d)
			a := Attention{out, queries, rows, heads, heads * d, d, shape[1], keys, values, 1.0 / 3}
			a.Attend()
			for q := range rows * heads {
				want, sum := make([]float64, d), 0.0
				for s := range shape[1] + q/heads {
					score, _ := product(queries[q*d:(q+1)*d], keys[s*d:(s+1)*d])
					w := math.Exp(score / 3)
					sum += w
					for i := range want {
						want[i] += w * float64(values[s*d+i])
					}
				}
				for i, v := range out[q*d : (q+1)*d] {
					if math.Abs(float64(v)-want[i]/sum) > 1e-5 {
						t.Fatalf("%v rows and positions, query %d of %d values: value %d is %g, want %g", shape, q, d, i, v, want[i]/sum)
					}
				}
			}
		}
	}
	gate := append(random(rng, 100, 5), 0, 87, -87, 89, -89, 1e30, -1e3, float32(math.Inf(1)))
	up := random(rng, len(gate), 1)
	for i, g := range gate {
		got := []float32{g}
		Gate(got, up[i:])
		if want := float64(g) / (1 + math.Exp(-float64(g))) * float64(up[i]); math.Abs(float64(got[0])-want) > 1e-6*math.Abs(want)+1e-30 {
			t.Errorf("SiLU of %g times %g is %g, want %g", g, up[i], got[0], want)
		}
	}
}

// TestRoundingIsPortable holds rounding by vectors to the portable one, ties, zeros and what is not finite too.
func TestRoundingIsPortable(t *testing.T) {
	rng := rand.New(rand.NewPCG(8, 8))
	odd := []float32{0, float32(math.Inf(1)), float32(math.Inf(-1)), float32(math.NaN()), 8191, -8191, 0.5, 1.5, 2.5, -0.5, 1e-40, 3e38}
	for round := range 200 {
		row := random(rng, group, math.Pow(10, float64(round%20-10)))
		switch {
		case round < len(odd):
			row[rng.IntN(group)] = odd[round]
		case round < 2*len(odd): // ties
			for i := range row {
				row[i] = float32(i) + 0.5
			}
			row[round] = 8191
		case round == 2*len(odd):
			clear(row)
		}
		for _, c := range codes {
			if c.round == nil {
				continue
			}
			var got, want [group]int16
			scale := c.round(&row[0], &got[0])
			if s := portableRound(row, want[:], c.order); got != want || scale != s && (scale == scale || s == s) {
				t.Fatalf("%s: %v\n%g %v\nportable %g %v", c.name, row, scale, got, s, want)
			}
		}
	}
}

// TestVariableChoosesTheCode: the environment's word is law, and a wrong one is an error that says what there is.
func TestVariableChoosesTheCode(t *testing.T) {
	for _, c := range codes {
		if got, err := choose(c.name); err != nil || got != c {
			t.Errorf("%s: %v, %v", c.name, got.name, err)
		}
	}
	if got, err := choose(""); err != nil || got != codes[0] {
		t.Errorf("by itself %s, %v", got.name, err)
	}
	if _, err := choose("mmx"); err == nil || !strings.Contains(err.Error(), `LLAMAXR_KERNEL="mmx"`) || !strings.Contains(err.Error(), "portable") {
		t.Errorf("mmx: %v", err)
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
	const out, in, most = 53, 576, 30
	values := random(rng, most*in, 1)
	for _, arithmetic := range []Arithmetic{Exact, Int16} {
		m, _ := packed(t, rng, arithmetic, out, in)
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
	copy(values, []float32{0, float32(math.Copysign(0, -1)), 1e-7, -5e-6, 65504, 1e-40, float32(math.Inf(-1))})
	for _, code := range codes {
		using(t, code)
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
					same(t, code.name+" "+string(dtype), [2]int{o, i}, v, want[o*40+i])
				}
			}
		}
	}
}

// TestLargest: the largest of any number of values, wherever it is.
func TestLargest(t *testing.T) {
	rng := rand.New(rand.NewPCG(11, 11))
	for _, code := range codes {
		using(t, code)
		for n := 1; n < 100; n++ {
			values := random(rng, n, 1)
			for i := range values {
				values[i] = -1 - values[i]*values[i]
			}
			values[rng.IntN(n)] = -0.5
			if got := largest(values); got != -0.5 {
				t.Fatalf("%s: of %d values the largest is %g", code.name, n, got)
			}
		}
	}
}

func TestWhatDoesNotFitIsRefused(t *testing.T) {
	q, err := quant.Quantise(make([]float32, 96*2))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := NewNF4(Exact, q, 2, 96); err == nil {
		t.Error("rows of 96 share scales and are taken")
	}
	if _, err := NewDense(safetensors.F16, make([]byte, 10), 2, 3); err == nil {
		t.Error("10 bytes are taken for 2 x 3")
	}
	if _, err := NewCoarse(denseOf(make([]float32, 96), 1, 96)); err == nil {
		t.Error("rows of 96 share scales and are rounded")
	}
	for _, odd := range []float32{float32(math.NaN()), float32(math.Inf(-1)), 1e9} {
		if _, err := NewCoarse(denseOf(append(make([]float32, 63), odd), 1, 64)); err == nil {
			t.Errorf("%g is rounded", odd)
		}
	}
}

// BenchmarkMultiply reads a matrix of Llama 3.1 8B's MLP; GB/s are of packed weights and scales on one thread.
func BenchmarkMultiply(b *testing.B) {
	rng := rand.New(rand.NewPCG(6, 6))
	const out, in = 14336, 4096
	for _, arithmetic := range []Arithmetic{Exact, Int16} {
		m, _ := packed(b, rng, arithmetic, out, in)
		for _, n := range []int{1, 4, 12, 96} {
			b.Run(fmt.Sprintf("%s/%d", arithmetic, n), func(b *testing.B) {
				x := NewRows(arithmetic, in)
				x.Set(random(rng, n*in, 1))
				y := make([]float32, n*out)
				b.SetBytes(int64(len(m.packed) + 4*len(m.scales) + 2*len(m.halves)))
				for b.Loop() {
					m.Multiply(y, x, 0, out)
				}
				b.ReportMetric(float64(n*out*in)*2*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFLOP/s")
			})
		}
	}
}
