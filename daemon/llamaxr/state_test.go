package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"llamaxr/inference/signing"
	"llamaxr/systemd"

	"github.com/spf13/cobra"
)

// roots are the commands that root may run on any folder: they make a state, give away what they made in it, or only look.
var roots = []string{"llamaxr run", "llamaxr setup", "llamaxr service install", "llamaxr restore", "llamaxr doctor"}

// lookedAt is what every other command with --state says of a folder before it runs, by the command.
func lookedAt(t *testing.T, state string) map[string]error {
	t.Helper()
	said := map[string]error{}
	var ask func(cmd *cobra.Command)
	ask = func(cmd *cobra.Command) {
		for _, sub := range cmd.Commands() {
			ask(sub)
		}
		if cmd.Flags().Lookup("state") == nil || slices.Contains(roots, cmd.CommandPath()) {
			return
		}
		said[cmd.CommandPath()] = nil
		if err := cmd.Flags().Set("state", state); err != nil {
			t.Fatal(err)
		}
		if cmd.PreRunE != nil {
			said[cmd.CommandPath()] = cmd.PreRunE(cmd, nil)
		}
	}
	ask(newRoot())
	if len(said) < 30 {
		t.Errorf("only %d commands have --state", len(said))
	}
	return said
}

// nobodys gives a folder to the user nobody, and skips the test where that cannot be.
func nobodys(t *testing.T, folder string) (uid, gid int) {
	t.Helper()
	nobody, err := user.Lookup("nobody")
	if os.Geteuid() != 0 || err != nil {
		t.Skip("as root, with a user nobody")
	}
	uid, err = strconv.Atoi(nobody.Uid)
	if err == nil {
		gid, err = strconv.Atoi(nobody.Gid)
	}
	if err = errors.Join(err, os.Chown(folder, uid, gid)); err != nil {
		t.Fatal(err)
	}
	return uid, gid
}

// TestRootLeavesTheServicesState: no command makes files as root in a state that is the service's user's, and each says how it is run.
func TestRootLeavesTheServicesState(t *testing.T) {
	state := t.TempDir()
	for command, err := range lookedAt(t, state) {
		if err != nil {
			t.Errorf("%s in a state of one's own: %v", command, err)
		}
	}
	nobodys(t, state)
	for command, err := range lookedAt(t, state) {
		if want := fmt.Sprintf("%s is nobody's: run it as that user (sudo -u nobody %s ...)", state, command); err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %s", command, err, want)
		}
	}
	if _, err := command(t, "models", "use", "starter", "--state", state); err == nil {
		t.Error("models use: done")
	}
	if made, err := os.ReadDir(state); err != nil || len(made) > 0 {
		t.Errorf("made: %v, %v", made, err)
	}
}

// TestAMistypedStateIsNone: no command makes a state folder that is not there, nor says that there is nothing in it.
func TestAMistypedStateIsNone(t *testing.T) {
	state := filepath.Join(t.TempDir(), "mistyped")
	for command, err := range lookedAt(t, state) {
		if err == nil || !strings.Contains(err.Error(), state+" is not there") {
			t.Errorf("%s: %v", command, err)
		}
	}
	for _, args := range [][]string{
		{"models", "use", "starter"}, {"models", "list", "--json"}, {"user", "list"}, {"encryption", "status"}, {"draft", "--scores", scoresFile(t)},
	} {
		if out, err := command(t, append(args, "--state", state)...); err == nil || out != "" {
			t.Errorf("%v: %v: %s", args, err, out)
		}
	}
	a := answers{state: state, models: "unheard-of"}
	if err := a.choose(new(strings.Builder)); err == nil {
		t.Error("setup chooses a model that is not there")
	}
	if _, err := os.Stat(state); err == nil {
		t.Error("the folder was made")
	}
	var usage usageError
	if _, err := command(t, "models", "use"); !errors.As(err, &usage) {
		t.Errorf("without a name: %v, want wrong usage", err)
	}
}

