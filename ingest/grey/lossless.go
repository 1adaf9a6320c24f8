package grey

import (
	"errors"
	"fmt"
)

// JPEG markers (ITU-T T.81, table B.1).
const (
	markerSOF3 = 0xC3
	markerDHT  = 0xC4
	markerSOI  = 0xD8
	markerEOI  = 0xD9
	markerSOS  = 0xDA
	markerDRI  = 0xDD
)

// huffman is a table of T.81, annex C: codes by length.
type huffman struct {
	minCode, maxCode [17]int32
	first            [17]int
	values           []byte
}

func newHuffman(counts []byte, values []byte) (*huffman, error) {
	h := &huffman{values: values}
	code, at := int32(0), 0
	for length := 1; length <= 16; length++ {
		n := int(counts[length-1])
		h.minCode[length], h.maxCode[length], h.first[length] = code, code+int32(n)-1, at
		if n == 0 {
			h.maxCode[length] = -1
		}
		code, at = code+int32(n), at+n
		if code > 1<<length {
			return nil, errors.New("grey: JPEG lossless: Huffman table has too many codes")
		}
		code <<= 1
	}
	return h, nil
}

// bits reads the entropy-coded segment bit by bit, stuffed bytes taken out.
type bits struct {
	data   []byte
	at     int
	buffer uint32
	count  int
}

var errScanEnds = errors.New("grey: JPEG lossless: the scan ends early")

func (b *bits) bit() (int32, error) {
	if b.count == 0 {
		if b.at >= len(b.data) {
			return 0, errScanEnds
		}
		c := b.data[b.at]
		if c == 0xFF {
			if b.at+1 >= len(b.data) || b.data[b.at+1] != 0 {
				return 0, errScanEnds // a marker
			}
			b.at++
		}
		b.at++
		b.buffer, b.count = uint32(c), 8
	}
	b.count--
	return int32(b.buffer>>b.count) & 1, nil
}

func (b *bits) symbol(h *huffman) (int, error) {
	code := int32(0)
	for length := 1; length <= 16; length++ {
		bit, err := b.bit()
		if err != nil {
			return 0, err
		}
		code = code<<1 | bit
		if h.maxCode[length] >= 0 && code <= h.maxCode[length] && code >= h.minCode[length] {
			return int(h.values[h.first[length]+int(code-h.minCode[length])]), nil
		}
	}
	return 0, errors.New("grey: JPEG lossless: a code that no table has")
}

// difference reads a coded difference (T.81, section H.1.2.2).
func (b *bits) difference(h *huffman) (int32, error) {
	size, err := b.symbol(h)
	if err != nil || size == 0 {
		return 0, err
	}
	if size == 16 {
		return 32768, nil
	}
	if size > 16 {
		return 0, fmt.Errorf("grey: JPEG lossless: difference of %d bits", size)
	}
	v := int32(0)
	for range size {
		bit, err := b.bit()
		if err != nil {
			return 0, err
		}
		v = v<<1 | bit
	}
	if v < 1<<(size-1) {
		v -= 1<<size - 1
	}
	return v, nil
}

// restart skips to after the next RST marker.
func (b *bits) restart() error {
	b.count = 0
	for b.at+1 < len(b.data) {
		if b.data[b.at] == 0xFF && b.data[b.at+1] >= 0xD0 && b.data[b.at+1] <= 0xD7 {
			b.at += 2
			return nil
		}
		b.at++
	}
	return errScanEnds
}

