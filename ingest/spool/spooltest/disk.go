// Package spooltest is a disk in memory that fails on demand and forgets what was not synced, for tests of what must be durable.
//
// It is harsher than a journaling file system: after Cut every unsynced name and every unsynced byte is kept or lost on its own.
package spooltest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"llamaxr/ingest/spool"
)

// ErrCut is what every call returns after the power is cut.
var ErrCut = errors.New("spooltest: the power is cut")

// Fault is what happens at one step.
type Fault int

// Faults.
const (
	None   Fault = iota
	Before       // the call fails and does nothing
	After        // the call is done and yet reported as failed
	Short        // a write stops half way; other calls fail as with Before
)

// Disk implements spool.Files in memory.
type Disk struct {
	// Plan, when not nil, is asked at every step, which are numbered from 1; err is what the call returns, ErrCut cuts the power.
	Plan func(step int, call string) (f Fault, err error)
	// Space is what Free reports.
	Space int64

	mu      sync.Mutex
	now     map[string]*node // what programs see
	durable map[string]*node // names that are synced
	journal map[int64]*node  // the bytes from each place that is written to; its name is durable
	step    int
	temp    int
	cut     bool
}

// node is a file; a folder is known by its files and by MkdirAll.
type node struct{ data, synced []byte }

// New returns an empty disk.
func New() *Disk {
	return &Disk{Space: 1 << 40, now: map[string]*node{}, durable: map[string]*node{}, journal: map[int64]*node{}}
}

// Steps is the number of calls so far.
func (d *Disk) Steps() int { d.mu.Lock(); defer d.mu.Unlock(); return d.step }

// Do runs a call that is not the disk's own, such as a commit of a database, as a step of its plan.
func (d *Disk) Do(call string, do func() error) error {
	d.mu.Lock()
	fault, err := d.next(call)
	d.mu.Unlock()
	if fault == Before || fault == Short {
		return err
	}
	if done := do(); done != nil {
		return done
	}
	return err
}

// next counts a step and says what becomes of it. mu is held.
func (d *Disk) next(call string) (Fault, error) {
	if d.cut {
		return Before, ErrCut
	}
	d.step++
	if d.Plan == nil {
		return None, nil
	}
	fault, err := d.Plan(d.step, call)
	if fault == None {
		return None, nil
	}
	d.cut = errors.Is(err, ErrCut)
	return fault, fmt.Errorf("step %d, %s: %w", d.step, call, err)
}

// run does a step under the lock.
func (d *Disk) run(call string, do func() error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	fault, err := d.next(call)
	if fault == Before || fault == Short {
		return err
	}
	if done := do(); done != nil {
		return done
	}
	return err
}

// Cut cuts the power and starts the machine again without faults: of what was not synced, keep says how likely each name and each
// byte is there.
func (d *Disk) Cut(rng *rand.Rand, keep float64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	after := map[string]*node{}
	names := map[string]bool{}
	for name := range d.now {
		names[name] = true
	}
	for name := range d.durable {
		names[name] = true
	}
	kept := map[*node]bool{}
	for _, name := range sorted(names) {
		n := d.durable[name]
		if other := d.now[name]; other != n && rng.Float64() < keep {
			n = other
		}
		if n == nil {
			continue
		}
		if !kept[n] && !bytes.Equal(n.data, n.synced) {
			kept[n] = true
			n.data = torn(rng, keep, n.data, n.synced)
			n.synced = slices.Clone(n.data)
		}
		after[name] = n
	}
	for _, at := range slices.Sorted(maps.Keys(d.journal)) {
		n := d.journal[at]
		n.data = torn(rng, keep, n.data, n.synced)
		n.synced = slices.Clone(n.data)
	}
	d.now, d.durable = after, map[string]*node{}
	for name, n := range after {
		d.durable[name] = n
	}
	d.cut, d.Plan = false, nil
}

// torn is a file of which each block of the newer bytes reached the disk or not.
func torn(rng *rand.Rand, keep float64, data, synced []byte) []byte {
	const block = 64
	out := make([]byte, len(data))
	copy(out, synced)
	for at := 0; at < len(data); at += block {
		if rng.Float64() < keep {
			copy(out[at:], data[at:min(at+block, len(data))])
		}
	}
	if keep == 0 {
		return out[:len(synced)]
	}
	return out
}

func sorted(names map[string]bool) []string {
	var out []string
	for name := range names {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}

// Read returns a file's bytes as a program sees them.
func (d *Disk) Read(path string) ([]byte, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := d.now[path]
	if n == nil {
		return nil, fmt.Errorf("reading %s: %w", path, fs.ErrNotExist)
	}
	return slices.Clone(n.data), nil
}

// Names returns the paths of all files as a program sees them.
func (d *Disk) Names() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	names := map[string]bool{}
	for name := range d.now {
		names[name] = true
	}
	return sorted(names)
}

