package quant

import (
	"math"
	"math/rand/v2"
	"testing"
)

// TestErrorIsThatOfNF4 holds the root mean square error on normal weights to what the QLoRA paper's data type gives: the 16
// quantile levels leave about 9 % of the standard deviation of a block of 64.
func TestErrorIsThatOfNF4(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	values := make([]float32, 1<<16)
	for i := range values {
		values[i] = float32(rng.NormFloat64() * 0.02)
	}
	packed, err := Quantise(values)
	if err != nil {
		t.Fatal(err)
	}
	got, err := packed.Dequantise()
	if err != nil {
		t.Fatal(err)
	}
	var square float64
	for i, v := range values {
		square += float64(v-got[i]) * float64(v-got[i])
	}
	if relative := math.Sqrt(square/float64(len(values))) / 0.02; relative < 0.05 || relative > 0.11 {
		t.Errorf("relative error %.3f, want 0.05 to 0.11", relative)
	}
	if bits := float64(8*(len(packed.Packed)+len(packed.Absmax)+4*len(packed.NestedAbsmax))) / float64(len(values)); bits > 4.14 {
		t.Errorf("%.3f bits a weight, the paper's double quantisation needs 4.127", bits)
	}
}

func TestDynamicMap(t *testing.T) {
	m := Dynamic()
	if m[255] != 1 || m[127] != 0 && m[126] != 0 {
		t.Errorf("map ends at %g and has its zero elsewhere: %v", m[255], m[120:135])
	}
	for i := 1; i < 256; i++ {
		if m[i] <= m[i-1] {
			t.Fatalf("level %d (%g) is not above level %d (%g)", i, m[i], i-1, m[i-1])
		}
	}
}

func TestWrongSizesAreRefused(t *testing.T) {
	if _, err := (&Tensor{Len: 64, Packed: make([]byte, 31), Absmax: make([]byte, 1), NestedAbsmax: make([]float32, 1)}).Dequantise(); err == nil {
		t.Error("31 bytes for 64 values are accepted")
	}
}
