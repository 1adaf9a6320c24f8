package spool_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"llamaxr/ingest/atrest"
	"llamaxr/ingest/spool"
	"llamaxr/ingest/spool/spooltest"
)

var head, small = []byte("head of the file "), bytes.Repeat([]byte("data set "), 100)

// large is what no slot of the journal holds.
var large = bytes.Repeat([]byte("data set "), 1<<20/9)

// bodyOf is the data set of the object of a key.
func bodyOf(key string) []byte {
	if strings.HasPrefix(key, "large") {
		return large
	}
	return small
}

// keys are those that a spool is tried with: none, and one.
func keys(t *testing.T) []*atrest.Key {
	t.Helper()
	key, err := atrest.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	return []*atrest.Key{nil, key}
}

// open opens a spool on a disk of a test.
func open(t *testing.T, disk *spooltest.Disk, encrypt *atrest.Key) *spool.Spool {
	t.Helper()
	s, err := spool.OpenOn(disk, "/s", 0)
	if err != nil {
		t.Fatal(err)
	}
	s.EncryptWith(encrypt)
	return s
}

// plain is what a file that a key wrote says; it fails where that should be encrypted and is not.
func plain(key *atrest.Key, data []byte) ([]byte, error) {
	r, encrypted, err := key.Reader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return nil, err
	}
	if encrypted != (key != nil) {
		return nil, fmt.Errorf("encrypted: %v", encrypted)
	}
	return io.ReadAll(r)
}

// store writes one object in three pieces.
func store(s *spool.Spool, key string) (path string, err error) {
	w, err := s.Begin(head)
	if err != nil {
		return "", err
	}
	body := bodyOf(key)
	piece := len(body) / 3
	for at := 0; at < len(body); at += piece {
		if _, err := w.Write(body[at:min(at+piece, len(body))]); err != nil {
			w.Abort()
			return "", err
		}
	}
	return w.Commit(key)
}

// TestEveryFault: whichever call fails and however, Commit says so, nothing is left to be seen, and the next object goes in.
func TestEveryFault(t *testing.T) {
	for _, encrypt := range keys(t) {
		for _, key := range []string{"small", "large"} {
			everyFault(t, encrypt, key)
		}
	}
}

func everyFault(t *testing.T, encrypt *atrest.Key, key string) {
	t.Helper()
	dry := spooltest.New()
	s := open(t, dry, encrypt)
	opened := dry.Steps()
	if _, err := store(s, key); err != nil {
		t.Fatal(err)
	}
	steps := dry.Steps() - opened
	if steps < 9 { // free, create, head, three pieces, and for a large one: sync, close, rename, folder; for a small one: journal, its sync, rename
		t.Fatalf("an object takes %d calls", steps)
	}
	for step := 1; step <= steps; step++ {
		for _, fault := range []spooltest.Fault{spooltest.Before, spooltest.After, spooltest.Short} {
			for _, cause := range []error{syscall.EIO, syscall.ENOSPC} {
				disk := spooltest.New()
				s := open(t, disk, encrypt)
				base, what := disk.Steps(), ""
				disk.Plan = func(n int, call string) (spooltest.Fault, error) {
					if n == base+step {
						what = call
						return fault, cause
					}
					return spooltest.None, nil
				}
				_, err := store(s, key)
				name := fmt.Sprintf("%s by key %q, step %d (%s), fault %d, %v", key, encrypt.Public(), step, what, fault, cause)
				switch {
				case err == nil:
					t.Errorf("%s: no error", name)
				case !errors.Is(err, cause):
					t.Errorf("%s: the cause is lost: %v", name, err)
				case cause == syscall.ENOSPC && what != "free" && !errors.Is(err, spool.ErrNoSpace):
					t.Errorf("%s: not ErrNoSpace: %v", name, err)
				case cause == syscall.EIO && errors.Is(err, spool.ErrNoSpace):
					t.Errorf("%s: ErrNoSpace without cause", name)
				}
				// A file whose making was reported as failed has no name that we know: the next start clears it.
				if left := disk.Names(); len(left) > 0 && !(what == "create" && fault == spooltest.After) {
					t.Errorf("%s: left behind: %v", name, left)
				}
				if path, err := store(s, key); err != nil || !s.Has(path, int64(len(bodyOf(key)))) {
					t.Errorf("%s: the next object: %v", name, err)
				}
				if _, err := spool.OpenOn(disk, "/s", 0); err != nil {
					t.Errorf("%s: opening again: %v", name, err)
				}
				if left := disk.Names(); len(left) != 1 {
					t.Errorf("%s: after a start: %v", name, left)
				}
			}
		}
	}
}

