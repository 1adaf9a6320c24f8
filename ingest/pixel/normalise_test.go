package pixel

import (
	"encoding/csv"
	"encoding/json"
	"image"
	_ "image/jpeg"
	_ "image/png"
	"math"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"llamaxr/internal/peertest"
	"llamaxr/study"
)

// The resize is skimage.transform.resize, smaller and larger; testdata/resize.py makes the golden values.
func TestResizeAgainstSkimage(t *testing.T) {
	raw, err := os.ReadFile("testdata/resize.json")
	if err != nil {
		t.Fatal(err)
	}
	var golden struct {
		Cases []struct {
			Side   int
			Offset float64
			Points [][3]float64
			Mean   float64
		}
	}
	if err := json.Unmarshal(raw, &golden); err != nil {
		t.Fatal(err)
	}
	for _, c := range golden.Cases {
		out := resize(c.Side, study.InputSize, func(x, y int) float32 {
			return float32(1000*math.Sin(float64(x)*0.07+float64(y)*0.013)*math.Cos(float64(y)*0.05) + float64((x*7+y*13)%31) - 15 + c.Offset)
		})
		for _, p := range c.Points {
			if got := float64(out[int(p[1])*study.InputSize+int(p[0])]); math.Abs(got-p[2]) > 2e-3 {
				t.Errorf("%d to 224, %v, at (%v, %v): %v, skimage has %v", c.Side, c.Offset, p[0], p[1], got, p[2])
			}
		}
		sum := 0.0
		for _, v := range out {
			sum += float64(v)
		}
		if mean := sum / float64(len(out)); math.Abs(mean-c.Mean) > 2e-3 {
			t.Errorf("%d to 224: mean %v, skimage has %v", c.Side, mean, c.Mean)
		}
	}
}

// A point of the input leads to the full image and back, and what lies there is what the input shows.
func TestGeometryBothWays(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 40 {
		img := &Image{Columns: 300 + random.IntN(900), Rows: 300 + random.IntN(900)}
		img.Pixels = make([]float32, img.Columns*img.Rows)
		// a smooth slope in both directions: a pixel's level tells where it is
		for y := range img.Rows {
			for x := range img.Columns {
				img.Pixels[y*img.Columns+x] = float32(0.2 + 0.5*float64(x)/float64(img.Columns) + 0.25*float64(y)/float64(img.Rows))
			}
		}
		n := Normalise(img)
		for range 50 {
			u, v := 5+random.IntN(214), 5+random.IntN(214)
			column, row := n.Geometry.ToFull(float64(u)+0.5, float64(v)+0.5)
			if x := (column - n.Geometry.X) / n.Geometry.Scale; math.Abs(x-float64(u)-0.5) > 1e-9 {
				t.Fatalf("(%d, %d) leads to %v and back to %v", u, v, column, x)
			}
			level := 0.2 + 0.5*(column-0.5)/float64(img.Columns) + 0.25*(row-0.5)/float64(img.Rows)
			got := float64(n.Pixels[v*study.InputSize+u])/2048 + 0.5
			if math.Abs(got-level) > 1e-3 {
				t.Fatalf("%d x %d: input (%d, %d) is %v, the full image at (%.1f, %.1f) %v", img.Columns, img.Rows, u, v, got, column, row, level)
			}
		}
	}
}

type chest struct {
	name, projection string
	img              *Image
}

