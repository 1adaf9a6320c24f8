package e2e

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"llamaxr/daemon"
	"llamaxr/queue"
	"llamaxr/systemd"

	"go.etcd.io/bbolt"
)

// olderPort is where the deliveries go that wait in the samples.
const olderPort = "11199"

// olderState is a sample of format 1; what is in it, testdata/states/make.sh says.
func olderState(t testing.TB) string {
	t.Helper()
	files, _ := filepath.Glob("../testdata/states/format-1-*.tar.xz")
	if len(files) == 0 {
		t.Fatal("no sample")
	}
	state := t.TempDir()
	if out, err := exec.Command("tar", "xf", files[0], "-C", state).CombinedOutput(); err != nil {
		t.Fatalf("tar: %v\n%s", err, out)
	}
	return state
}

// says runs the program and holds its exit status and what it says against what is wanted.
func says(t testing.TB, status int, want string, args ...string) []byte {
	t.Helper()
	cmd := exec.Command(program, args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if got := cmd.ProcessState.ExitCode(); got != status || !strings.Contains(string(out)+stderr.String(), want) {
		t.Errorf("llamaxr %v: exit status %d, want %d and %q (%v)\n%s%s", args, got, status, want, err, out, &stderr)
	}
	return out
}

// TestUpgrade: an appliance converts the state of an older program at its start, keeps the way back and goes on with the work that waited; the way
// back leaves nothing behind that came since.
func TestUpgrade(t *testing.T) {
	state := olderState(t)
	database := filepath.Join(state, "llamaxr.db")
	says(t, 1, "format 1", "upgrade", "--state", state, "--check")
	says(t, 1, "llamaxr upgrade", "queue", "resend", "nothing", "--state", state)
	said := says(t, 0, "", "studies", "--state", state, "--json")

	folder := storescp(t, olderPort)
	n := &node{t: t, state: state, port: freePort(t), http: freePort(t), log: new(syncBuffer), args: []string{"--destination", "PACS@127.0.0.1:" + olderPort}}
	n.start()
	t.Cleanup(func() { n.stop(os.Interrupt) })
	waited := ""
	for uid, s := range n.settle(4) {
		if s.State == "delivered" && len(objects(t, folder, uid)) > 0 {
			waited = uid
		}
	}
	if got := received(t, folder); waited == "" || len(got) != 1 || len(got[waited][basicTextSR]) != 1 {
		t.Errorf("at the receiver, to which one study was still to go: %v", got)
	}
	kept, _ := filepath.Glob(filepath.Join(state, "before-format-*.tar"))
	if len(kept) != 1 || !strings.Contains(n.log.String(), "llamaxr upgrade --back "+kept[0]) {
		t.Fatalf("kept: %v; the log:\n%s", kept, tail(n.log.String(), 20))
	}
	says(t, 1, "in use", "upgrade", "--state", state, "--back", kept[0])
	backup := filepath.Join(t.TempDir(), "backup.tar")
	says(t, 1, "in use", "upgrade", "--state", state, "--to", backup)
	if _, err := os.Stat(backup); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("an upgrade that is refused left a backup: %v", err)
	}
	since, frontal, lateral := phantomStudy(t, 9601)
	n.taken(frontal, lateral)
	n.await(since, "drafted", stands(queue.Delivered, 1))
	n.stop(os.Interrupt)
	says(t, 0, fmt.Sprint("format ", queue.Format), "upgrade", "--state", state, "--check")
	says(t, 0, fmt.Sprintf("format %d already", queue.Format), "upgrade", "--state", state)

	var r daemon.Returned
	if err := json.Unmarshal(says(t, 0, "", "upgrade", "--state", state, "--back", kept[0], "--json"), &r); err != nil {
		t.Fatal(err)
	}
	if r.Format != 1 || r.Objects != 2 || r.Gone != 0 {
		t.Errorf("went back: %+v", r)
	}
	if now := says(t, 0, "", "studies", "--state", state, "--json"); !bytes.Equal(now, said) {
		t.Errorf("the studies were\n%s\nand are\n%s", said, now)
	}
	// Forward once more, and what came since is sent again: the same documents, none twice.
	n.start()
	n.taken(r.Since)
	n.await(since, "drafted", stands(queue.Delivered, 1))
	n.settle(5)
	n.stop(os.Interrupt)
	for uid, classes := range received(t, folder) {
		if len(classes[basicTextSR]) != 1 {
			t.Errorf("study %s has the narratives %v", uid, classes[basicTextSR])
		}
	}
	if report, status := fsck(t, state); status != 0 {
		t.Errorf("fsck: %+v", report.Findings)
	}
	refusesNewer(t, state, database)
}

