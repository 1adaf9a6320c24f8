package quant

import (
	"bytes"
	"encoding/json"
	"math"
	"os"
	"slices"
	"testing"

	"llamaxr/inference/safetensors"
)

// TestBitsandbytes holds packing and unpacking to what bitsandbytes itself wrote (oracles/nf4.py), bit for bit.
func TestBitsandbytes(t *testing.T) {
	data, err := os.ReadFile("testdata/nf4.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	file, err := safetensors.Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	floats := func(name string) []float32 {
		t.Helper()
		values, err := file.Tensors[name].Floats()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		return values
	}
	dynamic := Dynamic()
	for i, want := range floats("normal.weight.nested_quant_map") {
		if math.Abs(float64(dynamic[i]-want)) > 2e-7*math.Abs(float64(want)) {
			t.Errorf("dynamic map: level %d is %.9g, want %.9g", i, dynamic[i], want)
		}
	}
	same(t, "NF4 levels", NF4[:], floats("normal.weight.quant_map"))
	for _, name := range []string{"normal", "small", "outliers", "zeros", "equal", "ties"} {
		t.Run(name, func(t *testing.T) {
			var state struct {
				Offset float64 `json:"nested_offset"`
			}
			if err := json.Unmarshal(file.Tensors[name+".weight.quant_state.bitsandbytes__nf4"].Data, &state); err != nil {
				t.Fatal(err)
			}
			values := floats(name + ".values")
			want := Tensor{
				Len: len(values), Packed: file.Tensors[name+".weight"].Data, Absmax: file.Tensors[name+".weight.absmax"].Data,
				NestedAbsmax: floats(name + ".weight.nested_absmax"), Offset: float32(state.Offset),
				NestedMap: [256]float32(floats(name + ".weight.nested_quant_map")),
			}
			back, err := want.Dequantise()
			if err != nil {
				t.Fatal(err)
			}
			same(t, "dequantised", back, floats(name+".back"))
			rounded := make([]float32, len(back))
			for i, v := range back {
				rounded[i] = math.Float32frombits(uint32(safetensors.ToBF16(v)) << 16)
			}
			same(t, "rounded to bf16", rounded, floats(name+".back16"))
			plain := Tensor{Len: len(values), Packed: want.Packed, Magnitudes: floats(name + ".plain.absmax")}
			if back, err = plain.Dequantise(); err != nil {
				t.Fatal(err)
			}
			same(t, "without double quantisation", back, floats(name+".plain.back"))
			whole, err := Quantise(values)
			if err != nil {
				t.Fatal(err)
			}
			// The mean's last bit is that of the summation order, torch's being the machine's.
			if math.Abs(float64(whole.Offset-want.Offset)) > 2e-7*float64(want.Offset) {
				t.Errorf("offset %.9g, want %.9g", whole.Offset, want.Offset)
			}
			got := Tensor{Offset: want.Offset, NestedMap: want.NestedMap}
			packer, err := NewPacker(len(values))
			if err != nil {
				t.Fatal(err)
			}
			for rest := values; len(rest) > 0; { // in pieces, as an import does
				n := min(3*BlockSize, len(rest))
				if err := packer.Add(rest[:n]); err != nil {
					t.Fatal(err)
				}
				rest = rest[n:]
			}
			got.Packed = packer.tensor.Packed
			got.packMagnitudes(packer.magnitudes)
			if !bytes.Equal(got.Packed, want.Packed) {
				t.Errorf("packed indices differ in %d of %d bytes", differing(got.Packed, want.Packed), len(want.Packed))
			}
			same(t, "nested magnitudes", got.NestedAbsmax, want.NestedAbsmax)
			// Where every magnitude is the mean, indices are multiplied by zero and may be anything.
			if got.NestedAbsmax[0] > 0 && !bytes.Equal(got.Absmax, want.Absmax) {
				t.Errorf("magnitudes differ in %d of %d", differing(got.Absmax, want.Absmax), len(want.Absmax))
			}
		})
	}
}

// same wants equal bits and says how far apart the first values that differ are.
func same(t *testing.T, what string, got, want []float32) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d values, want %d", what, len(got), len(want))
	}
	wrong, first := 0, -1
	for i := range got {
		if math.Float32bits(got[i]) != math.Float32bits(want[i]) {
			if wrong++; first < 0 {
				first = i
			}
		}
	}
	if wrong > 0 {
		t.Errorf("%s: %d of %d differ, first at %d: %.9g, want %.9g", what, wrong, len(got), first, got[first], want[first])
	}
}

func differing(a, b []byte) int {
	if len(a) != len(b) {
		return max(len(a), len(b))
	}
	n := 0
	for i := range a {
		if a[i] != b[i] {
			n++
		}
	}
	return n
}

// FuzzDequantise: sizes that do not fit are an error, never a panic, and sizes that fit give finite values.
func FuzzDequantise(f *testing.F) {
	f.Add(64, []byte{0x12, 0x34}, []byte{9}, 1)
	f.Add(2, []byte{0xf0}, []byte{255}, 1)
	f.Add(-1, []byte{}, []byte{}, 0)
	f.Fuzz(func(t *testing.T, length int, packed, absmax []byte, nested int) {
		tensor := Tensor{Len: length, Packed: packed, Absmax: absmax, NestedAbsmax: slices.Repeat([]float32{1}, max(0, min(nested, 1<<10)))}
		values, err := tensor.Dequantise()
		if err == nil && len(values) != length {
			t.Fatalf("%d values, want %d", len(values), length)
		}
	})
}