// chests returns the real radiographs; they test and train nothing.
func chests(t testing.TB) []chest {
	t.Helper()
	file, err := os.Open(peertest.SharedData(t, "chest/manifest.csv"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	lines, err := csv.NewReader(file).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	var all []chest
	for _, line := range lines[1:] {
		file, err := os.Open(peertest.SharedData(t, "chest/"+line[0]))
		if err != nil {
			t.Fatal(err)
		}
		m, _, err := image.Decode(file)
		file.Close()
		if err != nil {
			t.Fatalf("%s: %v", line[0], err)
		}
		// every third pixel is enough to see a chest by, and keeps the test short
		const third = 3
		b := m.Bounds()
		img := &Image{Columns: b.Dx() / third, Rows: b.Dy() / third}
		for y := range img.Rows {
			for x := range img.Columns {
				r, g, b, _ := m.At(b.Min.X+third*x, b.Min.Y+third*y).RGBA()
				img.Pixels = append(img.Pixels, float32(luma(float64(r), float64(g), float64(b))/65535))
			}
		}
		all = append(all, chest{line[0], line[4], img})
	}
	return all
}

// framed puts a border around an image: left, top, right, bottom pixels of one level with covered-detector noise.
func framed(img *Image, border [4]int, level float32, random *rand.Rand) *Image {
	out := &Image{Columns: img.Columns + border[0] + border[2], Rows: img.Rows + border[1] + border[3]}
	out.Pixels = make([]float32, out.Columns*out.Rows)
	for i := range out.Pixels {
		out.Pixels[i] = min(max(level+0.004*(random.Float32()-0.5), 0), 1)
	}
	for y := range img.Rows {
		copy(out.Pixels[(y+border[1])*out.Columns+border[0]:], img.Pixels[y*img.Columns:][:img.Columns])
	}
	return out
}

// Borders that were added come off to the pixel, bright and dark, and what comes off a real radiograph without added borders
// is blank: nothing of the patient.
func TestCropOnRadiographs(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	cropped := 0
	for _, c := range chests(t) {
		img := c.img
		own := Crop(img)
		if own != (Box{0, 0, img.Columns, img.Rows}) {
			cropped++
			t.Logf("%s (%d x %d) has borders of its own: %+v", c.name, img.Columns, img.Rows, own)
			if share := blankOutside(img, own); share > 0.04 {
				t.Errorf("%s: %.3f of what was cropped differs from its line's level", c.name, share)
			}
			continue
		}
		for _, level := range []float32{0, 0.03, 0.97, 1} {
			border := [4]int{random.IntN(30), 10 + random.IntN(30), random.IntN(30), 3 + random.IntN(20)}
			for side := range border {
				if border[side] < minBorder {
					border[side] = 0
				}
			}
			box := Crop(framed(img, border, level, random))
			inner := Box{border[0], border[1], border[0] + img.Columns, border[1] + img.Rows}
			// the picture's own outermost lines may be as blank as the border
			slack := 0.03 * float64(max(img.Columns, img.Rows))
			for side, d := range [4]int{box.Left - inner.Left, box.Top - inner.Top, inner.Right - box.Right, inner.Bottom - box.Bottom} {
				if d < 0 || float64(d) > slack {
					t.Errorf("%s, border %v of %v: side %d is off by %d: %+v", c.name, border, level, side, d, box)
				}
			}
		}
	}
	t.Logf("%d radiographs have blank borders of their own", cropped)
}

// blankOutside is the share of pixels outside the box that differ from the nearest corner's level.
func blankOutside(img *Image, box Box) float64 {
	n, other := 0, 0
	for y := range img.Rows {
		for x := range img.Columns {
			if x >= box.Left && x < box.Right && y >= box.Top && y < box.Bottom {
				continue
			}
			edgeX, edgeY := x, y
			switch {
			case x < box.Left:
				edgeX = 0
			case x >= box.Right:
				edgeX = img.Columns - 1
			case y < box.Top:
				edgeY = 0
			default:
				edgeY = img.Rows - 1
			}
			n++
			if d := img.Pixels[y*img.Columns+x] - img.Pixels[edgeY*img.Columns+edgeX]; d > 0.06 || d < -0.06 {
				other++
			}
		}
	}
	return float64(other) / float64(max(n, 1))
}

// What is no border stays: a picture of one level, a bright half, soft edges, a single line.
func TestCropLeavesPictures(t *testing.T) {
	paint := func(level func(x, y int) float32) *Image {
		img := &Image{Columns: 200, Rows: 160, Pixels: make([]float32, 200*160)}
		for i := range img.Pixels {
			img.Pixels[i] = level(i%200, i/200)
		}
		return img
	}
	whole := Box{0, 0, 200, 160}
	for name, c := range map[string]struct {
		img  *Image
		want Box
	}{
		"one level":  {paint(func(x, y int) float32 { return 0.5 }), whole},
		"half black": {paint(func(x, y int) float32 { return float32(x/100) * (0.3 + float32((x*y)%7)/10) }), whole},
		"soft edge":  {paint(func(x, y int) float32 { return float32(x)/200 + float32(y%3)/50 }), whole},
		"one line":   {paint(func(x, y int) float32 { return min(float32(y), 1) * (0.3 + float32((x*y)%7)/10) }), whole},
		"frame in a frame": {paint(func(x, y int) float32 {
			switch {
			case x < 5 || y < 5 || x >= 195 || y >= 155:
				return 1
			case x < 20 || y < 20 || x >= 180 || y >= 140:
				return 0
			}
			return 0.3 + float32((x*y)%7)/10
		}), Box{20, 20, 180, 140}},
	} {
		if got := Crop(c.img); got != c.want {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
}

// LooksInverted knows every real chest film from its negative, and takes the falsely tagged one for what it is.
func TestLooksInverted(t *testing.T) {
	sure := 0
	all := chests(t)
	for _, c := range all {
		if inverted, confidence := LooksInverted(c.img); inverted {
			t.Errorf("%s looks inverted (%.2f)", c.name, confidence)
		} else if confidence > 0.5 {
			sure++
		}
		negative := &Image{Columns: c.img.Columns, Rows: c.img.Rows}
		for _, v := range c.img.Pixels {
			negative.Pixels = append(negative.Pixels, 1-v)
		}
		if inverted, confidence := LooksInverted(negative); !inverted {
			t.Errorf("the negative of %s does not look inverted (%.2f)", c.name, confidence)
		}
	}
	t.Logf("%d of %d with confidence over 0.5", sure, len(all))
	fake := openGray(t, peertest.SharedData(t, "dicom/radiographs/Fake_MONOHR1.dcm"))
	if inverted, confidence := LooksInverted(fake); !inverted || confidence < 0.5 {
		t.Errorf("Fake_MONOHR1 is shown as its negative and must be doubted: %v, %.2f", inverted, confidence)
	}
	if steps := strings.Join(fake.Steps, "; "); !strings.Contains(steps, "MONOCHROME1") {
		t.Errorf("the header rules by default, and the steps say so: %s", steps)
	}
	genuine := openGray(t, peertest.SharedData(t, "dicom/radiographs/1.2.276.0.7230010.3.1.4.8323329.6904.1517875201.850819.dcm"))
	if inverted, _ := LooksInverted(genuine); inverted {
		t.Error("the same chest with its true tag looks inverted")
	}
}

// The 8-bit picture keeps proportions, range and place.
func TestRender(t *testing.T) {
	img := &Image{Columns: 300, Rows: 100, Pixels: make([]float32, 300*100)}
	for i := range img.Pixels {
		if i%300 >= 150 {
			img.Pixels[i] = 1
		}
	}
	m, factor := Render(img, 60)
	if m.Bounds() != image.Rect(0, 0, 60, 20) || factor != 5 {
		t.Fatal(m.Bounds(), factor)
	}
	for y := range 20 {
		for x := range 60 {
			if want := uint8(255 * (x / 30)); m.GrayAt(x, y).Y != want {
				t.Fatalf("(%d, %d) is %d, want %d", x, y, m.GrayAt(x, y).Y, want)
			}
		}
	}
	if m, factor := Render(img, 0); m.Bounds().Dx() != 300 || factor != 1 {
		t.Error("a maxSide of 0 must keep the size")
	}
}