// MkdirAll implements spool.Files. Folders survive: they are made before anything is received.
func (d *Disk) MkdirAll(string) error { return nil }

// CreateTemp implements spool.Files.
func (d *Disk) CreateTemp(folder string) (spool.File, error) {
	var f *file
	err := d.run("create", func() error {
		d.temp++
		f = &file{disk: d, name: filepath.Join(folder, fmt.Sprintf("object-%d", d.temp)), node: &node{}}
		d.now[f.name] = f.node
		return nil
	})
	if err != nil {
		return nil, err
	}
	return f, nil
}

// Rename implements spool.Files.
func (d *Disk) Rename(from, to string) error {
	return d.run("rename", func() error {
		n := d.now[from]
		if n == nil {
			return fmt.Errorf("renaming %s: %w", from, fs.ErrNotExist)
		}
		delete(d.now, from)
		d.now[to] = n
		return nil
	})
}

// Remove implements spool.Files.
func (d *Disk) Remove(path string) error {
	return d.run("remove", func() error {
		if d.now[path] == nil {
			return fmt.Errorf("removing %s: %w", path, fs.ErrNotExist)
		}
		delete(d.now, path)
		return nil
	})
}

// Size implements spool.Files.
func (d *Disk) Size(path string) (int64, error) {
	data, err := d.Read(path)
	return int64(len(data)), err
}

// List implements spool.Files.
func (d *Disk) List(folder string) (out []string, err error) {
	for _, name := range d.Names() {
		if strings.HasPrefix(name, folder+string(filepath.Separator)) {
			out = append(out, name)
		}
	}
	return out, nil
}

// SyncFolder implements spool.Files.
func (d *Disk) SyncFolder(folder string) error {
	return d.run("sync folder", func() error {
		for name := range d.durable {
			if filepath.Dir(name) == folder && d.now[name] == nil {
				delete(d.durable, name)
			}
		}
		for name, n := range d.now {
			if filepath.Dir(name) == folder {
				d.durable[name] = n
			}
		}
		return nil
	})
}

// Free implements spool.Files.
func (d *Disk) Free(string) (int64, error) {
	free := d.Space
	return free, d.run("free", func() error { return nil })
}

// OpenJournal implements spool.Files. A disk has one, which is none of its Names.
func (d *Disk) OpenJournal(string) (spool.Journal, error) { return journal{d}, nil }

// journal is written and read in pieces that begin at the same places.
type journal struct{ disk *Disk }

// ReadAt implements spool.Journal. Its reads do not fail, as those of files.
func (j journal) ReadAt(b []byte, at int64) (int, error) {
	j.disk.mu.Lock()
	defer j.disk.mu.Unlock()
	if n := j.disk.journal[at]; n != nil {
		return bytes.NewReader(n.data).ReadAt(b, 0)
	}
	return 0, io.EOF
}

// WriteAt implements spool.Journal.
func (j journal) WriteAt(b []byte, at int64) (int, error) {
	j.disk.mu.Lock()
	defer j.disk.mu.Unlock()
	fault, err := j.disk.next("write to the journal")
	size := len(b)
	switch fault {
	case Before:
		size = 0
	case Short:
		size /= 2
	}
	n := j.disk.journal[at]
	if n == nil {
		n = new(node)
		j.disk.journal[at] = n
	}
	n.data = append(n.data, make([]byte, max(0, size-len(n.data)))...)
	copy(n.data, b[:size])
	return size, err
}

// Sync implements spool.Journal.
func (j journal) Sync() error {
	return j.disk.run("sync the journal", func() error {
		for _, n := range j.disk.journal {
			n.synced = slices.Clone(n.data)
		}
		return nil
	})
}

// Close implements spool.Journal.
func (j journal) Close() error { return nil }

// file is one that is being written.
type file struct {
	disk *Disk
	name string
	node *node
}

// Name implements spool.File.
func (f *file) Name() string { return f.name }

// ReadAt implements spool.File.
func (f *file) ReadAt(b []byte, at int64) (int, error) {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	return bytes.NewReader(f.node.data).ReadAt(b, at)
}

// Write implements spool.File.
func (f *file) Write(b []byte) (int, error) {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	fault, err := f.disk.next("write")
	n := len(b)
	switch fault {
	case Before:
		n = 0
	case Short:
		n /= 2
	}
	f.node.data = append(f.node.data, b[:n]...)
	return n, err
}

// Sync implements spool.File.
func (f *file) Sync() error {
	return f.disk.run("sync", func() error {
		f.node.synced = slices.Clone(f.node.data)
		return nil
	})
}

// Close implements spool.File.
func (f *file) Close() error { return f.disk.run("close", func() error { return nil }) }
