package torchfile

import (
	"bytes"
	"errors"
	"fmt"

	"llamaxr/inference/safetensors"
)

// maxRank and maxExtent bound a tensor's shape; the largest real kernel has four dimensions.
const (
	maxRank   = 8
	maxExtent = 1 << 31
)

// storage is a block of elements in the file that tensors are views of.
type storage struct {
	key   string
	kind  elementType
	count int64
}

type elementType struct {
	dtype safetensors.DType // empty for one that no weight has
	width int64
}

var elementTypes = map[string]elementType{
	"FloatStorage": {safetensors.F32, 4}, "HalfStorage": {safetensors.F16, 2}, "BFloat16Storage": {safetensors.BF16, 2},
	"LongStorage": {safetensors.I64, 8}, "IntStorage": {safetensors.I32, 4}, "ByteStorage": {safetensors.U8, 1}, "CharStorage": {safetensors.I8, 1},
	"DoubleStorage": {"", 8}, "ShortStorage": {"", 2}, "BoolStorage": {"", 1},
}

// tensor is a view of a storage; offset and strides count elements.
type tensor struct {
	storage        *storage
	offset         int64
	shape, strides []int64
}

// newStorage reads a persistent id: ('storage', type, key, location, count[, view]).
func newStorage(id tuple) (*storage, error) {
	if len(id) < 5 || len(id) > 6 || len(id) == 6 && id[5] != nil {
		return nil, errors.New("a storage's id has an unknown form")
	}
	kind, isType := id[1].(global)
	key, isText := id[2].(string)
	count, isCount := id[4].(int64)
	if !isType || known[kind] != elements || !isText || !isCount || count < 0 || count > 1<<40 {
		return nil, fmt.Errorf("storage %.64q has no element type, or %d elements", key, count)
	}
	return &storage{key, elementTypes[kind.name], count}, nil
}

// rebuildTensor is torch._utils._rebuild_tensor_v2(storage, offset, size, stride, ...), which is checked here so that no later reading leaves
// the storage: neither beyond its end, nor more elements than it has.
func rebuildTensor(args tuple) (any, error) {
	if len(args) < 4 {
		return nil, fmt.Errorf("a tensor of %d arguments, want 4 or more", len(args))
	}
	s, isStorage := args[0].(*storage)
	offset, isOffset := args[1].(int64)
	if !isStorage || !isOffset || offset < 0 || offset > s.count {
		return nil, fmt.Errorf("a tensor from element %d of a %T", offset, args[0])
	}
	shape, err := extents(args[2])
	if err != nil {
		return nil, fmt.Errorf("storage %s: a tensor's size: %w", s.key, err)
	}
	strides, err := extents(args[3])
	if err != nil {
		return nil, fmt.Errorf("storage %s: a tensor's strides: %w", s.key, err)
	}
	if len(shape) != len(strides) {
		return nil, fmt.Errorf("storage %s: a tensor of size %v with strides %v", s.key, shape, strides)
	}
	count, last := int64(1), offset
	for i, n := range shape {
		if n > 0 && count > s.count/n {
			return nil, fmt.Errorf("storage %s has %d elements, its tensor's size %v has more", s.key, s.count, shape)
		}
		count *= n
		if n > 0 && strides[i] > 0 {
			if (n - 1) > (s.count-last)/strides[i] {
				return nil, fmt.Errorf("storage %s has %d elements, its tensor of size %v and strides %v goes beyond", s.key, s.count, shape, strides)
			}
			last += (n - 1) * strides[i]
		}
	}
	if count > 0 && last >= s.count {
		return nil, fmt.Errorf("storage %s has %d elements, its tensor of size %v and strides %v goes beyond", s.key, s.count, shape, strides)
	}
	return &tensor{s, offset, shape, strides}, nil
}

func extents(value any) ([]int64, error) {
	members, ok := items(value)
	if !ok || len(members) > maxRank {
		return nil, fmt.Errorf("%T is no list of at most %d numbers", value, maxRank)
	}
	out := make([]int64, len(members))
	for i, m := range members {
		n, ok := m.(int64)
		if !ok || n < 0 || n > maxExtent {
			return nil, fmt.Errorf("a %T at %d, want a number of at most %d", m, i, maxExtent)
		}
		out[i] = n
	}
	return out, nil
}

// read gathers the tensor's elements, in row-major order, from its storage's bytes.
func (t *tensor) read(data []byte) safetensors.Tensor {
	shape, count := make([]int, len(t.shape)), int64(1)
	for i, n := range t.shape {
		shape[i], count = int(n), count*n
	}
	w := t.storage.kind.width
	out := safetensors.Tensor{DType: t.storage.kind.dtype, Shape: shape}
	if t.contiguous() {
		out.Data = data[t.offset*w : (t.offset+count)*w]
		if len(out.Data) < len(data) {
			out.Data = bytes.Clone(out.Data) // not the whole storage, which other tensors may share
		}
		return out
	}
	out.Data = make([]byte, 0, count*w)
	at := make([]int64, len(t.shape))
	for range count {
		from := t.offset
		for i, k := range at {
			from += k * t.strides[i]
		}
		out.Data = append(out.Data, data[from*w:(from+1)*w]...)
		for i := len(at) - 1; i >= 0; i-- {
			if at[i]++; at[i] < t.shape[i] {
				break
			}
			at[i] = 0
		}
	}
	return out
}

func (t *tensor) contiguous() bool {
	want := int64(1)
	for i := len(t.shape) - 1; i >= 0; i-- {
		if t.shape[i] != 1 && t.strides[i] != want {
			return false
		}
		want *= t.shape[i]
	}
	return true
}
