package peertest

import (
	"bufio"
	"bytes"
	"os/exec"
	"testing"
)

// startPeer starts a peer that says "ready" on its standard output and ends it with the test.
func startPeer(t testing.TB, cmd *exec.Cmd) {
	t.Helper()
	var errors bytes.Buffer
	cmd.Stderr = &errors
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	end := func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }
	t.Cleanup(end)
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if lines.Text() == "ready" {
			return
		}
	}
	end()
	t.Fatalf("%s does not start:\n%s", cmd, errors.String())
}
