package gguf

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"os"
	"slices"
	"strings"
	"testing"
)

func golden(t testing.TB) []byte {
	t.Helper()
	data, err := os.ReadFile("testdata/golden.gguf")
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func parse(data []byte) (*File, error) { return Read(bytes.NewReader(data), int64(len(data))) }

// TestReference holds every format's values to those of gguf.quants (oracles/dequantise.py), bit for bit.
func TestReference(t *testing.T) {
	file, err := parse(golden(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q4_K", "Q5_K", "Q6_K"} {
		tensor := file.Tensors[name]
		if tensor.Type.String() != name || !slices.Equal(tensor.Shape, []int{3, 512}) {
			t.Fatalf("%s is %v %v", name, tensor.Type, tensor.Shape)
		}
		for row := range 3 { // one at a time, so that a row's place counts
			got, want := make([]float32, 512), make([]float32, 512)
			if err := file.ReadRows(name, row, 1, got); err != nil {
				t.Fatal(err)
			}
			if err := file.ReadRows(name+".values", row, 1, want); err != nil {
				t.Fatal(err)
			}
			wrong := 0
			for i := range got {
				if math.Float32bits(got[i]) != math.Float32bits(want[i]) {
					if wrong++; wrong == 1 {
						t.Errorf("%s: row %d value %d is %g, want %g", name, row, i, got[i], want[i])
					}
				}
			}
			if slices.Max(want) == 0 {
				t.Errorf("%s: row %d says nothing", name, row)
			}
		}
	}
}

func TestMetadata(t *testing.T) {
	file, err := parse(golden(t))
	if err != nil {
		t.Fatal(err)
	}
	n, err := file.Int("golden.uint32")
	check(t, "uint32", n, 7, err)
	n, err = file.Int("golden.int32")
	check(t, "int32", n, -7, err)
	v, err := file.Float("golden.float32")
	check(t, "float32", v, 0.5, err)
	b, err := file.Bool("golden.bool")
	check(t, "bool", b, true, err)
	s, err := file.Text("golden.string")
	check(t, "string", s, "größe", err)
	texts, err := file.Texts("golden.strings")
	check(t, "strings", strings.Join(texts, "|"), "a||b c", err)
	ints, err := file.Ints("golden.ints")
	check(t, "ints", slices.Equal(ints, []int64{1, -2, 3}), true, err)
	floats, err := file.Floats("golden.floats")
	check(t, "floats", slices.Equal(floats, []float64{0.25, -1.5}), true, err)
	if _, err := file.Int("golden.uint64"); err == nil || !strings.Contains(err.Error(), "golden.uint64") {
		t.Errorf("2^40 as 32 bits: %v, want an error that names the key", err)
	}
	if _, err := file.Text("missing"); err == nil || !strings.Contains(err.Error(), `"missing" is missing`) {
		t.Errorf("a missing key: %v", err)
	}
}

func check[T comparable](t *testing.T, what string, got, want T, err error) {
	t.Helper()
	if err != nil || got != want {
		t.Errorf("%s is %v (%v), want %v", what, got, err, want)
	}
}

// builder writes small files by hand, also ones that no library would.
type builder struct{ bytes.Buffer }

func (b *builder) u32(v uint32) *builder { b.Write(binary.LittleEndian.AppendUint32(nil, v)); return b }

func (b *builder) u64(v uint64) *builder { b.Write(binary.LittleEndian.AppendUint64(nil, v)); return b }

func (b *builder) text(s string) *builder {
	b.u64(uint64(len(s)))
	b.WriteString(s)
	return b
}

func header(version uint32, tensors, keys uint64) *builder {
	b := new(builder)
	b.WriteString("GGUF")
	return b.u32(version).u64(tensors).u64(keys)
}

// small has one tensor of shape 2 x 2 and type F32.
func small(version uint32, change func(dims []uint64, kind *uint32, offset *uint64)) []byte {
	dims, kind, offset := []uint64{2, 2}, uint32(F32), uint64(0)
	if change != nil {
		change(dims, &kind, &offset)
	}
	b := header(version, 1, 1).text("general.alignment").u32(kindUint32).u32(64).text("w").u32(2).u64(dims[0]).u64(dims[1]).u32(kind).u64(offset)
	for b.Len()%64 != 0 {
		b.WriteByte(0)
	}
	return b.u32(math.Float32bits(1)).u32(math.Float32bits(2)).u32(math.Float32bits(3)).u32(math.Float32bits(4)).Bytes()
}

func TestBothVersionsAreRead(t *testing.T) {
	for _, version := range []uint32{2, 3} {
		file, err := parse(small(version, nil))
		if err != nil {
			t.Fatal(err)
		}
		out := make([]float32, 2)
		if err := file.ReadRows("w", 1, 1, out); err != nil || out[0] != 3 || out[1] != 4 {
			t.Errorf("version %d: second row %v (%v)", version, out, err)
		}
		if err := file.ReadRows("w", 2, 1, out); err == nil {
			t.Error("a third row of two is read")
		}
	}
}

// TestLyingFilesAreRefused: each error names what is wrong, and none takes memory for what is not there.
func TestLyingFilesAreRefused(t *testing.T) {
	whole := small(3, nil)
	for name, c := range map[string]struct {
		data []byte
		want string
	}{
		"version 1":           {header(1, 0, 0).Bytes(), "version 1"},
		"big endian":          {header(3<<24, 0, 0).Bytes(), "version"},
		"2^62 tensors":        {header(3, 1<<62, 0).Bytes(), "tensor count"},
		"more keys than file": {header(3, 0, 60000).Bytes(), "metadata count"},
		"long string":         {header(3, 0, 1).u64(1 << 40).u64(0).u64(0).Bytes(), "string"},
		"long array":          {header(3, 0, 1).text("a").u32(kindArray).u32(kindUint8).u64(1 << 50).Bytes(), `metadata "a"`},
		"array in array":      {header(3, 0, 1).text("a").u32(kindArray).u32(kindArray).u64(1).Bytes(), `metadata "a"`},
		"unknown kind":        {header(3, 0, 1).text("a").u32(99).Bytes(), `metadata "a"`},
		"key twice":           {header(3, 0, 2).text("a").u32(kindUint32).u32(1).text("a").u32(kindUint32).u32(1).Bytes(), "twice"},
		"cut":                 {whole[:len(whole)-1], `tensor "w"`},
		"empty axis":          {small(3, func(d []uint64, _ *uint32, _ *uint64) { d[0] = 0 }), `"w"`},
		"product overflows":   {small(3, func(d []uint64, _ *uint32, _ *uint64) { d[0], d[1] = 1<<33, 1<<33 }), `"w"`},
		"larger than file":    {small(3, func(d []uint64, _ *uint32, _ *uint64) { d[1] = 3 }), `tensor "w"`},
		"block across rows":   {small(3, func(_ []uint64, k *uint32, _ *uint64) { *k = uint32(Q4_0) }), "blocks"},
		"unknown type":        {small(3, func(_ []uint64, k *uint32, _ *uint64) { *k = 4 }), "type 4"},
		"offset not aligned":  {small(3, func(_ []uint64, _ *uint32, o *uint64) { *o = 4 }), `tensor "w"`},
		"offset negative":     {small(3, func(_ []uint64, _ *uint32, o *uint64) { *o = 1 << 63 }), "offset"},
		"alignment of 3":      {header(3, 0, 1).text("general.alignment").u32(kindUint32).u32(3).Bytes(), "general.alignment"},
		"two at one place": {
			append(header(3, 2, 0).text("a").u32(1).u64(1).u32(0).u64(0).text("b").u32(1).u64(1).u32(0).u64(0).Bytes(), make([]byte, 64)...), "overlap",
		},
	} {
		if _, err := parse(c.data); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want an error with %s", name, err, c.want)
		}
	}
	if _, err := parse([]byte("GGML....")); !errors.Is(err, ErrNotGGUF) {
		t.Errorf("another magic: %v", err)
	}
	for n := range whole { // cut anywhere
		if _, err := parse(whole[:n]); err == nil {
			t.Errorf("the first %d of %d bytes are accepted", n, len(whole))
		}
	}
}

// FuzzRead: no file makes it panic, and every tensor of a file that it accepts can be read.
func FuzzRead(f *testing.F) {
	f.Add(golden(f))
	f.Add(small(2, nil))
	f.Add(header(3, 0, 1).text("a").u32(kindArray).u32(kindString).u64(2).text("x").text("y").Bytes())
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := parse(data)
		if err != nil {
			return
		}
		for name, tensor := range file.Tensors {
			_, length := tensor.rows()
			if err := file.ReadRows(name, 0, 1, make([]float32, length)); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}
