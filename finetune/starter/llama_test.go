package starter

import (
	"io"
	"os"
	"path/filepath"
	"testing"

	"llamaxr/inference/engine"
	"llamaxr/inference/llama"
	"llamaxr/inference/models"
)

// TestTrainingLeavesAUsableModel runs both stages for a few steps and loads what they leave: tokenizer, NF4 base and adapter fit.
func TestTrainingLeavesAUsableModel(t *testing.T) {
	eng, err := engine.Open(engine.Auto)
	if err != nil {
		t.Fatal(err)
	}
	if eng.Name == engine.Go {
		t.Skip("training on the pure-Go backend takes minutes; XLA is not there")
	}
	out := os.Getenv("LLAMAXR_KEEP")
	if out == "" {
		out = t.TempDir()
	}
	opts := DefaultLlama(out, io.Discard)
	opts.BaseSteps, opts.AdapterSteps, opts.Batch, opts.GroundingCases = 2, 2, 2, 1
	if err := TrainLlama(t.Context(), eng, opts); err != nil {
		t.Fatal(err)
	}
	model, err := llama.Load(eng, os.DirFS(filepath.Join(out, models.LlamaFolder)))
	if err != nil {
		t.Fatal(err)
	}
	if err := model.SetAdapter(os.DirFS(filepath.Join(out, models.AdapterFolder))); err != nil {
		t.Fatal(err)
	}
	result, err := model.Generate(t.Context(), "FINDINGS:", 5)
	if err != nil || result.NewTokens == 0 {
		t.Errorf("generated %+v, %v", result, err)
	}
}
