package jpeg2000

import (
	"bytes"
	"encoding/binary"
)

// Markers (T.800 table A.2, T.814 A.2).
const (
	markerSOC = 0xFF4F
	markerCAP = 0xFF50
	markerSIZ = 0xFF51
	markerCOD = 0xFF52
	markerCOC = 0xFF53
	markerQCD = 0xFF5C
	markerQCC = 0xFF5D
	markerRGN = 0xFF5E
	markerPOC = 0xFF5F
	markerPPM = 0xFF60
	markerPPT = 0xFF61
	markerSOT = 0xFF90
	markerSOP = 0xFF91
	markerEPH = 0xFF92
	markerSOD = 0xFF93
	markerEOC = 0xFFD9
)

// Header is the image that a codestream declares.
type Header struct {
	Width, Height, Components int
	// Precision is the number of bits of a sample, the same for all components.
	Precision int
	Signed    bool
}

// size is the SIZ segment (A.5.1): the image and its tiles on the reference grid.
type size struct {
	Header
	image, tile rect // tile is the first one, which may begin left of or above the image
	tilesX      int
	tilesY      int
}

// ReadHeader reads the image's size from the start of a codestream.
func ReadHeader(b []byte) (Header, error) {
	b, err := codestream(b)
	if err != nil {
		return Header{}, err
	}
	s, _, err := readSize(b)
	return s.Header, err
}

// codestream leaves out the boxes of a JP2 file (annex I).
func codestream(b []byte) ([]byte, error) {
	start := []byte{0xFF, 0x4F}
	if bytes.HasPrefix(b, start) {
		return b, nil
	}
	if !bytes.HasPrefix(b, []byte("\x00\x00\x00\x0CjP  ")) {
		return nil, fail(ErrMalformed, "no codestream")
	}
	for range maxSegments {
		if len(b) < 8 {
			break
		}
		length, head := uint64(binary.BigEndian.Uint32(b)), 8
		if length == 1 && len(b) >= 16 {
			length, head = binary.BigEndian.Uint64(b[8:]), 16
		}
		if string(b[4:8]) == "jp2c" && bytes.HasPrefix(b[head:], start) {
			return b[head:], nil // its length is not needed, and wrong in some files
		}
		if length < uint64(head) || length > uint64(len(b)) {
			break
		}
		b = b[length:]
	}
	return nil, fail(ErrTruncated, "JP2 boxes without a codestream")
}

// segment reads the marker segment at the start of b and returns what follows it.
func segment(b []byte) (marker int, body, rest []byte, err error) {
	if len(b) < 2 {
		return 0, nil, nil, fail(ErrTruncated, "ends where a marker is due")
	}
	marker, b = int(binary.BigEndian.Uint16(b)), b[2:]
	if marker < 0xFF00 {
		return 0, nil, nil, fail(ErrMalformed, "%04X where a marker is due", marker)
	}
	if marker == markerSOC || marker == markerSOD || marker == markerEOC || marker >= 0xFF30 && marker <= 0xFF3F {
		return marker, nil, b, nil
	}
	if len(b) < 2 {
		return 0, nil, nil, fail(ErrTruncated, "marker %04X without length", marker)
	}
	n := int(binary.BigEndian.Uint16(b))
	if n < 2 || n > len(b) {
		return 0, nil, nil, fail(ErrTruncated, "segment %04X of %d bytes, %d are there", marker, n, len(b))
	}
	return marker, b[2:n], b[n:], nil
}

// readSize reads SOC and SIZ, which lead (A.5.1).
func readSize(b []byte) (size, []byte, error) {
	var s size
	marker, body, rest, err := segment(b[2:])
	if err != nil {
		return s, nil, err
	}
	if marker != markerSIZ || len(body) < 36 {
		return s, nil, fail(ErrMalformed, "%04X of %d bytes where SIZ is due", marker, len(body))
	}
	n := func(i int) int { return int(binary.BigEndian.Uint32(body[2+4*i:])) }
	s.image = rect{n(2), n(3), n(0), n(1)}
	s.tile = rect{n(6), n(7), n(6) + n(4), n(7) + n(5)}
	s.Width, s.Height = s.image.width(), s.image.height()
	s.Components = int(binary.BigEndian.Uint16(body[34:]))
	switch {
	case s.Width < 1 || s.Height < 1 || s.tile.empty():
		return s, nil, fail(ErrMalformed, "image %v, tile %v", s.image, s.tile)
	case s.Width > maxSide || s.Height > maxSide:
		return s, nil, fail(ErrLimit, "%d x %d", s.Width, s.Height)
	case s.tile.x0 > s.image.x0 || s.tile.y0 > s.image.y0 || s.tile.x1 <= s.image.x0 || s.tile.y1 <= s.image.y0:
		return s, nil, fail(ErrMalformed, "image %v outside its first tile %v", s.image, s.tile)
	case s.Components < 1 || s.Components > maxComponents:
		return s, nil, fail(ErrUnsupported, "%d components", s.Components)
	case len(body) < 36+3*s.Components:
		return s, nil, fail(ErrTruncated, "SIZ of %d bytes for %d components", len(body), s.Components)
	}
	s.tilesX = ceilDiv(s.image.x1-s.tile.x0, s.tile.width())
	s.tilesY = ceilDiv(s.image.y1-s.tile.y0, s.tile.height())
	if s.tilesX*s.tilesY > 65535 {
		return s, nil, fail(ErrMalformed, "%d x %d tiles", s.tilesX, s.tilesY)
	}
	for c := range s.Components {
		depth, dx, dy := body[36+3*c], body[37+3*c], body[38+3*c]
		precision, signed := int(depth&0x7F)+1, depth&0x80 != 0
		if c == 0 {
			s.Precision, s.Signed = precision, signed
		}
		switch {
		case precision > maxPrecision:
			return s, nil, fail(ErrUnsupported, "%d bits", precision)
		case precision != s.Precision || signed != s.Signed:
			return s, nil, fail(ErrUnsupported, "components of different depth")
		case dx != 1 || dy != 1:
			return s, nil, fail(ErrUnsupported, "component %d subsampled by %d x %d", c, dx, dy)
		}
	}
	return s, rest, nil
}

// tileRect is the part of the image in a tile (B.3).
func (s *size) tileRect(index int) rect {
	dx, dy := index%s.tilesX*s.tile.width(), index/s.tilesX*s.tile.height()
	t := rect{s.tile.x0 + dx, s.tile.y0 + dy, s.tile.x1 + dx, s.tile.y1 + dy}
	return t.intersect(s.image)
}

// rect is a rectangle of samples, x1 and y1 excluded.
type rect struct{ x0, y0, x1, y1 int }

func (r rect) width() int  { return r.x1 - r.x0 }
func (r rect) height() int { return r.y1 - r.y0 }
func (r rect) empty() bool { return r.x1 <= r.x0 || r.y1 <= r.y0 }

func (r rect) intersect(o rect) rect {
	return rect{max(r.x0, o.x0), max(r.y0, o.y0), min(r.x1, o.x1), min(r.y1, o.y1)}
}

func ceilDiv(a, b int) int { return (a + b - 1) / b }

// ceilShift is a / 2^n, rounded up; a may be negative.
func ceilShift(a, n int) int { return (a + 1<<n - 1) >> n }
