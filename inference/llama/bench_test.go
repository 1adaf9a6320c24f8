package llama

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"llamaxr/inference/engine"
	"llamaxr/inference/prompt"
	"llamaxr/study"
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

// BenchmarkTogether drafts studies that wait one after another and together: by the starter as it writes, and by SmolLM2-135M reports of people, of
// which speculation knows 200 others, or just these, as where an adapter writes what it was taught.
func BenchmarkTogether(b *testing.B) {
	eng, err := engine.Open(engine.Go)
	if err != nil {
		b.Fatal(err)
	}
	reports := sharedReports(b)
	load := func(b *testing.B, files fs.FS) *Model {
		model, err := LoadAs(eng, files, NativeInt16)
		if err != nil {
			b.Fatal(err)
		}
		return model
	}
	for _, c := range []struct {
		name  string
		model func(*testing.B) *Model
		known []string
	}{
		{"starter", func(b *testing.B) *Model {
			model := load(b, os.DirFS("../models/starter/llama"))
			if err := model.SetAdapter(os.DirFS("../models/starter/adapter")); err != nil {
				b.Fatal(err)
			}
			model.SetEnd(prompt.Planned.End)
			return model
		}, nil},
		{"SmolLM2, human", func(b *testing.B) *Model { return load(b, smolNF4(b)) }, reports[3*MostTogether : 200]},
		{"SmolLM2, learnt", func(b *testing.B) *Model { return load(b, smolNF4(b)) }, reports[:3*MostTogether]},
	} {
		model := c.model(b)
		rng := rand.New(rand.NewPCG(5, 5))
		draft := func(i int, scores study.PairScores) *Result {
			if c.known == nil {
				result, err := model.Generate(b.Context(), prompt.Planned.Fill(scores), 220)
				if err != nil {
					b.Error(err)
				}
				return result
			}
			result, err := model.Replay(b.Context(), prompt.Planned.Fill(scores), reports[i])
			if err != nil {
				b.Error(err)
			}
			return result
		}
		for _, waiting := range []int{MostTogether, 3 * MostTogether} {
			for _, way := range []string{"one after another", "together"} {
				model.Learn(slices.Repeat(c.known, 3)) // each often
				write := func() (tokens, passes int) {
					var all sync.WaitGroup
					results := make([]*Result, waiting)
					for i := range results {
						scores := randomScores(rng)
						all.Go(func() { results[i] = draft(i, scores) })
						if way != "together" {
							all.Wait()
						}
					}
					all.Wait()
					for _, r := range results {
						tokens, passes = tokens+r.NewTokens, passes+r.Passes
					}
					return tokens, passes
				}
				b.Run(fmt.Sprintf("%s/%d %s", c.name, waiting, way), func(b *testing.B) {
					write() // the starter has texts to guess from
					tokens, passes := 0, 0
					for b.Loop() {
						n, p := write()
						tokens, passes = tokens+n, passes+p
					}
					drafts := float64(waiting * b.N)
					b.ReportMetric(drafts/b.Elapsed().Minutes(), "drafts/min")
					b.ReportMetric(float64(tokens)/drafts, "tokens")
					b.ReportMetric(float64(tokens)/float64(passes), "tokens/pass")
				})
			}
		}
	}
}

// randomScores are those of a study with few findings.
func randomScores(rng *rand.Rand) study.PairScores {
	var views [2]study.Scores
	for f := range study.NumFindings {
		for v := range views {
			views[v][f] = 0.5 * rng.Float32()
			if rng.IntN(9) == 0 {
				views[v][f] += 0.45
			}
		}
	}
	return study.PairScores{Frontal: &views[0], Lateral: &views[1]}
}
