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

// accepts has systemd verify units, by their file names.
func accepts(t *testing.T, units map[string]string) {
	t.Helper()
	dir := t.TempDir()
	args := []string{"verify", "--man=no"}
	for name, text := range units {
		text = strings.Replace(text, "Documentation=man:llamaxr(1)\n", "", 1)
		args = append(args, filepath.Join(dir, name))
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := exec.Command(peertest.Program(t, "systemd-analyze"), args...).CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
}

// TestUnitElsewhere: systemd accepts the units for a program and folders whose names need quoting.
func TestUnitElsewhere(t *testing.T) {
	dir := filepath.Join(t.TempDir(), `a "b" 100% $x`)
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	unit, backup := Unit("/bin/true", filepath.Join(dir, "c.yaml"), dir, "games"), Backup("/bin/true", dir, "games")
	accepts(t, map[string]string{"llamaxr.service": unit})
	accepts(t, map[string]string{"llamaxr-backup.service": backup, "llamaxr-backup.timer": BackupTimer})
	for _, line := range []string{"User=games\n", "ReadWritePaths=", "AssertPathExists=" + strings.ReplaceAll(dir, "%", "%%") + "/c.yaml\n", `a \"b\" 100%% $$x`} {
		if !strings.Contains(unit, line) {
			t.Errorf("%q is not in\n%s", line, unit)
		}
	}
	for _, line := range []string{"User=games\n", "ReadWritePaths=", `--state "` + filepath.Dir(dir), `a \"b\" 100%% $$x" --to ${BACKUP_FOLDER} --keep ${BACKUP_KEEP}`} {
		if !strings.Contains(backup, line) {
			t.Errorf("%q is not in\n%s", line, backup)
		}
	}
}

// TestUnitsInTheirPlace: for the package's own places the units are those of the package, but for quotes.
func TestUnitsInTheirPlace(t *testing.T) {
	plain := strings.NewReplacer(`"`, "")
	if got := plain.Replace(Unit(Program, Config, State, User)); got != plain.Replace(Service) {
		t.Errorf("the service:\n%s", got)
	}
	if got := plain.Replace(Backup(Program, State, User)); got != plain.Replace(BackupService) {
		t.Errorf("the backup:\n%s", got)
	}
}
