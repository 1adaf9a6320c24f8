package pixel

import "math"

// taps are the weights of consecutive source pixels, beginning with first, that make one target pixel.
type taps struct {
	first   int
	weights []float64
}

// resampling returns the taps of each target pixel along one axis. It joins the two steps of skimage.transform.resize
// (order 1, mode constant, anti_aliasing): scipy's gaussian_filter with sigma (factor-1)/2 cut at four sigma, then linear
// interpolation between pixel centres. Outside the image both steps see zeros.
func resampling(from, to int) []taps {
	factor := float64(from) / float64(to)
	kernel := gaussian(max(0, (factor-1)/2))
	radius := len(kernel) / 2
	all := make([]taps, to)
	for i := range all {
		center := (float64(i)+0.5)*factor - 0.5
		below := int(math.Floor(center))
		share := center - float64(below)
		t := taps{first: below - radius, weights: make([]float64, len(kernel)+1)}
		for side, part := range [2]float64{1 - share, share} {
			if at := below + side; at < 0 || at >= from {
				continue
			}
			for k, w := range kernel {
				t.weights[k+side] += part * w
			}
		}
		if t.first < 0 {
			t.weights, t.first = t.weights[-t.first:], 0
		}
		t.weights = t.weights[:min(len(t.weights), from-t.first)]
		all[i] = t
	}
	return all
}

// gaussian is scipy.ndimage's kernel.
func gaussian(sigma float64) []float64 {
	radius := int(4*sigma + 0.5)
	kernel := make([]float64, 2*radius+1)
	if sigma == 0 {
		kernel[radius] = 1
		return kernel
	}
	sum := 0.0
	for i := range kernel {
		d := float64(i - radius)
		kernel[i] = math.Exp(-d * d / (2 * sigma * sigma))
		sum += kernel[i]
	}
	for i := range kernel {
		kernel[i] /= sum
	}
	return kernel
}

// resize resamples a square of side from to side to. What the zeros outside make of the edges of a picture that is dark or bright all over is cut to
// the range that it has, as skimage does.
func resize(from, to int, at func(x, y int) float32) []float32 {
	axis := resampling(from, to)
	rows := make([]float64, from*to) // columns resampled, rows not yet
	line := make([]float64, from)
	low, high := math.Inf(1), math.Inf(-1)
	for y := range from {
		for x := range line {
			v := float64(at(x, y))
			line[x] = v
			if v < low {
				low = v
			}
			if v > high {
				high = v
			}
		}
		for i, t := range axis {
			sum := 0.0
			for k, w := range t.weights {
				sum += w * line[t.first+k]
			}
			rows[y*to+i] = sum
		}
	}
	out := make([]float32, to*to)
	sums := make([]float64, to)
	for i, t := range axis {
		clear(sums)
		for k, w := range t.weights {
			for x, v := range rows[(t.first+k)*to:][:to] {
				sums[x] += w * v
			}
		}
		for x, v := range sums {
			out[i*to+x] = float32(min(max(v, low), high))
		}
	}
	return out
}