// TestPowerCut: what Commit returned for is there after a power cut at any later or earlier step; nothing else but what Unknown names.
func TestPowerCut(t *testing.T) {
	for _, encrypt := range keys(t) {
		powerCut(t, encrypt)
	}
}

func powerCut(t *testing.T, encrypt *atrest.Key) {
	t.Helper()
	for step := 1; step <= 60; step++ {
		for _, fault := range []spooltest.Fault{spooltest.Before, spooltest.After, spooltest.Short} {
			for variant, keep := range []float64{0, 0.5, 0.5, 1} {
				disk := spooltest.New()
				s := open(t, disk, encrypt)
				disk.Plan = planned(disk.Steps()+step, fault, spooltest.ErrCut)
				committed := map[string]string{}
				for i, key := range []string{"0", "1", "large", "3"} {
					if path, err := store(s, key); err == nil {
						committed[path] = key
					}
					if i == 1 {
						_ = s.Settle()
					}
				}
				_ = s.Settle()
				disk.Cut(rand.New(rand.NewPCG(uint64(step), uint64(variant))), keep)
				name := fmt.Sprintf("cut at %d (%d), keep %g", step, fault, keep)
				s = open(t, disk, encrypt)
				sweep(t, name, disk, s, encrypt, committed)
			}
		}
	}
}

func planned(step int, fault spooltest.Fault, cause error) func(int, string) (spooltest.Fault, error) {
	return func(n int, _ string) (spooltest.Fault, error) {
		if n == step {
			return fault, cause
		}
		return spooltest.None, nil
	}
}

// sweep checks that the committed objects, by their path, are whole, and that nothing else is there but what Unknown names.
func sweep(t *testing.T, when string, disk *spooltest.Disk, s *spool.Spool, encrypt *atrest.Key, committed map[string]string) {
	t.Helper()
	known := map[string]bool{}
	for path := range committed {
		known[path] = true
	}
	unknown, err := s.Unknown(known)
	if err != nil {
		t.Fatal(when, err)
	}
	for _, path := range unknown {
		if err := s.Remove(path); err != nil {
			t.Fatal(when, err)
		}
	}
	for path, key := range committed {
		got, err := disk.Read(s.Path(path))
		if err == nil {
			got, err = plain(encrypt, got)
		}
		if err != nil || !bytes.Equal(got, append(bytes.Clone(head), bodyOf(key)...)) {
			t.Errorf("%s: a committed object is lost or altered: %v", when, err)
		}
	}
	if left := disk.Names(); len(left) != len(committed) {
		t.Errorf("%s: %d files for %d objects", when, len(left), len(committed))
	}
}

// TestSettleFails: whatever call of settling or of the next start's recovery fails, and then the power, no object of the journal is lost; and once
// they are settled, one that is removed does not come back.
func TestSettleFails(t *testing.T) {
	for step := 1; ; step++ {
		reached := false
		for _, fault := range []spooltest.Fault{spooltest.Before, spooltest.After, spooltest.Short} {
			for variant, keep := range []float64{0, 0.5, 1} {
				name := fmt.Sprintf("step %d, fault %d, keep %g", step, fault, keep)
				disk := spooltest.New()
				s, err := spool.OpenOn(disk, "/s", 0)
				if err != nil {
					t.Fatal(err)
				}
				committed := map[string]string{}
				for _, key := range []string{"0", "1"} {
					path, err := store(s, key)
					if err != nil {
						t.Fatal(err)
					}
					committed[path] = key
				}
				cut := rand.New(rand.NewPCG(uint64(step), uint64(variant)))
				at := disk.Steps() + step
				if variant == 0 { // recovery fails rather than settling
					disk.Cut(cut, keep)
					disk.Plan = planned(at, fault, syscall.EIO)
					if _, err := spool.OpenOn(disk, "/s", 0); err != nil {
						if _, err := spool.OpenOn(disk, "/s", 0); err != nil {
							t.Fatal(name, err)
						}
					}
				} else {
					disk.Plan = planned(at, fault, syscall.EIO)
					if err := s.Settle(); err != nil && variant == 1 {
						if err := s.Settle(); err != nil {
							t.Fatal(name, err)
						}
					}
				}
				reached = reached || disk.Steps() >= at
				disk.Cut(cut, keep)
				if s, err = spool.OpenOn(disk, "/s", 0); err != nil {
					t.Fatal(name, err)
				}
				sweep(t, name, disk, s, nil, committed)
				for path := range committed {
					if err := s.Remove(path); err != nil {
						t.Errorf("%s: %v", name, err)
					}
				}
				if _, err := spool.OpenOn(disk, "/s", 0); err != nil {
					t.Fatal(name, err)
				}
				if left := disk.Names(); len(left) > 0 {
					t.Errorf("%s: removed objects came back: %v", name, left)
				}
			}
		}
		if !reached {
			if step < 8 {
				t.Errorf("settling took %d steps", step-1)
			}
			return
		}
	}
}

