package jpeg2000

import "math/bits"

// htDecoder is the state of decoding an HT code-block (T.814 clause 7).
type htDecoder struct {
	mel        melDecoder
	vlc        htBits
	magnitudes htBits
	// exponents of the lower row of the last quads, by column from -1 on; 0 where insignificant
	exponents []uint8
	// significance by coefficient, with one more around: by the cleanup pass, by the significance propagation pass
	states []uint8
	tail   []byte // MEL's bytes
	plane  int    // the cleanup pass's, from 1
	most   int    // largest U of a quad
}

const (
	htSignificant = 1
	htPropagated  = 2
)

// decodeHT decodes the passes of an HT code-block.
func (d *blockDecoder) decodeHT(b *block, pb *precinctBand, style byte) error {
	h := &d.ht
	h.plane, h.most = pb.planes-b.zeros, b.zeros+2
	if h.plane < 1 {
		return fail(ErrMalformed, "HT passes without bit-planes")
	}
	cleanup := b.segments[0].data
	if len(cleanup) == 0 {
		return nil // sets of passes without data
	}
	if err := h.start(cleanup); err != nil {
		return err
	}
	h.exponents = cleared(h.exponents, d.width+5)
	for y := 0; y < d.height; y += 2 {
		if err := d.quads(y); err != nil {
			return err
		}
	}
	if len(b.segments) > 1 && len(b.segments[1].data) > 0 && h.plane > 1 {
		d.mark()
		d.propagateHT(&htBits{data: b.segments[1].data}, style&styleCausal != 0)
		if b.segments[1].passes > 1 {
			d.refineHT(&htBits{data: b.segments[1].data, backward: true, stuffed: true})
		}
	}
	for i, v := range d.values { // sign and magnitude up to now
		if v < 0 {
			d.values[i] = -(v & (1<<31 - 1))
		}
	}
	return nil
}

// start finds the three bit-streams of the cleanup segment (7.1.1): magnitudes and signs from the front, MEL from the middle,
// VLC backward from the end, whose last 12 bits say how long MEL and VLC are together.
func (h *htDecoder) start(b []byte) error {
	n := len(b)
	if n < 2 {
		return fail(ErrMalformed, "HT cleanup of %d bytes", n)
	}
	suffix := int(b[n-1])<<4 | int(b[n-2]&15)
	if suffix < 2 || suffix > min(n, 4079) {
		return fail(ErrMalformed, "HT cleanup of %d bytes with a suffix of %d", n, suffix)
	}
	// Within MEL's bytes, those 12 bits read as ones.
	h.tail = append(h.tail[:0], b[n-suffix:n-1]...)
	h.tail[suffix-2] |= 15
	h.mel = melDecoder{data: h.tail}
	h.magnitudes = htBits{data: b[:n-suffix], ones: true}
	h.vlc = htBits{data: b[n-suffix : n-2], backward: true}
	half := b[n-2]
	h.vlc.held, h.vlc.count = uint64(half>>4), 4
	if half>>4&7 == 7 {
		h.vlc.count = 3
	}
	h.vlc.stuffed = half|15 > 0x8F
	return nil
}

// quads decodes a row of quads from row y on, two quads at a time (7.3.4 to 7.3.8).
func (d *blockDecoder) quads(y int) error {
	h := &d.ht
	codes := &quadCodes[min(y, 1)]
	context := 0
	// exponents above: of columns x-1 and x, x+1 and x+2, x+3 and x+4; those of x-1 are overwritten before they are needed
	left := max(h.exponents[0], h.exponents[1])
	h.exponents[0] = 0
	for x := 0; x < d.width; x += 4 {
		e := h.exponents[x:]
		above := [3]uint8{left, max(e[2], e[3]), max(e[4], e[5])}
		left = above[2]
		var q [2]quadCode
		for i := range q {
			if x+2*i >= d.width {
				break
			}
			if y > 0 {
				context |= int(min(above[i], 1)) | int(min(above[i+1], 1))<<2
			}
			if context != 0 || h.mel.event() {
				q[i] = codes[context][h.vlc.peek()&127]
				h.vlc.skip(q[i].length())
			}
			s := q[i].significant()
			if y == 0 {
				context = s&1 | s>>1 // (1)
			} else {
				context = s>>1&2 | s>>2&2 // (2)
			}
		}
		u := h.offsets(q, y == 0)
		for i := range q {
			if s := q[i].significant(); s&(s-1) != 0 && y > 0 { // (5)
				u[i] += max(int(max(above[i], above[i+1]))-1, 1)
			} else {
				u[i]++
			}
			if u[i] > h.most {
				return fail(ErrMalformed, "HT magnitude of %d bits", u[i])
			}
			if err := d.quad(q[i], x+2*i, y, u[i]); err != nil {
				return err
			}
		}
	}
	return nil
}

