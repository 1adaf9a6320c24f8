package backup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"llamaxr/ingest"
	"llamaxr/ingest/spool"
	"llamaxr/queue"
)

// database is the state's database, which is copied rather than linked: it is the one file that changes in place.
const database = "llamaxr.db"

// stagePattern names the folders that hold a moment's files; a name that begins with a dot is never part of a state.
const stagePattern = ".backup-*"

// left are entries of a state folder that no backup needs: what is still arriving was not acknowledged.
var left = []string{"incoming", spool.JournalFile, "llamaxr.sock"}

// KeptPattern are the databases that were kept when their state was converted; a backup of what came of them does without.
const KeptPattern = "before-format-*.tar"

// stage is a state at one moment: the database copied, all other files linked.
type stage struct {
	root   string
	files  []file // in the order of their names, the database first
	header Header
}

type file struct {
	name string // relative to the state, with slashes
	size int64  // at that moment: a log grows on under its link
}

// newStage holds the state still for as long as it takes to link its files. Links take no space and keep what is removed or replaced meanwhile.
func newStage(state string, db *queue.DB, whole bool) (*stage, error) {
	root, err := os.MkdirTemp(state, stagePattern)
	if err != nil {
		return nil, fmt.Errorf("backup: %w", err)
	}
	s := &stage{root: root}
	s.header.DatabaseOnly = !whole
	err = db.Snapshot(filepath.Join(root, database), func() error {
		if !whole {
			return nil
		}
		return s.link(state)
	})
	if err == nil {
		err = s.describe()
	}
	if err != nil {
		s.remove()
		return nil, fmt.Errorf("backup: %w", err)
	}
	return s, nil
}

func (s *stage) remove() { _ = os.RemoveAll(s.root) } // what stays is removed at the appliance's next start

// Tidy removes what a backup that was killed left in a state folder.
func Tidy(state string) error {
	stages, err := filepath.Glob(filepath.Join(state, stagePattern))
	for _, root := range stages {
		err = errors.Join(err, os.RemoveAll(root))
	}
	return err
}

// link gives every file of the state a second name.
func (s *stage) link(state string) error {
	return filepath.WalkDir(state, func(path string, entry fs.DirEntry, err error) error {
		name, relErr := filepath.Rel(state, path)
		switch {
		case errors.Is(err, fs.ErrNotExist): // removed just now
			return nil
		case err != nil:
			return err
		case relErr != nil:
			return relErr
		case name == ".":
			return nil
		case strings.HasPrefix(entry.Name(), "."), slices.Contains(left, name), strings.HasPrefix(name, database), kept(name):
			if entry.IsDir() {
				return fs.SkipDir
			}
			return nil
		case entry.IsDir():
			return os.MkdirAll(filepath.Join(s.root, name), 0o700)
		case !entry.Type().IsRegular():
			return fmt.Errorf("%s is neither a file nor a folder: a backup cannot hold it", name)
		}
		staged := filepath.Join(s.root, name)
		if err := os.Link(path, staged); errors.Is(err, fs.ErrNotExist) {
			return nil
		} else if err != nil {
			return err
		}
		info, err := os.Stat(staged)
		if err != nil {
			return err
		}
		s.files = append(s.files, file{filepath.ToSlash(name), info.Size()})
		return nil
	})
}

func kept(name string) bool {
	is, _ := filepath.Match(KeptPattern, name) // the pattern is sound
	return is
}

// describe reads the copied database: what it knows is counted, and objects that it does not know were never acknowledged and stay out.
func (s *stage) describe() error {
	path := filepath.Join(s.root, database)
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	db, err := queue.OpenReadOnly(path)
	if err != nil {
		return err
	}
	defer db.Close()
	form, err := db.Form()
	if err != nil {
		return err
	}
	s.header.StateFormat = form.Format
	known, err := ingest.Known(db)
	if err != nil {
		return err
	}
	s.files = slices.DeleteFunc(s.files, func(f file) bool {
		object := strings.HasPrefix(f.name, "objects/") || strings.HasPrefix(f.name, "aside/")
		return object && !known[filepath.FromSlash(f.name)]
	})
	s.files = slices.Insert(s.files, 0, file{database, info.Size()})
	for _, f := range s.files {
		s.header.Bytes += f.size
	}
	s.header.Files = len(s.files)
	return db.View(func(tx *queue.Tx) error {
		uids, err := tx.StudyUIDs()
		s.header.Studies = len(uids)
		if err != nil {
			return err
		}
		return tx.EachInstance(func(*queue.Instance) error { s.header.Instances++; return nil })
	})
}
