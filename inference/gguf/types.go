package gguf

import "fmt"

// Type is a tensor's element format (ggml.h, enum ggml_type).
type Type uint32

// The formats that are read.
const (
	F32  Type = 0
	F16  Type = 1
	Q4_0 Type = 2
	Q4_1 Type = 3
	Q8_0 Type = 8
	Q4_K Type = 12
	Q5_K Type = 13
	Q6_K Type = 14
	BF16 Type = 30
)

// format is how a type is laid out: values in blocks of so many, each block so many bytes.
type format struct {
	name   string
	values int
	bytes  int
	decode func(block []byte, out []float32)
}

func (t Type) format() (format, error) {
	switch t {
	case F32:
		return format{"F32", 1, 4, decodeF32}, nil
	case F16:
		return format{"F16", 1, 2, decodeF16}, nil
	case BF16:
		return format{"BF16", 1, 2, decodeBF16}, nil
	case Q4_0:
		return format{"Q4_0", 32, 18, decodeQ40}, nil
	case Q4_1:
		return format{"Q4_1", 32, 20, decodeQ41}, nil
	case Q8_0:
		return format{"Q8_0", 32, 34, decodeQ80}, nil
	case Q4_K:
		return format{"Q4_K", 256, 144, decodeQ4K}, nil
	case Q5_K:
		return format{"Q5_K", 256, 176, decodeQ5K}, nil
	case Q6_K:
		return format{"Q6_K", 256, 210, decodeQ6K}, nil
	}
	return format{}, fmt.Errorf("type %d is not one of F32, F16, BF16, Q4_0, Q4_1, Q8_0, Q4_K, Q5_K, Q6_K", uint32(t))
}

// String is the type's name as ggml prints it.
func (t Type) String() string {
	f, err := t.format()
	if err != nil {
		return fmt.Sprintf("type %d", uint32(t))
	}
	return f.name
}
