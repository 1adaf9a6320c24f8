// Package viewnet tells a frontal from a lateral chest radiograph, and both from other pictures, by the picture alone: a small
// two-layer perceptron over the ranks of 24 x 24 grey levels and of their differences from the mirror image, trained on phantoms
// only. It needs no engine and takes under a millisecond.
package viewnet

import (
	_ "embed"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"

	"llamaxr/study"
)

// Shape of the network.
const (
	grid     = 24
	inputs   = 2 * grid * grid
	hidden   = 24
	classes  = 3 // frontal, lateral, other
	floats   = inputs*hidden + hidden + hidden*classes + classes + 1
	fileSize = 4 * floats
)

//go:embed weights.bin
var shipped []byte

// Net is a trained network.
type Net struct {
	w1, b1, w2, b2 []float32
	temperature    float32
}

// Shipped returns the network trained by `make starter`.
func Shipped() (*Net, error) { return Parse(shipped) }

// Parse reads the weights: float32, little endian, layer by layer, then the temperature that calibrates the log-odds.
func Parse(data []byte) (*Net, error) {
	if len(data) != fileSize {
		return nil, fmt.Errorf("viewnet: weights of %d bytes, want %d", len(data), fileSize)
	}
	all := make([]float32, floats)
	for i := range all {
		all[i] = math.Float32frombits(binary.LittleEndian.Uint32(data[4*i:]))
		if math.IsNaN(float64(all[i])) || math.IsInf(float64(all[i]), 0) {
			return nil, fmt.Errorf("viewnet: weight %d is %g", i, all[i])
		}
	}
	take := func(n int) []float32 { part := all[:n]; all = all[n:]; return part }
	n := &Net{w1: take(inputs * hidden), b1: take(hidden), w2: take(hidden * classes), b2: take(classes)}
	if n.temperature = all[0]; n.temperature <= 0 {
		return nil, errors.New("viewnet: temperature is not positive")
	}
	return n, nil
}

// Encode is the inverse of Parse.
func (n *Net) Encode() []byte {
	var out []byte
	for _, part := range [][]float32{n.w1, n.b1, n.w2, n.b2, {n.temperature}} {
		for _, v := range part {
			out = binary.LittleEndian.AppendUint32(out, math.Float32bits(v))
		}
	}
	return out
}

// Classify returns the log-odds of lateral against frontal, in nats, and the probability that the picture is neither. pixels are those
// of study.Normalised.
func (n *Net) Classify(pixels []float32) (logOddsLateral, pOther float64) {
	_, z := n.forward(features(pixels, study.InputSize))
	for i := range z {
		z[i] /= n.temperature
	}
	top := max(z[0], z[1], z[2])
	sum := 0.0
	for _, v := range z {
		sum += math.Exp(float64(v - top))
	}
	return float64(z[1] - z[0]), math.Exp(float64(z[2]-top)) / sum
}

func (n *Net) forward(x []float32) (h [hidden]float32, z [classes]float32) {
	copy(h[:], n.b1)
	for i, v := range x {
		row := n.w1[i*hidden : (i+1)*hidden]
		for j, w := range row {
			h[j] += v * w
		}
	}
	copy(z[:], n.b2)
	for j := range h {
		if h[j] < 0 {
			h[j] = 0
			continue
		}
		for k := range z {
			z[k] += h[j] * n.w2[j*classes+k]
		}
	}
	return h, z
}

// features are the ranks of the averaged grey levels, which no monotone grey curve changes, and what each differs from its mirror
// image: a frontal view is nearly its own.
func features(pixels []float32, side int) []float32 {
	cells := make([]float32, grid*grid)
	for gy := range grid {
		for gx := range grid {
			sum, count := float32(0), float32(0)
			for y := gy * side / grid; y < (gy+1)*side/grid; y++ {
				for x := gx * side / grid; x < (gx+1)*side/grid; x++ {
					sum, count = sum+pixels[y*side+x], count+1
				}
			}
			cells[gy*grid+gx] = sum / count
		}
	}
	order := make([]int, len(cells))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		switch {
		case cells[a] < cells[b]:
			return -1
		case cells[a] > cells[b]:
			return 1
		}
		return 0
	})
	out := make([]float32, inputs)
	for rank, i := range order {
		out[i] = 2*float32(rank)/float32(len(cells)-1) - 1
	}
	// Equal levels (blank areas) share their mean rank.
	for a := 0; a < len(order); {
		b := a
		for b < len(order) && cells[order[b]] == cells[order[a]] {
			b++
		}
		mean := float32(a+b-1)/float32(len(cells)-1) - 1
		for ; a < b; a++ {
			out[order[a]] = mean
		}
	}
	for y := range grid {
		for x := range grid {
			d := out[y*grid+x] - out[y*grid+grid-1-x]
			out[grid*grid+y*grid+x] = float32(math.Abs(float64(d))) - 0.5
		}
	}
	return out
}
