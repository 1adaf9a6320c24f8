package kernel

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"llamaxr/inference/safetensors"
)

// TestContendersHaveTheLargest: of products with thousands of activations of several kinds the largest, and every row that is as large, is among
// the contenders, few of which are another row; errors stay within what is said of them.
func TestContendersHaveTheLargest(t *testing.T) {
	const out, in, n, rounds = 2000, 192, 24, 25
	rng := rand.New(rand.NewPCG(10, 10))
	kinds := map[string]struct {
		weight, value func(i int) float64
		most          float64 // contenders of a token
	}{
		"normal":                {func(int) float64 { return rng.NormFloat64() }, func(int) float64 { return rng.NormFloat64() }, out / 20},
		"few large weights":     {func(int) float64 { return math.Pow(rng.NormFloat64(), 5) / 100 }, func(int) float64 { return rng.NormFloat64() }, out / 2},
		"large activations":     {func(int) float64 { return rng.NormFloat64() }, func(i int) float64 { return rng.NormFloat64() * []float64{1, 300}[b2i(i%50 == 7)] }, out / 20},
		"one activation":        {func(int) float64 { return rng.NormFloat64() }, func(i int) float64 { return float64(b2i(i == 100)) }, out / 2},
		"weights of one size":   {func(int) float64 { return 1 - 2*float64(rng.IntN(2)) }, func(int) float64 { return rng.NormFloat64() }, out / 20},
		"small":                 {func(int) float64 { return rng.NormFloat64() * 1e-3 }, func(int) float64 { return rng.NormFloat64() * 1e-3 }, out / 20},
		"nothing":               {func(int) float64 { return rng.NormFloat64() }, func(int) float64 { return 0 }, out},
		"rows that are nothing": {func(int) float64 { return 0 }, func(int) float64 { return rng.NormFloat64() }, out},
	}
	for name, kind := range kinds {
		weights := make([]float32, out*in)
		for i := range weights {
			weights[i] = float32(kind.weight(i))
		}
		copy(weights[1700*in:1701*in], weights[17*in:]) // a tie of any that these are
		d := denseOf(weights, out, in)
		c, err := NewCoarse(d)
		if err != nil {
			t.Fatal(err)
		}
		x := NewRows(Int16, in)
		all, worst := 0, 0.0
		for round := range rounds {
			values := make([]float32, n*in)
			for i := range values {
				values[i] = float32(kind.value(i % in))
				if round%10 == 0 && name == "normal" { // so that the tie is the largest
					values[i] = weights[17*in+i%in]
				}
			}
			x.Set(values)
			near, exact := make([]float32, n*out), make([]float32, n*out)
			c.Multiply(near, x, 0, out)
			d.Multiply(exact, x, 0, out)
			for i := range n {
				y, want := near[i*out:(i+1)*out], exact[i*out:(i+1)*out]
				contenders := c.Contenders(y, x.Row(i))
				all += len(contenders)
				top := slices.Max(want)
				for o, v := range want {
					if _, found := slices.BinarySearch(contenders, o); v == top && !found {
						t.Fatalf("%s: row %d, whose product is the largest, is not among the contenders", name, o)
					}
				}
				length := math.Sqrt(float64(Dot(x.Row(i), x.Row(i))))
				for o := range want {
					if d := length * float64(c.deviations[o]); d > 0 {
						worst = max(worst, math.Abs(float64(y[o]-want[o]))/d)
					}
				}
				if !slices.IsSorted(contenders) {
					t.Fatal("contenders are not in order")
				}
			}
		}
		const tokens = rounds * n
		t.Logf("%s: %.1f contenders a token, largest error %.1f deviations", name, float64(all)/tokens, worst)
		if float64(all)/tokens > kind.most || worst > certain {
			t.Errorf("%s: %.1f contenders a token, at most %.0f wanted; largest error %.1f deviations", name, float64(all)/tokens, kind.most, worst)
		}
	}
	c, err := NewCoarse(denseOf(make([]float32, 64*16), 16, 64))
	if err != nil {
		t.Fatal(err)
	}
	none := slices.Repeat([]float32{float32(math.NaN())}, 64)
	if rows := c.Contenders(none[:16], none); len(rows) > 0 {
		t.Errorf("rows %v contend though there are no numbers", rows)
	}
}

// TestPackSameBits: every code packs rows to the same bytes, scales and sums, and to bitsandbytes' levels; what is not finite shows in the scale.
func TestPackSameBits(t *testing.T) {
	const blocks = 5
	rng := rand.New(rand.NewPCG(11, 11))
	values := make([]float32, blocks*Block)
	pack := func(by func([]float32, []byte, []uint16, *errorSums)) (packed [blocks * Block / 2]byte, halves [blocks]uint16, sums errorSums) {
		by(values, packed[:], halves[:], &sums)
		return packed, halves, sums
	}
	infinity, nan := float32(math.Inf(1)), float32(math.NaN())
	for round := range 4000 {
		for i := range values {
			values[i] = float32(rng.NormFloat64() * math.Pow(2, float64(round%24-20)))
			if level := rng.IntN(lanes - 1); round%3 == 1 { // on a half-way point, or a rounding beside it
				values[i] = (levels[level] + levels[level+1]) / 2
				if i%Block > 1 {
					values[i] = math.Float32frombits(math.Float32bits(values[i]) + uint32(rng.IntN(3)) - 1)
				}
			}
			if i%Block == 0 && round%3 == 1 {
				values[i] = float32(1 - 2*rng.IntN(2))
			}
		}
		switch at := rng.IntN(len(values)); round {
		case 0:
			clear(values)
		case 2, 3, 5:
			values[at] = map[int]float32{2: infinity, 3: -infinity, 5: nan}[round]
		case 6:
			values[at] = math.MaxFloat32
		}
		packed, halves, sums := pack(portablePack)
		bad := slices.ContainsFunc(halves[:], func(h uint16) bool { return h&infinite == infinite })
		if want := round == 2 || round == 3 || round == 5 || round == 6; bad != want {
			t.Fatalf("round %d: scales %x", round, halves)
		}
		for _, code := range codes {
			if code.pack == nil {
				continue
			}
			p, h, s := pack(code.pack)
			if h != halves || !bad && (p != packed || s != sums) {
				t.Fatalf("%s, round %d: packs to %x, scales %x, not %x, %x; sums %v, not %v", code.name, round, p, h, packed, halves, s, sums)
			}
		}
	}
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// denseOf makes a matrix of float32 values.
func denseOf(values []float32, out, in int) *Dense {
	return &Dense{out, in, safetensors.F32, safetensors.FromFloats(safetensors.F32, nil, values).Data}
}
