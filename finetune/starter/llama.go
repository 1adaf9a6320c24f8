package starter

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"llamaxr/finetune/qlora"
	"llamaxr/finetune/rows"
	"llamaxr/inference/engine"
	"llamaxr/inference/llama"
	"llamaxr/inference/models"
	"llamaxr/inference/prompt"
	"llamaxr/study"
)

// LlamaOptions are the settings of one training run: the base on reports in every style, then the adapter on the final style over
// the base as NF4 gives it back.
type LlamaOptions struct {
	Seed                    uint64
	BaseSteps, AdapterSteps int
	Batch                   int
	Length, AdapterLength   int // tokens of a row; what is longer is cut
	BaseRate, AdapterRate   float64
	GroundingCases          int // measured when done, before any guard
	Out                     string
	Log                     io.Writer
}

// DefaultLlama is what `make starter` runs.
func DefaultLlama(out string, log io.Writer) LlamaOptions {
	return LlamaOptions{
		Seed: 1, BaseSteps: 1100, AdapterSteps: 800, Batch: 12, Length: 288, AdapterLength: 256, BaseRate: 1.5e-3, AdapterRate: 2e-3, GroundingCases: 300, Out: out, Log: log,
	}
}

// starterConfig is a Llama 3.1 in small: 5.3 million parameters.
func starterConfig(vocabulary int) *llama.Config {
	return &llama.Config{
		Architectures: []string{"LlamaForCausalLM"}, ModelType: "llama", HiddenSize: 256, IntermediateSize: 832, Layers: 6, Heads: 8, KVHeads: 4,
		HeadDim: 32, VocabSize: vocabulary, MaxPositions: 512, NormEpsilon: 1e-5, RopeTheta: 10000, TieWordEmbeddings: true,
	}
}

// LlamaRecord is kept beside the weights.
type LlamaRecord struct {
	Seed      uint64      `json:"seed"`
	Engine    string      `json:"engine"`
	Started   time.Time   `json:"started"`
	Seconds   float64     `json:"seconds"`
	Template  string      `json:"template"`
	Base      []LossPoint `json:"base_losses"`
	Adapter   []LossPoint `json:"adapter_losses"`
	Grounding *Grounding  `json:"grounding,omitempty"`
}

// TrainLlama trains the tokenizer, the base and the adapter, and writes both folders.
func TrainLlama(ctx context.Context, eng *engine.Engine, opts LlamaOptions) error {
	record := LlamaRecord{Seed: opts.Seed, Engine: eng.Name, Started: time.Now().UTC(), Template: prompt.Grounded.Name}
	vocabulary, err := trainVocabulary(opts.Seed)
	if err != nil {
		return err
	}
	tokenizer, err := llama.ParseTokenizer(vocabulary)
	if err != nil {
		return err
	}
	config := starterConfig((tokenizer.Size() + 15) / 16 * 16)
	fmt.Fprintf(opts.Log, "tokenizer of %d tokens\n", tokenizer.Size())
	reports := reports{tokenizer: tokenizer, opts: opts}
	base, err := qlora.Train(ctx, eng, qlora.Options{
		Config: config, Base: qlora.RandomWeights(config, opts.Seed), Steps: opts.BaseSteps, PeakRate: opts.BaseRate, Decay: 0.05,
		Seed: opts.Seed, Next: func(step int) qlora.Batch { return reports.batch(step, false) },
		Progress: opts.progress("base", opts.BaseSteps, &record.Base),
	})
	if err != nil {
		return err
	}
	var packed bytes.Buffer
	if err := llama.WriteNF4(config, base.Weights, &packed); err != nil {
		return err
	}
	folder := filepath.Join(opts.Out, models.LlamaFolder)
	configJSON, err := json.MarshalIndent(config, "", "  ")
	if err != nil {
		return fmt.Errorf("starter: %w", err)
	}
	for name, data := range map[string][]byte{"config.json": configJSON, "tokenizer.json": vocabulary, "model.safetensors": packed.Bytes()} {
		if err := writeFile(filepath.Join(folder, name), data); err != nil {
			return err
		}
	}
	return trainAdapter(ctx, eng, opts, &record)
}

// TrainAdapter trains the adapter alone, over the base that lies in the folder: what TrainLlama does last.
func TrainAdapter(ctx context.Context, eng *engine.Engine, opts LlamaOptions) error {
	text, err := os.ReadFile(filepath.Join(opts.Out, models.AdapterFolder, recordFile))
	if err != nil {
		return fmt.Errorf("starter: the base's record: %w", err)
	}
	before := LlamaRecord{}
	if err := json.Unmarshal(text, &before); err != nil {
		return fmt.Errorf("starter: %s: %w", recordFile, err)
	}
	record := LlamaRecord{Seed: opts.Seed, Engine: eng.Name, Started: time.Now().UTC(), Template: prompt.Grounded.Name, Base: before.Base}
	return trainAdapter(ctx, eng, opts, &record)
}

// recordFile lies beside the adapter.
const recordFile = "record.json"

// progress prints a run's loss now and then, and keeps it in points.
func (opts LlamaOptions) progress(name string, steps int, points *[]LossPoint) func(int, float64) {
	started, average := time.Now(), 0.0
	return func(step int, loss float64) {
		if step == 0 {
			average = loss
		}
		average = 0.95*average + 0.05*loss
		if step%25 == 0 || step == steps-1 {
			each := time.Since(started).Seconds() / float64(step+1)
			left := time.Duration(each*float64(steps-step)) * time.Second
			fmt.Fprintf(opts.Log, "%s step %4d/%d loss %.4f %.2f s/step, %s left\n", name, step, steps, average, each, left)
			*points = append(*points, LossPoint{Step: step, Loss: average})
		}
	}
}

