package dicomscan

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strconv"
	"strings"

	"llamaxr/study"
)

// Transfer syntaxes that change how a data set is read.
const (
	implicitLittle = "1.2.840.10008.1.2"
	explicitLittle = "1.2.840.10008.1.2.1"
	deflated       = "1.2.840.10008.1.2.1.99"
	explicitBig    = "1.2.840.10008.1.2.2"
)

// Limits of a deflated data set.
const (
	maxInflated = 256 << 20
	maxRatio    = 100
)

// ErrNotDICOM is returned for a file that is no DICOM file at all.
var ErrNotDICOM = errors.New("dicomscan: not a DICOM file")

// File is an open DICOM file.
type File struct {
	*DataSet
	TransferSyntax string
	Header         study.Header
	// LittleEndian is the byte order of native pixel data.
	Order  binary.ByteOrder
	closer io.Closer
	reader io.ReaderAt
}

// Open reads the structure and the header of a file; its pixel data stays on disk.
func Open(path string) (*File, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("dicomscan: %w", err)
	}
	info, err := file.Stat()
	if err != nil {
		file.Close()
		return nil, fmt.Errorf("dicomscan: %w", err)
	}
	f, err := New(file, info.Size())
	if err != nil {
		file.Close()
		return nil, err
	}
	f.closer = file
	return f, nil
}

// ReadHeader returns the header of a file.
func ReadHeader(path string) (study.Header, error) {
	f, err := Open(path)
	if err != nil {
		return study.Header{}, err
	}
	defer f.Close()
	return f.Header, nil
}

// Close closes the file.
func (f *File) Close() error {
	if f.closer == nil {
		return nil
	}
	return f.closer.Close()
}

// New reads the structure of a file held by r.
func New(r io.ReaderAt, size int64) (*File, error) {
	f := &File{reader: r}
	var head [132]byte
	start := int64(0)
	if _, err := r.ReadAt(head[:], 0); err == nil && string(head[128:]) == "DICM" {
		start = 132
	}
	s := &scanner{r: r, size: size, order: binary.LittleEndian, explicit: true}
	at, err := f.meta(s, start)
	if err != nil {
		return nil, err
	}
	switch f.TransferSyntax {
	case "":
		if start == 132 {
			return nil, &FormatError{at, 0x00020010, "Transfer Syntax UID is missing"}
		}
		if f.TransferSyntax, err = guess(r, at, size); err != nil {
			return nil, err
		}
		s.explicit = f.TransferSyntax != implicitLittle
	case implicitLittle:
		s.explicit = false
	case explicitBig:
		s.order = binary.BigEndian
	case deflated:
		if r, size, err = inflate(r, at, size); err != nil {
			return nil, err
		}
		s.r, s.size, at, f.reader = r, size, 0, r
	}
	f.Order = s.order
	if f.DataSet, _, err = s.dataSet(at, s.size, 0, false); err != nil {
		return nil, err
	}
	if len(f.Elements) == 0 {
		return nil, ErrNotDICOM
	}
	if f.Header, err = f.header(); err != nil {
		return nil, err
	}
	return f, nil
}

// meta reads group 0002 and returns where the data set begins.
func (f *File) meta(s *scanner, at int64) (int64, error) {
	for at < s.size && at < maxMeta {
		var group [2]byte
		if _, err := s.r.ReadAt(group[:], at); err != nil || binary.LittleEndian.Uint16(group[:]) != 2 {
			return at, nil
		}
		h, err := s.header(at, s.size)
		if err != nil {
			return at, err
		}
		if int64(h.length) > maxMeta || int64(h.length) > s.size-h.value {
			return at, s.fail(at, h.tag, "value of %d bytes in the file meta information", h.length)
		}
		if h.tag == 0x00020010 {
			value, err := s.value(&Element{Tag: h.tag, Offset: h.value, Length: int64(h.length)})
			if err != nil {
				return at, err
			}
			f.TransferSyntax = strings.TrimRight(string(value), "\x00 ")
		}
		at = h.value + int64(h.length)
	}
	return at, nil
}

