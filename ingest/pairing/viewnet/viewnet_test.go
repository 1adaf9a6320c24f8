package viewnet

import (
	"encoding/csv"
	"image"
	_ "image/jpeg"
	_ "image/png"
	"os"
	"path/filepath"
	"testing"

	"llamaxr/ingest/pixel"
	"llamaxr/internal/peertest"
)

// TestRealRadiographs: a network that saw phantoms only tells the real radiographs apart.
func TestRealRadiographs(t *testing.T) {
	net, err := Shipped()
	if err != nil {
		t.Fatal(err)
	}
	root := peertest.SharedData(t, "chest")
	file, err := os.Open(filepath.Join(root, "manifest.csv"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	rows, err := csv.NewReader(file).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	right, other := 0, 0
	for _, row := range rows[1:] {
		logOdds, pOther := net.Classify(pixel.Normalise(load(t, filepath.Join(root, row[0]))).Pixels)
		if (logOdds > 0) == (row[4] == "lateral") {
			right++
		} else {
			t.Logf("%s is %s, log-odds of lateral %.2f, other %.2f", row[0], row[4], logOdds, pOther)
		}
		if pOther > 0.5 {
			other++
			t.Logf("%s: taken for something else (%.2f)", row[0], pOther)
		}
	}
	n := len(rows) - 1
	t.Logf("%d of %d real radiographs told right, %d taken for something else", right, n, other)
	if float64(right) < 0.95*float64(n) {
		t.Errorf("%d of %d real radiographs told right, want 95 %%", right, n)
	}
}

func load(t *testing.T, path string) *pixel.Image {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	picture, _, err := image.Decode(file)
	if err != nil {
		t.Fatal(err)
	}
	size := picture.Bounds().Size()
	out := &pixel.Image{Rows: size.Y, Columns: size.X, Pixels: make([]float32, size.X*size.Y)}
	for y := range size.Y {
		for x := range size.X {
			r, _, _, _ := picture.At(x, y).RGBA()
			out.Pixels[y*size.X+x] = float32(r) / 65535
		}
	}
	return out
}

func FuzzParse(f *testing.F) {
	f.Add([]byte{1, 2, 3})
	f.Add(shipped)
	f.Fuzz(func(_ *testing.T, data []byte) { _, _ = Parse(data) })
}
