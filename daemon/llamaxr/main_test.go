package main

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
)

// TestNothingVerifiedIsNotWell: the records of a folder in which no appliance has worked, a mistyped one, are not called whole.
func TestNothingVerifiedIsNotWell(t *testing.T) {
	state := t.TempDir()
	for _, act := range []string{"verify", "export", "list"} {
		if out, err := command(t, "audit", act, "--state", state); err == nil || out != "" {
			t.Errorf("%s: %v: %s", act, err, out)
		}
	}
	if err := os.WriteFile(filepath.Join(state, "llamaxr.db"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	mustRun(t, "audit", "verify", "--state", state)
}

// TestEmptyListsAreLists: --json of what has nothing in it is a document that programs read as a list.
func TestEmptyListsAreLists(t *testing.T) {
	state := t.TempDir()
	for _, words := range [][]string{{"user", "list"}, {"finetune", "runs"}, {"models", "list"}, {"adapter", "list"}} {
		if out := mustRun(t, append(words, "--json", "--state", state)...); out != "[]\n" {
			t.Errorf("%v: %s", words, out)
		}
	}
}

// TestNoServiceWithoutSystemd: on a Linux without systemd nothing is installed, and it is said why.
func TestNoServiceWithoutSystemd(t *testing.T) {
	if runtime.GOOS != "linux" || bySystemd() {
		t.Skip("for a Linux without systemd")
	}
	config := filepath.Join(t.TempDir(), "llamaxr.yaml")
	if err := os.WriteFile(config, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, words := range [][]string{{"status"}, {"start"}, {"install", "--config", config}} {
		if _, err := command(t, append([]string{"service"}, words...)...); err == nil || !strings.Contains(err.Error(), "systemd does not run here") {
			t.Errorf("%v: %v", words, err)
		}
	}
	if _, err := os.Stat("/etc/init.d/llamaxr"); err == nil {
		t.Error("a script for another manager is installed")
	}
}

// TestServiceReadsWhatRootWrote: installing gives the service's account the configuration to read, and a state folder, and takes neither from another.
func TestServiceReadsWhatRootWrote(t *testing.T) {
	nobody, err := user.Lookup("nobody")
	if os.Geteuid() != 0 || err != nil {
		t.Skip("as root, with a user nobody")
	}
	folder := t.TempDir()
	in := installation{config: filepath.Join(folder, "llamaxr.yaml"), state: filepath.Join(folder, "state"), user: "nobody"}
	for _, test := range []struct{ before, after os.FileMode }{{0o600, 0o640}, {0o644, 0o644}} {
		if err := errors.Join(os.WriteFile(in.config, nil, 0o600), os.Chmod(in.config, test.before), os.Chown(in.config, 0, 0), in.handOver()); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(in.config)
		if err != nil || info.Mode().Perm() != test.after {
			t.Errorf("the configuration: %v, %v, want %v", info.Mode(), err, test.after)
		}
		if owner, ok := info.Sys().(*syscall.Stat_t); !ok || (fmt.Sprint(owner.Gid) == nobody.Gid) != (test.before == 0o600) || owner.Uid != 0 {
			t.Errorf("the configuration of mode %v belongs to %+v", test.before, owner)
		}
	}
	info, err := os.Stat(in.state)
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Fatal(info, err)
	}
	if owner, ok := info.Sys().(*syscall.Stat_t); !ok || fmt.Sprint(owner.Uid) != nobody.Uid {
		t.Errorf("the state belongs to %+v", owner)
	}
}

// TestErrorsMoveNoCursor: an error that quotes a hostile file does nothing to a terminal.
func TestErrorsMoveNoCursor(t *testing.T) {
	if got, want := printable("a\x1b[2J\u009bb\n\tc \"Größe\""), "a?[2J?b\n\tc \"Größe\""; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
