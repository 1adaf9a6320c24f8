package pixel

import (
	"context"
	"encoding/binary"
)

// JPEG markers (ITU-T T.81 table B.1).
const (
	markerSOF0  = 0xC0 // baseline DCT
	markerSOF1  = 0xC1 // extended sequential DCT
	markerSOF3  = 0xC3 // lossless
	markerDQT   = 0xDB
	markerDHT   = 0xC4
	markerSOI   = 0xD8
	markerEOI   = 0xD9
	markerSOS   = 0xDA
	markerDRI   = 0xDD
	markerAPP14 = 0xEE
)

// segment is a marker and what follows it before entropy-coded data.
type segment struct {
	marker byte
	body   []byte
}

// nextSegment reads the marker segment at the start of b and returns the bytes behind it.
func nextSegment(b []byte) (segment, []byte, error) {
	for len(b) > 0 && b[0] != 0xFF {
		b = b[1:] // garbage between segments, which decoders skip
	}
	for len(b) > 0 && b[0] == 0xFF {
		b = b[1:] // fill bytes, B.1.1.2
	}
	if len(b) == 0 {
		return segment{}, nil, fail(ErrTruncated, "JPEG ends where a marker is due")
	}
	s := segment{marker: b[0]}
	b = b[1:]
	if s.marker == markerSOI || s.marker == markerEOI || s.marker == 0x01 || (s.marker >= 0xD0 && s.marker <= 0xD7) || s.marker == 0 {
		return s, b, nil
	}
	if len(b) < 2 {
		return s, nil, fail(ErrTruncated, "JPEG marker FF%02X without length", s.marker)
	}
	n := int(binary.BigEndian.Uint16(b))
	if n < 2 || n > len(b) {
		return s, nil, fail(ErrTruncated, "JPEG segment FF%02X of %d bytes, %d are there", s.marker, n, len(b))
	}
	s.body = b[2:n]
	return s, b[n:], nil
}

// frameHeader is a JPEG frame header (T.81 B.2.2).
type frameHeader struct {
	marker                   byte
	precision, rows, columns int
	components               []frameComponent
	adobe                    int // colour transform of an Adobe APP14 segment, -1 without one
}

type frameComponent struct {
	id, horizontal, vertical, quantity byte
}

func parseFrameHeader(s segment) (frameHeader, error) {
	b := s.body
	if len(b) < 6 || len(b) < 6+3*int(b[5]) {
		return frameHeader{}, fail(ErrTruncated, "JPEG frame header of %d bytes", len(b))
	}
	h := frameHeader{marker: s.marker, precision: int(b[0]), rows: int(binary.BigEndian.Uint16(b[1:])), columns: int(binary.BigEndian.Uint16(b[3:])), adobe: -1}
	for c := b[6 : 6+3*int(b[5])]; len(c) > 0; c = c[3:] {
		h.components = append(h.components, frameComponent{id: c[0], horizontal: c[1] >> 4, vertical: c[1] & 15, quantity: c[2]})
	}
	return h, nil
}

func isFrameHeader(marker byte) bool {
	return marker >= 0xC0 && marker <= 0xCF && marker != markerDHT && marker != 0xC8 && marker != 0xCC || marker == markerSOF55
}

// probe finds the frame header before anything is decoded.
func probe(b []byte) (frameHeader, error) {
	if len(b) < 4 || b[0] != 0xFF || b[1] != markerSOI {
		return frameHeader{}, fail(ErrMalformed, "no JPEG codestream")
	}
	adobe := -1
	for range maxSegments {
		s, rest, err := nextSegment(b)
		if err != nil {
			return frameHeader{}, err
		}
		if s.marker == markerAPP14 && len(s.body) >= 12 && string(s.body[:5]) == "Adobe" {
			adobe = int(s.body[11])
		}
		if isFrameHeader(s.marker) {
			h, err := parseFrameHeader(s)
			h.adobe = adobe
			return h, err
		}
		b = rest
	}
	return frameHeader{}, fail(ErrLimit, "%d JPEG segments without a frame header", maxSegments)
}

// agree checks a codestream against the data set that carries it.
func (f *Frame) agree(h frameHeader) error {
	if h.rows != f.Rows || h.columns != f.Columns || len(h.components) != f.Samples {
		return fail(ErrMalformed, "JPEG of %d x %d with %d components in an object of %d x %d with %d samples",
			h.rows, h.columns, len(h.components), f.Rows, f.Columns, f.Samples)
	}
	if h.precision > f.BitsAllocated {
		return fail(ErrMalformed, "JPEG of %d bits in an object of %d allocated", h.precision, f.BitsAllocated)
	}
	return nil
}

// jpeg decodes JPEG baseline (8 bits) and extended (8 and 12 bits). The samples are the codestream's components: no colour
// transformation is undone, and Photometric says what they are.
func (f *Frame) jpeg(ctx context.Context, b []byte) error {
	h, err := probe(b)
	if err != nil {
		return err
	}
	if h.marker != markerSOF0 && h.marker != markerSOF1 {
		return fail(ErrUnsupported, "JPEG process FF%02X", h.marker)
	}
	if h.precision != 8 && h.precision != 12 {
		return fail(ErrMalformed, "JPEG of %d bits", h.precision)
	}
	if err := f.agree(h); err != nil {
		return err
	}
	d, err := newDCTDecoder(h)
	if err != nil {
		return err
	}
	// A block of 8 x 8 takes two bits at least: its DC code and an end of block.
	if len(b)*4 < d.blocks() {
		return fail(ErrTruncated, "%d bytes of JPEG cannot hold %d x %d", len(b), f.Rows, f.Columns)
	}
	if err := d.decode(ctx, b); err != nil {
		return err
	}
	f.Data = make([]byte, f.size())
	width := f.BytesPerSample()
	for s := range f.Samples {
		for y := range f.Rows {
			for x := range f.Columns {
				v := d.at(s, x, y)
				at := ((y*f.Columns+x)*f.Samples + s) * width
				f.Data[at] = byte(v)
				if width > 1 {
					f.Data[at+1] = byte(v >> 8)
				}
			}
		}
	}
	f.colourOf(h)
	return nil
}

// colourOf settles what the components of a JPEG are: its own marks go before the data set, as with pydicom.
func (f *Frame) colourOf(h frameHeader) {
	if f.Samples != 3 {
		return
	}
	ids := string([]byte{h.components[0].id, h.components[1].id, h.components[2].id})
	switch {
	case h.adobe == 0, ids == "RGB", ids == "rgb":
		f.Photometric = "RGB"
	case h.adobe == 1, f.Photometric == "YBR_FULL_422":
		f.Photometric = "YBR_FULL"
	}
}
