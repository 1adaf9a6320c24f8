package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"llamaxr/inference/llama"
	"llamaxr/internal/peertest"
	"llamaxr/study"
)

// command runs the program's command line in this process.
func command(t *testing.T, args ...string) (stdout string, err error) {
	t.Helper()
	root := newRoot()
	var out, faults bytes.Buffer
	root.SetOut(&out)
	root.SetErr(&faults)
	root.SetArgs(args)
	err = root.ExecuteContext(t.Context())
	return out.String(), err
}

func mustRun(t *testing.T, args ...string) string {
	t.Helper()
	out, err := command(t, args...)
	if err != nil {
		t.Fatalf("llamaxr %s: %v", strings.Join(args, " "), err)
	}
	return out
}

// tinyModel is a folder as transformers saved it, whose tokenizer is ours.
func tinyModel(t *testing.T) string {
	t.Helper()
	folder := filepath.Join(t.TempDir(), "Tiny Llama")
	if err := os.CopyFS(folder, os.DirFS(filepath.Join(peertest.Root(t), "inference", "llama", "testdata", "families", "llama32"))); err != nil {
		t.Fatal(err)
	}
	tokenizer, err := llama.TrainTokenizer([]string{"No effusion."}, nil, 20)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, llama.TokenizerFile), tokenizer, 0o600); err != nil {
		t.Fatal(err)
	}
	return folder
}

func scoresFile(t *testing.T) string {
	t.Helper()
	view := map[string]float64{}
	for _, f := range study.Findings() {
		view[f.String()] = 0.1
	}
	view["Effusion"] = 0.82
	text, err := json.Marshal(map[string]any{"frontal": view, "lateral": nil})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "scores.json")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// draftWith drafts from scores and returns the language model's name and digest, and the text.
func draftWith(t *testing.T, state, engine string) (name, digest, text string) {
	t.Helper()
	var draft struct {
		Text   string
		Models []study.ModelCard
	}
	if err := json.Unmarshal([]byte(mustRun(t, "draft", "--scores", scoresFile(t), "--state", state, "--engine", engine, "--json")), &draft); err != nil {
		t.Fatal(err)
	}
	for _, m := range draft.Models {
		if m.Role == "language model" {
			name, digest = m.Name, m.Digest
		}
	}
	return name, digest, draft.Text
}

// TestModelsCommands goes the way of docs/MODELS.md: import, list, verify, use, draft, an adapter, and back.
func TestModelsCommands(t *testing.T) {
	state, folder := t.TempDir(), tinyModel(t)
	if _, err := command(t, "models", "import", folder, "--state", state); err == nil || !strings.Contains(err.Error(), "--accept-licence") {
		t.Errorf("without a licence: %v", err)
	}
	var usage usageError
	if _, err := command(t, "models", "import", "--state", state); !errors.As(err, &usage) {
		t.Errorf("without a folder: %v, want wrong usage", err)
	}
	var m struct {
		Name, Digest string
		Files        map[string]struct{ SHA256 string }
	}
	if err := json.Unmarshal([]byte(mustRun(t, "models", "import", folder, "--accept-licence", "test", "--state", state, "--json")), &m); err != nil {
		t.Fatal(err)
	}
	if m.Name != "tiny-llama" || len(m.Digest) != 64 || len(m.Files) != 3 {
		t.Errorf("%+v", m)
	}
	if out := mustRun(t, "models", "verify", "--state", state); !strings.Contains(out, "tiny-llama: whole") {
		t.Errorf("verify says %q", out)
	}
	if name, _, _ := draftWith(t, state, "go"); name != "llamaxr-starter-llama" {
		t.Errorf("before `use` %s writes", name)
	}
	mustRun(t, "models", "use", "tiny-llama", "--state", state)
	name, digest, text := draftWith(t, state, "go")
	if name != m.Name || digest != m.Digest || !strings.Contains(text, "effusion") {
		t.Errorf("%s %s wrote %q, want %s %s", name, digest, text, m.Name, m.Digest)
	}
	peft := filepath.Join(peertest.Root(t), "inference", "llama", "testdata", "tiny", "adapter")
	mustRun(t, "adapter", "import", peft, "--base", "tiny-llama", "--name", "reports", "--state", state)
	mustRun(t, "adapter", "use", "reports", "--state", state)
	if out := mustRun(t, "adapter", "list", "--state", state); !strings.Contains(out, "reports") || strings.Contains(out, "tiny-llama ") {
		t.Errorf("adapter list says\n%s", out)
	}
	if _, err := command(t, "models", "rm", "tiny-llama", "--state", state); err == nil {
		t.Error("the model in use is removed")
	}
	mustRun(t, "models", "use", "starter", "--state", state)
	mustRun(t, "models", "rm", "reports", "--state", state)
	mustRun(t, "models", "rm", "tiny-llama", "--state", state)
	if out := mustRun(t, "models", "list", "--state", state, "--json"); strings.TrimSpace(out) != "[]" {
		t.Errorf("at the end there is %s", out)
	}
}

// TestAMistypedStateUsesNoAdapter: a folder in which nothing ever was is told, and not made.
func TestAMistypedStateUsesNoAdapter(t *testing.T) {
	state := filepath.Join(t.TempDir(), "mistyped")
	for _, args := range [][]string{{"use", "starter"}, {"rollback"}} {
		if out, err := command(t, append(append([]string{"adapter"}, args...), "--state", state)...); err == nil {
			t.Errorf("%v: %q", args, out)
		}
	}
	if _, err := os.Stat(state); err == nil {
		t.Error("the folder was made")
	}
}

// TestDamagedModelDraftsNothing: a bit that turned on disk keeps a model from being loaded.
func TestDamagedModelDraftsNothing(t *testing.T) {
	state := t.TempDir()
	mustRun(t, "models", "import", tinyModel(t), "--name", "tiny", "--accept-licence", "test", "--state", state)
	mustRun(t, "models", "use", "tiny", "--state", state)
	blobs, err := filepath.Glob(filepath.Join(state, "models", "blobs", "*"))
	if err != nil {
		t.Fatal(err)
	}
	largest, size := "", int64(0)
	for _, path := range blobs {
		if info, err := os.Stat(path); err == nil && info.Size() > size {
			largest, size = path, info.Size()
		}
	}
	data, err := os.ReadFile(largest)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)/2] ^= 4
	if err := errors.Join(os.Chmod(largest, 0o600), os.WriteFile(largest, data, 0o600)); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"models", "verify", "--state", state}, {"draft", "--scores", scoresFile(t), "--state", state, "--engine", "go"}} {
		if _, err := command(t, args...); err == nil || !strings.Contains(err.Error(), "model.safetensors") {
			t.Errorf("llamaxr %s: %v, want an error that names the file", args[0], err)
		}
	}
}

// TestRealModelDrafts imports SmolLM2-135M from GGUF and lets it write.
func TestRealModelDrafts(t *testing.T) {
	path := peertest.SmolLM2(t)
	if os.Getenv("LLAMAXR_LONG") == "" {
		t.Skip("set LLAMAXR_LONG=1: a real model needs half a minute")
	}
	state := t.TempDir()
	mustRun(t, "models", "import", path, "--name", "smollm2", "--accept-licence", "apache-2.0", "--state", state)
	mustRun(t, "models", "use", "smollm2", "--state", state)
	name, _, text := draftWith(t, state, "auto")
	if name != "smollm2" || !strings.Contains(strings.ToLower(text), "effusion") {
		t.Errorf("%s wrote %q", name, text)
	}
	t.Log(text)
}
