package xrv

import (
	"bytes"
	"context"
	"os"
	"testing"

	"llamaxr/inference/engine"
	"llamaxr/inference/safetensors"
	"llamaxr/study"
)

// BenchmarkTwoViews is a study's two views through DenseNet121 with the starter's weights, as `make bench-peers` runs it beside other engines.
func BenchmarkTwoViews(b *testing.B) {
	for _, c := range []struct {
		name, engine string
		kind         Kind
	}{{"own", engine.Go, Auto}, {engine.XLACPU, engine.XLACPU, OnGraph}, {engine.Go, engine.Go, OnGraph}} {
		b.Run(c.name, func(b *testing.B) {
			model := starter(b, c.engine, c.kind)
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

func starter(t testing.TB, name string, kind Kind) *Model {
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
	file, err := safetensors.Open(bytes.NewReader(weights), int64(len(weights)))
	if err != nil {
		t.Fatal(err)
	}
	model, err := LoadTensors(eng, file, card, kind)
	if err != nil {
		t.Fatal(err)
	}
	return model
}
