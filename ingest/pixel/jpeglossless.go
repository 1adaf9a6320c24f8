package pixel

import (
	"context"
	"encoding/binary"
	"slices"
)

// losslessDecoder decodes JPEG process 14 (ITU-T T.81 annex H): Huffman-coded differences from a prediction. Transfer syntax
// .70 allows predictor 1 only, .57 any; what the codestream says is followed.
type losslessDecoder struct {
	header   frameHeader
	planes   [][]uint16 // one a component
	done     []bool
	tables   [4]*huffman
	interval int // samples between restart markers, 0 for none
}

// jpegLossless decodes a codestream of process 14.
func (f *Frame) jpegLossless(ctx context.Context, b []byte) error {
	h, err := probe(b)
	if err != nil {
		return err
	}
	if h.marker != markerSOF3 {
		return fail(ErrUnsupported, "JPEG process FF%02X where lossless is due", h.marker)
	}
	if h.precision < 2 || h.precision > 16 || f.BitsAllocated > 16 {
		return fail(ErrMalformed, "lossless JPEG of %d bits in %d allocated", h.precision, f.BitsAllocated)
	}
	if err := f.agree(h); err != nil {
		return err
	}
	for _, c := range h.components {
		if c.horizontal != 1 || c.vertical != 1 {
			return fail(ErrUnsupported, "lossless JPEG with subsampling")
		}
	}
	if len(b)*8 < f.values() { // every difference takes a bit at least
		return fail(ErrTruncated, "%d bytes of lossless JPEG cannot hold %d values", len(b), f.values())
	}
	d := &losslessDecoder{header: h, planes: make([][]uint16, f.Samples), done: make([]bool, f.Samples)}
	for i := range d.planes {
		d.planes[i] = make([]uint16, f.Rows*f.Columns)
	}
	if err := d.segments(ctx, b); err != nil {
		return err
	}
	f.Data = make([]byte, f.size())
	for s, plane := range d.planes {
		for i, v := range plane {
			if at := i*f.Samples + s; f.BitsAllocated == 8 {
				f.Data[at] = byte(v)
			} else {
				binary.LittleEndian.PutUint16(f.Data[2*at:], v)
			}
		}
	}
	if f.Photometric == "YBR_FULL_422" {
		f.Photometric = "YBR_FULL" // nothing was subsampled
	}
	return nil
}

// segments walks the codestream until every component is decoded.
func (d *losslessDecoder) segments(ctx context.Context, b []byte) error {
	for range maxSegments {
		s, rest, err := nextSegment(b)
		if err != nil {
			return err
		}
		b = rest
		switch s.marker {
		case markerDHT:
			if err := huffmanTables(s.body, [...]*[4]*huffman{&d.tables, {}}); err != nil {
				return err
			}
		case markerDRI:
			if len(s.body) < 2 {
				return fail(ErrTruncated, "restart interval of %d bytes", len(s.body))
			}
			d.interval = int(binary.BigEndian.Uint16(s.body))
		case markerSOS:
			if b, err = d.scan(ctx, s.body, b); err != nil {
				return err
			}
			if !slices.Contains(d.done, false) {
				return nil
			}
		case markerEOI:
			return fail(ErrTruncated, "JPEG ends before all components are there")
		}
	}
	return fail(ErrLimit, "more than %d JPEG segments", maxSegments)
}

// lane is a component within a scan.
type lane struct {
	plane []uint16
	table *huffman
}

// scan decodes one scan (B.2.3) and returns the bytes behind it.
func (d *losslessDecoder) scan(ctx context.Context, head, data []byte) ([]byte, error) {
	if len(head) < 1 || len(head) < 4+2*int(head[0]) {
		return nil, fail(ErrTruncated, "JPEG scan header of %d bytes", len(head))
	}
	n := int(head[0])
	var lanes []lane
	for i := range n {
		id, table := head[1+2*i], head[2+2*i]>>4
		for c, component := range d.header.components {
			if component.id != id || d.done[c] {
				continue
			}
			if table > 3 || d.tables[table] == nil {
				return nil, fail(ErrMalformed, "JPEG scan without its Huffman table %d", table)
			}
			d.done[c] = true
			lanes = append(lanes, lane{plane: d.planes[c], table: d.tables[table]})
			break
		}
	}
	if len(lanes) != n || n == 0 {
		return nil, fail(ErrMalformed, "JPEG scan of %d components, %d of them known", n, len(lanes))
	}
	predictor, transform := int(head[1+2*n]), int(head[3+2*n]&15)
	if predictor < 1 || predictor > 7 || transform >= d.header.precision {
		return nil, fail(ErrMalformed, "lossless JPEG with predictor %d and point transform %d", predictor, transform)
	}
	if d.interval%d.header.columns != 0 {
		return nil, fail(ErrMalformed, "restart interval of %d in rows of %d (T.81 H.1.1)", d.interval, d.header.columns)
	}
	r := &bitReader{data: data}
	for y := range d.header.rows {
		if y%64 == 0 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		fresh := y == 0
		if d.interval > 0 && y > 0 && y*d.header.columns%d.interval == 0 {
			if !r.restart() {
				return nil, fail(ErrMalformed, "no restart marker before row %d", y)
			}
			fresh = true
		}
		if !d.row(r, lanes, y, predictor, transform, fresh) {
			return nil, fail(ErrMalformed, "no such Huffman code in row %d", y)
		}
		if r.starved() {
			return nil, fail(ErrTruncated, "JPEG data ends in row %d of %d", y, d.header.rows)
		}
	}
	if transform > 0 {
		for _, l := range lanes {
			for i := range l.plane {
				l.plane[i] <<= transform
			}
		}
	}
	return r.data, nil
}

// row decodes one row of all lanes; fresh rows have nothing above them (H.1.2.1).
func (d *losslessDecoder) row(r *bitReader, lanes []lane, y, predictor, transform int, fresh bool) bool {
	columns := d.header.columns
	for x := range columns {
		for _, l := range lanes {
			at := y*columns + x
			var prediction int
			switch {
			case x == 0 && fresh:
				prediction = 1 << (d.header.precision - transform - 1)
			case fresh:
				prediction = int(l.plane[at-1])
			case x == 0:
				prediction = int(l.plane[at-columns])
			default:
				prediction = predict(predictor, int(l.plane[at-1]), int(l.plane[at-columns]), int(l.plane[at-columns-1]))
			}
			size, ok := r.decode(l.table)
			if !ok || size > 16 {
				return false
			}
			l.plane[at] = uint16(prediction + difference(r, int(size)))
		}
	}
	return true
}

// predict is table H.1: a left, b above, c above left.
func predict(predictor, a, b, c int) int {
	switch predictor {
	case 1:
		return a
	case 2:
		return b
	case 3:
		return c
	case 4:
		return a + b - c
	case 5:
		return a + (b-c)>>1
	case 6:
		return b + (a-c)>>1
	}
	return (a + b) >> 1
}

// difference reads the additional bits of a category (H.1.2.2); category 16 has none.
func difference(r *bitReader, size int) int {
	if size == 0 {
		return 0
	}
	if size == 16 {
		return 32768
	}
	v := r.take(size)
	if v < 1<<(size-1) {
		v -= 1<<size - 1
	}
	return v
}
