package oracles

import (
	"bytes"
	"context"
	"encoding/json"
	"math"
	"os"
	"strings"
	"testing"

	"llamaxr/inference/engine"
	"llamaxr/inference/safetensors"
	"llamaxr/inference/xrv"
	"llamaxr/ingest/pixel"
	"llamaxr/study"
)

// backbones are the networks of oracles/backbones.py: how their weights are drawn, and their tensors.
func backbones(t *testing.T) map[string]struct {
	draw
	Tensors map[string][]int
} {
	t.Helper()
	var all map[string]struct {
		draw
		Tensors map[string][]int
	}
	text, err := os.ReadFile("testdata/backbones.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &all); err != nil {
		t.Fatal(err)
	}
	return all
}

// load makes a classifier of drawn weights.
// ownCode names what a DenseNet is computed with where there is no GPU: no engine's graph.
const ownCode = "own"

func load(t *testing.T, name string, weights *safetensors.File, card *xrv.Card) *xrv.Model {
	t.Helper()
	kind := xrv.OnGraph
	if name == ownCode {
		name, kind = engine.Go, xrv.Auto
	}
	eng, err := engine.Open(name)
	if err != nil {
		t.Skip(err)
	}
	var data bytes.Buffer
	if _, err := weights.WriteTo(&data); err != nil {
		t.Fatal(err)
	}
	file, err := safetensors.Open(bytes.NewReader(data.Bytes()), int64(data.Len()))
	if err != nil {
		t.Fatal(err)
	}
	model, err := xrv.LoadTensors(eng, file, card, kind)
	if err != nil {
		t.Fatal(err)
	}
	if own := model.Engine() != eng.Name; own != (kind == xrv.Auto) {
		t.Fatalf("%s computes, not %s", model.Engine(), name)
	}
	return model
}

func logitsOf(t *testing.T, model *xrv.Model, file string) []float32 {
	t.Helper()
	img := picture(t, file)
	view := pixel.Square(img, pixel.Box{Right: img.Columns, Bottom: img.Rows}, model.InputSize())
	logits, _, err := model.Raw(context.Background(), []study.Normalised{view})
	if err != nil {
		t.Fatal(err)
	}
	return logits[0]
}

