package gguf

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
)

// Limits of a file that is believed, well above Llama 3.1 405B's.
const (
	maxHeader   = 64 << 20 // bytes of metadata and tensor table; Llama 3's vocabulary makes 8 MB
	maxString   = 1 << 20  // a chat template has 10 KB
	maxKeys     = 1 << 16
	maxTensors  = 1 << 16
	maxElements = 1 << 20 // of a metadata array: Llama 3 has 280,147 merges
	maxRank     = 4       // ggml's own
	maxValues   = 1 << 40 // of one tensor
	maxAlign    = 1 << 16
)

// ErrNotGGUF is returned for a file that does not begin as GGUF does.
var ErrNotGGUF = errors.New("gguf: the file does not begin with GGUF")

// Tensor is an entry of the tensor table.
type Tensor struct {
	Type   Type
	Shape  []int // outermost first, as torch says it; the file has it the other way round
	Offset int64 // in the file
	Size   int64 // bytes
}

// Rows and the length of each: all axes but the last, and the last.
func (t Tensor) rows() (n, length int) {
	if len(t.Shape) == 0 {
		return 1, 1
	}
	n = 1
	for _, d := range t.Shape[:len(t.Shape)-1] {
		n *= d
	}
	return n, t.Shape[len(t.Shape)-1]
}

// File is an open GGUF file; values are read when they are asked for.
type File struct {
	Version  uint32
	Metadata map[string]any // string, bool, uint64, int64, float64, or a slice of one of them
	Tensors  map[string]Tensor
	r        io.ReaderAt
}

// Read reads metadata and the tensor table of a file of the given size.
func Read(r io.ReaderAt, size int64) (*File, error) {
	d := &decoder{size: size, limit: min(size, maxHeader)}
	d.r = bufio.NewReaderSize(io.NewSectionReader(r, 0, d.limit), 1<<16)
	magic, err := d.bytes(4)
	if err != nil || string(magic) != "GGUF" {
		return nil, ErrNotGGUF
	}
	f := &File{Metadata: map[string]any{}, Tensors: map[string]Tensor{}, r: r}
	if f.Version, err = d.uint32(); err != nil {
		return nil, fmt.Errorf("gguf: version: %w", err)
	}
	if f.Version != 2 && f.Version != 3 {
		return nil, fmt.Errorf("gguf: version %d (%#x), only 2 and 3 in little endian are read", f.Version, f.Version)
	}
	tensors, err := d.count("tensor count", maxTensors, 24)
	if err != nil {
		return nil, err
	}
	keys, err := d.count("metadata count", maxKeys, 13)
	if err != nil {
		return nil, err
	}
	for i := range keys {
		key, err := d.string()
		if err != nil {
			return nil, fmt.Errorf("gguf: metadata key %d: %w", i, err)
		}
		if _, there := f.Metadata[key]; there {
			return nil, fmt.Errorf("gguf: metadata key %q is there twice", key)
		}
		if f.Metadata[key], err = d.value(); err != nil {
			return nil, fmt.Errorf("gguf: metadata %q: %w", key, err)
		}
	}
	names := make([]string, 0, min(tensors, 1<<10))
	for i := range tensors {
		name, t, err := d.tensor()
		if err != nil {
			return nil, fmt.Errorf("gguf: tensor %d %q: %w", i, name, err)
		}
		if _, there := f.Tensors[name]; there {
			return nil, fmt.Errorf("gguf: tensor %q is there twice", name)
		}
		f.Tensors[name] = t
		names = append(names, name)
	}
	return f, f.place(names, d.at, size)
}

