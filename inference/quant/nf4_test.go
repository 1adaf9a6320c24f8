package quant

import (
	"errors"
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

// TestLevels: the table finds the level that a plain search over the half-way points does, also next to them.
func TestLevels(t *testing.T) {
	plain := func(x float32) byte {
		index := byte(0)
		for i := range len(NF4) - 1 {
			if x > (NF4[i]+NF4[i+1])/2 {
				index = byte(i + 1)
			}
		}
		return index
	}
	try := func(x float32) {
		if got, want := level(x), plain(x); got != want {
			t.Fatalf("%g has level %d, want %d", x, got, want)
		}
	}
	for i := range len(NF4) - 1 {
		half := (NF4[i] + NF4[i+1]) / 2
		for _, x := range []float32{half, math.Nextafter32(half, -1), math.Nextafter32(half, 1)} {
			try(x)
		}
	}
	for i := range 1 << 21 {
		try(float32(i)/(1<<20) - 1)
	}
	try(1)
}

func TestWhatIsNotFiniteIsRefused(t *testing.T) {
	for _, bad := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
		values := make([]float32, 128)
		values[70] = float32(bad)
		if _, err := Quantise(values); !errors.Is(err, ErrNotFinite) {
			t.Errorf("%g gives %v", bad, err)
		}
	}
}

func BenchmarkQuantise(b *testing.B) {
	rng := rand.New(rand.NewPCG(1, 2))
	values := make([]float32, 1<<20)
	for i := range values {
		values[i] = float32(rng.NormFloat64() * 0.02)
	}
	b.SetBytes(int64(2 * len(values))) // as bf16 on disk
	for b.Loop() {
		if _, err := Quantise(values); err != nil {
			b.Fatal(err)
		}
	}
}
