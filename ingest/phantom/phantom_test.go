package phantom

import (
	"bytes"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"

	"llamaxr/internal/peertest"
	"llamaxr/study"
)

// TestObjectsAreValid: dciodvfy finds no error in any vendor's habit.
func TestObjectsAreValid(t *testing.T) {
	dciodvfy := peertest.Program(t, "dciodvfy")
	for _, h := range Habits() {
		h.Size = 64
		paths, err := New(5, study.Effusion).WriteDICOM(t.TempDir(), h)
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range paths {
			out, _ := exec.Command(dciodvfy, path).CombinedOutput()
			for line := range strings.Lines(string(out)) {
				if strings.HasPrefix(line, "Error") {
					t.Errorf("%s: %s", h.Name, strings.TrimSpace(line))
				}
			}
		}
	}
}

// TestSameSeedSameCase: a seed gives the same objects, byte for byte.
func TestSameSeedSameCase(t *testing.T) {
	h := Habits()[0]
	h.Size = 64
	encode := func() []byte {
		paths, err := NewRandom(9).WriteDICOM(t.TempDir(), h)
		if err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(paths[0])
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	if !bytes.Equal(encode(), encode()) {
		t.Error("the same seed gives other bytes")
	}
}

// TestFindingsAreVisible: drawing a finding changes at least one view where it lies, and a normal case has none.
func TestFindingsAreVisible(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	if got := New(3).Truth(); len(got) != 0 {
		t.Errorf("a normal case has %v", got)
	}
	for _, f := range study.Findings() {
		seed := rng.Uint64N(1000)
		with, without := New(seed, f), New(seed)
		changed := 0
		for _, view := range []study.Projection{study.Frontal, study.Lateral} {
			a, b := with.Project(view, study.InputSize), without.Project(view, study.InputSize)
			for i := range a.Pixels {
				if d := a.Pixels[i] - b.Pixels[i]; d > 0.025 || d < -0.025 {
					changed++
				}
			}
		}
		if changed < 15 {
			t.Errorf("%s changes only %d pixels", f, changed)
		}
		if len(with.Lesions) == 0 || !with.Labels[f] {
			t.Errorf("%s has no lesion or label", f)
		}
	}
}
