package starter

import (
	"context"
	"io/fs"
	"os"
	"testing"

	"llamaxr/inference/engine"
	"llamaxr/inference/llama"
	"llamaxr/inference/models"
	"llamaxr/inference/prompt"
)

// The promise of the starter bundle, kept by the long form (LLAMAXR_LONG=1, 300 vectors). A few vectors measure coarsely, so the
// short form only catches a model that does not follow its scores.
const (
	promisedGrounding = 0.95
	shortGrounding    = 0.85
	// shippedSpecificity is what the bundle of version 1 is held to: it leaves the other statements alone in more than four of
	// five single changes, short of the promise, to which the long form holds it. The guard mends the rest before delivery.
	shippedSpecificity = 0.6
	shortVectors       = 25
	shortVectorsGo     = 8
	longVectors        = 300
)

// TestGrounding: what the shipped model itself writes, before any guard, says what is scored; one label's scores change that
// label's statement and no other.
func TestGrounding(t *testing.T) {
	eng, err := engine.Open(engine.Auto)
	if err != nil {
		t.Fatal(err)
	}
	bundle, err := models.Starter()
	if err != nil {
		t.Fatal(err)
	}
	folder := func(name string) fs.FS {
		files, err := fs.Sub(bundle.Files, name)
		if err != nil {
			t.Fatal(err)
		}
		return files
	}
	model, err := llama.Load(eng, folder(models.LlamaFolder))
	if err != nil {
		t.Fatal(err)
	}
	if err := model.SetAdapter(folder(models.AdapterFolder)); err != nil {
		t.Fatal(err)
	}
	manifest, err := llama.ReadAdapterManifest(folder(models.AdapterFolder))
	if err != nil {
		t.Fatal(err)
	}
	template, err := prompt.ByName(manifest.Template)
	if err != nil {
		t.Fatal(err)
	}
	cases, want, specificity := shortVectors, shortGrounding, shippedSpecificity
	if eng.Name == engine.Go {
		cases = shortVectorsGo
	}
	if os.Getenv("LLAMAXR_LONG") != "" {
		cases, want, specificity = longVectors, promisedGrounding, promisedGrounding
	}
	g, err := MeasureGrounding(context.Background(), model, template, cases, heldOutFirst+1)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%s: %s", eng.Name, g)
	if g.MacroF1 < want || g.Sensitivity < want || g.Specificity < specificity {
		t.Errorf("want at least %.2f, %.2f and %.2f", want, want, specificity)
	}
}
