package safetensors

import (
	"bytes"
	"encoding/binary"
	"math"
	"os/exec"
	"reflect"
	"strings"
	"testing"

	"llamaxr/internal/peertest"
)

func TestRoundTrip(t *testing.T) {
	in := &File{
		Tensors: map[string]Tensor{
			"a": FromFloats(F32, []int{2, 2}, []float32{1, -2, 3.5, 0}),
			"b": FromFloats(F16, []int{3}, []float32{0.5, 65504, 1e-7}),
			"c": {U8, []int{2}, []byte{7, 9}},
		},
		Metadata: map[string]string{"k": "v"},
	}
	var buf bytes.Buffer
	if _, err := in.WriteTo(&buf); err != nil {
		t.Fatal(err)
	}
	out, err := Parse(buf.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(in, out) {
		t.Errorf("got %+v, want %+v", out, in)
	}
}

// TestFloat16AgainstNumpy compares every half and a spread of floats with numpy's conversion.
func TestFloat16AgainstNumpy(t *testing.T) {
	var in []byte
	values := []float32{0, 1, -1, 65504, 65519, 65520, 1e9, 5.96e-8, 2.98e-8, 2.99e-8, 6.1e-5, float32(math.Inf(-1)), 0.1, 1.0009765, 1.00048828125}
	for i := range 4000 {
		values = append(values, float32(math.Exp(float64(i)/130-18))*float32(1-2*(i%2)))
	}
	for _, v := range values {
		in = binary.LittleEndian.AppendUint32(in, math.Float32bits(v))
	}
	cmd := exec.Command(peertest.Python(t), "-c", "import sys,numpy as n\n"+
		"n.seterr(all='ignore')\nsys.stdout.buffer.write(n.frombuffer(sys.stdin.buffer.read(),'<f4').astype('<f2').tobytes())")
	cmd.Stdin = bytes.NewReader(in)
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	for i, v := range values {
		want := binary.LittleEndian.Uint16(out[2*i:])
		if got := ToF16(v); got != want {
			t.Errorf("ToF16(%g) = %#04x, numpy says %#04x", v, got, want)
		}
	}
	for h := range 0x7c00 {
		if got := ToF16(FromF16(uint16(h))); got != uint16(h) {
			t.Fatalf("half %#04x comes back as %#04x", h, got)
		}
	}
}

func TestLiesAreRefused(t *testing.T) {
	file := func(header string, body int) []byte {
		return append(append(binary.LittleEndian.AppendUint64(nil, uint64(len(header))), header...), make([]byte, body)...)
	}
	for name, test := range map[string]struct {
		data []byte
		want string
	}{
		"short":         {[]byte{1, 2}, "shorter"},
		"header beyond": {binary.LittleEndian.AppendUint64(nil, 1<<40), "does not fit"},
		"not JSON":      {file("{", 0), "header"},
		"beyond file":   {file(`{"w":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}`, 8), `"w"`},
		"wrong size":    {file(`{"w":{"dtype":"F32","shape":[4],"data_offsets":[0,8]}}`, 8), `"w"`},
		"negative":      {file(`{"w":{"dtype":"F32","shape":[-4],"data_offsets":[0,8]}}`, 8), "too large"},
		"overflow":      {file(`{"w":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,8]}}`, 8), "too large"},
		"hole":          {file(`{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[1],"data_offsets":[3,4]}}`, 4), "no tensor"},
		"trailing":      {file(`{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}}`, 3), "no tensor"},
		"unknown type":  {file(`{"w":{"dtype":"F9","shape":[2],"data_offsets":[0,8]}}`, 8), "F9"},
	} {
		if _, err := Parse(test.data); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v, want an error with %q", name, err, test.want)
		}
	}
}

func TestTensorsThatShareBytesAreRefused(t *testing.T) {
	text := `{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}`
	data := append(binary.LittleEndian.AppendUint64(nil, uint64(len(text))), text...)
	if _, err := Parse(append(data, make([]byte, 8)...)); err == nil || !strings.Contains(err.Error(), "share") {
		t.Errorf("got %v", err)
	}
}

// TestBFloat16 rounds every bfloat16 to itself, and what lies between to the nearer one, ties to even.
func TestBFloat16(t *testing.T) {
	for h := range 0x7f80 {
		v := math.Float32frombits(uint32(h) << 16)
		half := math.Float32frombits(uint32(h)<<16 | 0x8000)
		if ToBF16(v) != uint16(h) || ToBF16(-v) != uint16(h)|0x8000 {
			t.Fatalf("%g becomes %#x", v, ToBF16(v))
		}
		if got, want := ToBF16(half), uint16(h+h%2); got != want {
			t.Fatalf("half way after %#x becomes %#x, want %#x", h, got, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	var buf bytes.Buffer
	file := &File{Tensors: map[string]Tensor{"a": FromFloats(F32, []int{1}, []float32{1})}}
	if _, err := file.WriteTo(&buf); err != nil {
		f.Fatal(err)
	}
	f.Add(buf.Bytes())
	f.Add([]byte("\x02\x00\x00\x00\x00\x00\x00\x00{}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if parsed, err := Parse(data); err == nil {
			for _, tensor := range parsed.Tensors {
				_, _ = tensor.Floats()
			}
		}
	})
}
