// Package architecture keeps the rooms apart: it reads the import graph and fails on an arrow that points the wrong way.
package architecture

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"strings"
	"testing"

	"llamaxr/internal/peertest"
)

// allowed lists, for each room, the rooms it may import besides itself.
var allowed = map[string][]string{
	"study":     {},
	"dicomnet":  {"study"},
	"queue":     {"study"},
	"ingest":    {"study", "dicomnet", "queue"},
	"inference": {"study", "dicomnet", "queue"},
	"reporting": {"study", "dicomnet", "queue"},
	"finetune":  {"study", "dicomnet", "queue", "ingest", "inference", "reporting"},
	"daemon":    {"study", "dicomnet", "queue", "ingest", "inference", "reporting", "finetune", "systemd"},
	"systemd":   {},
	"internal":  {},
	"packaging": {"systemd"},
	"oracles":   {"study", "dicomnet", "queue", "ingest", "inference", "reporting", "finetune"},
}

// runsPrograms are the packages that may start another program; none of them is given anything that a DICOM peer says.
var runsPrograms = map[string]bool{
	"llamaxr/internal/peertest":  true, // in tests
	"llamaxr/daemon/bench":       true,
	"llamaxr/daemon/gpu":         true, // nvidia-smi
	"llamaxr/daemon/doctor":      true, // what tells how the machine is
	"llamaxr/daemon/llamaxr":     true, // `llamaxr service` sets the system's service up
	"llamaxr/daemon/trial":       true, // the appliance itself, for `llamaxr demo` and the benchmarks
	"llamaxr/packaging/packages": true, // builds the program and runs the tools that make packages
	"llamaxr/finetune/metrics":   true, // METEOR's own program, for `llamaxr evaluate`
}

// TestImportsGoOneWay: no room knows one that lies behind it. And no package starts a program with what a peer says: there is no
// --exec-on-reception here (the class of DCMTK's command injections).
func TestImportsGoOneWay(t *testing.T) {
	list := exec.Command("go", "list", "-json=ImportPath,Imports", "./...")
	list.Dir = peertest.Root(t)
	out, err := list.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	packages := json.NewDecoder(strings.NewReader(string(out)))
	for {
		var p struct {
			ImportPath string
			Imports    []string
		}
		if err := packages.Decode(&p); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			t.Fatal(err)
		}
		from := room(p.ImportPath)
		if _, known := allowed[from]; !known {
			t.Errorf("%s is in no known room", p.ImportPath)
		}
		for _, imported := range p.Imports {
			if imported == "os/exec" && !runsPrograms[p.ImportPath] {
				t.Errorf("%s starts programs", p.ImportPath)
			}
			to := room(imported)
			if to == "" || to == from || to == "internal" {
				continue
			}
			ok := false
			for _, a := range allowed[from] {
				ok = ok || a == to
			}
			if !ok {
				t.Errorf("%s imports %s: %s must not know %s", p.ImportPath, imported, from, to)
			}
		}
	}
}

// room returns the top folder of a package of this module, empty for others.
func room(importPath string) string {
	rest, ours := strings.CutPrefix(importPath, "llamaxr/")
	if !ours {
		return ""
	}
	top, _, _ := strings.Cut(rest, "/")
	return top
}
