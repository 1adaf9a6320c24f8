// Package safetensors reads and writes the safetensors format (huggingface/safetensors, format description): a length, a JSON
// header of names, types, shapes and byte ranges, then the bytes. A header that lies about sizes, overlaps or leaves the file is
// refused with the tensor's name.
package safetensors

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"
)

// Limits of a file that is believed: the largest real header (8B, all layers) is under 1 MiB.
const (
	maxHeader = 16 << 20
	maxRank   = 8
)

// DType is the element type of a tensor.
type DType string

// Element types.
const (
	F32  DType = "F32"
	F16  DType = "F16"
	BF16 DType = "BF16"
	U8   DType = "U8"
	I8   DType = "I8"
	I32  DType = "I32"
	I64  DType = "I64"
)

var widths = map[DType]int{F32: 4, F16: 2, BF16: 2, U8: 1, I8: 1, I32: 4, I64: 8}

// Tensor is a named array; Data is little endian, in row-major order.
type Tensor struct {
	DType DType
	Shape []int
	Data  []byte
}

// File is the tensors of one file by name, and its free-form metadata.
type File struct {
	Tensors  map[string]Tensor
	Metadata map[string]string
}

type entry struct {
	DType   DType  `json:"dtype"`
	Shape   []int  `json:"shape"`
	Offsets [2]int `json:"data_offsets"`
}

// Parse reads a whole file held in memory; the tensors share its bytes.
func Parse(data []byte) (*File, error) {
	x, err := OpenBytes(data)
	if err != nil {
		return nil, err
	}
	file := &File{Tensors: map[string]Tensor{}, Metadata: x.Metadata}
	for name, s := range x.Spans {
		file.Tensors[name] = Tensor{s.DType, s.Shape, data[s.Offset : s.Offset+s.Size]}
	}
	return file, nil
}

func byteSize(dtype DType, shape []int) (int, error) {
	width, ok := widths[dtype]
	if !ok {
		return 0, fmt.Errorf("element type %q is not supported", dtype)
	}
	if len(shape) > maxRank {
		return 0, fmt.Errorf("rank %d is more than %d", len(shape), maxRank)
	}
	size := width
	for _, d := range shape {
		if d < 0 || d > 0 && size > math.MaxInt32*16/d {
			return 0, fmt.Errorf("shape %v is too large", shape)
		}
		size *= d
	}
	return size, nil
}

// WriteTo writes the file with its tensors in the order of their names, so that the same tensors give the same bytes.
func (f *File) WriteTo(w io.Writer) (int64, error) {
	layout := Layout{Metadata: f.Metadata, Tensors: map[string]Spec{}}
	for name, t := range f.Tensors {
		layout.Tensors[name] = Spec{t.DType, t.Shape}
		if size, err := byteSize(t.DType, t.Shape); err != nil || size != len(t.Data) {
			return 0, fmt.Errorf("safetensors: tensor %q has %d bytes, its shape %v says %d (%v)", name, len(t.Data), t.Shape, size, err)
		}
	}
	head, names, err := layout.Header()
	if err != nil {
		return 0, err
	}
	var written int64
	put := func(data []byte) error {
		n, err := w.Write(data)
		written += int64(n)
		return err
	}
	if err := put(head); err != nil {
		return written, err
	}
	for _, name := range names {
		if err := put(f.Tensors[name].Data); err != nil {
			return written, err
		}
	}
	return written, nil
}

// Floats returns the tensor's values as float32; integer types are an error.
func (t Tensor) Floats() ([]float32, error) {
	switch t.DType {
	case F32:
		out := make([]float32, len(t.Data)/4)
		for i := range out {
			out[i] = math.Float32frombits(binary.LittleEndian.Uint32(t.Data[4*i:]))
		}
		return out, nil
	case F16:
		out := make([]float32, len(t.Data)/2)
		for i := range out {
			out[i] = FromF16(binary.LittleEndian.Uint16(t.Data[2*i:]))
		}
		return out, nil
	case BF16:
		out := make([]float32, len(t.Data)/2)
		for i := range out {
			out[i] = math.Float32frombits(uint32(binary.LittleEndian.Uint16(t.Data[2*i:])) << 16)
		}
		return out, nil
	}
	return nil, fmt.Errorf("safetensors: element type %s does not hold floats", t.DType)
}

// FromFloats makes a tensor of type F32, F16 or BF16, rounding to nearest even.
func FromFloats(dtype DType, shape []int, values []float32) Tensor {
	t := Tensor{DType: dtype, Shape: shape, Data: make([]byte, 0, widths[dtype]*len(values))}
	for _, v := range values {
		switch dtype {
		case F16:
			t.Data = binary.LittleEndian.AppendUint16(t.Data, ToF16(v))
		case BF16:
			t.Data = binary.LittleEndian.AppendUint16(t.Data, ToBF16(v))
		default:
			t.Data = binary.LittleEndian.AppendUint32(t.Data, math.Float32bits(v))
		}
	}
	return t
}

// Width is the size of an element in bytes, 0 for a type that is not known.
func (d DType) Width() int { return widths[d] }
