package pixel

import "math/bits"

// jpegLSContext gathers the errors of one context (T.87 A.2.1): A, B, C and N; run contexts count negative errors in b (Nn).
type jpegLSContext struct {
	a, b, c, n int32
}

// jpegLSScan is the state of a scan. Rows have a sample more on each side than the image, so that every position has its
// neighbours a (left), b (above), c (above left) and d (above right) (A.2.1, figure 3).
type jpegLSScan struct {
	jpegLSCoding
	columns           int
	reader            jpegLSReader
	previous, current [][]uint16 // one a component
	runIndex          []int      // one a component
	regular           [365]jpegLSContext
	run               [2]jpegLSContext
	quantised         []int8 // of gradients from -maxVal to maxVal
}

func newJPEGLSScan(c jpegLSCoding, columns, components int, data []byte) *jpegLSScan {
	s := &jpegLSScan{jpegLSCoding: c, columns: columns, reader: jpegLSReader{data: data}, runIndex: make([]int, components)}
	for range components {
		s.previous = append(s.previous, make([]uint16, columns+2))
		s.current = append(s.current, make([]uint16, columns+2))
	}
	start := jpegLSContext{a: int32(max(2, (c.span+32)/64)), n: 1}
	for i := range s.regular {
		s.regular[i] = start
	}
	s.run[0], s.run[1] = start, start
	s.quantised = make([]int8, 2*c.maxVal+1)
	for i := range s.quantised {
		s.quantised[i] = c.quantise(i - c.maxVal)
	}
	return s
}

// quantise is the region of a gradient, -4 to 4 (A.3.3).
func (c jpegLSCoding) quantise(d int) int8 {
	if d < 0 {
		return -c.quantise(-d)
	}
	switch {
	case d <= c.near:
		return 0
	case d < c.t1:
		return 1
	case d < c.t2:
		return 2
	case d < c.t3:
		return 3
	}
	return 4
}

// nextRow makes the row just decoded the one above.
func (s *jpegLSScan) nextRow() {
	for c := range s.current {
		s.previous[c], s.current[c] = s.current[c], s.previous[c]
	}
}

// edges sets the samples outside the image (A.2.1): d of the last column repeats b, a of the first one is b.
func (s *jpegLSScan) edges(component int) (above, row []uint16) {
	above, row = s.previous[component], s.current[component]
	above[s.columns+1] = above[s.columns]
	row[0] = above[1]
	return above, row
}

// row decodes a row of one component.
func (s *jpegLSScan) row(component int) {
	above, row := s.edges(component)
	for x := 1; x <= s.columns; {
		a, b, c, d := int(row[x-1]), int(above[x]), int(above[x-1]), int(above[x+1])
		q := s.context(a, b, c, d)
		if q != 0 {
			row[x] = s.sample(q, predictMedian(a, b, c))
			x++
			continue
		}
		n, ended := s.runLength(component, s.columns+1-x)
		for range n {
			row[x] = uint16(a)
			x++
		}
		if !ended {
			continue
		}
		if b := int(above[x]); abs(a-b) <= s.near {
			row[x] = s.interruption(component, 1, a, 1)
		} else {
			row[x] = s.interruption(component, 0, b, signOf(b-a))
		}
		s.runIndex[component] = max(0, s.runIndex[component]-1)
		x++
	}
}

// rowBySample decodes a row of all components, interleaved by sample: runs are of all components together (B.3).
func (s *jpegLSScan) rowBySample() {
	for c := range s.current {
		s.edges(c)
	}
	for x := 1; x <= s.columns; {
		flat := true
		var contexts [4]int
		for c, row := range s.current {
			above := s.previous[c]
			contexts[c] = s.context(int(row[x-1]), int(above[x]), int(above[x-1]), int(above[x+1]))
			flat = flat && contexts[c] == 0
		}
		if !flat {
			for c, row := range s.current {
				above := s.previous[c]
				row[x] = s.sample(contexts[c], predictMedian(int(row[x-1]), int(above[x]), int(above[x-1])))
			}
			x++
			continue
		}
		n, ended := s.runLength(0, s.columns+1-x)
		for _, row := range s.current {
			for i := range n {
				row[x+i] = row[x-1]
			}
		}
		x += n
		if !ended {
			continue
		}
		for c, row := range s.current {
			a, b := int(row[x-1]), int(s.previous[c][x])
			row[x] = s.interruption(0, 0, b, signOf(b-a))
		}
		s.runIndex[0] = max(0, s.runIndex[0]-1)
		x++
	}
}

// context is the number of the context with its sign (A.3.4), 0 where a run starts.
func (s *jpegLSScan) context(a, b, c, d int) int {
	m := s.maxVal
	return 81*int(s.quantised[d-b+m]) + 9*int(s.quantised[b-c+m]) + int(s.quantised[c-a+m])
}

// predictMedian is the edge-detecting predictor (A.4.1).
func predictMedian(a, b, c int) int {
	low, high := min(a, b), max(a, b)
	switch {
	case c >= high:
		return low
	case c <= low:
		return high
	}
	return a + b - c
}

func abs(i int) int { return max(i, -i) }

// signOf is -1 for negative numbers and else 1.
func signOf(i int) int {
	if i < 0 {
		return -1
	}
	return 1
}

