package safetensors

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
)

// Span is a tensor's place in a file.
type Span struct {
	DType        DType
	Shape        []int
	Offset, Size int64
}

// Index is an open file whose tensors are read when they are asked for.
type Index struct {
	Spans    map[string]Span
	Metadata map[string]string
	r        io.ReaderAt
	data     []byte // of a file that is in memory or mapped: what is read shares it
}

// OpenBytes opens a file that is in memory or mapped into it; what is read shares its bytes and must not be changed.
func OpenBytes(data []byte) (*Index, error) {
	x, err := Open(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return nil, err
	}
	x.data = data
	return x, nil
}

// Open reads and checks the header of a file of the given size: every tensor's bytes must lie inside the file, have the size that
// its shape says, and be nobody else's; no byte may be of no tensor.
func Open(r io.ReaderAt, size int64) (*Index, error) {
	var length [8]byte
	if size < int64(len(length)) {
		return nil, errors.New("safetensors: shorter than its header length")
	}
	if _, err := r.ReadAt(length[:], 0); err != nil {
		return nil, fmt.Errorf("safetensors: header length: %w", err)
	}
	n := binary.LittleEndian.Uint64(length[:])
	if n > maxHeader || n > uint64(size)-uint64(len(length)) {
		return nil, fmt.Errorf("safetensors: header of %d bytes does not fit a file of %d", n, size)
	}
	text := make([]byte, n)
	if _, err := r.ReadAt(text, int64(len(length))); err != nil && n > 0 {
		return nil, fmt.Errorf("safetensors: header: %w", err)
	}
	var header map[string]json.RawMessage
	if err := json.Unmarshal(text, &header); err != nil {
		return nil, fmt.Errorf("safetensors: header: %w", err)
	}
	x := &Index{Spans: map[string]Span{}, Metadata: map[string]string{}, r: r}
	start := int64(len(length)) + int64(n)
	for name, raw := range header {
		if name == "__metadata__" {
			if err := json.Unmarshal(raw, &x.Metadata); err != nil {
				return nil, fmt.Errorf("safetensors: metadata: %w", err)
			}
			continue
		}
		var e entry
		if err := json.Unmarshal(raw, &e); err != nil {
			return nil, fmt.Errorf("safetensors: tensor %q: %w", name, err)
		}
		want, err := byteSize(e.DType, e.Shape)
		if err != nil {
			return nil, fmt.Errorf("safetensors: tensor %q: %w", name, err)
		}
		from, to := e.Offsets[0], e.Offsets[1]
		if from < 0 || to < from || int64(to) > size-start || to-from != want {
			return nil, fmt.Errorf("safetensors: tensor %q: bytes %d to %d of %d for a size of %d", name, from, to, size-start, want)
		}
		x.Spans[name] = Span{e.DType, e.Shape, start + int64(from), int64(want)}
	}
	return x, x.apart(start, size)
}

// Shapes returns the shape of every tensor by its name.
func (x *Index) Shapes() map[string][]int {
	out := map[string][]int{}
	for name, s := range x.Spans {
		out[name] = s.Shape
	}
	return out
}

// apart reports tensors that share bytes, and bytes between start and end that are of none: the format forbids both.
func (x *Index) apart(start, end int64) error {
	names := slices.SortedFunc(maps.Keys(x.Spans), func(a, b string) int {
		if d := x.Spans[a].Offset - x.Spans[b].Offset; d != 0 {
			return int(min(max(d, -1), 1))
		}
		return int(min(max(x.Spans[a].Size-x.Spans[b].Size, -1), 1))
	})
	at := start
	for i, name := range names {
		switch s := x.Spans[name]; {
		case s.Offset < at:
			return fmt.Errorf("safetensors: tensors %q and %q share bytes", names[i-1], name)
		case s.Offset > at:
			return fmt.Errorf("safetensors: tensor %q: the %d bytes before it are of no tensor", name, s.Offset-at)
		default:
			at += s.Size
		}
	}
	if at < end {
		return fmt.Errorf("safetensors: the last %d bytes are of no tensor", end-at)
	}
	return nil
}

// Read reads n bytes of a tensor from one on.
func (x *Index) Read(name string, from, n int64) ([]byte, error) {
	s, ok := x.Spans[name]
	if !ok {
		return nil, fmt.Errorf("safetensors: no tensor %q", name)
	}
	if from < 0 || n < 0 || from > s.Size-n {
		return nil, fmt.Errorf("safetensors: tensor %q: bytes %d to %d of %d", name, from, from+n, s.Size)
	}
	if x.data != nil {
		at := s.Offset + from
		return x.data[at : at+n : at+n], nil
	}
	data := make([]byte, n)
	if _, err := x.r.ReadAt(data, s.Offset+from); err != nil {
		return nil, fmt.Errorf("safetensors: tensor %q: %w", name, err)
	}
	return data, nil
}

// Tensor reads a whole tensor.
func (x *Index) Tensor(name string) (Tensor, error) {
	s, ok := x.Spans[name]
	if !ok {
		return Tensor{}, fmt.Errorf("safetensors: no tensor %q", name)
	}
	data, err := x.Read(name, 0, s.Size)
	return Tensor{s.DType, s.Shape, data}, err
}

// Spec is a tensor that is to be written.
type Spec struct {
	DType DType
	Shape []int
}

// Size is its length in bytes, 0 for a type that is not known.
func (s Spec) Size() int64 {
	n, err := byteSize(s.DType, s.Shape)
	if err != nil {
		return 0
	}
	return int64(n)
}

// Layout is a file that is to be written without being held in memory: its header, then each tensor's bytes in the order given.
type Layout struct {
	Tensors  map[string]Spec
	Metadata map[string]string
}

// Header returns the bytes before the data, and the tensors' order: that of their names.
func (l Layout) Header() (head []byte, names []string, err error) {
	header := map[string]any{}
	if len(l.Metadata) > 0 {
		header["__metadata__"] = l.Metadata
	}
	names = slices.Sorted(maps.Keys(l.Tensors))
	at := 0
	for _, name := range names {
		t := l.Tensors[name]
		size, err := byteSize(t.DType, t.Shape)
		if err != nil {
			return nil, nil, fmt.Errorf("safetensors: tensor %q: %w", name, err)
		}
		header[name] = entry{t.DType, t.Shape, [2]int{at, at + size}}
		at += size
	}
	text, err := json.Marshal(header)
	if err != nil {
		return nil, nil, fmt.Errorf("safetensors: header: %w", err)
	}
	for len(text)%8 != 0 {
		text = append(text, ' ')
	}
	return append(binary.LittleEndian.AppendUint64(nil, uint64(len(text))), text...), names, nil
}
