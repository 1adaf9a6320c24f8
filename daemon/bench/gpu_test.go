package main

import (
	"os"
	"strings"
	"testing"

	"llamaxr/inference/engine"
	"llamaxr/internal/peertest"
)

// TestCheckOfAGPU runs the check's own code where there is no GPU: XLA on the CPU stands in for it, held to the pure-Go backend, and a result
// that is out of bounds fails it. Without a GPU the command itself says so.
func TestCheckOfAGPU(t *testing.T) {
	if os.Getenv("LLAMAXR_LONG") == "" {
		t.Skip("the long form compiles three models: LLAMAXR_LONG=1")
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
	if err := r.language(t.Context(), xla, pure); err != nil {
		t.Fatal(err)
	}
	t.Logf("%+v", *r)
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
