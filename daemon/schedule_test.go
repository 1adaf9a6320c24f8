package daemon

import (
	"maps"
	"os"
	"path/filepath"
	"testing"
)

// TestLastLearnt: what is new is counted from the newest run that has begun, and a run that wrote nothing yet is none.
func TestLastLearnt(t *testing.T) {
	root := t.TempDir()
	if got, err := lastLearnt(filepath.Join(root, "none")); err != nil || len(got) != 0 {
		t.Errorf("without a run: %v, %v", got, err)
	}
	for run, text := range map[string]string{"20260101-010000": `["a"]`, "20260102-010000": `["a", "b"]`, "20260103-010000": ""} {
		if err := os.MkdirAll(filepath.Join(root, run), 0o700); err != nil {
			t.Fatal(err)
		}
		if text == "" {
			continue
		}
		if err := os.WriteFile(filepath.Join(root, run, correctionsFile), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got, err := lastLearnt(root)
	if err != nil || !maps.Equal(got, map[string]bool{"a": true, "b": true}) {
		t.Errorf("%v, %v", got, err)
	}
}
