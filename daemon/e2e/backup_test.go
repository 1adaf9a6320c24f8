package e2e

import (
	"context"
	"encoding/json"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"llamaxr/daemon"
	"llamaxr/daemon/backup"
	"llamaxr/queue"
)

// TestBackupUnderLoad: a backup that is made while studies arrive holds every object that was acknowledged before, is sound, and an appliance
// goes on from it to the drafts of all of them.
func TestBackupUnderLoad(t *testing.T) {
	port, _ := startStorescp(t)
	n := startNode(t, "--destination", "PACS@127.0.0.1:"+port)
	const before, during = 2, 4
	var acknowledged []string
	for i := range uint64(before) {
		uid, frontal, lateral := phantomStudy(t, 9400+i)
		n.taken(frontal, lateral)
		acknowledged = append(acknowledged, uid)
	}
	var senders sync.WaitGroup
	for i := range uint64(during) {
		_, frontal, lateral := phantomStudy(t, 9500+i)
		senders.Go(func() {
			if out, err := n.send(frontal, lateral); err != nil {
				t.Errorf("while the backup is made: %v\n%s", err, out)
			}
		})
	}
	folder := t.TempDir()
	run := func(args ...string) (header backup.Header, path string) {
		t.Helper()
		cmd := exec.Command(program, append(args, "--json")...)
		cmd.Stderr = os.Stderr
		out, err := cmd.Output()
		var got struct {
			backup.Header
			Path string
		}
		if bad := json.Unmarshal(out, &got); err != nil || bad != nil {
			t.Fatalf("llamaxr %v: %v, %v: %s", args, err, bad, out)
		}
		return got.Header, got.Path
	}
	header, file := run("backup", "--state", n.state, "--to", folder)
	senders.Wait()
	t.Logf("%d studies and %d objects of %d", header.Studies, header.Instances, 2*(before+during))
	n.stop(os.Interrupt)

	if checked, _ := run("restore", file, "--check"); checked != header {
		t.Errorf("verified as %+v, written as %+v", checked, header)
	}
	unpacked := t.TempDir()
	cmd := exec.Command("sh", "-ec", `tar xf "$0"; sha256sum --quiet --strict -c SHA256SUMS`, file)
	cmd.Dir = unpacked
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("by tar and sha256sum: %v\n%s", err, out)
	}
	state := filepath.Join(t.TempDir(), "restored")
	if restored, _ := run("restore", file, "--state", state); restored != header {
		t.Errorf("restored as %+v, written as %+v", restored, header)
	}
	if report, status := fsck(t, state); status != 0 || report.Instances != header.Instances || report.Studies != header.Studies {
		t.Errorf("the restored state: exit status %d, %+v", status, report)
	}
	for _, uid := range acknowledged {
		if s, err := daemon.StudyOf(state, uid); err != nil || len(s.Objects) != 2 {
			t.Errorf("study %s, acknowledged before the backup: %+v, %v", uid, s, err)
		}
	}
	n.state = state
	n.start()
	for uid, s := range n.settle(header.Studies) {
		if s.State != string(queue.Delivered) {
			t.Errorf("study %s from the restored state is %s: %s", uid, s.State, s.Reason)
		}
	}
	if out, err := exec.Command(program, "restore", file, "--state", state).CombinedOutput(); err == nil || !strings.Contains(string(out), "not empty") {
		t.Errorf("over a state: %v, %s", err, out)
	}
	// Of a stopped appliance, and only the newest two are kept.
	n.stop(os.Interrupt)
	for range 2 {
		if stopped, _ := run("backup", "--state", state, "--to", filepath.Join(folder, "again.tar")); stopped.Studies < header.Studies {
			t.Errorf("of the stopped appliance: %+v", stopped)
		}
		if err := os.Rename(filepath.Join(folder, "again.tar"), filepath.Join(folder, "llamaxr-19990101T000000Z.tar")); err != nil {
			t.Fatal(err)
		}
	}
	broken := filepath.Join(folder, ".llamaxr-20200101T000000Z.tar123") // killed as it was written
	if err := os.WriteFile(broken, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(broken, time.Time{}, time.Now().Add(-2*time.Hour)); err != nil {
		t.Fatal(err)
	}
	run("backup", "--state", state, "--to", folder, "--keep", "2")
	left, _ := filepath.Glob(filepath.Join(folder, "*"))
	if len(left) != 2 || left[0] != file {
		t.Errorf("kept: %v", left)
	}
}

// TestBackupLetGo: a backup that is broken off leaves nothing in the state, and one whose appliance stops meanwhile says so.
func TestBackupLetGo(t *testing.T) {
	n := startNode(t)
	_, frontal, lateral := phantomStudy(t, 9600)
	n.taken(frontal, lateral)
	held := func() []string {
		found, _ := fs.Glob(os.DirFS(n.state), ".backup-*")
		return found
	}
	// begin makes a backup that waits until it is read on.
	begin := func() (read *io.PipeReader, breakOff func(), ended chan error) {
		ctx, cancel := context.WithCancel(t.Context())
		read, write := io.Pipe()
		ended = make(chan error, 1)
		go func() {
			err := daemon.Backup(ctx, n.state, "test", write)
			write.CloseWithError(err)
			ended <- err
		}()
		if _, err := read.Read(make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		if len(held()) != 1 {
			t.Errorf("while it is written there is %v", held())
		}
		return read, cancel, ended
	}
	read, breakOff, ended := begin()
	breakOff()
	read.Close()
	if err := <-ended; err == nil {
		t.Error("broken off, it found itself whole")
	}
	for deadline := time.Now().Add(startTime); len(held()) > 0; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("broken off, it leaves %v", held())
		}
	}
	read, _, ended = begin()
	n.stop(syscall.SIGTERM)
	_, _ = io.Copy(io.Discard, read)
	if err := <-ended; err == nil || !strings.Contains(err.Error(), "stopped meanwhile") {
		t.Errorf("its appliance stopped: %v", err)
	}
	n.start()
	if len(held()) > 0 {
		t.Errorf("after the next start there is %v", held())
	}
}
