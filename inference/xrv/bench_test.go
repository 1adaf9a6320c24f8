package xrv

import (
	"context"
	"os"
	"testing"

	"llamaxr/inference/engine"
	"llamaxr/study"
)

// BenchmarkTwoViews is a study's two views through DenseNet121 with the starter's weights, as `make bench-peers` runs it beside other engines.
func BenchmarkTwoViews(b *testing.B) {
	for _, name := range []string{engine.XLACPU, engine.Go} {
		b.Run(name, func(b *testing.B) {
			model := starter(b, name)
			views := []study.Normalised{{Pixels: make([]float32, study.InputSize*study.InputSize)}, {Pixels: make([]float32, study.InputSize*study.InputSize)}}
			for i := range views[0].Pixels {
				views[0].Pixels[i], views[1].Pixels[i] = float32(i%2048-1024), float32(1024-i%1777)
			}
			if _, _, err := model.Score(context.Background(), views); err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				if _, _, err := model.Score(context.Background(), views); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func starter(t testing.TB, name string) *Model {
	t.Helper()
	eng, err := engine.Open(name)
	if err != nil {
		t.Skip(err)
	}
	const folder = "../models/starter/densenet121"
	text, err := os.ReadFile(folder + ".json")
	if err != nil {
		t.Fatal(err)
	}
	card, err := ParseCard(text)
	if err != nil {
		t.Fatal(err)
	}
	weights, err := os.ReadFile(folder + ".safetensors")
	if err != nil {
		t.Fatal(err)
	}
	model, err := Load(eng, weights, card)
	if err != nil {
		t.Fatal(err)
	}
	return model
}