// TestEachWriterHearsOfAFailedWrite: where the kernel fails to write back a page of the journal, it says so once to each descriptor, whoever wrote that page:
// of two objects that were written to it by then, neither is acknowledged.
func TestEachWriterHearsOfAFailedWrite(t *testing.T) {
	disk := &oneFailure{Disk: spooltest.New()}
	disk.written.Add(2)
	s, err := spool.OpenOn(disk, "spool", 0)
	if err != nil {
		t.Fatal(err)
	}
	errs := make(chan error, 2)
	for _, key := range []string{"one", "two"} {
		go func() {
			_, err := store(s, key)
			errs <- err
		}()
	}
	for range 2 {
		if err := <-errs; !errors.Is(err, syscall.EIO) {
			t.Errorf("acknowledged, or failed with %v", err)
		}
	}
	if _, err := store(s, "three"); err != nil {
		t.Errorf("after it: %v", err)
	}
}

// oneFailure is a disk whose journal fails to write back a page, once two objects are in its memory. The syncs are told as by Linux (errseq_t).
type oneFailure struct {
	*spooltest.Disk
	written sync.WaitGroup
	writes  atomic.Int32
}

func (d *oneFailure) OpenJournal(path string) (spool.Journal, error) {
	j, err := d.Disk.OpenJournal(path)
	return &descriptor{Journal: j, disk: d}, err
}

type descriptor struct {
	spool.Journal
	disk *oneFailure
	told atomic.Bool
}

func (d *descriptor) WriteAt(b []byte, at int64) (int, error) {
	n, err := d.Journal.WriteAt(b, at)
	if d.disk.writes.Add(1) <= 2 {
		d.disk.written.Done()
		d.disk.written.Wait()
	}
	return n, err
}

func (d *descriptor) Sync() error {
	if d.disk.writes.Load() >= 2 && !d.told.Swap(true) {
		return syscall.EIO
	}
	return d.Journal.Sync()
}

// TestRemovedBeforeItSettled: an object that is removed while it lies in the journal does not come back at the next start, even when the
// slot's first clearing failed.
func TestRemovedBeforeItSettled(t *testing.T) {
	for step := range 8 {
		disk := spooltest.New()
		s, err := spool.OpenOn(disk, "/s", 0)
		if err != nil {
			t.Fatal(err)
		}
		disk.Plan = planned(disk.Steps()+6+step, spooltest.After, syscall.EIO)
		path, err := store(s, "0")
		for range 3 { // as a job is tried again
			if err == nil {
				err = s.Remove(path)
			}
			if errors.Is(err, syscall.EIO) {
				path, err = store(s, "0")
			}
		}
		if s.Has(path, 0) {
			t.Errorf("step %d: not removed: %v", step, err)
		}
		disk.Plan = nil
		if _, err := spool.OpenOn(disk, "/s", 0); err != nil {
			t.Fatal(err)
		}
		if left := disk.Names(); len(left) > 0 {
			t.Errorf("step %d: it came back: %v", step, left)
		}
	}
}

// TestManyObjectsInTheJournal: more than it holds are taken all the same, whether anybody settles or not.
func TestManyObjectsInTheJournal(t *testing.T) {
	disk := spooltest.New()
	s, err := spool.OpenOn(disk, "/s", 0)
	if err != nil {
		t.Fatal(err)
	}
	committed := map[string]string{}
	for i := range 100 {
		key := fmt.Sprint(i)
		path, err := store(s, key)
		if err != nil {
			t.Fatal(err)
		}
		committed[path] = key
		if i == 80 {
			if err := s.Settle(); err != nil {
				t.Fatal(err)
			}
		}
	}
	disk.Cut(rand.New(rand.NewPCG(1, 1)), 0)
	if s, err = spool.OpenOn(disk, "/s", 0); err != nil {
		t.Fatal(err)
	}
	sweep(t, "100 objects", disk, s, nil, committed)
}

