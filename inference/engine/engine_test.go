package engine

import (
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