// place turns offsets within the data into offsets within the file, and checks that tensors lie inside it and apart.
func (f *File) place(names []string, header, size int64) error {
	align := int64(32)
	if _, there := f.Metadata["general.alignment"]; there {
		n, err := f.Int("general.alignment")
		if err != nil {
			return err
		}
		if n < 1 || n > maxAlign || n&(n-1) != 0 {
			return fmt.Errorf("gguf: general.alignment is %d, no power of two up to %d", n, maxAlign)
		}
		align = int64(n)
	}
	start := (header + align - 1) / align * align
	for _, name := range names {
		t := f.Tensors[name]
		if t.Offset%align != 0 || t.Offset > size-start || t.Size > size-start-t.Offset {
			return fmt.Errorf("gguf: tensor %q: %d bytes at %d do not lie in a file of %d whose data begin at %d", name, t.Size, t.Offset, size, start)
		}
		t.Offset += start
		f.Tensors[name] = t
	}
	slices.SortFunc(names, func(a, b string) int { return int(min(max(f.Tensors[a].Offset-f.Tensors[b].Offset, -1), 1)) })
	for i := 1; i < len(names); i++ {
		if before := f.Tensors[names[i-1]]; before.Offset+before.Size > f.Tensors[names[i]].Offset {
			return fmt.Errorf("gguf: tensors %q and %q overlap", names[i-1], names[i])
		}
	}
	return nil
}

// ReadRows reads n rows of a tensor, from one on, as float32; out must have their size.
func (f *File) ReadRows(name string, from, n int, out []float32) error {
	t, ok := f.Tensors[name]
	if !ok {
		return fmt.Errorf("gguf: no tensor %q", name)
	}
	rows, length := t.rows()
	if from < 0 || n < 0 || from > rows-n || len(out) != n*length {
		return fmt.Errorf("gguf: tensor %q: rows %d to %d of %d into %d values", name, from, from+n, rows, len(out))
	}
	format, err := t.Type.format()
	if err != nil {
		return fmt.Errorf("gguf: tensor %q: %w", name, err)
	}
	row := length / format.values * format.bytes
	data := make([]byte, n*row)
	if _, err := f.r.ReadAt(data, t.Offset+int64(from)*int64(row)); err != nil {
		return fmt.Errorf("gguf: tensor %q: %w", name, err)
	}
	return Dequantise(t.Type, data, out)
}

// decoder reads the header and counts its bytes.
type decoder struct {
	r           *bufio.Reader
	at          int64
	limit, size int64
}

var errHeader = errors.New("the file or its header's bound of 64 MiB ends here")

func (d *decoder) bytes(n int) ([]byte, error) {
	if int64(n) > d.limit-d.at {
		return nil, errHeader
	}
	out := make([]byte, n)
	if _, err := io.ReadFull(d.r, out); err != nil {
		return nil, err
	}
	d.at += int64(n)
	return out, nil
}

func (d *decoder) uint32() (uint32, error) {
	b, err := d.bytes(4)
	if err != nil {
		return 0, err
	}
	return binary.LittleEndian.Uint32(b), nil
}

func (d *decoder) uint64() (uint64, error) {
	b, err := d.bytes(8)
	if err != nil {
		return 0, err
	}
	return binary.LittleEndian.Uint64(b), nil
}

// count reads a number of things of which each takes at least so many bytes.
func (d *decoder) count(what string, most uint64, each int64) (int, error) {
	n, err := d.uint64()
	if err != nil {
		return 0, fmt.Errorf("gguf: %s: %w", what, err)
	}
	if n > most || int64(n) > (d.limit-d.at)/each {
		return 0, fmt.Errorf("gguf: %s is %d, more than %d or than %d bytes can hold", what, n, most, d.limit-d.at)
	}
	return int(n), nil
}

func (d *decoder) string() (string, error) {
	n, err := d.uint64()
	if err != nil {
		return "", err
	}
	if n > maxString {
		return "", fmt.Errorf("a string of %d bytes, more than %d", n, maxString)
	}
	b, err := d.bytes(int(n))
	return string(b), err
}

// Kinds of metadata values (gguf_metadata_value_type).
const (
	kindUint8 = iota
	kindInt8
	kindUint16
	kindInt16
	kindUint32
	kindInt32
	kindFloat32
	kindBool
	kindString
	kindArray
	kindUint64
	kindInt64
	kindFloat64
)

func (d *decoder) value() (any, error) {
	kind, err := d.uint32()
	if err != nil {
		return nil, err
	}
	if kind == kindArray {
		return d.array()
	}
	return d.scalar(kind)
}

