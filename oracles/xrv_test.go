// Package oracles holds the product to golden files of reference programs where more than one room takes part.
package oracles

import (
	"context"
	"encoding/json"
	"errors"
	"image"
	"image/color"
	_ "image/jpeg"
	_ "image/png"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"llamaxr/inference/engine"
	"llamaxr/inference/safetensors"
	"llamaxr/inference/xrv"
	"llamaxr/ingest/dicomfile"
	"llamaxr/ingest/pixel"
	"llamaxr/internal/peertest"
	"llamaxr/study"
)

// golden is what oracles/xrv.py wrote.
type golden struct {
	Released map[string]struct {
		File       string
		Labels     []string
		Size       int
		Thresholds []*float64
	}
	Variants, Images []string
	scores, cam, big []float32
}

func readGolden(t *testing.T) *golden {
	t.Helper()
	text, err := os.ReadFile("testdata/xrv.json")
	if err != nil {
		t.Fatal(err)
	}
	g := new(golden)
	if err := json.Unmarshal(text, g); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile("testdata/xrv.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	file, err := safetensors.Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	for name, to := range map[string]*[]float32{"scores": &g.scores, "cam": &g.cam, "resnet": &g.big} {
		if *to, err = file.Tensors[name].Floats(); err != nil {
			t.Fatal(err)
		}
	}
	return g
}

// TestReleased: the table in our code is that of the torchxrayvision package, label for label and digit for digit.
func TestReleased(t *testing.T) {
	g := readGolden(t)
	if len(g.Released) != len(xrv.Released()) {
		t.Errorf("%d sets of weights are released, the table has %d", len(g.Released), len(xrv.Released()))
	}
	for name, want := range g.Released {
		for _, by := range []string{name, want.File, "/some/where/" + name + ".pt"} {
			card, err := xrv.ReleasedCard(by)
			if err != nil {
				t.Error(err)
				continue
			}
			same := slices.EqualFunc(card.Thresholds, want.Thresholds, func(a, b *float64) bool { return a == nil && b == nil || a != nil && b != nil && *a == *b })
			if card.Name != name || card.Input.Size != want.Size || !slices.Equal(card.Labels, want.Labels) || !same {
				t.Errorf("%s: the card is not torchxrayvision's", by)
			}
		}
	}
}

// densenet is torchxrayvision's DenseNet121 with drawn weights.
func densenet() *safetensors.File {
	shapes := map[string][]int{}
	add := func(name string, shape ...int) { shapes[name] = shape }
	convolutions, norms, features := xrv.DenseNet121().Layout()
	for _, c := range convolutions {
		add(c.Name, c.Shape...)
	}
	for _, n := range norms {
		for _, part := range []string{".weight", ".bias", ".running_mean", ".running_var"} {
			add(n.Name+part, n.Shape...)
		}
	}
	add("classifier.weight", study.NumFindings, features)
	add("classifier.bias", study.NumFindings)
	return draw{Stem: "features.conv0.weight", Head: "classifier", Gain: 1}.file(shapes)
}

// picture decodes an image file to grey levels, as torchxrayvision's examples do.
func picture(t *testing.T, name string) *pixel.Image {
	t.Helper()
	file, err := os.Open(peertest.SharedData(t, "chest/"+name))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	m, _, err := image.Decode(file)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	b := m.Bounds()
	img := &pixel.Image{Columns: b.Dx(), Rows: b.Dy()}
	if strings.HasSuffix(name, ".jpg") {
		img.Pixels = luminance(t, file.Name())
		return img
	}
	for y := b.Min.Y; y < b.Max.Y; y++ {
		for x := b.Min.X; x < b.Max.X; x++ {
			c := color.NRGBAModel.Convert(m.At(x, y)).(color.NRGBA) // the colour itself: no radiograph is transparent
			img.Pixels = append(img.Pixels, (0.299*float32(c.R)+0.587*float32(c.G)+0.114*float32(c.B))/255)
		}
	}
	return img
}

