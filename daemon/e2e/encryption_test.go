package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"llamaxr/ingest/spool"
	"llamaxr/internal/peertest"
	"llamaxr/queue"
)

// TestEncryptionAtRest: turned on for a state that has studies, encryption takes in what comes, survives kill -9, a backup and a restore, and
// leaves no patient's name or identifier in the files it covers; without its key, and with another, the appliance does not start, and nothing is
// changed. The age program opens the files with the key.
func TestEncryptionAtRest(t *testing.T) {
	age := peertest.Program(t, "age")
	port, folder := startStorescp(t)
	keyFile, otherKey := filepath.Join(t.TempDir(), "key"), filepath.Join(t.TempDir(), "other")
	for _, file := range []string{keyFile, otherKey} {
		if out, err := exec.Command(program, "encryption", "new-key", file).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	configuration := func(key string) string {
		path := filepath.Join(t.TempDir(), "llamaxr.yaml")
		text := fmt.Sprintf("destinations: [{ae_title: PACS, address: '127.0.0.1:%s'}]\n", port)
		if key != "" {
			text += "encryption: {key: " + key + "}\n"
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	plain, encrypted := []string{"--config", configuration("")}, []string{"--config", configuration(keyFile)}

	n := startNode(t, plain...)
	first, frontal, lateral := phantomStudy(t, 9601)
	n.taken(frontal, lateral)
	n.await(first, "drafted without a key", stands(queue.Delivered, 1))
	n.stop(os.Interrupt)

	n.args = encrypted
	n.start()
	second, frontal, lateral := phantomStudy(t, 9602)
	n.taken(frontal, lateral)
	n.await(second, "drafted with a key", stands(queue.Delivered, 1))
	third, frontal, lateral := phantomStudy(t, 9603)
	n.taken(frontal, lateral)
	n.stop(syscall.SIGKILL)
	n.start()
	n.await(third, "taken before kill -9", stands(queue.Delivered, 1))
	for _, uid := range []string{first, second, third} {
		if got := len(objects(t, folder, uid)); got != 4 {
			t.Errorf("study %s: %d objects at the destination, want 4", uid, got)
		}
	}
	n.stop(os.Interrupt)

	status := func() (plain, all int) {
		t.Helper()
		out, err := exec.Command(program, "encryption", "status", "--state", n.state).CombinedOutput()
		m := regexp.MustCompile(`files: (\d+), of them plain: (\d+)`).FindSubmatch(out)
		if err != nil || m == nil {
			t.Fatalf("%v\n%s", err, out)
		}
		fmt.Sscan(string(m[1])+" "+string(m[2]), &all, &plain)
		return plain, all
	}
	before, all := status()
	if before == 0 || all <= 2*before {
		t.Errorf("%d of %d files are plain, want those of the first study", before, all)
	}
	rewrite := func(act string) {
		t.Helper()
		if out, err := exec.Command(program, "encryption", act, "--state", n.state, "--key", keyFile).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	rewrite("apply")
	if left, now := status(); left != 0 || now != all {
		t.Errorf("after apply %d of %d files are plain, want 0 of %d", left, now, all)
	}
	seen := 0
	for _, room := range []string{"objects", "aside", "damaged", "drafts", "incoming"} {
		err := filepath.WalkDir(filepath.Join(n.state, room), func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() {
				return err
			}
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			opened, err := exec.Command(age, "-d", "-i", keyFile, path).Output()
			if err != nil {
				return fmt.Errorf("%s: by age: %w", path, err)
			}
			for _, uid := range []string{first, second, third, "DICM", "PHANTOM", "Findings"} {
				if bytes.Contains(data, []byte(uid)) {
					t.Errorf("%s holds %s", path, uid)
				}
			}
			if filepath.Ext(path) == ".dcm" && string(opened[128:132]) != "DICM" {
				t.Errorf("%s is no DICOM file when opened", path)
			}
			seen++
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	}
	if journal, err := os.ReadFile(filepath.Join(n.state, spool.JournalFile)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the journal from before is there: %d bytes, %v", len(journal), err)
	}
	if seen != all {
		t.Errorf("%d files looked at, status counts %d", seen, all)
	}

	for name, test := range map[string]struct{ key, want string }{"without the key": {"", "no key is configured"}, "with another key": {otherKey, "another key"}} {
		out, err := exec.Command(program, "run", "--state", n.state, "--listen", "127.0.0.1:"+n.port, "--config", configuration(test.key)).CombinedOutput()
		if err == nil || !strings.Contains(string(out), test.want) {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
	if out, err := exec.Command(program, "fsck", "--repair", "--state", n.state).CombinedOutput(); err == nil || !strings.Contains(string(out), "no key is configured") {
		t.Errorf("fsck without the key: %v\n%s", err, out)
	}
	if left, now := status(); left != 0 || now != all {
		t.Errorf("after starts that were refused %d of %d files are plain, want 0 of %d", left, now, all)
	}

	file, restored := filepath.Join(t.TempDir(), "backup.tar"), filepath.Join(t.TempDir(), "restored")
	for _, args := range [][]string{{"backup", "--state", n.state, "--to", file}, {"restore", file, "--state", restored}} {
		if out, err := exec.Command(program, args...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
	}
	n.state = restored
	if report, status := fsck(t, n.state, "--key", keyFile); status != 0 || report.Instances != 6 || report.Drafts != 3 {
		t.Errorf("the restored state: exit status %d, %+v", status, report)
	}
	n.start()
	fourth, frontal, lateral := phantomStudy(t, 9604)
	n.taken(frontal, lateral)
	n.await(fourth, "drafted in the restored state", stands(queue.Delivered, 1))
	n.stop(os.Interrupt)

	rewrite("remove")
	if report, status := fsck(t, n.state); status != 0 || report.Instances != 8 || report.Drafts != 4 {
		t.Errorf("made plain again: exit status %d, %+v", status, report)
	}
	n.args = plain
	n.start()
}
