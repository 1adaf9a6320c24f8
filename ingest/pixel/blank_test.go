package pixel

import (
	"image"
	"image/color"
	_ "image/jpeg"
	_ "image/png"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"llamaxr/internal/peertest"
)

// TestBlank: exposures of nothing are blank at every width of the grey scale; a picture with a form is not.
func TestBlank(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 3))
	picture := func(level func(x, y int) float64) *Image {
		img := &Image{Rows: 480, Columns: 400}
		for y := range img.Rows {
			for x := range img.Columns {
				img.Pixels = append(img.Pixels, float32(level(x, y)))
			}
		}
		return img
	}
	inLung := func(x, y int) bool { return y > 80 && y < 400 && (x > 60 && x < 180 || x > 220 && x < 340) }
	for _, width := range []float64{1, 0.1, 0.001} {
		for name, test := range map[string]struct {
			level func(x, y int) float64
			why   string
		}{
			"constant":          {func(_, _ int) float64 { return 0.5 * width }, "blank"},
			"black":             {func(_, _ int) float64 { return 0 }, "blank"},
			"a marker on blank": {func(x, y int) float64 { return indicator(x < 40 && y < 30) * width }, "blank"},
			"noise":             {func(_, _ int) float64 { return rng.Float64() * width }, "noise"},
			"lungs":             {func(x, y int) float64 { return (0.7 - 0.3*indicator(inLung(x, y))) * width }, ""},
			"lungs under noise": {func(x, y int) float64 { return (0.5 - 0.3*indicator(inLung(x, y)) + 0.3*rng.Float64()) * width }, ""},
		} {
			got := Blank(picture(test.level))
			if (got == "") != (test.why == "") || !strings.Contains(got, test.why) {
				t.Errorf("%s, width %g: %q, want %q", name, width, got, test.why)
			}
		}
	}
	if got := Blank(&Image{Rows: 2, Columns: 2, Pixels: []float32{0, 1, 0, 1}}); got != "" {
		t.Errorf("a tiny picture: %q", got)
	}
	Blank(&Image{})
}

// TestRealFilmsAreNotBlank: nor is any of the shared chest radiographs.
func TestRealFilmsAreNotBlank(t *testing.T) {
	paths, err := filepath.Glob(filepath.Join(peertest.SharedData(t, "chest/images"), "*"))
	if err != nil || len(paths) == 0 {
		t.Fatal("no images", err)
	}
	for _, path := range paths {
		file, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		picture, _, err := image.Decode(file)
		file.Close()
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		box := picture.Bounds()
		img := &Image{Rows: box.Dy(), Columns: box.Dx()}
		for y := box.Min.Y; y < box.Max.Y; y++ {
			for x := box.Min.X; x < box.Max.X; x++ {
				grey := color.Gray16Model.Convert(picture.At(x, y)).(color.Gray16)
				img.Pixels = append(img.Pixels, float32(grey.Y)/0xffff)
			}
		}
		if why := Blank(img); why != "" {
			t.Errorf("%s: %s", filepath.Base(path), why)
		}
	}
}

func indicator(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}
