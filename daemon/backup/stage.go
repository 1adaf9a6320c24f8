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

// stagePattern names the folders that hold moments; a name that begins with a dot is never part of a state.
const stagePattern = ".backup-*"

// left are entries of a state folder that no backup needs: what is still arriving was not acknowledged.
var left = []string{"incoming", spool.JournalFile, "llamaxr.sock"}

// KeptPattern are the databases that were kept when their state was converted; a backup of what came of them does without.
const KeptPattern = "before-format-*.tar"

// Moment is a state as it was at one moment: the database copied, all other files linked. Who may read the state folder can write it to an
// archive, in another process too, until it is released.
type Moment struct {
	Folder string `json:"folder"` // in the state folder
	Files  []File `json:"files"`  // in the order of their names, without the database
}

// File is a file of a state.
type File struct {
	Name string `json:"name"` // relative to the state, with slashes
	Size int64  `json:"size"` // at that moment: a log grows on under its link
}

// Take holds the state still for as long as it takes to link its files. Links take no space and keep what is removed or replaced meanwhile.
func Take(state string, db *queue.DB) (*Moment, error) {
	return take(state, db, func(m *Moment) error { return m.link(state) })
}

// take makes a moment of the database and what still adds to it.
func take(state string, db *queue.DB, still func(*Moment) error) (*Moment, error) {
	root, err := os.MkdirTemp(state, stagePattern)
	if err != nil {
		return nil, fmt.Errorf("backup: %w", err)
	}
	m := &Moment{Folder: filepath.Base(root)}
	if err := db.Snapshot(filepath.Join(root, database), func() error { return still(m) }); err != nil {
		m.Release(state)
		return nil, fmt.Errorf("backup: %w", err)
	}
	return m, nil
}

// Release removes a moment; what stays is removed at the appliance's next start.
func (m *Moment) Release(state string) { _ = os.RemoveAll(filepath.Join(state, m.Folder)) }

// Tidy removes what a backup that was killed left in a state folder.
func Tidy(state string) error {
	stages, err := filepath.Glob(filepath.Join(state, stagePattern))
	for _, root := range stages {
		err = errors.Join(err, os.RemoveAll(root))
	}
	return err
}

// link gives every file of the state a second name.
func (m *Moment) link(state string) error {
	root := filepath.Join(state, m.Folder)
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
			return os.MkdirAll(filepath.Join(root, name), 0o700)
		case !entry.Type().IsRegular():
			return fmt.Errorf("%s is neither a file nor a folder: a backup cannot hold it", name)
		}
		staged := filepath.Join(root, name)
		if err := os.Link(path, staged); errors.Is(err, fs.ErrNotExist) {
			return nil
		} else if err != nil {
			return err
		}
		info, err := os.Stat(staged)
		if err != nil {
			return err
		}
		m.Files = append(m.Files, File{filepath.ToSlash(name), info.Size()})
		return nil
	})
}

func kept(name string) bool {
	is, _ := filepath.Match(KeptPattern, name) // the pattern is sound
	return is
}

// describe reads the copied database: what it knows is counted, and objects that it does not know were never acknowledged and stay out.
func (m *Moment) describe(root string) (header Header, files []File, err error) {
	path := filepath.Join(root, database)
	info, err := os.Stat(path)
	if err != nil {
		return header, nil, err
	}
	db, err := queue.OpenReadOnly(path)
	if err != nil {
		return header, nil, err
	}
	defer db.Close()
	form, err := db.Form()
	if err != nil {
		return header, nil, err
	}
	known, err := ingest.Known(db)
	if err != nil {
		return header, nil, err
	}
	files = []File{{database, info.Size()}}
	for _, f := range m.Files {
		object := strings.HasPrefix(f.Name, "objects/") || strings.HasPrefix(f.Name, "aside/")
		if !object || known[filepath.FromSlash(f.Name)] {
			files = append(files, f)
		}
	}
	header = Header{StateFormat: form.Format, Files: len(files)}
	for _, f := range files {
		header.Bytes += f.Size
	}
	err = db.View(func(tx *queue.Tx) error {
		uids, err := tx.StudyUIDs()
		header.Studies = len(uids)
		if err != nil {
			return err
		}
		return tx.EachInstance(func(*queue.Instance) error { header.Instances++; return nil })
	})
	return header, files, err
}