// trainAdapter trains over the base in the folder, writes the adapter, measures it and completes the record.
func trainAdapter(ctx context.Context, eng *engine.Engine, opts LlamaOptions, record *LlamaRecord) error {
	folder := filepath.Join(opts.Out, models.LlamaFolder)
	read := map[string][]byte{}
	for _, name := range []string{llama.ConfigFile, llama.TokenizerFile, llama.WeightsFile} {
		data, err := os.ReadFile(filepath.Join(folder, name))
		if err != nil {
			return fmt.Errorf("starter: %w", err)
		}
		read[name] = data
	}
	config, err := llama.ParseConfig(read[llama.ConfigFile])
	if err != nil {
		return err
	}
	tokenizer, err := llama.ParseTokenizer(read[llama.TokenizerFile])
	if err != nil {
		return err
	}
	reports := reports{tokenizer: tokenizer, opts: opts}
	frozen, err := llama.ReadWeights(config, read[llama.WeightsFile])
	if err != nil {
		return err
	}
	tuned, err := qlora.Train(ctx, eng, qlora.Options{
		Config: config, Base: frozen, Rank: 16, Alpha: 16, Steps: opts.AdapterSteps, PeakRate: opts.AdapterRate,
		Seed: opts.Seed, Next: func(step int) qlora.Batch { return reports.batch(step, true) },
		Progress: opts.progress("adapter", opts.AdapterSteps, &record.Adapter),
	})
	if err != nil {
		return err
	}
	adapterJSON, adapterData, err := llama.WriteAdapter(config, tuned.Adapter, "llamaxr-starter")
	if err != nil {
		return err
	}
	folder = filepath.Join(opts.Out, models.AdapterFolder)
	if err := writeFile(filepath.Join(folder, "adapter_config.json"), adapterJSON); err != nil {
		return err
	}
	if err := writeFile(filepath.Join(folder, "adapter_model.safetensors"), adapterData); err != nil {
		return err
	}
	record.Seconds = time.Since(record.Started).Seconds()
	model, err := llama.Load(eng, os.DirFS(filepath.Join(opts.Out, models.LlamaFolder)))
	if err != nil {
		return err
	}
	if err := model.SetAdapter(os.DirFS(folder)); err != nil {
		return err
	}
	unseen := rand.New(rand.NewPCG(heldOutFirst, 23))
	vectors := make([]study.PairScores, opts.GroundingCases)
	for i := range vectors {
		vectors[i] = RandomScores(unseen)
	}
	record.Grounding, err = GroundingOf(vectors, unseen, func(scores study.PairScores) (string, error) {
		result, err := model.Generate(ctx, prompt.Grounded.Fill(scores), MaxReportTokens)
		if err != nil {
			return "", err
		}
		return result.Text, nil
	})
	if err != nil {
		return err
	}
	fmt.Fprintf(opts.Log, "grounding: %s\n", record.Grounding)
	text, err := json.MarshalIndent(record, "", " ")
	if err != nil {
		return fmt.Errorf("starter: %w", err)
	}
	manifest, err := json.Marshal(llama.AdapterManifest{Template: prompt.Grounded.Name})
	if err != nil {
		return fmt.Errorf("starter: %w", err)
	}
	if err := writeFile(filepath.Join(folder, llama.AdapterManifestFile), append(manifest, '\n')); err != nil {
		return err
	}
	return writeFile(filepath.Join(folder, recordFile), append(text, '\n'))
}

// trainVocabulary learns BPE on prompts and reports; the constant head and tail of the prompt are one token each.
func trainVocabulary(seed uint64) ([]byte, error) {
	rng := rand.New(rand.NewPCG(seed, 11))
	var corpus []string
	for range 1500 {
		scores := RandomScores(rng)
		filled := prompt.Grounded.Fill(scores)
		corpus = append(corpus, filled[len(prompt.Grounded.Head):len(filled)-len(prompt.Grounded.Tail)], Report(scores, randomStyle(rng)))
	}
	added := []string{prompt.Grounded.Head, prompt.Grounded.Tail}
	for _, f := range study.Findings() {
		added = append(added, f.String()+":")
	}
	return llama.TrainTokenizer(corpus, added, 420)
}

// reports makes training batches.
type reports struct {
	tokenizer *llama.Tokenizer
	opts      LlamaOptions
}

// batch makes the rows of one step. Rows of the final stage come in pairs that differ in one finding's scores, so that what the loss
// asks of a pair is that one statement changes and no other.
func (r reports) batch(step int, final bool) qlora.Batch {
	stream, length := uint64(13), r.opts.Length
	if final {
		stream, length = 17, r.opts.AdapterLength
	}
	rng := rand.New(rand.NewPCG(r.opts.Seed<<32|uint64(step), stream))
	var list []rows.Row
	var scores study.PairScores
	for row := range r.opts.Batch {
		pick := randomStyle(rng)
		switch {
		case !final:
			scores = RandomScores(rng)
		case row%2 == 0:
			scores, pick = RandomScores(rng), finalStyle
		default:
			scores, pick = Flip(scores, study.Finding(rng.IntN(study.NumFindings)), rng), finalStyle
		}
		list = append(list, rows.Make(r.tokenizer, prompt.Grounded.Fill(scores), Report(scores, pick), rows.Grounded))
	}
	return rows.Batch(list, length, r.tokenizer.EOS)
}
