package pixel

import (
	"context"
	"encoding/binary"
)

// dctDecoder decodes the sequential DCT processes with Huffman coding (T.81 annex F): baseline, and extended of 8 and 12 bits.
type dctDecoder struct {
	header   frameHeader
	planes   []dctPlane
	quantity [4]*[64]int
	dc, ac   [4]*huffman
	interval int // minimum coded units between restart markers, 0 for none
	// most samples a component has in each direction, and units of the interleaved image
	horizontal, vertical, unitsX, unitsY int
}

// dctPlane is one component, padded to whole minimum coded units.
type dctPlane struct {
	frameComponent
	stride  int
	samples []uint16
	// blocks that hold samples, which a scan of this component alone has
	blocksX, blocksY int
	done             bool
	// of the scan that is being decoded
	dc, ac *huffman
	last   int // DC value
}

func newDCTDecoder(h frameHeader) (*dctDecoder, error) {
	d := &dctDecoder{header: h, horizontal: 1, vertical: 1}
	for _, c := range h.components {
		if c.horizontal < 1 || c.horizontal > 4 || c.vertical < 1 || c.vertical > 4 {
			return nil, fail(ErrMalformed, "JPEG sampling factors %d and %d", c.horizontal, c.vertical)
		}
		if c.quantity > 3 {
			return nil, fail(ErrMalformed, "JPEG quantisation table %d", c.quantity)
		}
		d.horizontal, d.vertical = max(d.horizontal, int(c.horizontal)), max(d.vertical, int(c.vertical))
	}
	d.unitsX, d.unitsY = share(h.columns, 1, 8*d.horizontal), share(h.rows, 1, 8*d.vertical)
	for _, c := range h.components {
		d.planes = append(d.planes, dctPlane{
			frameComponent: c,
			stride:         d.unitsX * int(c.horizontal) * 8,
			blocksX:        share(share(h.columns, int(c.horizontal), d.horizontal), 1, 8),
			blocksY:        share(share(h.rows, int(c.vertical), d.vertical), 1, 8),
		})
	}
	return d, nil
}

// share is n*part/whole, rounded up.
func share(n, part, whole int) int { return (n*part + whole - 1) / whole }

// blocks is the number of blocks of all components: the first alone may have a sixteenth of what another has.
func (d *dctDecoder) blocks() (n int) {
	for _, p := range d.planes {
		n += p.blocksX * p.blocksY
	}
	return n
}

// at returns a sample at a place of the image; subsampled components are repeated.
func (d *dctDecoder) at(component, x, y int) uint16 {
	p := &d.planes[component]
	return p.samples[y*int(p.vertical)/d.vertical*p.stride+x*int(p.horizontal)/d.horizontal]
}

func (d *dctDecoder) decode(ctx context.Context, b []byte) error {
	for i := range d.planes {
		p := &d.planes[i]
		p.samples = make([]uint16, p.stride*d.unitsY*int(p.vertical)*8)
	}
	for range maxSegments {
		s, rest, err := nextSegment(b)
		if err != nil {
			return err
		}
		b = rest
		switch s.marker {
		case markerDQT:
			err = d.quantisation(s.body)
		case markerDHT:
			err = huffmanTables(s.body, [...]*[4]*huffman{&d.dc, &d.ac})
		case markerDRI:
			if len(s.body) < 2 {
				return fail(ErrTruncated, "restart interval of %d bytes", len(s.body))
			}
			d.interval = int(binary.BigEndian.Uint16(s.body))
		case markerSOS:
			b, err = d.scan(ctx, s.body, b)
		case markerEOI:
			return fail(ErrTruncated, "JPEG ends before all components are there")
		}
		if err != nil {
			return err
		}
		if d.complete() {
			return nil
		}
	}
	return fail(ErrLimit, "more than %d JPEG segments", maxSegments)
}

func (d *dctDecoder) complete() bool {
	for i := range d.planes {
		if !d.planes[i].done {
			return false
		}
	}
	return true
}

