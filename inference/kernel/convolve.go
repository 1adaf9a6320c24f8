package kernel

import "math"

// What convolutional networks are made of, in float32: products of many rows by a matrix, norms, and the transforms of Winograd's convolution F(2x2, 3x3)
// (Lavin and Gray 2016, arXiv 1509.09308, section 4.1), which takes 16 products for four outputs where a plain one takes 36.

// convolving is the code for them; a code has none where another engine is faster than what could be written here.
type convolving struct {
	// rows is how many rows multiply computes at once, 32 outputs of each: y = max(x w + shift, floor), k a multiple of 4, strides in values.
	rows     int
	multiply func(y *float32, yStride int, x *float32, xStride int, weights *float32, k int, shift *float32, floor float32)
	// Of n values, a multiple of 16: y = max(x scale + shift, 0); y = max(y, x).
	norm func(y, x, scale, shift *float32, n int)
	most func(y, x *float32, n int)
	// spread transforms 4 x 4 points of n channels into 16 matrices, stride values apart, gather 16 matrices into 2 x 2 points.
	spread func(at *[winogradPoints]*float32, y *float32, stride, n int)
	gather func(x *float32, stride int, at *[winogradOutputs]*float32, n int)
}

const (
	// PanelColumns of a matrix lie together.
	PanelColumns    = 32
	innerStep       = 4 // rows of a matrix are a multiple of it
	winogradPoints  = 16
	winogradOutputs = 4
)

// Convolves reports whether this processor has code for convolutions.
func Convolves() bool { return active.convolving != nil }

// Tile is how many rows are computed at once.
func Tile() int { return active.convolving.rows }

// WholeTiles is a number of rows rounded up to whole tiles.
func WholeTiles(rows int) int { return (rows + Tile() - 1) / Tile() * Tile() }

// NoFloor is the floor of a product that has none.
var NoFloor = float32(math.Inf(-1))

// Panels is a matrix [K, N] of float32 values, 32 columns together. K is a multiple of 4, filled up with zeros, N of 32.
type Panels struct {
	K, N   int
	values []float32
	zeros  []float32
}

// NewPanels arranges the values of a matrix [k, n], row by row.
func NewPanels(values []float32, k, n int) *Panels {
	p := &Panels{K: (k + innerStep - 1) / innerStep * innerStep, N: n, zeros: make([]float32, n)}
	p.values = make([]float32, p.K*n)
	for c := 0; c < n; c += PanelColumns {
		panel := p.values[c*p.K:]
		for i := range k {
			copy(panel[i*PanelColumns:(i+1)*PanelColumns], values[i*n+c:])
		}
	}
	return p
}

// Multiply computes y = max(x p + shift, floor) for rows of x, xStride apart, into rows of y, yStride apart. rows is a multiple of [Tile];
// shift may be nil.
func (p *Panels) Multiply(y []float32, yStride int, x []float32, xStride, rows int, shift []float32, floor float32) {
	code := active.convolving
	if shift == nil {
		shift = p.zeros
	}
	_, _ = y[(rows-1)*yStride+p.N-1], x[(rows-1)*xStride+p.K-1]
	for c := 0; c < p.N; c += PanelColumns {
		for r := 0; r < rows; r += code.rows {
			code.multiply(&y[r*yStride+c], yStride, &x[r*xStride], xStride, &p.values[c*p.K], p.K, &shift[c], floor)
		}
	}
}

// NormReLU writes max(x scale + shift, 0), a multiple of 16 values.
func NormReLU(y, x, scale, shift []float32) {
	n := len(y)
	_, _, _ = x[n-1], scale[n-1], shift[n-1]
	active.convolving.norm(&y[0], &x[0], &scale[0], &shift[0], n)
}

// Most writes the larger of y and x into y, a multiple of 16 values.
func Most(y, x []float32) {
	_ = x[len(y)-1]
	active.convolving.most(&y[0], &x[0], len(y))
}

// Winograd is a 3 x 3 convolution of Inputs channels, a multiple of 16, padded with zeros, to Outputs channels, a multiple of 32.
type Winograd struct {
	Inputs, Outputs int
	kernels         [winogradPoints]*Panels
}

// NewWinograd takes a kernel [inputs, 9, outputs].
func NewWinograd(kernel []float32, inputs, outputs int) *Winograd {
	w := &Winograd{Inputs: inputs, Outputs: outputs}
	var points [winogradPoints][]float32
	for i := range points {
		points[i] = make([]float32, inputs*outputs)
	}
	turned := func(a, b, c float32) [4]float32 { return [4]float32{a, (a + b + c) / 2, (a - b + c) / 2, c} }
	for i := range inputs {
		for o := range outputs {
			at := func(p int) float32 { return kernel[(i*9+p)*outputs+o] }
			var columns [3][4]float32
			for x := range columns {
				columns[x] = turned(at(x), at(3+x), at(6+x))
			}
			for y := range 4 {
				for x, v := range turned(columns[0][y], columns[1][y], columns[2][y]) {
					points[4*y+x][i*outputs+o] = v
				}
			}
		}
	}
	for i := range points {
		w.kernels[i] = NewPanels(points[i], inputs, outputs)
	}
	return w
}

// Scratch is how many values Tiles needs for so many tiles.
func (w *Winograd) Scratch(tiles int) int {
	return winogradPoints*WholeTiles(tiles)*(w.Inputs+w.Outputs) + w.Inputs + w.Outputs
}

// Tiles convolves pictures of height x width points [.., height, width, Inputs]: those tiles of 2 x 2 outputs, counted through all pictures row by
// row, that are from the one up to the other. Outputs of a point are written to y, yStride values after those of the point before.
func (w *Winograd) Tiles(y []float32, yStride int, x []float32, height, width, from, to int, scratch []float32) {
	code := active.convolving
	rows := WholeTiles(to - from)
	spread := rows * w.Inputs
	zero, nowhere := scratch[:w.Inputs], scratch[w.Inputs:w.Inputs+w.Outputs]
	clear(zero)
	turned := scratch[w.Inputs+w.Outputs:]
	products := turned[winogradPoints*spread:]
	across, down := (width+1)/2, (height+1)/2
	for t := from; t < to; t++ {
		picture, top, left := t/(across*down), t/across%down*2-1, t%across*2-1
		var at [winogradPoints]*float32
		for i := range at {
			at[i] = &zero[0]
			if row, column := top+i/4, left+i%4; row >= 0 && row < height && column >= 0 && column < width {
				at[i] = &x[((picture*height+row)*width+column)*w.Inputs]
			}
		}
		code.spread(&at, &turned[(t-from)*w.Inputs], spread, w.Inputs)
	}
	each := rows * w.Outputs
	for i, kernel := range w.kernels {
		kernel.Multiply(products[i*each:(i+1)*each], w.Outputs, turned[i*spread:(i+1)*spread], w.Inputs, rows, nil, NoFloor)
	}
	for t := from; t < to; t++ {
		picture, top, left := t/(across*down), t/across%down*2, t%across*2
		var at [winogradOutputs]*float32
		for i := range at {
			at[i] = &nowhere[0]
			if row, column := top+i/2, left+i%2; row < height && column < width {
				at[i] = &y[((picture*height+row)*width+column)*yStride]
			}
		}
		code.gather(&products[(t-from)*w.Outputs], each, &at, w.Outputs)
	}
}
