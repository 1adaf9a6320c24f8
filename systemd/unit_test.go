package systemd

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"llamaxr/internal/peertest"
)

// maxExposure is what `systemd-analyze security` may say at most, of 10.
const maxExposure = 2.0

// TestExposure: systemd itself finds little to strike out of the units, and the GPU can still be used.
func TestExposure(t *testing.T) {
	for _, unit := range []string{"llamaxr.service", "llamaxr-backup.service"} {
		out, err := exec.Command(peertest.Program(t, "systemd-analyze"), "security", "--offline=true", "--no-pager", unit).CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", unit, err, out)
		}
		found := regexp.MustCompile(`exposure level for ` + unit + `: ([0-9.]+)`).FindSubmatch(out)
		if found == nil {
			t.Fatalf("no exposure level in\n%s", out)
		}
		level, err := strconv.ParseFloat(string(found[1]), 64)
		if err != nil || level > maxExposure {
			t.Errorf("%s: exposure %s, want at most %.1f\n%s", unit, found[1], maxExposure, out)
		}
	}
	for _, line := range []string{"DeviceAllow=char-nvidia* rw", "LimitCORE=0", "WatchdogSec=60s", "Type=notify"} {
		if !strings.Contains(Service, "\n"+line+"\n") {
			t.Errorf("the unit has no line %s", line)
		}
	}
}

// TestUnitElsewhere: systemd accepts the unit for a program and folders whose names need quoting.
func TestUnitElsewhere(t *testing.T) {
	dir := filepath.Join(t.TempDir(), `a "b" 100% $x`)
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "llamaxr.service")
	unit := strings.Replace(Unit("/bin/true", filepath.Join(dir, "c.yaml"), dir, "games"), "Documentation=man:llamaxr(1)\n", "", 1)
	if err := os.WriteFile(file, []byte(unit), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(peertest.Program(t, "systemd-analyze"), "verify", "--man=no", file).CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
	for _, line := range []string{"User=games\n", "ReadWritePaths=", `a \"b\" 100%% $$x`} {
		if !strings.Contains(unit, line) {
			t.Errorf("%q is not in\n%s", line, unit)
		}
	}
}

// TestBackupTimer: systemd accepts the timer with the service that it starts.
func TestBackupTimer(t *testing.T) {
	dir := t.TempDir()
	var files []string
	for name, text := range map[string]string{"llamaxr-backup.timer": BackupTimer, "llamaxr-backup.service": BackupService} {
		text = strings.NewReplacer(Program, "/bin/true", "User="+User, "User=games", "Group="+User, "Group=games", "Documentation=man:llamaxr(1)\n", "").Replace(text)
		files = append(files, filepath.Join(dir, name))
		if err := os.WriteFile(files[len(files)-1], []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := exec.Command(peertest.Program(t, "systemd-analyze"), append([]string{"verify", "--man=no"}, files...)...).CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
}
