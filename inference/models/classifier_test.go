package models

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"llamaxr/inference/xrv"
)

const torchFiles = "../torchfile/testdata/"

func importTorch(t *testing.T, s *Store, what Import) (*Model, error) {
	t.Helper()
	what.AcceptLicence, what.Now = "Apache-2.0", time.Unix(1, 0)
	return s.Import(context.Background(), what)
}

// TestImportClassifier: a whole module brings its labels and operating points; the same weights in the released form need a card, and
// then have the same digest for their weights; verify finds a flipped bit; an import needs an accepted licence.
func TestImportClassifier(t *testing.T) {
	s := OpenStore(t.TempDir())
	if _, err := s.Import(context.Background(), Import{From: torchFiles + "module.pt"}); !errors.Is(err, ErrLicence) {
		t.Errorf("without a licence: %v", err)
	}
	m, err := importTorch(t, s, Import{From: torchFiles + "module.pt"})
	if err != nil {
		t.Fatal(err)
	}
	nih, err := xrv.ReleasedCard("densenet121-res224-nih")
	if err != nil {
		t.Fatal(err)
	}
	for i, label := range nih.Labels {
		got, want := m.Thresholds[i], nih.Thresholds[i]
		if m.Labels[i] != label || (got == nil) != (want == nil) || got != nil && float32(*got) != float32(*want) {
			t.Errorf("output %d is %q at %v, torchxrayvision has %q at %v", i, m.Labels[i], got, label, want)
		}
	}
	if m.Kind != KindClassifier || m.InputSize != 224 {
		t.Errorf("kind %s, input %d", m.Kind, m.InputSize)
	}
	if _, err := importTorch(t, s, Import{From: torchFiles + "released.pt"}); err == nil || !strings.Contains(err.Error(), "--weights") {
		t.Errorf("weights that say nothing of their outputs: %v", err)
	}
	card := filepath.Join(t.TempDir(), "card.json")
	text, err := os.ReadFile(s.Path(m, ClassifierCard))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(card, text, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, form := range []string{"released.pt", "state.pt", "tensors.safetensors"} {
		other, err := importTorch(t, s, Import{From: torchFiles + form, Name: "other", Card: card})
		if err != nil {
			t.Errorf("%s: %v", form, err)
		} else if other.Files[ClassifierWeights] != m.Files[ClassifierWeights] {
			t.Errorf("%s: other weights than module.pt", form)
		}
	}
	if _, err := s.Use(m.Name); err != nil {
		t.Fatal(err)
	}
	if used, err := s.InUse(RoleClassifier); err != nil || used == nil || used.Name != m.Name {
		t.Errorf("in use: %v, %v", used, err)
	}
	path := s.Path(m, ClassifierWeights)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)/2] ^= 1
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.Verify(context.Background(), m, nil); !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), ClassifierWeights) {
		t.Errorf("a flipped bit: %v", err)
	}
}

// TestHostileClassifiers: nothing is installed of a file that would run code or is cut short, and the error names the file.
func TestHostileClassifiers(t *testing.T) {
	whole, err := os.ReadFile(torchFiles + "module.pt")
	if err != nil {
		t.Fatal(err)
	}
	s, folder := OpenStore(t.TempDir()), t.TempDir()
	for name, data := range map[string][]byte{
		"cut.pt":  whole[:len(whole)/2],
		"evil.pt": []byte(strings.Replace(string(whole), "ctorch.nn.modules.conv\nConv2d\n", "cos.path.to.something.x\nsystem\n", 1)),
		"text.pt": []byte("weights"),
	} {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := importTorch(t, s, Import{From: path}); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := importTorch(t, s, Import{From: torchFiles + "state.pt", Released: "densenet121-res224-all"}); err == nil || !strings.Contains(err.Error(), "densenet121") {
		t.Errorf("another architecture than the released weights': %v", err)
	}
	if all, err := s.List(); err != nil || len(all) != 0 {
		t.Errorf("installed: %v, %v", all, err)
	}
}
