package jpeg2000

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// No codestream, however broken, makes the decoder panic, run on, or deliver samples outside the image it declares.
func FuzzDecode(f *testing.F) {
	seeds, err := filepath.Glob("testdata/seeds/*")
	if err != nil || len(seeds) == 0 {
		f.Fatalf("no seeds: %v", err)
	}
	for _, seed := range seeds {
		code, err := os.ReadFile(seed)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(code)
	}
	f.Fuzz(func(t *testing.T, code []byte) {
		h, err := ReadHeader(code)
		if err != nil || h.Width*h.Height > 1<<16 {
			return
		}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		low, high := int32(0), int32(1)<<h.Precision-1
		if h.Signed {
			low, high = -1<<(h.Precision-1), 1<<(h.Precision-1)-1
		}
		_ = Decode(ctx, code, func(component, x, y int, samples []int32) {
			if component >= h.Components || x < 0 || y < 0 || y >= h.Height || x+len(samples) > h.Width {
				t.Fatalf("%d samples of component %d at %d, %d", len(samples), component, x, y)
			}
			for _, v := range samples {
				if v < low || v > high {
					t.Fatalf("a sample of %d in %d bits", v, h.Precision)
				}
			}
		})
		if ctx.Err() != nil {
			t.Fatal("not done in time")
		}
	})
}
