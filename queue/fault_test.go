package queue

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.etcd.io/bbolt"
)

// work is a change of the kind that the appliance commits: a study, its job, a job done.
func work(t testing.TB, db *DB, i int) error {
	t.Helper()
	err := db.Update(func(tx *Tx) error {
		uid := fmt.Sprintf("2.%d", i%7)
		s := &Study{UID: uid, State: Receiving, Revision: i}
		s.Note(time.Unix(int64(i), 0), "changed")
		return errors.Join(tx.PutStudy(s), tx.Enqueue(Job{ID: fmt.Sprintf("k/%d", i), Kind: "k", Study: uid}))
	})
	if err != nil || i%3 != 0 {
		return err
	}
	lease, err := db.Lease(t.Context(), time.Hour, "k")
	if err != nil {
		return err
	}
	return lease.Done(nil)
}

// TestPowerCutInACommit: bbolt writes a commit's pages, syncs, writes a meta page and syncs. Whatever of that reached the disk when the power
// went, the state is that before the commit or that after it, whole, and it works on.
func TestPowerCutInACommit(t *testing.T) {
	const pageSize = 4096
	path := filepath.Join(t.TempDir(), "db")
	db, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	rng := rand.New(rand.NewPCG(1, 1))
	read := func() []byte {
		raw, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	before := read()
	cuts := 0
	for i := range 12 {
		err := db.Update(func(tx *Tx) error {
			s := &Study{UID: fmt.Sprintf("2.%d", i%5), Revision: i, Instances: make([]string, 200)}
			return errors.Join(tx.PutStudy(s), tx.Enqueue(Job{ID: fmt.Sprint(i), Kind: "k", Study: s.UID}))
		})
		if err != nil {
			t.Fatal(err)
		}
		after := read()
		for variant := range 8 {
			torn := make([]byte, max(len(before), len(after)))
			copy(torn, before)
			for at := 2 * pageSize; at < len(after); at += pageSize { // the data pages, each there or not
				if variant%4 > 0 && (variant%4 == 3 || rng.IntN(2) == 0) {
					copy(torn[at:], after[at:min(at+pageSize, len(after))])
				}
			}
			if variant == 3 || variant == 7 { // they were synced: the meta page is there, in part or whole
				for at := range 2 * pageSize {
					if variant == 7 || rng.IntN(3) > 0 {
						torn[at] = after[at]
					}
				}
			}
			cuts++
			checkCut(t, fmt.Sprintf("commit %d, variant %d", i, variant), torn, before, after)
		}
		before = after
	}
	t.Logf("%d power cuts", cuts)
}

// checkCut opens a file as the power cut left it and holds its records against both states.
func checkCut(t *testing.T, what string, torn, before, after []byte) {
	t.Helper()
	records := func(raw []byte) map[string][]byte {
		in, err := inspect(bytes.NewReader(raw), int64(len(raw)))
		if err != nil {
			t.Fatal(err)
		}
		out := map[string][]byte{}
		for bucket, list := range in.records {
			for _, r := range list {
				out[bucket+"/"+string(r.key)] = r.raw
			}
		}
		return out
	}
	path := filepath.Join(t.TempDir(), "db")
	if err := os.WriteFile(path, torn, 0o600); err != nil {
		t.Fatal(err)
	}
	got := records(torn)
	if !maps.EqualFunc(got, records(before), bytes.Equal) && !maps.EqualFunc(got, records(after), bytes.Equal) {
		t.Errorf("%s: neither the state before nor the one after", what)
	}
	db, err := Open(path, Options{})
	if err != nil {
		t.Errorf("%s: %v", what, err)
		return
	}
	for _, d := range db.Damage() { // a torn meta page is seen as such; records never are
		if d.Where != "page 0" && d.Where != "page 1" {
			t.Errorf("%s: %v", what, d)
		}
	}
	if err := work(t, db, 1); err != nil {
		t.Errorf("%s: afterwards: %v", what, err)
	}
	if err := db.Close(); err != nil {
		t.Error(err)
	}
	if got := content(t, path); got["studies/2.1"] == nil {
		t.Errorf("%s: what was changed afterwards is gone", what)
	}
}

// switched puts another file under bbolt's descriptor until the returned function is called: a disk that fails under an open database.
func switched(t *testing.T, path, other string) (back func()) {
	t.Helper()
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip("no /proc")
	}
	for _, e := range fds {
		fd, _ := strconv.Atoi(e.Name())
		if target, _ := os.Readlink("/proc/self/fd/" + e.Name()); target != path {
			continue
		}
		saved, err := syscall.Dup(fd)
		if err != nil {
			t.Fatal(err)
		}
		bad, err := os.OpenFile(other, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		if err := syscall.Dup3(int(bad.Fd()), fd, syscall.O_CLOEXEC); err != nil {
			t.Fatal(err)
		}
		bad.Close()
		return func() {
			if err := syscall.Dup3(saved, fd, syscall.O_CLOEXEC); err != nil {
				t.Fatal(err)
			}
			syscall.Close(saved)
		}
	}
	t.Fatal("the database's descriptor is not found")
	return nil
}

// TestTheDiskFailsUnderTheDatabase: with real system calls that fail, a commit says so, what was acknowledged before and after stays, and it
// works on without being opened again. /dev/full has no space; /dev/null takes each write, forgets it and fails to sync.
func TestTheDiskFailsUnderTheDatabase(t *testing.T) {
	for device, want := range map[string]error{"/dev/full": syscall.ENOSPC, "/dev/null": syscall.EINVAL} {
		path, err := filepath.EvalSymlinks(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		path = filepath.Join(path, "db")
		db, err := Open(path, Options{})
		if err != nil {
			t.Fatal(err)
		}
		model := map[string]int{} // study → revision that was acknowledged
		unknown := map[string]map[int]bool{}
		failed := 0
		for i := range 120 {
			uid := fmt.Sprintf("2.%d", i%7)
			back := func() {}
			if i%4 == 3 {
				back = switched(t, path, device)
			}
			err := db.Update(func(tx *Tx) error { return tx.PutStudy(&Study{UID: uid, Revision: i, Instances: make([]string, 10*i)}) })
			back()
			if (err != nil) != (i%4 == 3) {
				t.Errorf("%s, update %d: %v", device, i, err)
			}
			if err == nil {
				model[uid], unknown[uid] = i, nil
				continue
			}
			if errors.Is(err, want) {
				failed++
			} else if !strings.Contains(err.Error(), "file size too small") { // the map would have grown, and a device has no size
				t.Errorf("%s, update %d: %v, want %v", device, i, err, want)
			}
			if unknown[uid] == nil {
				unknown[uid] = map[int]bool{}
			}
			unknown[uid][i] = true
		}
		verify := func(when string, db *DB) {
			err := db.View(func(tx *Tx) error {
				for uid, revision := range model {
					s, err := tx.Study(uid)
					if err != nil || s == nil || s.Revision != revision && !unknown[uid][s.Revision] {
						t.Errorf("%s, %s: study %s is %+v, %v; revision %d was acknowledged", device, when, uid, s, err, revision)
					}
				}
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		}
		verify("running", db)
		if err := db.Close(); err != nil {
			t.Error(err)
		}
		if db, err = Open(path, Options{}); err != nil {
			t.Fatal(err)
		}
		if len(db.Damage()) > 0 {
			t.Errorf("%s: %v", device, db.Damage())
		}
		verify("opened again", db)
		if err := db.Close(); err != nil {
			t.Error(err)
		}
		if found, _, err := Fsck(path); err != nil || len(found) > 0 {
			t.Errorf("%s: %v, %v", device, found, err)
		}
		if failed < 20 {
			t.Errorf("%s: %d commits failed for its reason", device, failed)
		}
		t.Logf("%s: %d failing commits among 120", device, failed)
	}
}

// TestBboltWritesInThatOrder: the order that TestPowerCutInACommit assumes is the one of the library: with the meta pages of the state before a
// commit and every page of the one after, the file is the state before.
func TestBboltWritesInThatOrder(t *testing.T) {
	path := filled(t)
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	want := content(t, path)
	bolt, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = bolt.Update(func(tx *bbolt.Tx) error {
		return tx.Bucket(bucketStudies).Put([]byte("9"), bytes.Repeat([]byte("x"), 9000))
	})
	if err := errors.Join(err, bolt.Close()); err != nil {
		t.Fatal(err)
	}
	after, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	copy(after, before[:2*4096])
	if err := os.WriteFile(path, after, 0o600); err != nil {
		t.Fatal(err)
	}
	if got := content(t, path); !maps.EqualFunc(got, want, bytes.Equal) {
		t.Error("a commit writes over pages of the state before it")
	}
}
