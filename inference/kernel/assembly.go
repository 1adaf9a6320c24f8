//go:build amd64 || arm64

package kernel

// Assembly takes pointers to first elements; these make it a code's functions.

func exactBy(f func(packed *byte, scales, x *float32, whole, half int) float32) func([]byte, []float32, []float32, int, int) float32 {
	return func(packed []byte, scales, x []float32, whole, half int) float32 {
		return f(&packed[0], &scales[0], &x[0], whole, half)
	}
}

func exactx4By(f func(packed *byte, scales, x *float32, stride, whole, half int, sums *[4]float32)) func([]byte, []float32, []float32, int, int, int, *[4]float32) {
	return func(packed []byte, scales, x []float32, stride, whole, half int, sums *[4]float32) {
		f(&packed[0], &scales[0], &x[0], stride, whole, half, sums)
	}
}

func int16By(f func(packed *byte, scales *uint16, x *int16, xScales *float32, whole, half int) float32) func([]byte, []uint16, []int16, []float32, int, int) float32 {
	return func(packed []byte, scales []uint16, x []int16, xScales []float32, whole, half int) float32 {
		return f(&packed[0], &scales[0], &x[0], &xScales[0], whole, half)
	}
}

func int16x4By(f func(packed *byte, scales *uint16, x *int16, xScales *float32, stride, whole, half int, sums *[4]float32)) func([]byte, []uint16, []int16, []float32, int, int, int, *[4]float32) {
	return func(packed []byte, scales []uint16, x []int16, xScales []float32, stride, whole, half int, sums *[4]float32) {
		f(&packed[0], &scales[0], &x[0], &xScales[0], stride, whole, half, sums)
	}
}

func dotBy(f func(a, b *float32, n int) float32) func(a, b []float32) float32 {
	return func(a, b []float32) float32 { return f(&a[0], &b[0], len(a)) }
}

func addBy(f func(y, x *float32, a float32, n int)) func(y, x []float32, a float32) {
	return func(y, x []float32, a float32) { f(&y[0], &x[0], a, len(y)) }
}

func widenBy(f func(data *byte, values *float32, n int)) func([]byte, []float32) {
	return func(data []byte, values []float32) { f(&data[0], &values[0], len(values)) }
}
