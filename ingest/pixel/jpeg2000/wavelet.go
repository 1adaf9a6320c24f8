package jpeg2000

// lanes is how many rows or columns are transformed side by side.
const lanes = 16

// Lifting parameters of the 9/7 filter (T.800 table F.4), in OpenJPEG's digits. Its step sizes leave out the gain of the
// bands, so high-pass coefficients are scaled by 2/K instead of 1/K.
const (
	alpha = -1.586134342
	beta  = -0.052980118
	gamma = 0.882911075
	delta = 0.443506852
	lowK  = 1.230174105
	highK = 1.625732422
)

// inverse undoes the wavelet transformation of a component (F.3).
func (c *tileComponent) inverse() {
	if c.reversible {
		inverseLevels(c, c.integers, lift53)
	} else {
		inverseLevels(c, c.floats, lift97)
	}
}

// inverseLevels reconstructs one resolution after another in place (IDWT): rows first, then columns, as OpenJPEG does.
func inverseLevels[T int32 | float32](c *tileComponent, data []T, lift func(line []T, n, odd int)) {
	stride := c.width()
	line := make([]T, lanes*max(c.width(), c.height()))
	for r := 1; r < len(c.resolutions); r++ {
		low, res := c.resolutions[r-1], c.resolutions[r]
		w, h := res.width(), res.height()
		inverseLines(data, line, w, low.width(), res.x0&1, h, 1, stride, lift)
		inverseLines(data, line, h, low.height(), res.y0&1, w, stride, 1, lift)
	}
}

// inverseLines transforms count lines of n coefficients, of which the first low are low-pass. step leads to the next
// coefficient of a line, next to the next line; odd is 1 when a line begins with a high-pass coefficient.
func inverseLines[T int32 | float32](data, line []T, n, low, odd, count, step, next int, lift func(line []T, n, odd int)) {
	for first := 0; first < count; first += lanes {
		some := min(lanes, count-first)
		base := first * next
		for i := range n {
			at, k := base+i*step, 2*i+odd
			if i >= low {
				k = 2*(i-low) + 1 - odd
			}
			to := line[k*lanes : k*lanes+lanes]
			for l := range some {
				to[l] = data[at+l*next]
			}
		}
		lift(line, n, odd)
		for k := range n {
			at, from := base+k*step, line[k*lanes:k*lanes+lanes]
			for l := range some {
				data[at+l*next] = from[l]
			}
		}
	}
}

// neighbours are the coefficients before and after number k of n, mirrored at the ends (F.3.7).
func neighbours[T any](line []T, k, n int) (before, after []T) {
	b, a := k-1, k+1
	if b < 0 {
		b = 1
	}
	if a >= n {
		a = n - 2
	}
	return line[b*lanes : b*lanes+lanes], line[a*lanes : a*lanes+lanes]
}

// lift53 is the reversible filter (F.3.8.1).
func lift53(line []int32, n, odd int) {
	if n == 1 {
		if odd == 1 {
			for l := range lanes {
				line[l] /= 2
			}
		}
		return
	}
	for k := odd; k < n; k += 2 {
		to := line[k*lanes : k*lanes+lanes]
		before, after := neighbours(line, k, n)
		for l := range to {
			to[l] -= (before[l] + after[l] + 2) >> 2
		}
	}
	for k := 1 - odd; k < n; k += 2 {
		to := line[k*lanes : k*lanes+lanes]
		before, after := neighbours(line, k, n)
		for l := range to {
			to[l] += (before[l] + after[l]) >> 1
		}
	}
}

// lift97 is the irreversible filter (F.3.8.2).
func lift97(line []float32, n, odd int) {
	if n == 1 {
		return // a high-pass coefficient is halved by its step size
	}
	scale(line, n, odd, lowK)
	scale(line, n, 1-odd, highK)
	lift(line, n, odd, -delta)
	lift(line, n, 1-odd, -gamma)
	lift(line, n, odd, -beta)
	lift(line, n, 1-odd, -alpha)
}

// scale multiplies every second coefficient.
func scale(line []float32, n, first int, by float32) {
	for k := first; k < n; k += 2 {
		to := line[k*lanes : k*lanes+lanes]
		for l := range to {
			to[l] *= by
		}
	}
}

// lift adds a multiple of its neighbours to every second coefficient. The conversion keeps the compiler from fusing the
// multiplication with the addition, which would round otherwise.
func lift(line []float32, n, first int, by float32) {
	for k := first; k < n; k += 2 {
		to := line[k*lanes : k*lanes+lanes]
		before, after := neighbours(line, k, n)
		for l := range to {
			to[l] += float32((before[l] + after[l]) * by)
		}
	}
}
