package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"llamaxr/inference/engine"
	"llamaxr/internal/peertest"
)

// TestCheckOfAGPU runs the check's own code where there is no GPU: XLA on the CPU stands in for it, held to the pure-Go backend, and a result
// that is out of bounds fails it. Without a GPU the command itself says so.
func TestCheckOfAGPU(t *testing.T) {
	if os.Getenv("LLAMAXR_LONG") == "" {
		t.Skip("the long form compiles five graphs: LLAMAXR_LONG=1")
	}
	t.Chdir(peertest.Root(t))
	xla, err := engine.Open(engine.XLACPU)
	if err != nil {
		t.Fatal(err)
	}
	pure, err := engine.Open(engine.Go)
	if err != nil {
		t.Fatal(err)
	}
	r := &onGPU{CPU: pure.Name}
	if err := r.studies(t.Context(), xla, pure); err != nil {
		t.Fatal(err)
	}
	if r.Bandwidth, err = bandwidth(xla, 1<<26); err != nil {
		t.Fatal(err)
	}
	if err := r.language(t.Context(), comparedModels[0], filepath.Join(t.TempDir(), "model"), xla, pure); err != nil {
		t.Fatal(err)
	}
	t.Logf("%s", r.section())
	if o := r.Language[0]; o.share(r.Bandwidth) <= 0 || o.share(r.Bandwidth) > 1 || o.Read != o.Bytes {
		t.Errorf("a token reads %d of %d bytes, %.2g of what the device can", o.Read, o.Bytes, o.share(r.Bandwidth))
	}
	if err := r.verdict(); err != nil {
		t.Error(err)
	}
	r.Logits = 2 * logitTolerance
	if err := r.verdict(); err == nil || !strings.Contains(err.Error(), "not the CPU's") {
		t.Errorf("logits out of bounds: %v", err)
	}
	if _, err := engine.Open(engine.XLACUDA); err == nil {
		return
	}
	if _, err := checkGPU(t.Context(), options{}); err == nil || !strings.Contains(err.Error(), "no GPU") {
		t.Errorf("without a GPU: %v", err)
	}
}
