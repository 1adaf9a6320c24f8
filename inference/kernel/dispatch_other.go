//go:build !amd64

package kernel

// Name says which code computes, for logs and records of drafts.
func Name() string { return "portable" }

func nf4Exact(packed []byte, scales, x []float32, whole, half int) float32 {
	return portableNF4Exact(packed, scales, x, whole, half)
}

func nf4Int16(packed []byte, scales []float32, x []int16, xScales []float32, whole, half int) float32 {
	return portableNF4Int16(packed, scales, x, xScales, whole, half)
}

func nf4Int16x4(packed []byte, scales []float32, x []int16, xScales []float32, stride, whole, half int, sums *[4]float32) {
	for k := range sums {
		sums[k] = portableNF4Int16(packed, scales, x[k*stride*group:], xScales[k*stride:], whole, half)
	}
}

func dotQuantised(weights []int8, scales []float32, x []int16, xScales []float32, groups int) float32 {
	return portableQuantised(weights, scales, x, xScales, groups)
}

// Dot is the product of two vectors of the same length.
func Dot(a, b []float32) float32 { return portableDot(a, b) }

// AddScaled adds a times x to y.
func AddScaled(y, x []float32, a float32) { portableAddScaled(y, x, a) }
