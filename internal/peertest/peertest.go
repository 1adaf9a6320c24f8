// Package peertest finds the reference programs and the shared data that tests use as oracles. What is missing skips a test
// with a plain message on a developer's machine and fails it in CI (CI=true): a peer is never silently left out there.
package peertest

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// Root returns the folder of go.mod.
func Root(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			t.Fatal("peertest: no go.mod above the test")
		}
		dir = parent
	}
}

// NotRaced skips a test that bounds what the race detector stretches.
func NotRaced(t testing.TB, bounds string) {
	t.Helper()
	if Race {
		t.Skip("not with the race detector: it bounds " + bounds)
	}
}

// SharedData returns the path of a file or folder of the shared data set, ../shared/data beside the project.
func SharedData(t testing.TB, name string) string {
	t.Helper()
	path := filepath.Join(Root(t), "..", "shared", "data", filepath.FromSlash(name))
	if _, err := os.Stat(path); err != nil {
		missing(t, "shared data "+name)
	}
	return path
}

// Program returns the path of a reference program such as storescp or dciodvfy.
func Program(t testing.TB, name string) string {
	t.Helper()
	for _, candidate := range []string{name, "/usr/sbin/" + name} {
		if path, err := exec.LookPath(candidate); err == nil {
			return path
		}
	}
	missing(t, "program "+name)
	return ""
}

// Python returns an interpreter that has the Python oracles: $LLAMAXR_PYTHON, else .cache/venv in the project.
func Python(t testing.TB) string {
	t.Helper()
	path := os.Getenv("LLAMAXR_PYTHON")
	if path == "" {
		path = filepath.Join(Root(t), ".cache", "venv", "bin", "python")
	}
	if _, err := os.Stat(path); err != nil {
		missing(t, "Python oracles ("+path+")")
	}
	return path
}

// WordNet returns the folder of WordNet 3.0's database files, Debian's wordnet-base.
func WordNet(t testing.TB) string {
	t.Helper()
	const path = "/usr/share/wordnet"
	if _, err := os.Stat(filepath.Join(path, "data.noun")); err != nil {
		missing(t, "WordNet")
	}
	return path
}

// OrthancDICOMweb returns Orthanc's DICOMweb plugin, Debian's orthanc-dicomweb.
func OrthancDICOMweb(t testing.TB) string {
	t.Helper()
	const path = "/usr/share/orthanc/plugins/libOrthancDicomWeb.so"
	if _, err := os.Stat(path); err != nil {
		missing(t, "Orthanc's DICOMweb plugin")
	}
	return path
}

// PixelMed returns the jar of PixelMed's Java toolkit, Debian's libpixelmed-java.
func PixelMed(t testing.TB) string {
	t.Helper()
	const path = "/usr/share/java/pixelmed.jar"
	if _, err := os.Stat(path); err != nil {
		missing(t, "PixelMed's Java toolkit")
	}
	return path
}

// SmolLM2 returns the path of a real language model, SmolLM2-135M-Instruct in GGUF's Q4_1.
func SmolLM2(t testing.TB) string {
	t.Helper()
	path := filepath.Join(Root(t), ".cache", "models", "SmolLM2-135M-Instruct.Q4_1.gguf")
	if _, err := os.Stat(path); err != nil {
		missing(t, "SmolLM2-135M")
	}
	return path
}

// File returns the path of a file that `make test-setup` puts into the project.
func File(t testing.TB, name string) string {
	t.Helper()
	path := filepath.Join(Root(t), filepath.FromSlash(name))
	if _, err := os.Stat(path); err != nil {
		missing(t, name)
	}
	return path
}

func missing(t testing.TB, what string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf("%s is missing; `make test-setup` installs it", what)
	}
	t.Skipf("%s is missing; `make test-setup` installs it", what)
}
