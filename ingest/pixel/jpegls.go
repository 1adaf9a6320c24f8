package pixel

import (
	"context"
	"encoding/binary"
	"math/bits"
	"slices"
)

// JPEG-LS markers (ITU-T T.87 table C.1).
const (
	markerSOF55 = 0xF7
	markerLSE   = 0xF8
	markerAPP8  = 0xE8
)

// jpegLSDecoder decodes JPEG-LS, lossless and near-lossless (T.87).
type jpegLSDecoder struct {
	header  frameHeader
	planes  [][]uint16 // one a component
	done    []bool
	presets jpegLSPresets
}

// jpegLSPresets are the coding parameters of an LSE segment (T.87 C.2.4.1.1); 0 stands for the default.
type jpegLSPresets struct {
	maxVal, t1, t2, t3, reset int
}

// jpegLS decodes a JPEG-LS codestream.
func (f *Frame) jpegLS(ctx context.Context, b []byte) error {
	h, err := probe(b)
	if err != nil {
		return err
	}
	if h.marker != markerSOF55 {
		return fail(ErrUnsupported, "JPEG process FF%02X where JPEG-LS is due", h.marker)
	}
	if h.precision < 2 || h.precision > 16 || f.BitsAllocated > 16 {
		return fail(ErrMalformed, "JPEG-LS of %d bits in %d allocated", h.precision, f.BitsAllocated)
	}
	if err := f.agree(h); err != nil {
		return err
	}
	for _, c := range h.components {
		if c.horizontal != 1 || c.vertical != 1 {
			return fail(ErrUnsupported, "JPEG-LS with subsampling")
		}
	}
	if err := f.plausible(len(b)); err != nil {
		return err
	}
	d := &jpegLSDecoder{header: h, planes: make([][]uint16, f.Samples), done: make([]bool, f.Samples)}
	for i := range d.planes {
		d.planes[i] = make([]uint16, f.Rows*f.Columns)
	}
	if err := d.segments(ctx, b); err != nil {
		return err
	}
	f.Data, f.precision = make([]byte, f.size()), h.precision
	for s, plane := range d.planes {
		for i, v := range plane {
			f.put(i*f.Samples+s, int32(v))
		}
	}
	if f.Photometric == "YBR_FULL_422" {
		f.Photometric = "YBR_FULL" // nothing was subsampled
	}
	return nil
}

// segments walks the codestream until every component is decoded.
func (d *jpegLSDecoder) segments(ctx context.Context, b []byte) error {
	for range maxSegments {
		s, rest, err := nextSegment(b)
		if err != nil {
			return err
		}
		b = rest
		switch s.marker {
		case markerLSE:
			if err := d.preset(s.body); err != nil {
				return err
			}
		case markerDRI:
			for _, v := range s.body {
				if v != 0 {
					return fail(ErrUnsupported, "JPEG-LS with restart intervals")
				}
			}
		case markerAPP8:
			// Hewlett-Packard's colour transformations are outside the standard.
			if len(s.body) >= 5 && string(s.body[:4]) == "mrfx" && s.body[4] != 0 {
				return fail(ErrUnsupported, "JPEG-LS with colour transformation %d", s.body[4])
			}
		case markerSOS:
			if b, err = d.scan(ctx, s.body, b); err != nil {
				return err
			}
			if !slices.Contains(d.done, false) {
				return nil
			}
		case markerEOI:
			return fail(ErrTruncated, "JPEG-LS ends before all components are there")
		}
	}
	return fail(ErrLimit, "more than %d JPEG segments", maxSegments)
}

// preset reads an LSE segment (C.2.4.1).
func (d *jpegLSDecoder) preset(b []byte) error {
	switch {
	case len(b) < 1:
		return fail(ErrTruncated, "empty JPEG-LS preset")
	case b[0] == 1 && len(b) >= 11:
		value := func(i int) int { return int(binary.BigEndian.Uint16(b[1+2*i:])) }
		d.presets = jpegLSPresets{maxVal: value(0), t1: value(1), t2: value(2), t3: value(3), reset: value(4)}
		return nil
	case b[0] == 1:
		return fail(ErrTruncated, "JPEG-LS preset of %d bytes", len(b))
	}
	return fail(ErrUnsupported, "JPEG-LS preset of type %d", b[0])
}