// TestTheDiskForgets: the disk of these tests does lose what is not synced, or they would prove nothing.
func TestTheDiskForgets(t *testing.T) {
	for _, test := range []struct {
		name   string
		sync   bool
		folder bool
		want   int
	}{{"nothing synced", false, false, 0}, {"no folder", true, false, 0}, {"no data", false, true, 0}, {"all", true, true, 4}} {
		disk := spooltest.New()
		f, err := disk.CreateTemp("/s")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write([]byte("abcd")); err != nil {
			t.Fatal(err)
		}
		if test.sync {
			err = f.Sync()
		}
		if test.folder {
			err = errors.Join(err, disk.SyncFolder("/s"))
		}
		disk.Cut(rand.New(rand.NewPCG(1, 1)), 0)
		if size, _ := disk.Size(f.Name()); err != nil || size != int64(test.want) {
			t.Errorf("%s: %d bytes, want %d (%v)", test.name, size, test.want, err)
		}
	}
}

// TestWatermark: below the free space that is kept nothing is taken, and it recovers without hands.
func TestWatermark(t *testing.T) {
	disk := spooltest.New()
	s, err := spool.OpenOn(disk, "/s", 1000)
	if err != nil {
		t.Fatal(err)
	}
	disk.Space = 999
	if _, err := store(s, "k"); !errors.Is(err, spool.ErrNoSpace) {
		t.Errorf("below the watermark: %v", err)
	}
	disk.Space = 1000
	if _, err := store(s, "k"); err != nil {
		t.Error(err)
	}
}

// TestOnTheRealDisk: the same on the machine's file system; no name that a peer sends reaches it, and leftovers go at start.
func TestOnTheRealDisk(t *testing.T) {
	root := t.TempDir()
	s, err := spool.Open(root, 1)
	if err != nil {
		t.Fatal(err)
	}
	var known []string
	for _, key := range []string{"1.2.3", "../../../etc/passwd", "", strings.Repeat("x", 5000), "a\x00b"} {
		path, err := store(s, key)
		if err != nil {
			t.Fatalf("%q: %v", key, err)
		}
		if !filepath.IsLocal(path) || !strings.HasPrefix(path, "objects"+string(filepath.Separator)) {
			t.Errorf("%q lies at %s", key, path)
		}
		if got, err := os.ReadFile(s.Path(path)); err != nil || !bytes.Equal(got, append(bytes.Clone(head), small...)) {
			t.Errorf("%q: %v", key, err)
		}
		known = append(known, path)
	}
	w, err := s.Begin(head)
	if err != nil {
		t.Fatal(err)
	}
	apart, err := w.CommitAside("1.2.3")
	if err != nil || !strings.HasPrefix(apart, "aside"+string(filepath.Separator)) {
		t.Errorf("aside at %s: %v", apart, err)
	}
	if _, err := s.Begin(head); err != nil { // left half written, as by kill -9
		t.Fatal(err)
	}
	if s, err = spool.Open(root, 1); err != nil {
		t.Fatal(err)
	}
	if half, err := os.ReadDir(filepath.Join(root, "incoming")); err != nil || len(half) != 0 {
		t.Errorf("%d half-written objects after a start (%v)", len(half), err)
	}
	unknown, err := s.Unknown(map[string]bool{known[0]: true, apart: true})
	slices.Sort(unknown)
	slices.Sort(known[1:])
	if err != nil || !slices.Equal(unknown, known[1:]) {
		t.Errorf("unknown are %q, want %q: %v", unknown, known[1:], err)
	}
	if _, err := spool.Open(root, 1<<62); err != nil {
		t.Error(err)
	}
	full, _ := spool.Open(root, 1<<62)
	if _, err := full.Begin(head); !errors.Is(err, spool.ErrNoSpace) {
		t.Errorf("a full disk: %v", err)
	}
}

// BenchmarkStore is what encryption costs a receiver: an object of 10 MB, a radiograph's, made durable on this machine's disk.
func BenchmarkStore(b *testing.B) {
	key, err := atrest.NewKey()
	if err != nil {
		b.Fatal(err)
	}
	data := make([]byte, 10<<20)
	for i := range data {
		data[i] = byte(i * i >> 8)
	}
	for name, key := range map[string]*atrest.Key{"plain": nil, "encrypted": key} {
		b.Run(name, func(b *testing.B) {
			s, err := spool.Open(b.TempDir(), 0)
			if err != nil {
				b.Fatal(err)
			}
			s.EncryptWith(key)
			b.SetBytes(int64(len(data)))
			for b.Loop() {
				w, err := s.Begin(head)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := io.Copy(w, bytes.NewReader(data)); err != nil {
					b.Fatal(err)
				}
				if _, err := w.Commit("k"); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
