package llama

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"llamaxr/inference/engine"
	"llamaxr/inference/prompt"
	"llamaxr/study"
)

// randomFiles is a random model in the starter's shape, packed.
func randomFiles(t testing.TB, layers, positions int) fs.FS {
	t.Helper()
	tokenizer, err := TrainTokenizer([]string{"No effusion."}, nil, 20)
	if err != nil {
		t.Fatal(err)
	}
	config := &Config{
		HiddenSize: 256, IntermediateSize: 832, Layers: layers, Heads: 8, KVHeads: 4, HeadDim: 32, VocabSize: 656, MaxPositions: positions,
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
		t.Fatal(err)
	}
	var packed bytes.Buffer
	if err := WriteNF4(config, weights, &packed); err != nil {
		t.Fatal(err)
	}
	return fstest.MapFS{"config.json": {Data: shape}, "tokenizer.json": {Data: tokenizer}, "model.safetensors": {Data: packed.Bytes()}}
}

// BenchmarkGenerate writes 100 tokens after a prompt of about 110 with a random model in the starter's shape, on each engine.
func BenchmarkGenerate(b *testing.B) {
	files := randomFiles(b, 6, 512)
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

// BenchmarkTogether drafts studies that wait, one, two and four at once: by the starter as it writes, and by SmolLM2-135M and random models reports
// of people, of which speculation knows 188 others, or just these, as where an adapter writes what it was taught. A wait is until a draft is there.
func BenchmarkTogether(b *testing.B) {
	const most = 12
	reports := sharedReports(b)
	others := reports[most:200]
	smol := func(b *testing.B) fs.FS { return smolNF4(b) }
	shaped := func(c Config) func(*testing.B) fs.FS { return func(b *testing.B) fs.FS { return randomModel(b, &c) } }
	for _, c := range []struct {
		name  string
		files func(*testing.B) fs.FS
		known []string
		waits []int
	}{
		{"starter", func(*testing.B) fs.FS { return os.DirFS("../models/starter/llama") }, nil, []int{4, 12}},
		{"SmolLM2 human", smol, others, []int{2, 4, 12}},
		{"SmolLM2 learnt", smol, reports[:most], []int{2, 4, 12}},
		{"1B human", shaped(Config{HiddenSize: 2048, IntermediateSize: 8192, Layers: 16, HeadDim: 64}), others, []int{4, 12}},
		{"8B human", shaped(Config{HiddenSize: 4096, IntermediateSize: 14336, Layers: 32, HeadDim: 128}), others, []int{4, 8}},
	} {
		b.Run(c.name, func(b *testing.B) {
			eng, err := engine.Open(engine.Go)
			if err != nil {
				b.Fatal(err)
			}
			model, err := LoadAs(eng, c.files(b), NativeInt16)
			if err != nil {
				b.Fatal(err)
			}
			draft := func(i int, scores study.PairScores) (*Result, error) {
				return model.Replay(b.Context(), prompt.Planned.Fill(scores), reports[i])
			}
			if c.known == nil {
				if err := model.SetAdapter(os.DirFS("../models/starter/adapter")); err != nil {
					b.Fatal(err)
				}
				model.SetEnd(prompt.Grounded.End)
				draft = func(_ int, scores study.PairScores) (*Result, error) {
					return model.Generate(b.Context(), prompt.Grounded.Fill(scores), 220)
				}
			}
			for _, waiting := range c.waits {
				for _, atOnce := range []int{1, 2, MostTogether} {
					b.Run(fmt.Sprintf("%d waiting %d at once", waiting, atOnce), func(b *testing.B) {
						model.places, model.slots = make(chan struct{}, atOnce), make([]slot, MostTogether) // nothing is kept
						model.Learn(slices.Repeat(c.known, 3))                                              // each often
						draftAll(b, draft, waiting)
					})
				}
			}
		})
	}
}

// draftAll measures drafts of so many studies.
func draftAll(b *testing.B, draft func(int, study.PairScores) (*Result, error), waiting int) {
	rng := rand.New(rand.NewPCG(5, 5))
	if _, err := draft(0, randomScores(rng)); err != nil { // the heads of prompts are kept, the starter has a text to guess from
		b.Fatal(err)
	}
	var tokens, passes int
	var waited time.Duration
	for b.Loop() {
		var all sync.WaitGroup
		var mu sync.Mutex
		began := time.Now()
		for i := range waiting {
			scores := randomScores(rng)
			all.Go(func() {
				result, err := draft(i, scores)
				if err != nil {
					b.Error(err)
					return
				}
				mu.Lock()
				defer mu.Unlock()
				tokens, passes, waited = tokens+result.NewTokens, passes+result.Passes, waited+time.Since(began)
			})
		}
		all.Wait()
	}
	drafts := float64(waiting * b.N)
	b.ReportMetric(drafts/b.Elapsed().Minutes(), "drafts/min")
	b.ReportMetric(waited.Seconds()/drafts, "wait-s")
	b.ReportMetric(float64(tokens)/drafts, "tokens")
	b.ReportMetric(float64(tokens)/float64(passes), "tokens/pass")
	if status, err := os.ReadFile("/proc/self/status"); err == nil {
		var kb float64
		_, peak, _ := strings.Cut(string(status), "VmHWM:")
		if _, err := fmt.Sscan(peak, &kb); err == nil {
			b.ReportMetric(kb/1024, "peak-MB")
		}
	}
}

// randomModel has the shape of a Llama 3 in a folder, and SmolLM2's tokenizer.
func randomModel(b *testing.B, config *Config) fs.FS {
	config.Heads, config.KVHeads, config.VocabSize, config.MaxPositions = 32, 8, 128256, 4096
	config.NormEpsilon, config.RopeTheta, config.EOS = 1e-5, 500000, TokenIDs{2}
	shape, err := json.Marshal(config)
	if err != nil {
		b.Fatal(err)
	}
	tokenizer, err := fs.ReadFile(smolNF4(b), TokenizerFile)
	if err != nil {
		b.Fatal(err)
	}
	folder := b.TempDir()
	weights, err := os.Create(filepath.Join(folder, WeightsFile))
	if err != nil {
		b.Fatal(err)
	}
	defer weights.Close()
	if err := WriteRandomNF4(config, 8, weights); err != nil {
		b.Fatal(err)
	}
	for name, data := range map[string][]byte{ConfigFile: shape, TokenizerFile: tokenizer} {
		if err := os.WriteFile(filepath.Join(folder, name), data, 0o600); err != nil {
			b.Fatal(err)
		}
	}
	return os.DirFS(folder)
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
