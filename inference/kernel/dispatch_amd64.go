package kernel

import "golang.org/x/sys/cpu"

// vectors reports whether the processor has what the assembly needs: AVX-512 F, BW, DQ, VL and VNNI.
var vectors = cpu.X86.HasAVX512F && cpu.X86.HasAVX512BW && cpu.X86.HasAVX512DQ && cpu.X86.HasAVX512VL && cpu.X86.HasAVX512VNNI

// Name says which code computes, for logs and records of drafts.
func Name() string {
	if vectors {
		return "avx512"
	}
	return "portable"
}

//go:noescape
func nf4ExactAVX512(packed *byte, scales, x *float32, whole, half int) float32

//go:noescape
func nf4Int16AVX512(packed *byte, scales *float32, x *int16, xScales *float32, whole, half int) float32

//go:noescape
func nf4Int16x4AVX512(packed *byte, scales *float32, x *int16, xScales *float32, stride, whole, half int, sums *[4]float32)

//go:noescape
func quantisedAVX512(weights *int8, scales *float32, x *int16, xScales *float32, groups int) float32

//go:noescape
func dotAVX512(a, b *float32, n int) float32

//go:noescape
func addScaledAVX512(y, x *float32, a float32, n int)

func nf4Exact(packed []byte, scales, x []float32, whole, half int) float32 {
	if vectors {
		return nf4ExactAVX512(&packed[0], &scales[0], &x[0], whole, half)
	}
	return portableNF4Exact(packed, scales, x, whole, half)
}

func nf4Int16(packed []byte, scales []float32, x []int16, xScales []float32, whole, half int) float32 {
	if vectors {
		return nf4Int16AVX512(&packed[0], &scales[0], &x[0], &xScales[0], whole, half)
	}
	return portableNF4Int16(packed, scales, x, xScales, whole, half)
}

// nf4Int16x4 is nf4Int16 for four rows of activations; stride is the number of groups of one.
func nf4Int16x4(packed []byte, scales []float32, x []int16, xScales []float32, stride, whole, half int, sums *[4]float32) {
	if vectors {
		nf4Int16x4AVX512(&packed[0], &scales[0], &x[0], &xScales[0], stride, whole, half, sums)
		return
	}
	for k := range sums {
		sums[k] = portableNF4Int16(packed, scales, x[k*stride*group:], xScales[k*stride:], whole, half)
	}
}

func dotQuantised(weights []int8, scales []float32, x []int16, xScales []float32, groups int) float32 {
	if vectors {
		return quantisedAVX512(&weights[0], &scales[0], &x[0], &xScales[0], groups)
	}
	return portableQuantised(weights, scales, x, xScales, groups)
}

// Dot is the product of two vectors of the same length.
func Dot(a, b []float32) float32 {
	if vectors && len(a)%lanes == 0 && len(a) > 0 {
		return dotAVX512(&a[0], &b[:len(a)][0], len(a))
	}
	return portableDot(a, b)
}

// AddScaled adds a times x to y.
func AddScaled(y, x []float32, a float32) {
	if vectors && len(y)%lanes == 0 && len(y) > 0 {
		addScaledAVX512(&y[0], &x[:len(y)][0], a, len(y))
		return
	}
	portableAddScaled(y, x, a)
}