// quantisation reads DQT (B.2.4.1).
func (d *dctDecoder) quantisation(b []byte) error {
	for len(b) > 0 {
		wide, id := int(b[0]>>4), b[0]&15
		if wide > 1 || id > 3 || len(b) < 1+64*(wide+1) {
			return fail(ErrMalformed, "JPEG quantisation table %d with %d bytes", id, len(b))
		}
		table := &[64]int{}
		for k := range 64 {
			if wide == 1 {
				table[zigzag[k]] = int(binary.BigEndian.Uint16(b[1+2*k:]))
			} else {
				table[zigzag[k]] = int(b[1+k])
			}
		}
		d.quantity[id] = table
		b = b[1+64*(wide+1):]
	}
	return nil
}

// scan decodes one scan (B.2.3): of one component block by block, of several in minimum coded units (A.2).
func (d *dctDecoder) scan(ctx context.Context, head, data []byte) ([]byte, error) {
	if len(head) < 1 || len(head) < 4+2*int(head[0]) {
		return nil, fail(ErrTruncated, "JPEG scan header of %d bytes", len(head))
	}
	var planes []*dctPlane
	for i := range int(head[0]) {
		id, tables := head[1+2*i], head[2+2*i]
		for k := range d.planes {
			p := &d.planes[k]
			if p.id != id || p.done {
				continue
			}
			if tables>>4 > 3 || tables&15 > 3 || d.dc[tables>>4] == nil || d.ac[tables&15] == nil || d.quantity[p.quantity] == nil {
				return nil, fail(ErrMalformed, "JPEG scan without its tables")
			}
			p.dc, p.ac, p.last, p.done = d.dc[tables>>4], d.ac[tables&15], 0, true
			planes = append(planes, p)
			break
		}
	}
	if len(planes) != int(head[0]) || len(planes) == 0 {
		return nil, fail(ErrMalformed, "JPEG scan of %d components, %d of them known", head[0], len(planes))
	}
	unitsX, unitsY := d.unitsX, d.unitsY
	if len(planes) == 1 {
		unitsX, unitsY = planes[0].blocksX, planes[0].blocksY
	}
	r := &bitReader{data: data}
	for unit := range unitsX * unitsY {
		if unit%unitsX == 0 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if d.interval > 0 && unit > 0 && unit%d.interval == 0 {
			if !r.restart() {
				return nil, fail(ErrMalformed, "no restart marker before unit %d", unit)
			}
			for _, p := range planes {
				p.last = 0
			}
		}
		x, y := unit%unitsX, unit/unitsX
		for _, p := range planes {
			wide, high := int(p.horizontal), int(p.vertical)
			if len(planes) == 1 {
				wide, high = 1, 1
			}
			for k := range wide * high {
				if !d.block(r, p, x*wide+k%wide, y*high+k/wide) {
					return nil, fail(ErrMalformed, "no such Huffman code in unit %d of %d", unit, unitsX*unitsY)
				}
			}
		}
		if r.starved() {
			return nil, fail(ErrTruncated, "JPEG data ends in unit %d of %d", unit, unitsX*unitsY)
		}
	}
	return r.data, nil
}

// block decodes a block of 8 x 8 (F.2.2) into its place.
func (d *dctDecoder) block(r *bitReader, p *dctPlane, x, y int) bool {
	var block [64]int
	table := d.quantity[p.quantity]
	size, ok := r.decode(p.dc)
	if !ok || size > 15 {
		return false
	}
	p.last += difference(r, int(size))
	block[0] = p.last * table[0]
	for k := 1; k < 64; k++ {
		code, ok := r.decode(p.ac)
		if !ok {
			return false
		}
		run, size := int(code>>4), int(code&15)
		if size == 0 {
			if run != 15 {
				break // end of block
			}
			k += 15
			continue
		}
		if k += run; k > 63 {
			return false
		}
		block[zigzag[k]] = difference(r, size) * table[zigzag[k]]
	}
	inverseDCT(&block, d.header.precision)
	for row := range 8 {
		line := p.samples[(8*y+row)*p.stride+8*x:][:8]
		for i := range line {
			line[i] = uint16(block[8*row+i])
		}
	}
	return true
}