func (d *decoder) array() (any, error) {
	kind, err := d.uint32()
	if err != nil {
		return nil, err
	}
	each := map[uint32]int64{
		kindUint8: 1, kindInt8: 1, kindUint16: 2, kindInt16: 2, kindUint32: 4, kindInt32: 4, kindFloat32: 4, kindBool: 1,
		kindString: 8, kindUint64: 8, kindInt64: 8, kindFloat64: 8,
	}[kind]
	if each == 0 {
		return nil, fmt.Errorf("an array of kind %d", kind)
	}
	n, err := d.count("array length", maxElements, each)
	if err != nil {
		return nil, err
	}
	switch kind {
	case kindString:
		return list[string](d, kind, n)
	case kindBool:
		return list[bool](d, kind, n)
	case kindFloat32, kindFloat64:
		return list[float64](d, kind, n)
	case kindInt8, kindInt16, kindInt32, kindInt64:
		return list[int64](d, kind, n)
	}
	return list[uint64](d, kind, n)
}

func list[T any](d *decoder, kind uint32, n int) ([]T, error) {
	out := make([]T, 0, n)
	for i := range n {
		v, err := d.scalar(kind)
		if err != nil {
			return nil, fmt.Errorf("element %d: %w", i, err)
		}
		out = append(out, v.(T))
	}
	return out, nil
}

func (d *decoder) scalar(kind uint32) (any, error) {
	switch kind {
	case kindString:
		return d.string()
	case kindUint8, kindInt8, kindBool:
		b, err := d.bytes(1)
		if err != nil {
			return nil, err
		}
		switch {
		case kind == kindInt8:
			return int64(int8(b[0])), nil
		case kind == kindBool && b[0] > 1:
			return nil, fmt.Errorf("a truth value of %d", b[0])
		case kind == kindBool:
			return b[0] == 1, nil
		}
		return uint64(b[0]), nil
	case kindUint16, kindInt16:
		b, err := d.bytes(2)
		if err != nil {
			return nil, err
		}
		v := binary.LittleEndian.Uint16(b)
		if kind == kindInt16 {
			return int64(int16(v)), nil
		}
		return uint64(v), nil
	case kindUint32, kindInt32, kindFloat32:
		v, err := d.uint32()
		switch kind {
		case kindInt32:
			return int64(int32(v)), err
		case kindFloat32:
			return float64(math.Float32frombits(v)), err
		}
		return uint64(v), err
	case kindUint64, kindInt64, kindFloat64:
		v, err := d.uint64()
		switch kind {
		case kindInt64:
			return int64(v), err
		case kindFloat64:
			return math.Float64frombits(v), err
		}
		return v, err
	}
	return nil, fmt.Errorf("kind %d is not known", kind)
}

func (d *decoder) tensor() (name string, t Tensor, err error) {
	if name, err = d.string(); err != nil {
		return name, t, err
	}
	rank, err := d.uint32()
	if err != nil {
		return name, t, err
	}
	if rank > maxRank {
		return name, t, fmt.Errorf("%d axes, more than %d", rank, maxRank)
	}
	values := uint64(1)
	for range rank {
		n, err := d.uint64()
		if err != nil {
			return name, t, err
		}
		if n == 0 || n > maxValues/values {
			return name, t, fmt.Errorf("an axis of %d after %d values", n, values)
		}
		values *= n
		t.Shape = append(t.Shape, int(n))
	}
	slices.Reverse(t.Shape)
	kind, err := d.uint32()
	if err != nil {
		return name, t, err
	}
	t.Type = Type(kind)
	format, err := t.Type.format()
	if err != nil {
		return name, t, err
	}
	if _, length := t.rows(); length%format.values != 0 {
		return name, t, fmt.Errorf("rows of %d in blocks of %d", length, format.values)
	}
	t.Size = int64(values) / int64(format.values) * int64(format.bytes)
	offset, err := d.uint64()
	if err != nil {
		return name, t, err
	}
	if offset > uint64(d.size) {
		return name, t, fmt.Errorf("offset %d in a file of %d bytes", offset, d.size)
	}
	t.Offset = int64(offset)
	return name, t, nil
}
