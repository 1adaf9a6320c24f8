package engine

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"sync"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/gobackend"
)

// What can be asked for.
const (
	Auto    = "auto"
	XLA     = "xla"
	XLACUDA = "xla:cuda"
	XLACPU  = "xla:cpu"
	Go      = "go"
)

// pluginPaths is the variable in which go-xla looks for PJRT plugins, a list of folders.
const pluginPaths = "PJRT_PLUGIN_LIBRARY_PATH"

// Engine compiles graphs.
type Engine struct {
	Name string // "xla:cuda", "xla:cpu" or "go"
	Why  string // for the log: what was found, or what was missing

	backend func() (compute.Backend, error)
}

// Backend is what computes. XLA for a CPU is loaded by the first call where Open was asked for the fastest: reading studies on a CPU does without it,
// and it takes 70 MB.
func (e *Engine) Backend() (compute.Backend, error) { return e.backend() }

// Compiled is called after the first call of a graph, which compiled it: the engine lets go of what it needed for that only.
func (e *Engine) Compiled() {
	if e.Name != Go {
		trim()
	}
}

// Open returns the engine that is wanted: Auto takes the fastest that works, anything else is taken or is an error.
func Open(want string) (*Engine, error) {
	var tries []string
	fastest := false
	switch want {
	case Auto, "":
		tries, fastest = []string{XLACUDA, XLACPU, Go}, true
	case XLA:
		tries = []string{XLACUDA, XLACPU}
	case XLACUDA, XLACPU, Go:
		tries = []string{want}
	default:
		return nil, fmt.Errorf("engine: %q is not one of auto, xla, xla:cuda, xla:cpu, go", want)
	}
	var missed []string
	for _, name := range tries {
		if name == Go {
			backend, err := gobackend.New("")
			if err != nil {
				return nil, fmt.Errorf("engine: pure-Go backend: %w", err)
			}
			why := "asked for"
			if len(missed) > 0 {
				why = strings.Join(missed, "; ")
			}
			return &Engine{Name: Go, Why: why, backend: ready(backend)}, nil
		}
		plugin, folder := findPlugin(strings.TrimPrefix(name, "xla:"))
		if plugin == "" {
			missed = append(missed, "no PJRT plugin for "+name)
			continue
		}
		found := &Engine{Name: name, Why: fmt.Sprintf("plugin %s in %s", filepath.Base(plugin), folder)}
		if fastest && name == XLACPU && hasXLA {
			found.backend = sync.OnceValues(func() (compute.Backend, error) {
				backend, err := openXLA(plugin)
				if err != nil {
					err = fmt.Errorf("engine: %s cannot be loaded (`engine: go` does without it): %w", plugin, err)
				}
				return backend, err
			})
			return found, nil
		}
		backend, err := openXLA(plugin)
		if err != nil {
			missed = append(missed, fmt.Sprintf("%s in %s: %v", filepath.Base(plugin), folder, err))
			continue
		}
		found.backend = ready(backend)
		return found, nil
	}
	return nil, fmt.Errorf("engine: %s cannot be used: %s", want, strings.Join(missed, "; "))
}

func ready(b compute.Backend) func() (compute.Backend, error) {
	return func() (compute.Backend, error) { return b, nil }
}

// findPlugin returns the path of a PJRT plugin for "cpu" or "cuda" and its folder, both empty when there is none.
func findPlugin(kind string) (path, folder string) {
	names := map[string][]string{
		"cpu":  {"pjrt_c_api_cpu_plugin.so", "pjrt_c_api_cpu*_plugin.so", "pjrt-plugin-cpu*.so"},
		"cuda": {"xla_cuda_plugin.so", "pjrt_c_api_cuda*_plugin.so", "pjrt-plugin-cuda*.so"},
	}[kind]
	for _, folder := range pluginFolders(toInstall()) {
		for _, name := range names {
			if found, err := filepath.Glob(filepath.Join(folder, name)); err == nil && len(found) > 0 {
				if absolute, err := filepath.Abs(found[0]); err == nil {
					return absolute, folder
				}
			}
		}
	}
	return "", ""
}

// pluginFolders are searched in order: the environment's, those beside the program, the system's. A plugin is code that runs with our rights, so the
// folder that a program is started in counts only for one that is not built to be installed (-trimpath): a test and `go run` have theirs elsewhere
// and look upwards for the project's folder.
func pluginFolders(installed bool) []string {
	folders := filepath.SplitList(os.Getenv(pluginPaths))
	var bases []string
	if exe, err := os.Executable(); err == nil {
		folders = append(folders, filepath.Join(filepath.Dir(exe), "..", "lib", "llamaxr"))
		bases = append(bases, filepath.Join(filepath.Dir(exe), ".."))
	}
	for dir, err := os.Getwd(); !installed && err == nil && dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			bases = append(bases, dir)
			break
		}
	}
	for _, base := range bases {
		found, _ := filepath.Glob(filepath.Join(base, ".cache", "xla", "*"))
		folders = append(folders, found...)
	}
	return append(folders, "/usr/lib/llamaxr", "/usr/local/lib/llamaxr")
}

// toInstall reports whether this program was built by `make build` or for a package.
func toInstall() bool {
	info, ok := debug.ReadBuildInfo()
	return ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-trimpath", Value: "true"})
}
