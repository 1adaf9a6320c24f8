package engine

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gomlx/gomlx/core/graph"
)

// TestEnginesCompute runs one product on every engine that is there; the pure-Go one always is.
func TestEnginesCompute(t *testing.T) {
	for _, want := range []string{Go, XLACPU} {
		eng, err := Open(want)
		if err != nil {
			if want == Go {
				t.Fatal(err)
			}
			t.Skipf("%s: %v", want, err)
		}
		t.Logf("%s: %s", eng.Name, eng.Why)
		backend, err := eng.Backend()
		if err != nil {
			t.Fatal(err)
		}
		got, err := graph.CallOnce(backend, func(x, y *graph.Node) *graph.Node { return graph.MatMul(x, y) },
			[][]float32{{1, 2}}, [][]float32{{3}, {4}})
		if err != nil {
			t.Fatal(err)
		}
		if v := got.Value().([][]float32)[0][0]; v != 11 {
			t.Errorf("%s: 1*3 + 2*4 = %g", want, v)
		}
	}
}

func TestUnknownEngineIsNamed(t *testing.T) {
	if _, err := Open("tpu"); err == nil || !strings.Contains(err.Error(), `"tpu"`) {
		t.Errorf("got %v", err)
	}
}

// TestPluginsOfTheFolderThatWeAreIn: a program that is built to be installed loads no code from the folder that it is started in, where anybody may
// have put it; a test finds the project's.
func TestPluginsOfTheFolderThatWeAreIn(t *testing.T) {
	dir := t.TempDir()
	planted := filepath.Join(dir, ".cache", "xla", "planted")
	if err := os.MkdirAll(planted, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "go.mod"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Chdir(dir)
	if found := pluginFolders(false); !slices.Contains(found, planted) {
		t.Errorf("a test does not find the project's: %q", found)
	}
	for _, folder := range pluginFolders(true) {
		if !filepath.IsAbs(folder) || strings.HasPrefix(folder, dir) {
			t.Errorf("%s is searched", folder)
		}
	}
}
