package e2e

import (
	"bytes"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"llamaxr/internal/peertest"
	"llamaxr/queue"
)

// manager is the service manager's end of sd_notify(3).
type manager struct {
	t    *testing.T
	conn *net.UnixConn
	path string
	seen string
}

func startManager(t *testing.T) *manager {
	dir, err := os.MkdirTemp("", "notify")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	m := &manager{t: t, path: filepath.Join(dir, "s")}
	if m.conn, err = net.ListenUnixgram("unixgram", &net.UnixAddr{Name: m.path, Net: "unixgram"}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.conn.Close() })
	return m
}

// await reads words until one holds what is awaited.
func (m *manager) await(word string) {
	m.t.Helper()
	buffer := make([]byte, 4096)
	if err := m.conn.SetReadDeadline(time.Now().Add(startTime)); err != nil {
		m.t.Fatal(err)
	}
	for {
		n, err := m.conn.Read(buffer)
		if err != nil {
			m.t.Fatalf("the service manager does not hear %s, only:\n%s", word, m.seen)
		}
		m.seen += string(buffer[:n]) + "\n"
		if strings.Contains(string(buffer[:n]), word) {
			return
		}
	}
}

// TestServiceManager: systemd hears that the appliance is ready, alive, reading its configuration again, and stopping.
func TestServiceManager(t *testing.T) {
	m := startManager(t)
	config := filepath.Join(t.TempDir(), "llamaxr.yaml")
	if err := os.WriteFile(config, []byte("log_level: info\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "run", "--config", config, "--state", t.TempDir(), "--listen", "127.0.0.1:"+freePort(t), "--http", "127.0.0.1:"+freePort(t))
	cmd.Env = append(os.Environ(), "NOTIFY_SOCKET="+m.path, "WATCHDOG_USEC=400000")
	var log bytes.Buffer
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill() }()
	m.await("READY=1")
	m.await("WATCHDOG=1")
	m.await("WATCHDOG=1")
	_ = cmd.Process.Signal(syscall.SIGHUP)
	m.await("RELOADING=1\nMONOTONIC_USEC=")
	m.await("READY=1")
	_ = cmd.Process.Signal(syscall.SIGTERM)
	m.await("STOPPING=1")
	if err := cmd.Wait(); err != nil {
		t.Errorf("%v\n%s", err, &log)
	}
}

// TestNobodyReadsTheLog: an appliance whose log nobody reads any more works on, and stops as it is told.
func TestNobodyReadsTheLog(t *testing.T) {
	m := startManager(t)
	config := filepath.Join(t.TempDir(), "llamaxr.yaml")
	if err := os.WriteFile(config, []byte("log_level: info\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "run", "--config", config, "--state", t.TempDir(), "--listen", "127.0.0.1:0", "--http", "")
	cmd.Env = append(os.Environ(), "NOTIFY_SOCKET="+m.path)
	log, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill() }()
	m.await("READY=1")
	log.Close()
	_ = cmd.Process.Signal(syscall.SIGHUP) // which is logged
	m.await("RELOADING=1")
	m.await("READY=1")
	_ = cmd.Process.Signal(syscall.SIGTERM)
	m.await("STOPPING=1")
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}

// readyTime is what a start may take until studies are taken.
const readyTime = 2 * time.Second

// TestReadyInTwoSeconds: the best of a few starts, for a machine that does other things too, is ready in time with the starter models.
func TestReadyInTwoSeconds(t *testing.T) {
	peertest.NotRaced(t, "the time of a start")
	best := time.Hour
	for range 5 {
		m := startManager(t)
		cmd := exec.Command(program, "run", "--state", t.TempDir(), "--listen", "127.0.0.1:0", "--http", "")
		cmd.Env = append(os.Environ(), "NOTIFY_SOCKET="+m.path)
		started := time.Now()
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		m.await("READY=1")
		best = min(best, time.Since(started))
		_ = cmd.Process.Signal(os.Interrupt)
		_ = cmd.Wait()
		if best < readyTime {
			t.Logf("ready after %s", best)
			return
		}
	}
	t.Errorf("ready after %s at best, want less than %s", best, readyTime)
}

// TestNothingForOthers: after a study, whatever umask it was started with, all that lies in the state is for the owner only; and a crash
// writes no core dump, whatever limit it was started with.
func TestNothingForOthers(t *testing.T) {
	before := syscall.Umask(0)
	port, _ := startStorescp(t)
	n := startNode(t, "--destination", "PACS@127.0.0.1:"+port)
	syscall.Umask(before)
	uid, frontal, lateral := phantomStudy(t, 9401)
	n.taken(frontal, lateral)
	n.await(uid, "drafted", stands(queue.Delivered, 1))
	files := 0
	err := filepath.WalkDir(n.state, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		files++
		if info.Mode().Perm()&0o077 != 0 && path != n.state {
			t.Errorf("%s has mode %s", strings.TrimPrefix(path, n.state), info.Mode())
		}
		return nil
	})
	if err != nil || files < 10 {
		t.Errorf("%d files: %v", files, err)
	}
	limits, err := os.ReadFile("/proc/" + n.pid() + "/limits")
	if err != nil {
		t.Skipf("no limits to read: %v", err)
	}
	for line := range strings.Lines(string(limits)) {
		if rest, ok := strings.CutPrefix(line, "Max core file size"); ok && strings.Join(strings.Fields(rest), " ") != "0 0 bytes" {
			t.Errorf("core dumps of %s", rest)
		}
	}
	_ = n.cmd.Process.Signal(syscall.SIGSEGV)
	_ = n.cmd.Wait()
	if status, ok := n.cmd.ProcessState.Sys().(syscall.WaitStatus); ok && status.CoreDump() {
		t.Error("a crash wrote a core dump")
	}
	n.cmd = nil
}

func (n *node) pid() string { return strconv.Itoa(n.cmd.Process.Pid) }
