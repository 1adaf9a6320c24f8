package jpeg2000

// Flags of a column of four coefficients, a stripe high (T.800 figure D.1). Bits 0 to 17 say which of the coefficients in the
// column, the ones on either side, and the rows above and below are significant: row r from -1 to 4, column c from -1 to 1 at
// bit 3(r+1)+c+1, so that the neighbourhood of row r is the nine bits from 3r on.
const (
	flagNeighbours  = 0x1EF // of row 0, without itself
	flagSignificant = 1 << 4
	flagVisited     = 1 << 18 // row 0; the others follow
	flagRefined     = 1 << 22
	flagNegative    = 1 << 26
	flagsSelf       = flagSignificant | flagSignificant<<3 | flagSignificant<<6 | flagSignificant<<9
	flagsAround     = 1<<18 - 1
)

// blockDecoder decodes code-blocks (T.800 annex D). Values are twice the magnitude plus one half of the last bit-plane
// decoded, with the sign: the middle of the interval.
type blockDecoder struct {
	width, height int
	values        []int32
	flags         []uint32 // a column more at each side, a stripe more above and below
	stride        int      // of flags
	mq            mqDecoder
	raw           rawDecoder
	zero          *[512]uint8 // contexts of zero coding in this band
	causal        bool
	ht            htDecoder
}

// cleared is a slice of n zeros, in s where it is large enough.
func cleared[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	s = s[:n]
	clear(s)
	return s
}

// decode decodes a block of a band into values.
func (d *blockDecoder) decode(b *block, pb *precinctBand, style byte) error {
	d.width, d.height = b.width(), b.height()
	d.values = cleared(d.values, d.width*d.height)
	if style&styleHT != 0 {
		return d.decodeHT(b, pb, style)
	}
	d.stride = d.width + 2
	d.flags = cleared(d.flags, d.stride*((d.height+3)/4+2))
	planes := pb.planes - b.zeros
	d.zero, d.causal = &zeroContexts[pb.orientation], style&styleCausal != 0
	d.mq.reset()
	pass := 2 // of a bit-plane: 0 significance, 1 refinement, 2 cleanup, with which the first one begins
	plane := planes
	for _, s := range b.segments {
		raw := style&styleBypass != 0 && pass < 2 && plane <= planes-4
		if raw {
			d.raw = rawDecoder{data: s.data}
		} else {
			d.mq.start(s.data)
		}
		for range s.passes {
			d.pass(pass, plane, raw, style)
			if style&styleReset != 0 {
				d.mq.reset()
			}
			if pass++; pass == 3 {
				pass = 0
				plane--
			}
		}
	}
	return nil
}

// pass decodes a coding pass of a bit-plane, 1 the lowest.
func (d *blockDecoder) pass(pass, plane int, raw bool, style byte) {
	value := int32(3) << plane >> 1 // a one in this plane and half of it
	switch {
	case pass == 0 && raw:
		d.significanceRaw(value)
	case pass == 0:
		d.significance(value)
	case pass == 1:
		d.refinement(int32(1)<<plane>>1, raw)
	default:
		d.cleanup(value)
		if style&styleSegmentSymbol != 0 {
			for range 4 {
				d.mq.bit(&d.mq.contexts[contextUniform])
			}
		}
	}
}

// significance is the significance propagation pass (D.3.1).
func (d *blockDecoder) significance(value int32) {
	mq := &d.mq
	for y := 0; y < d.height; y += 4 {
		rows := min(4, d.height-y)
		row := (y/4 + 1) * d.stride
		for x := range d.width {
			at := row + x + 1
			if d.flags[at]&flagsAround == 0 {
				continue
			}
			for r := range rows {
				f := d.flags[at]
				around := f >> (3 * r)
				if around&flagNeighbours == 0 || around&flagSignificant != 0 {
					continue
				}
				d.flags[at] |= flagVisited << r
				if mq.bit(&mq.contexts[d.zero[around&flagNeighbours]]) == 1 {
					d.signify(at, r, (y+r)*d.width+x, value, d.sign(at, r))
				}
			}
		}
	}
}

// significanceRaw is the same pass, bypassing the arithmetic coder (D.6).
func (d *blockDecoder) significanceRaw(value int32) {
	for y := 0; y < d.height; y += 4 {
		rows := min(4, d.height-y)
		row := (y/4 + 1) * d.stride
		for x := range d.width {
			at := row + x + 1
			for r := range rows {
				around := d.flags[at] >> (3 * r)
				if around&flagNeighbours == 0 || around&flagSignificant != 0 {
					continue
				}
				d.flags[at] |= flagVisited << r
				if d.raw.bit() == 1 {
					d.signify(at, r, (y+r)*d.width+x, value, d.raw.bit())
				}
			}
		}
	}
}

// refinement is the magnitude refinement pass (D.3.3); half is half of a one in the plane.
func (d *blockDecoder) refinement(half int32, raw bool) {
	mq := &d.mq
	for y := 0; y < d.height; y += 4 {
		rows := min(4, d.height-y)
		row := (y/4 + 1) * d.stride
		for x := range d.width {
			at := row + x + 1
			f := d.flags[at]
			if f&flagsSelf == 0 {
				continue
			}
			for r := range rows {
				if f>>(3*r)&flagSignificant == 0 || f&(flagVisited<<r) != 0 {
					continue
				}
				var bit uint32
				switch {
				case raw:
					bit = d.raw.bit()
				case f&(flagRefined<<r) != 0:
					bit = mq.bit(&mq.contexts[contextMagnitude + 2])
				case f>>(3*r)&flagNeighbours != 0:
					bit = mq.bit(&mq.contexts[contextMagnitude + 1])
				default:
					bit = mq.bit(&mq.contexts[contextMagnitude])
				}
				f |= flagRefined << r
				v := &d.values[(y+r)*d.width+x]
				// Away from zero by half for a one, towards it for a zero.
				sign := *v >> 31
				*v += (half*int32(2*bit-1))^sign - sign
			}
			d.flags[at] = f
		}
	}
}

