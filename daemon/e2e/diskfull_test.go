package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"llamaxr/queue"
)

// smallDisk mounts a file system of its own, which only root may; without it the injected disks of packages spool and queue stand for it.
func smallDisk(t *testing.T, megabytes int) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%dm,mode=0700", megabytes)); err != nil {
		t.Skipf("no small disk: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// TestDiskFull: on a disk that is full senders hear 0xA700 with the reason; what was acknowledged stays, what waits is done, and new studies are
// taken as soon as there is space again, without hands.
func TestDiskFull(t *testing.T) {
	disk := smallDisk(t, 24)
	settings := filepath.Join(t.TempDir(), "llamaxr.yaml")
	if err := os.WriteFile(settings, []byte("minimum_free_bytes: 0\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	port, _ := startStorescp(t)
	n := &node{
		t: t, state: filepath.Join(disk, "state"), port: freePort(t), http: freePort(t), log: new(syncBuffer),
		args: []string{"--config", settings, "--destination", "PACS@127.0.0.1:" + port},
	}
	n.start()
	t.Cleanup(func() { n.stop(os.Interrupt) })
	first, frontal, lateral := phantomStudy(t, 9071)
	n.taken(frontal, lateral)
	before := n.await(first, "drafted", stands(queue.Delivered, 1))

	filler := filepath.Join(disk, "filler")
	free := fill(t, filler)
	t.Logf("%d bytes left free", free)
	second, frontal, lateral := phantomStudy(t, 9072)
	out, err := n.send(frontal, lateral)
	if err == nil || !strings.Contains(out, "0xa700") || !strings.Contains(out, "out of disk space") {
		t.Errorf("a full disk: %v %s", err, out)
	}
	if report, err := os.ReadDir(filepath.Join(n.state, "incoming")); err != nil || len(report) > 0 {
		t.Errorf("half-written objects are left: %v %v", report, err)
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	n.taken(frontal, lateral)
	n.await(second, "drafted once there is space", stands(queue.Delivered, 1))
	if after := n.await(first, "as before", stands(queue.Delivered, 1)); len(after.Objects) != len(before.Objects) {
		t.Errorf("%d objects, there were %d", len(after.Objects), len(before.Objects))
	}
	n.stop(os.Interrupt)
	if report, status := fsck(t, n.state); status != 0 {
		t.Errorf("afterwards: %+v", report.Findings)
	}
}

// fill writes a file until the disk is full, then gives a little back: an object begins and does not fit.
func fill(t *testing.T, path string) (free uint64) {
	t.Helper()
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	block := make([]byte, 64<<10)
	var size int64
	for {
		n, err := file.Write(block)
		size += int64(n)
		if err != nil {
			break
		}
	}
	if err := file.Truncate(size - 200<<10); err != nil {
		t.Fatal(err)
	}
	var stat syscall.Statfs_t
	if err := syscall.Statfs(path, &stat); err != nil {
		t.Fatal(err)
	}
	return stat.Bavail * uint64(stat.Bsize)
}