// offsets decodes u of a pair of quads (7.3.6). In the first row, an event says of two whether both are over 2.
func (h *htDecoder) offsets(q [2]quadCode, first bool) (u [2]int) {
	switch {
	case !q[0].offset() && !q[1].offset():
		return u
	case !q[1].offset():
		u[0] = h.suffix(h.prefix())
		return u
	case !q[0].offset():
		u[1] = h.suffix(h.prefix())
		return u
	}
	if !first {
		p0, p1 := h.prefix(), h.prefix()
		return [2]int{h.suffix(p0), h.suffix(p1)}
	}
	if h.mel.event() {
		p0, p1 := h.prefix(), h.prefix()
		return [2]int{h.suffix(p0) + 2, h.suffix(p1) + 2}
	}
	p0 := h.prefix()
	if p0 > 2 { // then the second is 1 or 2
		u[1] = int(h.vlc.take(1)) + 1
		u[0] = h.suffix(p0)
		return u
	}
	p1 := h.prefix()
	return [2]int{h.suffix(p0), h.suffix(p1)}
}

// prefix decodes 1, 2, 3 or 5 (table 3).
func (h *htDecoder) prefix() int {
	switch zeros := bits.TrailingZeros32(h.vlc.peek()&7 | 8); zeros {
	case 0, 1, 2:
		h.vlc.skip(zeros + 1)
		return zeros + 1
	}
	h.vlc.skip(3)
	return 5
}

// suffix adds what follows a prefix.
func (h *htDecoder) suffix(prefix int) int {
	switch prefix {
	case 3:
		return 3 + int(h.vlc.take(1))
	case 5:
		return 5 + int(h.vlc.take(5))
	}
	return prefix
}

// quad decodes the magnitudes and signs of a quad (7.3.8) and keeps the exponents of its lower row.
func (d *blockDecoder) quad(q quadCode, x, y, u int) error {
	h := &d.ht
	e := h.exponents[x+1:]
	if x < d.width {
		e[0] = 0
	}
	if x+1 < d.width {
		e[1] = 0
	}
	for n := range 4 {
		if q>>(4+n)&1 == 0 {
			continue
		}
		column, row := x+n>>1, y+n&1
		if column >= d.width || row >= d.height {
			return fail(ErrMalformed, "HT coefficient outside its code-block")
		}
		m := u - int(q>>(12+n)&1)
		word := h.magnitudes.take(m)
		sign := int32(word&1) << 31
		word = word&^1 | uint32(q>>(8+n)&1)<<m | 1
		d.values[row*d.width+column] = sign | int32((word+2)<<(h.plane-1))&(1<<31-1)
		if n&1 == 1 {
			e[n>>1] = uint8(bits.Len32(word))
		}
	}
	return nil
}

// mark notes which coefficients the cleanup pass made significant.
func (d *blockDecoder) mark() {
	d.ht.states = cleared(d.ht.states, (d.width+2)*(d.height+2))
	for y := range d.height {
		for x := range d.width {
			if d.values[y*d.width+x] != 0 {
				d.ht.states[(y+1)*(d.width+2)+x+1] = htSignificant
			}
		}
	}
}

// propagateHT is the significance propagation pass (7.4): stripes of four rows, in groups of four columns that have the bits
// of significance before those of signs.
func (d *blockDecoder) propagateHT(r *htBits, causal bool) {
	value := int32(3) << (d.ht.plane - 2)
	for top := 0; top < d.height; top += 4 {
		for first := 0; first < d.width; first += 4 {
			var found [16]int
			n := 0
			for x := first; x < min(first+4, d.width); x++ {
				for y := top; y < min(top+4, d.height); y++ {
					if !d.neighbourHT(x, y, causal && y == top+3) {
						continue
					}
					if r.take(1) == 1 {
						d.ht.states[(y+1)*(d.width+2)+x+1] = htPropagated
						found[n] = y*d.width + x
						n++
					}
				}
			}
			for _, at := range found[:n] {
				d.values[at] = value | int32(r.take(1))<<31
			}
		}
	}
}

// neighbourHT tells whether an insignificant coefficient has a significant neighbour, those below left out where asked.
func (d *blockDecoder) neighbourHT(x, y int, noneBelow bool) bool {
	stride := d.width + 2
	at := (y+1)*stride + x + 1
	s := d.ht.states
	if s[at] != 0 {
		return false
	}
	around := s[at-stride-1] | s[at-stride] | s[at-stride+1] | s[at-1] | s[at+1]
	if !noneBelow {
		around |= s[at+stride-1] | s[at+stride] | s[at+stride+1]
	}
	return around != 0
}

// refineHT is the magnitude refinement pass (7.5), of what the cleanup pass made significant.
func (d *blockDecoder) refineHT(r *htBits) {
	plane := d.ht.plane
	for top := 0; top < d.height; top += 4 {
		for x := range d.width {
			for y := top; y < min(top+4, d.height); y++ {
				if d.ht.states[(y+1)*(d.width+2)+x+1] != htSignificant {
					continue
				}
				v := &d.values[y*d.width+x]
				if r.take(1) == 0 {
					*v ^= 1 << (plane - 1)
				}
				*v |= 1 << (plane - 2)
			}
		}
	}
}
