package gpu

import (
	"reflect"
	"testing"
)

// TestGPUs reads what nvidia-smi 535 prints for two GPUs, one of which hides a figure.
func TestGPUs(t *testing.T) {
	got := parse("0, 45, 1024, 81559, 41\n1, [N/A], 0, 81559, 38\n\nNo devices were found\n")
	want := []Device{{"0", 0.45, 1 << 30, 81559 << 20, 41}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
}

func FuzzParse(f *testing.F) {
	f.Add("0, 45, 1024, 81559, 41\n")
	f.Fuzz(func(t *testing.T, text string) {
		if n := len(parse(text)); n > maxGPUs {
			t.Errorf("%d GPUs", n)
		}
	})
}
