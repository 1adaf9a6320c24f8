package tune

import (
	"context"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"llamaxr/finetune/qlora"
	"llamaxr/finetune/starter"
	"llamaxr/inference/engine"
	"llamaxr/inference/llama"
	"llamaxr/inference/models"
	"llamaxr/inference/prompt"
)

// starterFolder is a folder of the starter bundle.
func starterFolder(t testing.TB, name string) fs.FS {
	t.Helper()
	bundle, err := models.Starter()
	if err != nil {
		t.Fatal(err)
	}
	files, err := fs.Sub(bundle.Files, name)
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// starterRun is a run of a preset on the starter's model, with reports of one habit.
func starterRun(t testing.TB, eng *engine.Engine, p Preset, reports int) (r *run, list []example) {
	t.Helper()
	p.Composed = 0
	r = &run{eng: eng, record: new(Record), opts: Options{
		Folder: t.TempDir(), Preset: p, Seed: 1, Base: starterFolder(t, models.LlamaFolder), Adapter: starterFolder(t, models.AdapterFolder), Template: prompt.Grounded,
		GateVectors: 1, Now: time.Now, Yield: func(context.Context) error { return nil },
	}}
	if err := r.load(); err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(12, 12))
	for range reports {
		scores := starter.RandomScores(rng)
		list = append(list, example{scores, habit(starter.FinalReport(scores))})
	}
	return r, list
}

// trained has a run learn from its reports, the last of them held out, and write what it learnt.
func trained(t testing.TB, r *run, list []example, heldOut int) *qlora.Result {
	t.Helper()
	at := len(list) - heldOut
	learnt, err := r.train(t.Context(), list[:at], list[at:])
	if err == nil {
		err = r.write(learnt)
	}
	if err != nil {
		t.Fatal(err)
	}
	return learnt
}

// BenchmarkMethods trains the starter's model anew, without the adapter in use, for as many steps by each method: the loss that is left, what
// trains and what is kept.
func BenchmarkMethods(b *testing.B) {
	eng, err := engine.Open(engine.Auto)
	if err != nil {
		b.Fatal(err)
	}
	for _, p := range []Preset{Site, SitePrefix, SiteFull} {
		b.Run(p.Name, func(b *testing.B) {
			for b.Loop() {
				p.Continue, p.MaxSteps, p.Epochs, p.Patience = false, 40, 100, 0
				r, list := starterRun(b, eng, p, 120)
				learnt := trained(b, r, list, 20)
				size := int64(0)
				for _, name := range []string{AdapterFolder, ModelFolder} {
					if info, err := os.Stat(filepath.Join(r.opts.Folder, name, llama.WeightsFile)); err == nil {
						size += info.Size()
					}
					if info, err := os.Stat(filepath.Join(r.opts.Folder, name, llama.AdapterWeightsFile)); err == nil {
						size += info.Size()
					}
				}
				b.ReportMetric(learnt.BestLoss, "loss")
				b.ReportMetric(float64(qlora.Trainable(r.config, p.Rank, p.Prefix)), "trainable")
				b.ReportMetric(float64(size)/1e6, "MB")
			}
		})
	}
}

// TestWholeModelBeginsAsWhatDrafts: preset full starts from the base with the adapter in use merged into it, and leaves a model's folder whose
// reports, where nothing was learnt, are those of the two; the gate judges it, and the registry takes it.
func TestWholeModelBeginsAsWhatDrafts(t *testing.T) {
	eng, err := engine.Open(engine.Auto)
	if err != nil {
		t.Fatal(err)
	}
	p := SiteFull
	p.Batch, p.MaxSteps, p.PeakRate = 1, 1, 0
	r, list := starterRun(t, eng, p, 3)
	learnt := trained(t, r, list, 1)
	if r.record.Model != filepath.Join(r.opts.Folder, ModelFolder) || learnt.Adapter != nil {
		t.Errorf("model in %q, adapter %v", r.record.Model, learnt.Adapter)
	}
	verdict, err := r.judge(t.Context(), list[:1])
	if err != nil {
		t.Fatal(err)
	}
	if !verdict.Pass {
		t.Errorf("the gate: %s", verdict.Why)
	}
	whole, err := llama.Load(eng, os.DirFS(r.record.Model))
	if err != nil {
		t.Fatal(err)
	}
	_, err = models.OpenStore(t.TempDir()).Import(t.Context(), models.Import{
		From: r.record.Model, Name: "whole", Precision: llama.Full, AcceptLicence: "the base's", Now: time.Now(),
	})
	if err != nil {
		t.Error(err)
	}
	before, err := r.modelInUse()
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list {
		want, err := r.generate(t.Context(), before, e.scores)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := r.generate(t.Context(), whole, e.scores); err != nil || got != want {
			t.Errorf("%q (%v), want %q", got, err, want)
		}
	}
}

// TestPrefixRun: preset prefix starts a new prefix where LoRA is in use, leaves it as a PEFT folder that drafts can be written with, and goes
// on from it when it is in use.
func TestPrefixRun(t *testing.T) {
	eng, err := engine.Open(engine.Auto)
	if err != nil {
		t.Fatal(err)
	}
	p := SitePrefix
	p.Batch, p.MaxSteps = 1, 1
	r, list := starterRun(t, eng, p, 3)
	trained(t, r, list, 1)
	if _, err := r.judge(t.Context(), list[:1]); err != nil || r.record.Model != "" {
		t.Errorf("model in %q: %v", r.record.Model, err)
	}
	p.PeakRate = 0
	again, _ := starterRun(t, eng, p, 0)
	again.opts.Adapter = os.DirFS(filepath.Join(r.opts.Folder, AdapterFolder))
	inUse, err := again.adapterInUse()
	if err != nil || inUse.Prefix.Tokens != p.Prefix {
		t.Fatalf("the prefix in use: %v", err)
	}
	next, err := again.train(t.Context(), list[:2], list[2:])
	if err != nil || !slices.Equal(next.Adapter.Prefix.Values, inUse.Prefix.Values) {
		t.Errorf("a run that learns nothing changed the prefix in use: %v", err)
	}
}

// TestLargeModelsDoNotTrainWhole: preset full is refused for them, with their size; the others are not.
func TestLargeModelsDoNotTrainWhole(t *testing.T) {
	base := fstest.MapFS{llama.ConfigFile: {Data: []byte(`{"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 2048,
		"intermediate_size": 8192, "num_hidden_layers": 16, "num_attention_heads": 32, "num_key_value_heads": 8, "vocab_size": 128256,
		"max_position_embeddings": 4096, "rms_norm_eps": 1e-05, "rope_theta": 500000.0, "tie_word_embeddings": true}`)}}
	for _, p := range Presets {
		err := p.Check(base)
		if refused := p.Name == SiteFull.Name; refused != (err != nil) {
			t.Errorf("%s: %v", p.Name, err)
		}
		if err != nil && !strings.Contains(err.Error(), "this one has 1235") {
			t.Errorf("%s: %v", p.Name, err)
		}
	}
}