// luminance decodes a JPEG file out of the object that DCMTK wraps it in: by our own decoder, which has libjpeg's arithmetic, or by DCMTK
// where colours must be made of it or the file is of a process that DICOM has retired.
func luminance(t *testing.T, path string) []float32 {
	t.Helper()
	object := filepath.Join(t.TempDir(), "object.dcm")
	dcmtk := func(program string, args ...string) {
		if out, err := exec.Command(peertest.Program(t, program), args...).CombinedOutput(); err != nil {
			t.Fatalf("%s of %s: %v\n%s", program, path, err, out)
		}
	}
	dcmtk("img2dcm", path, object)
	frame, err := decode(object)
	if errors.Is(err, pixel.ErrUnsupported) || err == nil && frame.Samples == 3 {
		dcmtk("dcmdjpeg", "--conv-lossy", object, object)
		frame, err = decode(object)
	}
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	levels := make([]float32, frame.Rows*frame.Columns)
	for i := range levels {
		if c := frame.Data[i*frame.Samples:]; frame.Samples == 1 {
			levels[i] = float32(c[0]) / 255
		} else {
			levels[i] = (0.299*float32(c[0]) + 0.587*float32(c[1]) + 0.114*float32(c[2])) / 255
		}
	}
	return levels
}

func decode(path string) (*pixel.Frame, error) {
	object, err := dicomfile.Open(path)
	if err != nil {
		return nil, err
	}
	defer object.Close()
	return pixel.Decode(context.Background(), object)
}

// TestScoresAreTorchXRayVisions: on every radiograph, the 18 outputs under each variant's operating points within 1e-4, and the
// class-activation maps within 1e-3, of what torchxrayvision computes with the same weights. The pure-Go engine does the first two only.
func TestScoresAreTorchXRayVisions(t *testing.T) {
	g := readGolden(t)
	weights := densenet()
	for _, name := range []string{ownCode, engine.XLACPU, engine.Go} {
		t.Run(name, func(t *testing.T) {
			card, err := xrv.ReleasedCard(g.Variants[0])
			if err != nil {
				t.Fatal(err)
			}
			model := load(t, name, weights, card)
			images := len(g.Images)
			if name == engine.Go {
				images = 2
			}
			worst, worstMap := 0.0, 0.0
			for i, file := range g.Images[:images] {
				img := picture(t, file)
				view := pixel.Square(img, pixel.Box{Right: img.Columns, Bottom: img.Rows}, study.InputSize)
				logits, maps, err := model.Raw(context.Background(), []study.Normalised{view})
				if err != nil {
					t.Fatal(err)
				}
				for v, variant := range g.Variants {
					about := g.Released[variant]
					for label, threshold := range about.Thresholds {
						want := float64(g.scores[(i*len(g.Variants)+v)*study.NumFindings+label])
						worst = max(worst, math.Abs(xrv.Calibrated(logits[0][label], threshold)-want))
					}
				}
				worstMap = max(worstMap, worstCell(maps[0], g.cam[i*6*49:(i+1)*6*49], i))
			}
			t.Logf("%d images, %d variants: scores within %.1e, maps within %.1e", images, len(g.Variants), worst, worstMap)
			if worst > 1e-4 || worstMap > 1e-3 || math.IsNaN(worst+worstMap) {
				t.Errorf("scores differ by up to %g, want 1e-4; maps by %g, want 1e-3", worst, worstMap)
			}
		})
	}
}

// worstCell compares the six maps that the golden file has of an image, each scaled by its largest value with nothing below 0.
func worstCell(maps [][]float32, want []float32, image int) float64 {
	worst, k := 0.0, 0
	for label, cells := range maps {
		if (label+image)%3 != 0 {
			continue
		}
		peak := max(slices.Max(cells), 1e-12)
		for c, v := range cells {
			worst = max(worst, math.Abs(float64(max(v, 0)/peak-want[49*k+c])))
		}
		k++
	}
	return worst
}