// TestRootInstallsABundle: the program, which root alone may put in its place, and models that stay the service's user's.
func TestRootInstallsABundle(t *testing.T) {
	state, from, out := t.TempDir(), t.TempDir(), t.TempDir()
	uid, _ := nobodys(t, state)
	file, key, program := filepath.Join(out, "bundle.tar"), filepath.Join(out, "key"), filepath.Join(out, "llamaxr")
	if err := os.WriteFile(program, []byte("a program"), 0o700); err != nil {
		t.Fatal(err)
	}
	mustRun(t, "signing-key", key)
	mustRun(t, "models", "import", tinyModel(t), "--name", "tiny", "--accept-licence", "test", "--state", from)
	mustRun(t, "bundle", "create", "--to", file, "--key", key, "--state", from, "--model", "tiny", "--program", program)
	install := []string{"bundle", "install", file, "--state", state, "--trust", key + signing.PublicSuffix}
	if _, err := command(t, install...); err == nil || !strings.Contains(err.Error(), "is nobody's") {
		t.Errorf("without a program: %v", err)
	}
	mustRun(t, append(install, "--program-to", filepath.Join(out, "installed"))...)
	files := 0
	err := filepath.WalkDir(state, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		if owner, ok := info.Sys().(*syscall.Stat_t); !ok || int(owner.Uid) != uid {
			t.Errorf("%s belongs to %+v", path, info.Sys())
		}
		files++
		return nil
	})
	if err != nil || files < 10 {
		t.Errorf("%v, %d files and folders", err, files)
	}
}

// TestTheServiceReadsTheKeyThatRootMade: in a folder that root shares with the service's group alone, and in no other.
func TestTheServiceReadsTheKeyThatRootMade(t *testing.T) {
	uid, gid := nobodys(t, t.TempDir())
	for _, test := range []struct {
		folder       os.FileMode
		owner, group int
		file         os.FileMode
		shared       bool
	}{
		{0o750, 0, gid, 0o640, true},
		{0o755, 0, gid, 0o600, false},
		{0o750, 0, 0, 0o600, false},
		{0o750, uid, gid, 0o600, false},
	} {
		folder := t.TempDir()
		file := filepath.Join(folder, "age.key")
		if err := errors.Join(os.Chown(folder, test.owner, test.group), os.Chmod(folder, test.folder)); err != nil {
			t.Fatal(err)
		}
		mustRun(t, "encryption", "new-key", file)
		info, err := os.Stat(file)
		if err != nil {
			t.Fatal(err)
		}
		if owner, ok := info.Sys().(*syscall.Stat_t); !ok || info.Mode() != test.file || owner.Uid != 0 || (int(owner.Gid) == gid) != test.shared {
			t.Errorf("%+v: %v, of %+v", test, info.Mode(), info.Sys())
		}
	}
}

// TestStateOfTheConfiguration: the unit that `service install` writes names the state that setup proved.
func TestStateOfTheConfiguration(t *testing.T) {
	file := filepath.Join(t.TempDir(), "llamaxr.yaml")
	for text, want := range map[string]string{"": systemd.State, "state: llamaxr-state\n": systemd.State, "state: /data/llamaxr\n": "/data/llamaxr", "state: [\n": ""} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := configuredState(file, systemd.State); got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v; want %q", text, got, err, want)
		}
	}
}

// TestSetupProvesWhatTheServiceUses: the package's unit has one state folder, and setup takes no other for it.
func TestSetupProvesWhatTheServiceUses(t *testing.T) {
	unit := filepath.Join(t.TempDir(), "llamaxr.service")
	if err := os.WriteFile(unit, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		unit, config, state string
		fits                bool
	}{
		{unit, systemd.Config, systemd.State, true},
		{unit, systemd.Config, "/data/llamaxr", false},
		{unit, "/root/trial.yaml", "/data/llamaxr", true},
		{unit + ".none", systemd.Config, "/data/llamaxr", true},
	} {
		a := answers{config: test.config, state: test.state}
		if err := a.fits(test.unit); (err == nil) != test.fits || err != nil && !strings.Contains(err.Error(), systemd.State) {
			t.Errorf("%+v: %v", test, err)
		}
	}
}