// lossless decodes T.81 process 14: Huffman-coded differences from one of seven predictions, 2 to 16 bits, one scan.
func (fr *Frame) lossless(data []byte) error {
	var tables [4]*huffman
	precision, components, restart := 0, 0, 0
	if len(data) < 2 || data[0] != 0xFF || data[1] != markerSOI {
		return errors.New("grey: JPEG lossless: no start of image")
	}
	for at := 2; at+4 <= len(data); {
		if data[at] != 0xFF {
			return fmt.Errorf("grey: JPEG lossless: byte %#02x where a marker was due", data[at])
		}
		marker := data[at+1]
		if marker == 0xFF {
			at++
			continue
		}
		length := int(data[at+2])<<8 | int(data[at+3])
		if length < 2 || at+2+length > len(data) {
			return fmt.Errorf("grey: JPEG lossless: segment %#02x of %d bytes is cut off", marker, length)
		}
		body := data[at+4 : at+2+length]
		at += 2 + length
		switch marker {
		case markerSOF3:
			if len(body) < 6 {
				return errors.New("grey: JPEG lossless: frame header is cut off")
			}
			precision, components = int(body[0]), int(body[5])
			rows, columns := int(body[1])<<8|int(body[2]), int(body[3])<<8|int(body[4])
			if rows != fr.Rows || columns != fr.Columns || components != fr.Samples || precision < 2 || precision > 16 ||
				precision > fr.BitsAllocated || len(body) < 6+3*components {
				return fmt.Errorf("grey: JPEG lossless of %d x %d, %d components and %d bits in an image of %d x %d, %d and %d",
					columns, rows, components, precision, fr.Columns, fr.Rows, fr.Samples, fr.BitsAllocated)
			}
			for c := range components {
				if body[7+3*c] != 0x11 {
					return fmt.Errorf("%w: JPEG lossless with sampling %#02x", ErrUnsupported, body[7+3*c])
				}
			}
		case markerDHT:
			for len(body) > 0 {
				if len(body) < 17 {
					return errors.New("grey: JPEG lossless: Huffman table is cut off")
				}
				total := 0
				for _, n := range body[1:17] {
					total += int(n)
				}
				if body[0]&15 > 3 || len(body) < 17+total {
					return errors.New("grey: JPEG lossless: Huffman table is cut off")
				}
				table, err := newHuffman(body[1:17], body[17:17+total])
				if err != nil {
					return err
				}
				tables[body[0]&3] = table
				body = body[17+total:]
			}
		case markerDRI:
			if len(body) >= 2 {
				restart = int(body[0])<<8 | int(body[1])
			}
		case markerSOS:
			if precision == 0 || len(body) < 4+2*components || int(body[0]) != components {
				return errors.New("grey: JPEG lossless: scan header does not fit the frame")
			}
			scan := losslessScan{
				fr: fr, precision: precision, restart: restart, predictor: int(body[1+2*components]), shift: int(body[3+2*components] & 15),
			}
			for c := range components {
				id := body[2+2*c] >> 4
				if id > 3 || tables[id] == nil {
					return fmt.Errorf("grey: JPEG lossless: no Huffman table %d", id)
				}
				scan.tables = append(scan.tables, tables[id])
			}
			return scan.decode(data[at:])
		case markerEOI:
			return errors.New("grey: JPEG lossless: no scan")
		default:
			if marker >= 0xC0 && marker <= 0xCF && marker != 0xC8 && marker != 0xCC {
				return fmt.Errorf("grey: JPEG frame type %#02x, want lossless", marker)
			}
		}
	}
	return errors.New("grey: JPEG lossless: no scan")
}

type losslessScan struct {
	fr                          *Frame
	tables                      []*huffman
	precision, predictor, shift int
	restart                     int
}

func (s *losslessScan) decode(data []byte) error {
	if s.predictor < 1 || s.predictor > 7 || s.shift >= s.precision {
		return fmt.Errorf("grey: JPEG lossless: predictor %d with point transform %d", s.predictor, s.shift)
	}
	fr, n := s.fr, s.fr.Samples
	in := &bits{data: data}
	values := make([]int32, fr.Rows*fr.Columns*n)
	stride := fr.Columns * n
	start := int32(1) << (s.precision - s.shift - 1)
	left, firstRow := 0, 0 // units until a restart; the row at which prediction began anew
	for y := range fr.Rows {
		for x := range fr.Columns {
			fresh := y == 0 && x == 0
			if s.restart > 0 && left == 0 {
				if !fresh {
					if err := in.restart(); err != nil {
						return err
					}
					fresh = true
				}
				left, firstRow = s.restart, y
			}
			left--
			for c := range n {
				i := y*stride + x*n + c
				d, err := in.difference(s.tables[c])
				if err != nil {
					return fmt.Errorf("%w (row %d, column %d)", err, y, x)
				}
				var p int32
				switch {
				case fresh:
					p = start
				case y == firstRow:
					p = values[i-n]
				case x == 0:
					p = values[i-stride]
				default:
					p = predict(s.predictor, values[i-n], values[i-stride], values[i-stride-n])
				}
				values[i] = (p + d) & 0xffff
			}
		}
	}
	fr.Values = values
	for i, v := range values {
		fr.Values[i] = fr.sign(uint32(v<<s.shift) & (1<<fr.BitsAllocated - 1))
	}
	return nil
}

// predict is T.81, table H.1: a left, b above, c above left.
func predict(kind int, a, b, c int32) int32 {
	switch kind {
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
