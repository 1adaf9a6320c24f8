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

// BenchmarkTogether drafts studies that wait one after another and together: by the starter as it writes, and by SmolLM2-135M and a random model
// of a billion parameters reports of people, of which speculation knows 200 others, or just these, as where an adapter writes what it was taught.
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
			model.SetEnd(prompt.Grounded.End)
			return model
		}, nil},
		{"SmolLM2, human", func(b *testing.B) *Model { return load(b, smolNF4(b)) }, reports[3*MostTogether : 200]},
		{"1B, human", func(b *testing.B) *Model { return load(b, random1B(b)) }, reports[3*MostTogether : 200]},
		{"SmolLM2, learnt", func(b *testing.B) *Model { return load(b, smolNF4(b)) }, reports[:3*MostTogether]},
	} {
		b.Run(c.name, func(b *testing.B) {
			model := c.model(b)
			draft := func(i int, scores study.PairScores) (result *Result, err error) {
				if c.known == nil {
					return model.Generate(b.Context(), prompt.Grounded.Fill(scores), 220)
				}
				return model.Replay(b.Context(), prompt.Planned.Fill(scores), reports[i])
			}
			for _, waiting := range []int{MostTogether, 3 * MostTogether} {
				for _, way := range []string{"one after another", "together"} {
					b.Run(fmt.Sprintf("%d %s", waiting, way), func(b *testing.B) { draftAll(b, model, c.known, draft, waiting, way == "together") })
				}
			}
		})
	}
}

// draftAll measures drafts of so many studies.
func draftAll(b *testing.B, model *Model, known []string, draft func(int, study.PairScores) (*Result, error), waiting int, together bool) {
	model.Learn(slices.Repeat(known, 3)) // each often
	rng := rand.New(rand.NewPCG(5, 5))
	write := func() (tokens, passes int) {
		var all sync.WaitGroup
		results := make([]*Result, waiting)
		for i := range results {
			scores := randomScores(rng)
			all.Go(func() {
				var err error
				if results[i], err = draft(i, scores); err != nil {
					b.Error(err)
				}
			})
			if !together {
				all.Wait()
			}
		}
		all.Wait()
		if b.Failed() {
			b.FailNow()
		}
		for _, r := range results {
			tokens, passes = tokens+r.NewTokens, passes+r.Passes
		}
		return tokens, passes
	}
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
}

// random1B has the shape of Llama 3.2 1B, and SmolLM2's tokenizer.
func random1B(b *testing.B) fs.FS {
	config := &Config{
		HiddenSize: 2048, IntermediateSize: 8192, Layers: 16, Heads: 32, KVHeads: 8, HeadDim: 64, VocabSize: 128256, MaxPositions: 4096,
		NormEpsilon: 1e-5, RopeTheta: 500000, EOS: TokenIDs{2},
	}
	shape, err := json.Marshal(config)
	if err != nil {
		b.Fatal(err)
	}
	tokenizer, err := fs.ReadFile(smolNF4(b), TokenizerFile)
	if err != nil {
		b.Fatal(err)
	}
	var weights bytes.Buffer
	if err := WriteRandomNF4(config, 8, &weights); err != nil {
		b.Fatal(err)
	}
	return fstest.MapFS{ConfigFile: {Data: shape}, TokenizerFile: {Data: tokenizer}, WeightsFile: {Data: weights.Bytes()}}
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