// guess tells the encoding of a data set without file meta information: its first element must be of a low group, and two capital
// letters where a VR would be say explicit.
func guess(r io.ReaderAt, at, size int64) (string, error) {
	var b [8]byte
	if size-at < 8 {
		return "", ErrNotDICOM
	}
	if _, err := r.ReadAt(b[:], at); err != nil {
		return "", ErrNotDICOM
	}
	if group := binary.LittleEndian.Uint16(b[:]); group == 0 || group > 0x0010 {
		return "", ErrNotDICOM
	}
	capital := func(c byte) bool { return c >= 'A' && c <= 'Z' }
	if capital(b[4]) && capital(b[5]) {
		return explicitLittle, nil
	}
	return implicitLittle, nil
}

func inflate(r io.ReaderAt, at, size int64) (io.ReaderAt, int64, error) {
	limit := min(int64(maxInflated), (size-at)*maxRatio)
	in := flate.NewReader(io.NewSectionReader(r, at, size-at))
	data, err := io.ReadAll(io.LimitReader(in, limit+1))
	if err != nil && !(errors.Is(err, io.ErrUnexpectedEOF) && len(data) > 0) {
		return nil, 0, fmt.Errorf("dicomscan: deflated data set: %w", err)
	}
	if int64(len(data)) > limit {
		return nil, 0, fmt.Errorf("dicomscan: deflated data set of %d bytes grows beyond %d", size-at, limit)
	}
	return bytes.NewReader(data), int64(len(data)), nil
}

// Bytes returns an element's value; nil when it is absent or cannot be read.
func (d *DataSet) Bytes(t Tag) []byte {
	e := d.Elements[t]
	if e == nil || e.Length < 0 || e.Items != nil {
		return nil
	}
	b, err := d.scanner.value(e)
	if err != nil {
		return nil
	}
	return b
}

// Text returns a value as it stands, padding and NULs taken off, in the default repertoire.
func (d *DataSet) Text(t Tag) string { return strings.Trim(string(d.Bytes(t)), " \x00") }

// Items returns the items of a sequence.
func (d *DataSet) Items(t Tag) []*DataSet {
	if e := d.Elements[t]; e != nil {
		return e.Items
	}
	return nil
}

// Has reports whether the element is there with a value.
func (d *DataSet) Has(t Tag) bool {
	e := d.Elements[t]
	return e != nil && (e.Length > 0 || len(e.Items) > 0)
}

// Int returns the first number of an element, 0 when there is none.
func (d *DataSet) Int(t Tag) int {
	if v := d.Floats(t); len(v) > 0 && math.Abs(v[0]) < math.MaxInt32 {
		return int(v[0])
	}
	return 0
}

// Floats returns the numbers of an element, whatever its VR; what is no number ends the list.
func (d *DataSet) Floats(t Tag) []float64 {
	e := d.Elements[t]
	if e == nil {
		return nil
	}
	b, order := d.Bytes(t), d.scanner.order
	var out []float64
	number := func(width int, decode func([]byte) float64) {
		for ; len(b) >= width; b = b[width:] {
			out = append(out, decode(b))
		}
	}
	switch e.VR {
	case "US", "OW":
		number(2, func(b []byte) float64 { return float64(order.Uint16(b)) })
	case "SS":
		number(2, func(b []byte) float64 { return float64(int16(order.Uint16(b))) })
	case "UL":
		number(4, func(b []byte) float64 { return float64(order.Uint32(b)) })
	case "SL":
		number(4, func(b []byte) float64 { return float64(int32(order.Uint32(b))) })
	case "FL":
		number(4, func(b []byte) float64 { return float64(math.Float32frombits(order.Uint32(b))) })
	case "FD":
		number(8, func(b []byte) float64 { return math.Float64frombits(order.Uint64(b)) })
	case "OB":
		number(1, func(b []byte) float64 { return float64(b[0]) })
	default:
		for _, part := range strings.Split(d.Text(t), `\`) {
			v, err := strconv.ParseFloat(strings.TrimSpace(part), 64)
			if err != nil || math.IsNaN(v) || math.IsInf(v, 0) {
				return out
			}
			out = append(out, v)
		}
	}
	return out
}

// ReadAt reads the file's bytes, those of the inflated data set when it was deflated.
func (f *File) ReadAt(b []byte, offset int64) (int, error) { return f.reader.ReadAt(b, offset) }
