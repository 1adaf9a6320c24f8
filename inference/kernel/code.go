package kernel

import (
	"fmt"
	"os"
	"strings"
)

// Variable is the environment variable that names the code to compute with: for tests, and for a machine whose processor is not what it says.
const Variable = "LLAMAXR_KERNEL"

// code is one way to compute; all give the same bits. whole is the number of groups of 128 weights in a row, half is 1 when 64 more follow.
type code struct {
	name string
	// order is where each weight's rounded activation lies in its group: as the code comes to it.
	order *[group]uint8

	nf4Exact func(packed []byte, scales, x []float32, whole, half int) float32
	// nf4Exactx4 is nf4Exact for four rows of activations; stride is the number of groups of one.
	nf4Exactx4 func(packed []byte, scales, x []float32, stride, whole, half int, sums *[4]float32)

	nf4Int16 func(packed []byte, scales []float32, x []int16, xScales []float32, whole, half int) float32
	// nf4Int16x4 is nf4Int16 for four.
	nf4Int16x4 func(packed []byte, scales []float32, x []int16, xScales []float32, stride, whole, half int, sums *[4]float32)
	quantised  func(weights []int8, scales []float32, x []int16, xScales []float32, groups int) float32
	// dot and addScaled take at least 16 values, a multiple of 16.
	dot       func(a, b []float32) float32
	addScaled func(y, x []float32, a float32)
}

// oneByOne is nf4Exactx4 by code for one row.
func oneByOne(one func(packed []byte, scales, x []float32, whole, half int) float32) func([]byte, []float32, []float32, int, int, int, *[4]float32) {
	return func(packed []byte, scales, x []float32, stride, whole, half int, sums *[4]float32) {
		for k := range sums {
			sums[k] = one(packed, scales, x[k*stride*group:], whole, half)
		}
	}
}

// codes are those that this processor can run, the fastest first.
var codes = append(vectorCodes(), portable)

var active, activeErr = choose(os.Getenv(Variable))

func choose(name string) (*code, error) {
	var names []string
	for _, c := range codes {
		if name == "" || c.name == name {
			return c, nil
		}
		names = append(names, c.name)
	}
	return codes[0], fmt.Errorf("kernel: %s=%q: this processor computes with %s", Variable, name, strings.Join(names, ", "))
}

// Name says which code computes, for logs and records of drafts.
func Name() string { return active.name }

// Check returns an error where the environment names code that this processor cannot run.
func Check() error { return activeErr }

// Dot is the product of two vectors of the same length.
func Dot(a, b []float32) float32 {
	if len(a)%lanes == 0 && len(a) > 0 {
		return active.dot(a, b[:len(a)])
	}
	return portableDot(a, b)
}

// AddScaled adds a times x to y.
func AddScaled(y, x []float32, a float32) {
	if len(y)%lanes == 0 && len(y) > 0 {
		active.addScaled(y, x[:len(y)], a)
		return
	}
	portableAddScaled(y, x, a)
}
