package kernel

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"llamaxr/internal/peertest"
)

// TestNEON runs this package's tests as arm64 code, under an emulator of the processor on another one.
func TestNEON(t *testing.T) {
	if runtime.GOARCH == "arm64" {
		t.Skip("this processor runs NEON itself: TestEveryCodeIsThePortableOne has it")
	}
	emulator := peertest.Program(t, "qemu-aarch64-static")
	program := filepath.Join(t.TempDir(), "kernel.test")
	build := exec.CommandContext(t.Context(), "go", "test", "-c", "-o", program, ".")
	build.Env = append(os.Environ(), "GOARCH=arm64", "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building for arm64: %v\n%s", err, out)
	}
	out, err := exec.CommandContext(t.Context(), emulator, program, "-test.v", "-test.run", "Code|Exact|Int16|Batch|Scales|Files|Largest").CombinedOutput()
	if err != nil || strings.Count(string(out), "--- PASS") < 8 || strings.Contains(string(out), "SKIP") {
		t.Errorf("%v\n%s", err, out)
	}
}
