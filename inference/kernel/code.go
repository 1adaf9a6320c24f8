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

	nf4Int16 func(packed []byte, scales []uint16, x []int16, xScales []float32, whole, half int) float32
	// nf4Int16x4 is nf4Int16 for four rows of activations.
	nf4Int16x4 func(packed []byte, scales []uint16, x []int16, xScales []float32, stride, whole, half int, sums *[4]float32)
	// tiles, where there are any, compute sixteen rows of the matrix at once, panels a prompt's.
	tiles  *tiles
	panels *panels
	// round, where there is one, is portableRound for a whole group.
	round func(row *float32, out *int16) float32
	// pack, where there is one, is portablePack.
	pack func(values []float32, packed []byte, halves []uint16, sums *errorSums)
	// convolving may be nil.
	convolving *convolving
	// dot and addScaled take at least 16 values, a multiple of 16.
	dot       func(a, b []float32) float32
	addScaled func(y, x []float32, a float32)

	// widenF16, widenBF16 and largest take as many. They widen floats of 16 bits, little endian, and find the largest of values.
	widenF16, widenBF16 func(data []byte, values []float32)
	largest             func(values []float32) float32

	// What Attend, Gate and Weigh are made of, for whole vectors of 16 values.
	scores  func(query, keys []float32, scale float32, scores []float32)
	softmax func(weights []float32) float32      // the exponents of their distances from the largest; returns their sum
	mix     func(out, values, weights []float32) // adds to out
	gate    func(gate, up []float32)
	weigh   func(out, x, weights []float32, scale float32)
}

// tiles compute [Int16] for sixteen rows of a matrix, stride bytes apart, whose scales lie together block by block. What they give is nf4Int16's.
type tiles struct {
	// one is for one row of activations, and does as many tiles as it is asked to, which lie one after another.
	one func(packed *byte, stride int, scales *uint16, x *int16, xScales *float32, whole, half int, y *float32, scratch *tileScratch, tiles int)
	// four is for four rows.
	four func(packed *byte, stride int, scales *uint16, x *int16, xScales *float32, groups, whole, half int, sums *[4][tileRows]float32)
}

// panels compute [Int16] for sixteen rows of a matrix and several of activations: a prompt's. What they give is nf4Int16's.
type panels struct {
	rows int // of activations, mostRows at most: as many as registers hold the sums of
	// decode writes what weights are as words, for each two of a row's those of all sixteen rows. words is room for the rows one by one.
	decode func(packed *byte, stride, blocks int, panel, words *int16)
	// multiply takes scales of weights that lie together block by block, and those of activations group by group.
	multiply func(panel *int16, scales *uint16, x *int16, xScales *float32, groups, blocks int, sums *[mostRows][tileRows]float32)
}

const (
	tileRows = 16 // of a matrix
	mostRows = 12 // of activations
)

// tileScratch holds lanes of the products of eight groups and a half, of all rows of a tile.
type tileScratch [9][tileRows][lanes]int32

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
	n := len(y) / lanes * lanes
	if n > 0 {
		active.addScaled(y[:n], x[:n], a)
	}
	portableAddScaled(y[n:], x[n:], a)
}