// scan decodes one scan (C.2.3) and returns the bytes behind it.
func (d *jpegLSDecoder) scan(ctx context.Context, head, data []byte) ([]byte, error) {
	if len(head) < 1 || len(head) < 4+2*int(head[0]) {
		return nil, fail(ErrTruncated, "JPEG-LS scan header of %d bytes", len(head))
	}
	n := int(head[0])
	var planes [][]uint16
	for i := range n {
		id, table := head[1+2*i], head[2+2*i]
		if table != 0 {
			return nil, fail(ErrUnsupported, "JPEG-LS with mapping tables")
		}
		for c, component := range d.header.components {
			if component.id == id && !d.done[c] {
				d.done[c] = true
				planes = append(planes, d.planes[c])
				break
			}
		}
	}
	near, interleave, transform := int(head[1+2*n]), head[2+2*n], int(head[3+2*n]&15)
	if len(planes) != n || n == 0 || interleave > 2 || (interleave == 0) != (n == 1) && n > 1 {
		return nil, fail(ErrMalformed, "JPEG-LS scan of %d components, %d of them known, interleave mode %d", n, len(planes), interleave)
	}
	if transform != 0 {
		return nil, fail(ErrUnsupported, "JPEG-LS with point transform")
	}
	coding, err := d.presets.coding(d.header.precision, near)
	if err != nil {
		return nil, err
	}
	s := newJPEGLSScan(coding, d.header.columns, n, data)
	for y := range d.header.rows {
		if y%64 == 0 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if interleave == 2 && n > 1 {
			s.rowBySample()
		} else {
			for c := range planes {
				s.row(c)
			}
		}
		if s.reader.starved() {
			return nil, fail(ErrTruncated, "JPEG-LS data ends in row %d of %d", y, d.header.rows)
		}
		for c, plane := range planes {
			copy(plane[y*d.header.columns:], s.current[c][1:1+d.header.columns])
		}
		s.nextRow()
	}
	return s.reader.rest(), nil
}

// jpegLSCoding holds the parameters of a scan in the names of T.87 (A.2.1, C.2.4.1.1).
type jpegLSCoding struct {
	maxVal, near, t1, t2, t3, reset int
	span                            int // RANGE
	bitsPerError, limit             int // qbpp, LIMIT
}

// coding fills in the defaults (C.2.4.1.1) and checks the values (table C.3).
func (p jpegLSPresets) coding(precision, near int) (jpegLSCoding, error) {
	c := jpegLSCoding{maxVal: p.maxVal, near: near, t1: p.t1, t2: p.t2, t3: p.t3, reset: p.reset}
	if c.maxVal == 0 {
		c.maxVal = 1<<precision - 1
	}
	if c.reset == 0 {
		c.reset = 64
	}
	if c.maxVal >= 1<<precision || near > min(255, c.maxVal/2) {
		return c, fail(ErrMalformed, "JPEG-LS of %d bits with MAXVAL %d and NEAR %d", precision, c.maxVal, near)
	}
	clamp := func(i, low int) int {
		if i > c.maxVal || i < low {
			return low
		}
		return i
	}
	d1, d2, d3 := 0, 0, 0
	if c.maxVal >= 128 {
		factor := (min(c.maxVal, 4095) + 128) / 256
		d1, d2, d3 = factor+2+3*near, factor*4+3+5*near, factor*17+4+7*near
	} else {
		factor := 256 / (c.maxVal + 1)
		d1, d2, d3 = max(2, 3/factor+3*near), max(3, 7/factor+5*near), max(4, 21/factor+7*near)
	}
	if c.t1 == 0 {
		c.t1 = clamp(d1, near+1)
	}
	if c.t2 == 0 {
		c.t2 = clamp(d2, c.t1)
	}
	if c.t3 == 0 {
		c.t3 = clamp(d3, c.t2)
	}
	if c.t1 <= near || c.t2 < c.t1 || c.t3 < c.t2 || c.t3 > c.maxVal || c.reset < 3 || c.reset > max(255, c.maxVal) {
		return c, fail(ErrMalformed, "JPEG-LS thresholds %d, %d, %d, RESET %d", c.t1, c.t2, c.t3, c.reset)
	}
	c.span = (c.maxVal+2*near)/(2*near+1) + 1
	c.bitsPerError = bits.Len(uint(c.span - 1))
	depth := max(2, bits.Len(uint(c.maxVal)))
	c.limit = 2 * (depth + max(8, depth))
	return c, nil
}
