package models

import (
	"strings"
	"testing"
	"testing/fstest"
)

func TestStarterBundleMatchesItsManifest(t *testing.T) {
	bundle, err := Starter()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{DenseNetWeights, DenseNetCard, LlamaFolder + "/model.safetensors", AdapterFolder + "/adapter_model.safetensors"} {
		if len(bundle.Digest(name)) != 64 || bundle.Manifest.Files[name] == "" {
			t.Errorf("%s is not in the manifest", name)
		}
	}
}

// TestStarterIsVerifiedOnce: a page asks for the starter's digests; digesting all of it each time would be most of what the page costs.
func TestStarterIsVerifiedOnce(t *testing.T) {
	first, err := Starter()
	if again, second := Starter(); err != nil || second != nil || again != first {
		t.Errorf("%p and %p, %v, %v", first, again, err, second)
	}
}

func TestOneFlippedBitIsFound(t *testing.T) {
	files := fstest.MapFS{"weights.bin": {Data: []byte("weights")}}
	text, err := WriteManifest(files, Manifest{Name: "test"})
	if err != nil {
		t.Fatal(err)
	}
	files[ManifestFile] = &fstest.MapFile{Data: text}
	if _, err := open(files, false); err != nil {
		t.Fatalf("an untouched bundle is refused: %v", err)
	}
	files["weights.bin"].Data[3] ^= 1
	if _, err := open(files, false); err == nil || !strings.Contains(err.Error(), "weights.bin") {
		t.Errorf("a flipped bit gives %v, want an error that names the file", err)
	}
}
