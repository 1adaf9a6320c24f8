package jpeg2000

import "math/bits"

// packets reads the packets of a tile one after another (T.800 B.9, B.10).
type packets struct {
	*tilePart
	data       []byte
	components []*tileComponent
	budget     int // code-blocks that may still be laid out
	pending    []pendingSegment
}

// pendingSegment names a codeword segment that has bytes in the packet.
type pendingSegment struct {
	*block
	index int
	bytes int
}

// headerReader reads the bits of a packet header, undoing the stuffing (B.10.1). Behind the end it gives zeros and counts.
type headerReader struct {
	data  []byte
	at    int
	held  byte
	left  int // bits of held
	short bool
}

func (r *headerReader) bit() int {
	if r.left == 0 {
		r.left = 8
		if r.held == 0xFF {
			r.left = 7
		}
		if r.at < len(r.data) {
			r.held = r.data[r.at]
		} else {
			r.held, r.short = 0, true
		}
		r.at++
	}
	r.left--
	return int(r.held>>r.left) & 1
}

func (r *headerReader) take(n int) int {
	v := 0
	for range n {
		v = v<<1 | r.bit()
	}
	return v
}

// rest is what follows the header: the byte stuffed behind a last FF belongs to it.
func (r *headerReader) rest() ([]byte, bool) {
	if r.held == 0xFF {
		r.at++
	}
	if r.short || r.at > len(r.data) {
		return nil, false
	}
	return r.data[r.at:], true
}

// passes reads a number of coding passes (table B.4).
func (r *headerReader) passes() int {
	switch {
	case r.bit() == 0:
		return 1
	case r.bit() == 0:
		return 2
	}
	if n := r.take(2); n < 3 {
		return 3 + n
	}
	if n := r.take(5); n < 31 {
		return 6 + n
	}
	return 37 + r.take(7)
}

// read reads the next packet, which is of this precinct.
func (t *packets) read(p *precinct) error {
	if len(t.data) >= 6 && t.sop && t.data[0] == markerSOP>>8 && t.data[1] == markerSOP&0xFF {
		t.data = t.data[6:]
	}
	if len(t.data) == 0 {
		return fail(ErrTruncated, "no packet for layer %d of resolution %d", p.layers, p.resolution)
	}
	c := t.components[p.component]
	res := &c.resolutions[p.resolution]
	r := &headerReader{data: t.data}
	t.pending = t.pending[:0]
	if r.bit() == 1 {
		if p.bands == nil {
			if err := p.open(res, &t.budget); err != nil {
				return err
			}
		}
		for i := range p.bands {
			if err := t.band(r, c, &p.bands[i], p.layers); err != nil {
				return err
			}
		}
	}
	p.layers++
	rest, ok := r.rest()
	if !ok {
		return fail(ErrTruncated, "packet header")
	}
	if len(rest) >= 2 && t.eph && rest[0] == markerEPH>>8 && rest[1] == markerEPH&0xFF {
		rest = rest[2:]
	}
	return t.body(rest)
}

// band reads the part of a packet header for the code-blocks of a band.
func (t *packets) band(r *headerReader, c *tileComponent, pb *precinctBand, layer int) error {
	for k := range pb.blocks {
		b := &pb.blocks[k]
		if b.included {
			if r.bit() == 0 {
				continue
			}
		} else {
			if !pb.included.below(r, k, int32(layer)+1) {
				continue
			}
			b.included, b.lengths = true, 3
			for limit := int32(1); !pb.zeros.below(r, k, limit); limit++ {
				if b.zeros++; b.zeros > pb.planes {
					return fail(ErrMalformed, "code-block of more than %d empty bit-planes", pb.planes)
				}
			}
		}
		if r.short {
			return fail(ErrTruncated, "packet header")
		}
		if err := t.lengths(r, c, pb, b); err != nil {
			return err
		}
	}
	return nil
}

// lengths reads how many passes a code-block has in this packet and how many bytes they take (B.10.6, B.10.7).
func (t *packets) lengths(r *headerReader, c *tileComponent, pb *precinctBand, b *block) error {
	passes := r.passes()
	for r.bit() == 1 {
		b.lengths++
	}
	if b.lengths > 31 {
		return fail(ErrMalformed, "Lblock of %d", b.lengths)
	}
	for passes > 0 {
		if n := len(b.segments); n == 0 || b.segments[n-1].passes == b.segments[n-1].most {
			if err := b.segment(c.style, pb, passes); err != nil {
				return err
			}
		}
		s := &b.segments[len(b.segments)-1]
		n := min(passes, s.most-s.passes)
		width := b.lengths + bits.Len(uint(n)) - 1
		if width > 31 {
			return fail(ErrMalformed, "length of %d bits", width)
		}
		t.pending = append(t.pending, pendingSegment{block: b, index: len(b.segments) - 1, bytes: r.take(width)})
		s.passes += n
		b.passes += n
		passes -= n
		if r.short {
			return fail(ErrTruncated, "packet header")
		}
	}
	if c.style&styleHT == 0 && b.passes > 3*(pb.planes-b.zeros)-2 {
		return fail(ErrMalformed, "%d passes for %d bit-planes", b.passes, pb.planes-b.zeros)
	}
	return nil
}

// segment begins a codeword segment. How many passes it may have follows from the style (table D.9, T.814 B.3).
func (b *block) segment(style byte, pb *precinctBand, passes int) error {
	most := 1 << 20
	switch n := len(b.segments); {
	case style&styleHT != 0 && n == 0:
		// Sets of three passes without data may stand before the first that has some.
		most = 1 + (passes-1)/3*3
		if b.zeros += (passes - 1) / 3; b.zeros >= max(pb.planes, 1) {
			return fail(ErrMalformed, "%d HT passes for %d bit-planes", passes, pb.planes)
		}
	case style&styleHT != 0 && n == 1:
		most = 2
	case style&styleHT != 0:
		return fail(ErrUnsupported, "more than one set of HT passes")
	case style&styleTerminateAll != 0:
		most = 1
	case style&styleBypass != 0 && n == 0:
		most = 10
	case style&styleBypass != 0 && n%2 == 1:
		most = 2
	case style&styleBypass != 0:
		most = 1
	}
	b.segments = append(b.segments, codeword{most: most})
	return nil
}

// body hands the bytes behind the header to the codeword segments it named.
func (t *packets) body(b []byte) error {
	for _, p := range t.pending {
		if p.bytes > len(b) {
			return fail(ErrTruncated, "packet of %d bytes more than there are", p.bytes-len(b))
		}
		s := &p.segments[p.index]
		if s.data == nil {
			s.data = b[:p.bytes:p.bytes]
		} else {
			s.data = append(s.data, b[:p.bytes]...)
		}
		b = b[p.bytes:]
	}
	t.data = b
	return nil
}