// refusesNewer makes the state one of a program to come.
func refusesNewer(t *testing.T, state, database string) {
	t.Helper()
	const newer = queue.Format + 1
	bolt, err := bbolt.Open(database, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = bolt.Update(func(tx *bbolt.Tx) error {
		meta := tx.Bucket([]byte("meta"))
		return errors.Join(meta.Put([]byte("schema"), []byte(strconv.Itoa(newer))),
			meta.Put([]byte("format"), sealed("meta", "format", fmt.Sprintf(`{"format":%d,"program":"9.9"}`, newer))))
	})
	if err := errors.Join(err, bolt.Close()); err != nil {
		t.Fatal(err)
	}
	was, err := os.ReadFile(database)
	if err != nil {
		t.Fatal(err)
	}
	both := fmt.Sprintf("the state has format %d, written by llamaxr 9.9; this program knows formats 1 to %d", newer, queue.Format)
	for _, args := range [][]string{
		{"run", "--listen", "127.0.0.1:0", "--http", ""},
		{"studies"},
		{"upgrade"},
		{"upgrade", "--check"},
		{"fsck", "--repair"},
		{"backup", "--to", filepath.Join(t.TempDir(), "b.tar")},
	} {
		says(t, 1, both, append(args, "--state", state)...)
	}
	if now, err := os.ReadFile(database); err != nil || !bytes.Equal(now, was) {
		t.Errorf("the newer database was touched, %v", err)
	}
}

// TestBackupUnit: the command of the unit is one that the program takes, and keeps as many backups as the unit says.
func TestBackupUnit(t *testing.T) {
	state, folder := olderState(t), t.TempDir()
	command, keep := "", ""
	for line := range strings.Lines(systemd.BackupService) {
		if rest, ok := strings.CutPrefix(strings.TrimSpace(line), "ExecStart="); ok {
			command = rest
		}
		if rest, ok := strings.CutPrefix(strings.TrimSpace(line), "Environment=BACKUP_KEEP="); ok {
			keep = rest
		}
	}
	if keep != "7" {
		t.Errorf("BACKUP_KEEP is %q", keep)
	}
	for day := range 9 {
		if err := os.WriteFile(filepath.Join(folder, "llamaxr-2020010"+string(rune('1'+day))+"T000000Z.tar"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	words := strings.Fields(strings.NewReplacer(systemd.Program, program, systemd.State, state, "${BACKUP_FOLDER}", folder, "${BACKUP_KEEP}", keep).Replace(command))
	if out, err := exec.Command(words[0], words[1:]...).CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", words, err, out)
	}
	left, _ := filepath.Glob(filepath.Join(folder, "*"))
	if len(left) != 7 || !strings.Contains(left[0], "20200104") {
		t.Errorf("left: %v", left)
	}
	says(t, 0, "every checksum fits", "restore", left[len(left)-1], "--check")
}

// sealed is a record as format 2 and later store it: 1, the CRC-32C of bucket, 0, key, 0 and text, and the text.
func sealed(bucket, key, text string) []byte {
	sum := crc32.Checksum([]byte(bucket+"\x00"+key+"\x00"+text), crc32.MakeTable(crc32.Castagnoli))
	return append(binary.BigEndian.AppendUint32([]byte{1}, sum), text...)
}

// TestWayBackOfACorrectedPatient: of what came since, a patient's correction is sent after what it corrects.
func TestWayBackOfACorrectedPatient(t *testing.T) {
	n := startNode(t)
	archive := filepath.Join(t.TempDir(), "backup.tar")
	says(t, 0, "", "backup", "--state", n.state, "--to", archive)
	var all []string
	for seed := uint64(9610); len(all) < 3; seed++ {
		uid, frontal, lateral := phantomStudy(t, seed)
		n.taken(frontal, lateral)
		n.await(uid, "drafted", stands(queue.Delivered, 1))
		n.taken(changed(t, []string{"PatientID=MERGED"}, frontal, lateral)...)
		n.await(uid, "corrected", stands(queue.Delivered, 2))
		all = append(all, uid)
	}
	n.stop(os.Interrupt)
	var r daemon.Returned
	if err := json.Unmarshal(says(t, 0, "", "upgrade", "--state", n.state, "--back", archive, "--json"), &r); err != nil {
		t.Fatal(err)
	}
	n.start()
	n.taken(r.Since)
	for _, uid := range all {
		r := n.await(uid, "sent again", func(r *daemon.StudyReport) bool { return r.State == queue.Delivered })
		for _, o := range r.Objects {
			if o.Header.PatientID != "MERGED" {
				t.Errorf("after the way back the patient is %s", o.Header.PatientID)
			}
		}
	}
}
