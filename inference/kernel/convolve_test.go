package kernel

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// convolvers calls do with each code that convolves; there is one on every processor that has a code but the portable one.
func convolvers(t *testing.T, do func(t *testing.T)) {
	before := active
	defer func() { active = before }()
	for _, c := range codes {
		if active = c; c.convolving != nil {
			t.Run(c.name, do)
		} else if c != portable {
			t.Errorf("%s does not convolve", c.name)
		}
	}
}

// alike fails unless all codes gave these values, bit for bit.
func alike(t *testing.T, first *[]float32, values []float32) {
	t.Helper()
	if *first == nil {
		*first = slices.Clone(values)
	}
	if !slices.EqualFunc(*first, values, func(a, b float32) bool { return math.Float32bits(a) == math.Float32bits(b) }) {
		t.Error("another code gives other bits")
	}
}

// TestEveryCodeMultipliesPanels: rows times a matrix, with shift and floor, are what float64 gives, and leave what lies between rows of y alone.
func TestEveryCodeMultipliesPanels(t *testing.T) {
	for _, k := range []int{1, 4, 49, 128, 1000} {
		var first []float32
		convolvers(t, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(2, uint64(k)))
			const n, rows, gap = 64, 84, 5 // 84 rows are whole tiles of 6 and of 14
			values, shift := random(rng, k*n, 1), random(rng, n, 1)
			p := NewPanels(values, k, n)
			x, y := random(rng, rows*(p.K+gap), 1), make([]float32, rows*(n+gap))
			const floor = -0.25
			p.Multiply(y, n+gap, x, p.K+gap, rows, shift, floor)
			for r := range rows {
				for o := range n {
					sum, size := float64(shift[o]), 1.0
					for i := range k {
						v := float64(x[r*(p.K+gap)+i]) * float64(values[i*n+o])
						sum, size = sum+v, size+math.Abs(v)
					}
					if got := y[r*(n+gap)+o]; math.Abs(float64(got)-max(sum, floor)) > 1e-6*size {
						t.Fatalf("k %d, row %d, output %d: %g, want %g", k, r, o, got, max(sum, floor))
					}
				}
				if slices.ContainsFunc(y[r*(n+gap)+n:(r+1)*(n+gap)], func(v float32) bool { return v != 0 }) {
					t.Fatal("something was written between the rows")
				}
			}
			alike(t, &first, y)
		})
	}
}

// TestEveryCodeNorms holds norms and the larger of two to float64.
func TestEveryCodeNorms(t *testing.T) {
	var first []float32
	convolvers(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(3, 3))
		const n = 48
		x, scale, shift, y := random(rng, n, 1), random(rng, n, 1), random(rng, n, 1), make([]float32, n)
		NormReLU(y, x, scale, shift)
		for i := range y {
			if want := max(float64(x[i])*float64(scale[i])+float64(shift[i]), 0); math.Abs(float64(y[i])-want) > 1e-6 {
				t.Fatalf("%d: %g, want %g", i, y[i], want)
			}
		}
		alike(t, &first, y)
		Most(y, x)
		for i := range y {
			if y[i] != max(first[i], x[i]) {
				t.Fatalf("%d: the larger of %g and %g is not %g", i, first[i], x[i], y[i])
			}
		}
	})
}

// TestEveryCodeConvolves holds Winograd's convolution to the plain one in float64: pictures of even and odd sides, tiles in parts, and outputs
// among other channels, which stay.
func TestEveryCodeConvolves(t *testing.T) {
	for _, side := range [][2]int{{1, 1}, {2, 6}, {7, 7}, {14, 5}} {
		var first []float32
		convolvers(t, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(4, uint64(side[0])))
			const views, inputs, outputs, stride, kept = 2, 48, 32, 40, 1.5
			height, width := side[0], side[1]
			kernel, x := random(rng, inputs*9*outputs, 1), random(rng, views*height*width*inputs, 1)
			y := make([]float32, views*height*width*stride)
			for i := range y {
				y[i] = kept
			}
			w := NewWinograd(kernel, inputs, outputs)
			tiles := views * ((height + 1) / 2) * ((width + 1) / 2)
			const part = 3
			scratch := random(rng, w.Scratch(part), 1e30) // of which nothing may be believed
			for from := 0; from < tiles; from += part {
				w.Tiles(y[4:], stride, x, height, width, from, min(tiles, from+part), scratch)
			}
			for p := range views * height * width {
				view, row, column := p/(height*width), p/width%height, p%width
				for o := range stride {
					got := float64(y[p*stride+o])
					if o < 4 || o >= 4+outputs {
						if got != kept {
							t.Fatalf("point %d: channel %d was written", p, o)
						}
						continue
					}
					sum, size := 0.0, 1.0
					for k := range 9 {
						r, c := row+k/3-1, column+k%3-1
						if r < 0 || r >= height || c < 0 || c >= width {
							continue
						}
						for i := range inputs {
							v := float64(x[((view*height+r)*width+c)*inputs+i]) * float64(kernel[(i*9+k)*outputs+o-4])
							sum, size = sum+v, size+math.Abs(v)
						}
					}
					if math.Abs(got-sum) > 2e-6*size {
						t.Fatalf("%v: point %d, output %d: %g, want %g", side, p, o-4, got, sum)
					}
				}
			}
			alike(t, &first, y)
		})
	}
}