// TestBackbonesAreTorchvisions: ResNet50, EfficientNet-B0 and ViT-B/16 give the logits that torchvision's modules give with the same weights,
// within 1e-4 of the largest.
func TestBackbonesAreTorchvisions(t *testing.T) {
	data, err := os.ReadFile("testdata/backbones.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	want, err := safetensors.Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	images := readGolden(t).Images
	for network, about := range backbones(t) {
		logits, err := want.Tensors[network].Floats()
		if err != nil {
			t.Fatal(err)
		}
		weights := about.file(about.Tensors)
		card, err := xrv.ReleasedCard("densenet121-res224-all")
		if err != nil {
			t.Fatal(err)
		}
		card.Name, card.Architecture = network, network
		card.Input = xrv.Input{Size: study.InputSize, Mean: []float64{0.485, 0.456, 0.406}, Std: []float64{0.229, 0.224, 0.225}}
		for engineName, count := range map[string]int{engine.XLACPU: len(logits) / study.NumFindings, engine.Go: 1} {
			t.Run(network+"/"+engineName, func(t *testing.T) {
				model := load(t, engineName, weights, card)
				worst, largest := 0.0, 1.0
				for i, file := range images[:count] {
					for label, got := range logitsOf(t, model, file) {
						expected := float64(logits[i*study.NumFindings+label])
						worst, largest = max(worst, math.Abs(float64(got)-expected)), max(largest, math.Abs(expected))
					}
				}
				t.Logf("%d images: logits of up to %.1f within %.1e", count, largest, worst)
				if worst > 1e-4*largest || math.IsNaN(worst) {
					t.Errorf("logits differ by up to %g, want %g", worst, 1e-4*largest)
				}
			})
		}
	}
}

// TestLargeResNetIsTorchXRayVisions: torchxrayvision's ResNet50 at 512 pixels, from a state dict that its own code loads, gives its scores
// within 1e-4.
func TestLargeResNetIsTorchXRayVisions(t *testing.T) {
	g := readGolden(t)
	about := backbones(t)["resnet50"]
	about.Tensors["conv1.weight"] = []int{64, 1, 7, 7}
	card, err := xrv.ReleasedCard("resnet50-res512-all")
	if err != nil {
		t.Fatal(err)
	}
	model := load(t, engine.XLACPU, about.file(about.Tensors), card)
	worst := 0.0
	count := len(g.big) / study.NumFindings
	for i, file := range g.Images[:count] {
		for label, logit := range logitsOf(t, model, file) {
			worst = max(worst, math.Abs(xrv.Calibrated(logit, card.Thresholds[label])-float64(g.big[i*study.NumFindings+label])))
		}
	}
	t.Logf("%d images: scores within %.1e", count, worst)
	if worst > 1e-4 || math.IsNaN(worst) {
		t.Errorf("scores differ by up to %g, want 1e-4", worst)
	}
}

// TestBackbonesRefuseWhatDoesNotFit: weights of another size, a missing or misshapen tensor, or a card for another input is an error that names it.
func TestBackbonesRefuseWhatDoesNotFit(t *testing.T) {
	eng, err := engine.Open(engine.Go)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		network, size, says string
		change              func(shapes map[string][]int)
	}{
		"a deeper EfficientNet": {"efficientnet_b0", "", "other than B0", func(s map[string][]int) { s["features.7.1.block.0.0.weight"] = []int{1} }},
		"a ResNet without a stage": {"resnet50", "", "stage 4", func(s map[string][]int) {
			delete(s, "layer4.0.conv3.weight")
		}},
		"a missing norm":              {"resnet50", "", "layer2.1.bn2.running_var is missing", func(s map[string][]int) { delete(s, "layer2.1.bn2.running_var") }},
		"a misshapen gate":            {"efficientnet_b0", "", "features.2.0.block.2.fc1.weight has shape [4 95 1 1]", func(s map[string][]int) { s["features.2.0.block.2.fc1.weight"] = []int{4, 95, 1, 1} }},
		"positions of another grid":   {"vit_b_16", "", "no ViT", func(s map[string][]int) { s["encoder.pos_embedding"] = []int{1, 198, 768} }},
		"a card for another size":     {"vit_b_16", "512", "input of 512 pixels, the weights take 224", func(map[string][]int) {}},
		"a classifier of no outputs":  {"vit_b_16", "", "heads.head.bias has shape [0]", func(s map[string][]int) { s["heads.head.bias"] = []int{0} }},
		"a convolution of other rank": {"resnet50", "", "the weights take 0", func(s map[string][]int) { s["conv1.weight"] = []int{64, 147} }},
	} {
		about := backbones(t)[c.network]
		c.change(about.Tensors)
		card, err := xrv.ReleasedCard("densenet121-res224-all")
		if err != nil {
			t.Fatal(err)
		}
		card.Architecture, card.Input = "", xrv.Input{Size: 224, Mean: []float64{0, 0, 0}, Std: []float64{1, 1, 1}}
		if c.size != "" {
			card.Input.Size = 512
		}
		_, err = xrv.LoadTensors(eng, shapesOnly(about.Tensors), card, xrv.OnGraph)
		if err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %q", name, err, c.says)
		}
	}
}

// shapesOnly are tensors of ones, made when they are asked for.
type shapesOnly map[string][]int

func (s shapesOnly) Shapes() map[string][]int { return s }

func (s shapesOnly) Tensor(name string) (safetensors.Tensor, error) {
	count := 1
	for _, n := range s[name] {
		count *= n
	}
	return safetensors.Tensor{DType: safetensors.F32, Shape: s[name], Data: bytes.Repeat([]byte{0, 0, 0x80, 0x3f}, count)}, nil
}
