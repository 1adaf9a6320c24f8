// Package safetensors reads and writes the safetensors format (huggingface/safetensors, format description): a length, a JSON
// header of names, types, shapes and byte ranges, then the bytes. A header that lies about sizes, overlaps or leaves the file is
// refused with the tensor's name.
package safetensors

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
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
	if len(data) < 8 {
		return nil, errors.New("safetensors: shorter than its header length")
	}
	n := binary.LittleEndian.Uint64(data)
	if n > maxHeader || n > uint64(len(data)-8) {
		return nil, fmt.Errorf("safetensors: header of %d bytes does not fit a file of %d", n, len(data))
	}
	var header map[string]json.RawMessage
	if err := json.Unmarshal(data[8:8+n], &header); err != nil {
		return nil, fmt.Errorf("safetensors: header: %w", err)
	}
	body := data[8+n:]
	file := &File{Tensors: map[string]Tensor{}, Metadata: map[string]string{}}
	for name, raw := range header {
		if name == "__metadata__" {
			if err := json.Unmarshal(raw, &file.Metadata); err != nil {
				return nil, fmt.Errorf("safetensors: metadata: %w", err)
			}
			continue
		}
		var e entry
		if err := json.Unmarshal(raw, &e); err != nil {
			return nil, fmt.Errorf("safetensors: tensor %q: %w", name, err)
		}
		size, err := byteSize(e)
		if err != nil {
			return nil, fmt.Errorf("safetensors: tensor %q: %w", name, err)
		}
		from, to := e.Offsets[0], e.Offsets[1]
		if from < 0 || to < from || to > len(body) || to-from != size {
			return nil, fmt.Errorf("safetensors: tensor %q: bytes %d to %d of %d for a size of %d", name, from, to, len(body), size)
		}
		file.Tensors[name] = Tensor{e.DType, e.Shape, body[from:to]}
	}
	return file, nil
}

func byteSize(e entry) (int, error) {
	width, ok := widths[e.DType]
	if !ok {
		return 0, fmt.Errorf("element type %q is not supported", e.DType)
	}
	if len(e.Shape) > maxRank {
		return 0, fmt.Errorf("rank %d is more than %d", len(e.Shape), maxRank)
	}
	size := width
	for _, d := range e.Shape {
		if d < 0 || d > 0 && size > math.MaxInt32*16/d {
			return 0, fmt.Errorf("shape %v is too large", e.Shape)
		}
		size *= d
	}
	return size, nil
}

// WriteTo writes the file with its tensors in the order of their names, so that the same tensors give the same bytes.
func (f *File) WriteTo(w io.Writer) (int64, error) {
	header := map[string]any{}
	if len(f.Metadata) > 0 {
		header["__metadata__"] = f.Metadata
	}
	names := slices.Sorted(maps.Keys(f.Tensors))
	at := 0
	for _, name := range names {
		t := f.Tensors[name]
		e := entry{t.DType, t.Shape, [2]int{at, at + len(t.Data)}}
		if size, err := byteSize(e); err != nil || size != len(t.Data) {
			return 0, fmt.Errorf("safetensors: tensor %q has %d bytes, its shape %v says %d (%v)", name, len(t.Data), t.Shape, size, err)
		}
		header[name] = e
		at += len(t.Data)
	}
	text, err := json.Marshal(header)
	if err != nil {
		return 0, fmt.Errorf("safetensors: header: %w", err)
	}
	for len(text)%8 != 0 {
		text = append(text, ' ')
	}
	var written int64
	put := func(data []byte) error {
		n, err := w.Write(data)
		written += int64(n)
		return err
	}
	if err := put(binary.LittleEndian.AppendUint64(nil, uint64(len(text)))); err != nil {
		return written, err
	}
	if err := put(text); err != nil {
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

// FromFloats makes a tensor of type F32 or F16, rounding to nearest even.
func FromFloats(dtype DType, shape []int, values []float32) Tensor {
	t := Tensor{DType: dtype, Shape: shape}
	for _, v := range values {
		if dtype == F16 {
			t.Data = binary.LittleEndian.AppendUint16(t.Data, ToF16(v))
		} else {
			t.Data = binary.LittleEndian.AppendUint32(t.Data, math.Float32bits(v))
		}
	}
	return t
}
