package spool_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"llamaxr/ingest/spool"
	"llamaxr/ingest/spool/spooltest"
)

var head, body = []byte("head of the file "), bytes.Repeat([]byte("data set "), 100)

// store writes one object in three pieces.
func store(s *spool.Spool, key string) (path string, err error) {
	w, err := s.Begin(head)
	if err != nil {
		return "", err
	}
	for at := 0; at < len(body); at += 300 {
		if _, err := w.Write(body[at:min(at+300, len(body))]); err != nil {
			w.Abort()
			return "", err
		}
	}
	return w.Commit(key)
}

// TestEveryFault: whichever call fails and however, Commit says so, nothing is left to be seen, and the next object goes in.
func TestEveryFault(t *testing.T) {
	dry := spooltest.New()
	s, err := spool.OpenOn(dry, "/s", 0)
	if err != nil {
		t.Fatal(err)
	}
	opened := dry.Steps()
	if _, err := store(s, "k"); err != nil {
		t.Fatal(err)
	}
	steps := dry.Steps() - opened
	if steps < 9 { // free, create, head, three pieces, sync, close, rename, folder
		t.Fatalf("an object takes %d calls", steps)
	}
	for step := 1; step <= steps; step++ {
		for _, fault := range []spooltest.Fault{spooltest.Before, spooltest.After, spooltest.Short} {
			for _, cause := range []error{syscall.EIO, syscall.ENOSPC} {
				disk := spooltest.New()
				s, err := spool.OpenOn(disk, "/s", 0)
				if err != nil {
					t.Fatal(err)
				}
				base, what := disk.Steps(), ""
				disk.Plan = func(n int, call string) (spooltest.Fault, error) {
					if n == base+step {
						what = call
						return fault, cause
					}
					return spooltest.None, nil
				}
				_, err = store(s, "k")
				name := fmt.Sprintf("step %d (%s), fault %d, %v", step, what, fault, cause)
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
				if path, err := store(s, "k"); err != nil || !s.Has(path, int64(len(body))) {
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

// TestPowerCut: what Commit returned for is there after a power cut at any later or earlier step; nothing else survives a sweep.
func TestPowerCut(t *testing.T) {
	for step := 1; step <= 40; step++ {
		for _, fault := range []spooltest.Fault{spooltest.Before, spooltest.After, spooltest.Short} {
			for variant, keep := range []float64{0, 0.5, 0.5, 1} {
				disk := spooltest.New()
				s, err := spool.OpenOn(disk, "/s", 0)
				if err != nil {
					t.Fatal(err)
				}
				base := disk.Steps()
				disk.Plan = func(n int, _ string) (spooltest.Fault, error) {
					if n == base+step {
						return fault, spooltest.ErrCut
					}
					return spooltest.None, nil
				}
				committed := map[string]bool{}
				for i := range 4 {
					if path, err := store(s, fmt.Sprint(i)); err == nil {
						committed[path] = true
					}
				}
				disk.Cut(rand.New(rand.NewPCG(uint64(step), uint64(variant))), keep)
				if s, err = spool.OpenOn(disk, "/s", 0); err != nil {
					t.Fatal(err)
				}
				if _, err := s.Sweep(committed); err != nil {
					t.Fatal(err)
				}
				for path := range committed {
					got, err := disk.Read(s.Path(path))
					if err != nil || !bytes.Equal(got, append(bytes.Clone(head), body...)) {
						t.Errorf("cut at %d (%d), keep %g: a committed object is lost or altered: %v", step, fault, keep, err)
					}
				}
				if left := disk.Names(); len(left) != len(committed) {
					t.Errorf("cut at %d (%d), keep %g: %d files for %d objects", step, fault, keep, len(left), len(committed))
				}
			}
		}
	}
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
		if got, err := os.ReadFile(s.Path(path)); err != nil || !bytes.Equal(got, append(bytes.Clone(head), body...)) {
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
	removed, err := s.Sweep(map[string]bool{known[0]: true, apart: true})
	if err != nil || removed != len(known)-1 {
		t.Errorf("%d swept, want %d: %v", removed, len(known)-1, err)
	}
	if !s.Has(known[0], 1) || !s.Has(apart, 1) || s.Has(known[1], 1) {
		t.Error("the sweep took what is known or left what is not")
	}
	if _, err := spool.Open(root, 1<<62); err != nil {
		t.Error(err)
	}
	full, _ := spool.Open(root, 1<<62)
	if _, err := full.Begin(head); !errors.Is(err, spool.ErrNoSpace) {
		t.Errorf("a full disk: %v", err)
	}
}