// sample decodes a sample in regular mode (A.4.2 to A.6).
func (s *jpegLSScan) sample(q, prediction int) uint16 {
	sign := 1
	if q < 0 {
		q, sign = -q, -1
	}
	c := &s.regular[q]
	prediction = min(max(prediction+sign*int(c.c), 0), s.maxVal)
	k := golomb(c.n, c.a)
	mapped := s.reader.golomb(k, s.limit, s.bitsPerError)
	e := mapped>>1 ^ -(mapped & 1)
	if s.near == 0 && k == 0 && 2*c.b <= -c.n {
		e = ^e
	}
	c.b += int32(e * (2*s.near + 1))
	c.a += int32(abs(e))
	if int(c.n) == s.reset {
		c.a, c.b, c.n = c.a>>1, c.b>>1, c.n>>1
	}
	c.n++
	if c.b <= -c.n {
		c.b, c.c = max(c.b+c.n, 1-c.n), max(c.c-1, -128)
	} else if c.b > 0 {
		c.b, c.c = min(c.b-c.n, 0), min(c.c+1, 127)
	}
	return s.reconstruct(prediction, sign*e)
}

// reconstruct adds an error to a prediction (A.4.5).
func (s *jpegLSScan) reconstruct(prediction, e int) uint16 {
	step := 2*s.near + 1
	v := prediction + e*step
	if v < -s.near {
		v += s.span * step
	} else if v > s.maxVal+s.near {
		v -= s.span * step
	}
	return uint16(min(max(v, 0), s.maxVal))
}

// golomb is the code's parameter k (A.5.1).
func golomb(n, a int32) int {
	k := 0
	for n<<k < a && k < 16 {
		k++
	}
	return k
}

// runLengths is the order of the run-length codes, J (A.2.1).
var runLengths = [32]int{0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 9, 10, 11, 12, 13, 14, 15}

// runLength decodes how long a run is, at most left samples; ended says that another sample interrupts it before the row
// ends (A.7.1).
func (s *jpegLSScan) runLength(component, left int) (n int, ended bool) {
	index := &s.runIndex[component]
	for n < left && s.reader.take(1) == 1 {
		step := 1 << runLengths[*index]
		if n+step <= left {
			*index = min(*index+1, 31)
		}
		n = min(n+step, left)
	}
	if n == left {
		return n, false
	}
	n += s.reader.take(runLengths[*index])
	if n >= left { // broken data
		return left, false
	}
	return n, true
}

// interruption decodes the sample that ends a run (A.7.2); kind is RItype.
func (s *jpegLSScan) interruption(component, kind, prediction, sign int) uint16 {
	c := &s.run[kind]
	k := golomb(c.n, c.a+int32(kind)*(c.n>>1))
	mapped := s.reader.golomb(k, s.limit-runLengths[s.runIndex[component]]-1, s.bitsPerError)
	odd := (mapped + kind) & 1
	e := (mapped + kind + odd) >> 1
	if (k != 0 || 2*c.b >= c.n) == (odd == 1) {
		e = -e
	}
	if e < 0 {
		c.b++
	}
	c.a += int32((mapped + 1 - kind) >> 1)
	if int(c.n) == s.reset {
		c.a, c.b, c.n = c.a>>1, c.b>>1, c.n>>1
	}
	c.n++
	return s.reconstruct(prediction, sign*e)
}

// jpegLSReader reads coded data, leaving out the bit stuffed behind every FF (T.87 A.1, C.1). Behind the end of the data or a
// marker it gives zeros, which starved tells.
type jpegLSReader struct {
	data   []byte
	at     int
	held   uint64 // the next bits, from the top
	count  int    // how many are held
	padded int    // how many of them, the last ones, are not of the data
	after  bool   // the last byte was FF
}

func (r *jpegLSReader) fill() {
	for r.count <= 56 {
		var next uint64
		width := 8
		switch {
		case r.at >= len(r.data) || r.after && r.data[r.at] >= 0x80 || r.data[r.at] == 0xFF && r.at+1 < len(r.data) && r.data[r.at+1] >= 0x80:
			r.padded += 8
		default:
			next = uint64(r.data[r.at])
			if r.after {
				width = 7
			}
			r.after = next == 0xFF
			r.at++
		}
		r.held |= next << (64 - width - r.count)
		r.count += width
	}
}

// starved reports whether bits were taken that the data did not hold.
func (r *jpegLSReader) starved() bool { return r.count < r.padded }

// rest is the data from the marker on that ended the scan.
func (r *jpegLSReader) rest() []byte {
	at := r.at
	for at+1 < len(r.data) && (r.data[at] != 0xFF || r.data[at+1] < 0x80) {
		at++
	}
	return r.data[at:]
}

// take returns the next n bits, at most 16.
func (r *jpegLSReader) take(n int) int {
	if r.count < n {
		r.fill()
	}
	v := int(r.held >> (64 - n))
	r.drop(n)
	return v
}

// drop leaves out n bits that are held.
func (r *jpegLSReader) drop(n int) {
	r.held <<= n
	r.count -= n
}

// unary counts zeros up to the next one, which it takes too, or to the limit.
func (r *jpegLSReader) unary(limit int) int {
	n := 0
	for n < limit {
		if r.count < 32 {
			r.fill()
		}
		if zeros := bits.LeadingZeros64(r.held); zeros < r.count {
			r.drop(zeros + 1)
			return n + zeros
		}
		n += r.count
		r.drop(r.count)
	}
	return limit
}

// golomb decodes a limited Golomb code (A.5.3) of parameter k; escaped values have width bits.
func (r *jpegLSReader) golomb(k, limit, width int) int {
	zeros := r.unary(limit)
	if zeros >= limit-width-1 {
		return r.take(width) + 1
	}
	return zeros<<k | r.take(k)
}
