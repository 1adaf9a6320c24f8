package backup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"llamaxr/daemon/chain"
	"llamaxr/ingest/spool"
)

// LostAndFound is what lies at the top of a file system of its own, for root alone to enter (mke2fs(8)): it is not of the state.
const LostAndFound = "lost+found"

// left are entries of a state folder that no backup needs: what is still arriving was not acknowledged.
var left = []string{"incoming", spool.JournalFile, "llamaxr.sock", LostAndFound}

// writtenOnce are the folders of a state, with nearly all of its files, in which no file is written on: it is made elsewhere and moved there, replaced by
// another, or removed. Each of these changes the time of the folder that it lies in.
var writtenOnce = []string{"objects", "aside", "drafts"}

// settled is how long a folder must not have changed for its time to tell whether it does: file systems' clocks tick in steps, some of seconds.
const settled = 3 * time.Second

// linker gives files of a state a second name. A million links take some twenty seconds, for which nothing could be committed: so folders are
// linked ahead, and at the moment only those that changed since.
type linker struct {
	state, root string
	ahead       map[string]folder // by name relative to the state
}

// folder is what was linked of a folder.
type folder struct {
	changed time.Time
	files   []File
	folders []string
}

// linkAhead links the folders that have not changed of late.
func (l *linker) linkAhead() error {
	latest := time.Now().Add(-settled)
	for _, name := range writtenOnce {
		err := l.walk(name, func(name string, f folder) {
			if f.changed.Before(latest) {
				l.ahead[name] = f
			}
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// walk links a folder and those in it, and hands each to visit.
func (l *linker) walk(name string, visit func(name string, f folder)) error {
	f, err := l.link(name)
	if errors.Is(err, fs.ErrNotExist) { // removed just now
		return nil
	}
	if err != nil {
		return err
	}
	visit(name, f)
	for _, below := range f.folders {
		if err := l.walk(below, visit); err != nil {
			return err
		}
	}
	return nil
}

// link links the files of one folder.
func (l *linker) link(name string) (f folder, err error) {
	path := filepath.Join(l.state, name)
	info, err := os.Stat(path)
	if err != nil {
		return f, err
	}
	if before, ok := l.ahead[name]; ok && before.changed.Equal(info.ModTime()) {
		return before, nil
	}
	f.changed = info.ModTime()
	entries, err := os.ReadDir(path)
	if err == nil {
		err = os.MkdirAll(filepath.Join(l.root, name), 0o700)
	}
	if err != nil {
		return f, err
	}
	slices.SortFunc(entries, headsFirst)
	for _, entry := range entries {
		below := filepath.Join(name, entry.Name())
		switch {
		case strings.HasPrefix(entry.Name(), "."), slices.Contains(left, below), strings.HasPrefix(below, database), kept(below):
		case entry.IsDir():
			f.folders = append(f.folders, below)
		case !entry.Type().IsRegular():
			return f, fmt.Errorf("%s is neither a file nor a folder: a backup cannot hold it", below)
		default:
			size, err := l.linkFile(below)
			if errors.Is(err, fs.ErrNotExist) { // removed just now
				continue
			}
			if err != nil {
				return f, err
			}
			f.files = append(f.files, File{filepath.ToSlash(below), size})
		}
	}
	return f, nil
}

// linkFile links a file, also in the place of another that was linked ahead.
func (l *linker) linkFile(name string) (size int64, err error) {
	from, to := filepath.Join(l.state, name), filepath.Join(l.root, name)
	if err = os.Link(from, to); errors.Is(err, fs.ErrExist) {
		if err = os.Remove(to); err == nil {
			err = os.Link(from, to)
		}
	}
	if err != nil {
		return 0, err
	}
	info, err := os.Stat(to)
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// headsFirst puts the head of a log before its log, which grows on: a head that is ahead of its log would tell of lines that are missing.
func headsFirst(a, b fs.DirEntry) int {
	isHead := func(e fs.DirEntry) bool { return strings.HasSuffix(e.Name(), chain.HeadFile("")) }
	if isHead(a) != isHead(b) {
		if isHead(a) {
			return -1
		}
		return 1
	}
	return strings.Compare(a.Name(), b.Name())
}

func kept(name string) bool {
	is, _ := filepath.Match(KeptPattern, name) // the pattern is sound
	return is
}