// cleanup is the cleanup pass (D.3.4).
func (d *blockDecoder) cleanup(value int32) {
	mq := &d.mq
	for y := 0; y < d.height; y += 4 {
		rows := min(4, d.height-y)
		row := (y/4 + 1) * d.stride
		for x := range d.width {
			at := row + x + 1
			r := 0
			if d.flags[at] == 0 && rows == 4 {
				if mq.bit(&mq.contexts[contextRun]) == 0 {
					continue
				}
				r = int(mq.bit(&mq.contexts[contextUniform])<<1 | mq.bit(&mq.contexts[contextUniform]))
				d.signify(at, r, (y+r)*d.width+x, value, d.sign(at, r))
				r++
			}
			for ; r < rows; r++ {
				around := d.flags[at] >> (3 * r)
				if around&flagSignificant != 0 || d.flags[at]&(flagVisited<<r) != 0 {
					continue
				}
				if mq.bit(&mq.contexts[d.zero[around&flagNeighbours]]) == 1 {
					d.signify(at, r, (y+r)*d.width+x, value, d.sign(at, r))
				}
			}
			d.flags[at] &^= flagVisited * 15
		}
	}
}

// sign decodes the sign of row r of a column (D.3.2).
func (d *blockDecoder) sign(at, r int) uint32 {
	mq := &d.mq
	f := d.flags[at]
	around := f >> (3 * r)
	// Two bits for each of left, right, above and below: significant, and negative.
	index := around>>3&1 | around>>5&1<<1 | around>>1&1<<2 | around>>7&1<<3
	index |= (d.flags[at-1]>>(26+r)&1)<<4 | (d.flags[at+1]>>(26+r)&1)<<5
	if r > 0 {
		index |= (f >> (25 + r) & 1) << 6
	} else {
		index |= (d.flags[at-d.stride] >> 29 & 1) << 6
	}
	if r < 3 {
		index |= (f >> (27 + r) & 1) << 7
	} else {
		index |= (d.flags[at+d.stride] >> 26 & 1) << 7
	}
	c := signContexts[index]
	return mq.bit(&mq.contexts[c&31]) ^ uint32(c>>5)
}

// signify makes row r of a column significant: its value, and what its neighbours know of it.
func (d *blockDecoder) signify(at, r, index int, value int32, negative uint32) {
	if negative == 1 {
		value = -value
	}
	d.values[index] = value
	f, shift := d.flags, 3*r
	f[at] |= flagSignificant<<shift | flagNegative*negative<<r
	f[at-1] |= flagSignificant << 1 << shift
	f[at+1] |= flagSignificant >> 1 << shift
	if r == 0 && !d.causal {
		f[at-d.stride-1] |= 1 << 17
		f[at-d.stride] |= 1 << 16
		f[at-d.stride+1] |= 1 << 15
	}
	if r == 3 {
		f[at+d.stride-1] |= 1 << 2
		f[at+d.stride] |= 1 << 1
		f[at+d.stride+1] |= 1 << 0
	}
}

// zeroContexts are the contexts of zero coding (table D.1) by orientation of the band and significance of the neighbours.
var zeroContexts = func() (t [4][512]uint8) {
	for i := range 512 {
		bit := func(n int) int { return i >> n & 1 }
		h, v, diagonal := bit(3)+bit(5), bit(1)+bit(7), bit(0)+bit(2)+bit(6)+bit(8)
		t[0][i] = zeroContext(h, v, diagonal)
		t[1][i] = zeroContext(v, h, diagonal)
		t[2][i] = t[0][i]
		t[3][i] = zeroContextDiagonal(h+v, diagonal)
	}
	return t
}()

// zeroContext is for bands that are low-pass horizontally.
func zeroContext(h, v, d int) uint8 {
	switch {
	case h == 2:
		return 8
	case h == 1 && v >= 1:
		return 7
	case h == 1 && d >= 1:
		return 6
	case h == 1:
		return 5
	case v == 2:
		return 4
	case v == 1:
		return 3
	}
	return uint8(min(d, 2))
}

// zeroContextDiagonal is for HH.
func zeroContextDiagonal(hv, d int) uint8 {
	switch {
	case d >= 3:
		return 8
	case d == 2:
		return uint8(6 + min(hv, 1))
	case d == 1:
		return uint8(3 + min(hv, 2))
	}
	return uint8(min(hv, 2))
}

// signContexts are the contexts of sign coding (tables D.2 and D.3) by what sign gathers; bit 5 says that the sign is turned.
var signContexts = func() (t [256]uint8) {
	for i := range 256 {
		part := func(n int) int { // +1, -1 or 0
			return (i >> n & 1) * (1 - 2*(i>>(n+4)&1))
		}
		h, v := min(max(part(0)+part(1), -1), 1), min(max(part(2)+part(3), -1), 1)
		turn := 0
		if h < 0 || h == 0 && v < 0 {
			h, v, turn = -h, -v, 1<<5
		}
		t[i] = uint8(contextSign + 3*h + v + turn)
		if h == 0 {
			t[i] = uint8(contextSign + v + turn)
		}
	}
	return t
}()
