package main

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
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
