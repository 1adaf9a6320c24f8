package llama

import (
	"bytes"
	"context"
	"encoding/json"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/fstest"
)

// BenchmarkGenerate writes 100 tokens after a prompt of about 110 with a random model in the starter's shape, on each engine.
func BenchmarkGenerate(b *testing.B) {
	tokenizer, err := TrainTokenizer([]string{"No effusion."}, nil, 20)
	if err != nil {
		b.Fatal(err)
	}
	config := &Config{
		HiddenSize: 256, IntermediateSize: 832, Layers: 6, Heads: 8, KVHeads: 4, HeadDim: 32, VocabSize: 656, MaxPositions: 512,
		NormEpsilon: 1e-5, RopeTheta: 10000, TieWordEmbeddings: true,
	}
	rng := rand.New(rand.NewPCG(1, 2))
	weights := Weights{}
	for name, shape := range config.shapes() {
		values := make([]float32, shape[0]*append(shape, 1)[1])
		for i := range values {
			values[i] = float32(rng.NormFloat64() * 0.05)
		}
		weights[name] = values
	}
	shape, err := json.Marshal(config)
	if err != nil {
		b.Fatal(err)
	}
	var packed bytes.Buffer
	if err := WriteNF4(config, weights, &packed); err != nil {
		b.Fatal(err)
	}
	files := fstest.MapFS{"config.json": {Data: shape}, "tokenizer.json": {Data: tokenizer}, "model.safetensors": {Data: packed.Bytes()}}
	for _, w := range ways(b) {
		b.Run(w.name, func(b *testing.B) {
			model, err := LoadAs(w.eng, files, w.kind)
			if err != nil {
				b.Fatal(err)
			}
			prompt := strings.Repeat("0.50 ", 36)
			var prefill, decode float64
			tokens := 0
			generate := func() *Result {
				result, err := model.Generate(context.Background(), prompt, 100)
				if err != nil {
					b.Fatal(err)
				}
				return result
			}
			generate() // compiles
			for b.Loop() {
				result := generate()
				prefill += result.Prefill.Seconds()
				decode += result.Decode.Seconds()
				tokens += result.NewTokens
			}
			b.ReportMetric(prefill/float64(b.N)*1000, "prefill-ms")
			b.ReportMetric(float64(tokens)/decode, "tokens/s")
		})
	}
}
