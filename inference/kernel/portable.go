package kernel

import (
	"encoding/binary"
	"math"

	"llamaxr/inference/safetensors"
)

// portable is the code for every processor. Its activations lie in their own order.
var portable = &code{
	name: "portable", order: &inOrder,
	nf4Exact: portableNF4Exact, nf4Exactx4: oneByOne(portableNF4Exact),
	nf4Int16: portableNF4Int16(&inOrder), nf4Int16x4: fourTimes(portableNF4Int16(&inOrder)),
	dot: portableDot, addScaled: portableAddScaled,
	widenF16: portableWidenF16, widenBF16: portableWidenBF16, largest: portableLargest,
	scores: scoresBy(portableDot), softmax: portableSoftmax, mix: mixBy(portableAddScaled),
	gate: portableGate, weigh: portableWeigh,
}

// The portable forms sum in the lanes of a vector of 16, as the instructions do. fma rounds once, but for ties of a float64 sum that no
// test has met.

func fma(a, b, c float32) float32 { return float32(math.FMA(float64(a), float64(b), float64(c))) }

// total adds up lanes in the order of halving vectors.
func total(sum *[lanes]float32) float32 {
	for n := lanes / 2; n > 0; n /= 2 {
		for i := range n {
			sum[i] += sum[i+n]
		}
	}
	return sum[0]
}

func portableNF4Exact(packed []byte, scales, x []float32, whole, half int) float32 {
	var sum [lanes]float32
	for g := range whole + half {
		for l := range lanes {
			if g == whole && l >= lanes/2 {
				break // the half that is not there: its activations are zero
			}
			part := float32(0)
			for j := range 8 {
				w := levels[packed[g*Block+4*l+j/2]>>(j%2*4)&15]
				v := x[g*group+j*lanes+l]
				if j == 0 {
					part = w * v
				} else {
					part = fma(w, v, part)
				}
			}
			sum[l] = fma(part, scales[2*g+l/8], sum[l])
		}
	}
	return total(&sum)
}

// portableNF4Int16 sums the products of a block as integers and blocks one after another, for activations in the given order.
func portableNF4Int16(order *[group]uint8) func([]byte, []uint16, []int16, []float32, int, int) float32 {
	return func(packed []byte, scales []uint16, x []int16, xScales []float32, whole, half int) float32 {
		sum := float32(0)
		for b := range 2*whole + half {
			dot := int32(0)
			for i := range Block {
				nibble := packed[(b*Block+i)/2] >> ((i + 1) % 2 * 4) & 15
				dot += int32(rounded[nibble]) * int32(x[b/2*group+int(order[b%2*Block+i])])
			}
			sum = fma(float32(dot), float32(safetensors.FromF16(scales[b])*xScales[b/2]), sum)
		}
		return sum
	}
}

// fourTimes is nf4Int16x4 by code for one row.
func fourTimes(one func([]byte, []uint16, []int16, []float32, int, int) float32) func([]byte, []uint16, []int16, []float32, int, int, int, *[4]float32) {
	return func(packed []byte, scales []uint16, x []int16, xScales []float32, stride, whole, half int, sums *[4]float32) {
		for k := range sums {
			sums[k] = one(packed, scales, x[k*stride*group:], xScales[k*stride:], whole, half)
		}
	}
}

func portableDot(a, b []float32) float32 {
	var sum [lanes]float32
	for i := range a {
		sum[i%lanes] = fma(a[i], b[i], sum[i%lanes])
	}
	return total(&sum)
}

func portableAddScaled(y, x []float32, a float32) {
	for i := range y {
		y[i] = fma(a, x[i], y[i])
	}
}

func portableWidenF16(data []byte, values []float32) {
	for i := range values {
		values[i] = safetensors.FromF16(binary.LittleEndian.Uint16(data[2*i:]))
	}
}

func portableWidenBF16(data []byte, values []float32) {
	for i := range values {
		values[i] = math.Float32frombits(uint32(binary.LittleEndian.Uint16(data[2*i:])) << 16)
	}
}

func portableLargest(values []float32) float32 {
	top := values[0]
	for _, v := range values {
		top = max(top, v)
	}
	return top
}
