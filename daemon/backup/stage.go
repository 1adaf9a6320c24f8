package backup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"llamaxr/ingest"
	"llamaxr/internal/durable"
	"llamaxr/queue"
)

// database is the state's database, which is copied rather than linked: it is the one file that changes in place.
const database = "llamaxr.db"

// stagePattern names the folders that hold moments; a name that begins with a dot is never part of a state.
const stagePattern = ".backup-*"

// KeptPattern are the databases that were kept when their state was converted; a backup of what came of them does without.
const KeptPattern = "before-format-*.tar"

// Moment is a state as it was at one moment: the database copied, all other files linked. Who may read the state folder can write it to an
// archive, in another process too, until it is released.
type Moment struct {
	Folder string `json:"folder"` // in the state folder
	Files  []File `json:"files"`  // without the database
}

// File is a file of a state.
type File struct {
	Name string `json:"name"` // relative to the state, with slashes
	Size int64  `json:"size"` // at that moment: a log grows on under its link
}

// Take holds the state still for as long as it takes to link its files. Links take no space and keep what is removed or replaced meanwhile.
func Take(state string, db *queue.DB) (*Moment, error) { return take(state, db, true) }

// take makes a moment of the whole state or of its database alone.
func take(state string, db *queue.DB, whole bool) (*Moment, error) {
	if err := roomForCopy(state); err != nil {
		return nil, fmt.Errorf("backup: %w", err)
	}
	root, err := os.MkdirTemp(state, stagePattern)
	if err != nil {
		return nil, fmt.Errorf("backup: %w", err)
	}
	m := &Moment{Folder: filepath.Base(root)}
	l := linker{state: state, root: root, ahead: map[string]folder{}}
	if whole {
		err = l.linkAhead()
	}
	if err == nil {
		err = db.Snapshot(filepath.Join(root, database), func() error {
			if !whole {
				return nil
			}
			return l.walk(".", func(_ string, f folder) { m.Files = append(m.Files, f.files...) })
		})
	}
	if err != nil {
		m.Release(state)
		return nil, fmt.Errorf("backup: %w", err)
	}
	return m, nil
}

// copyShare is the share of the free space that the database's copy may take: the appliance needs the rest meanwhile.
const copyShare = 2

// roomForCopy refuses a copy of the database that would fill its disk.
func roomForCopy(state string) error {
	info, err := os.Stat(filepath.Join(state, database))
	if err != nil {
		return err
	}
	free, err := durable.Free(state)
	if err != nil {
		return err
	}
	if info.Size() > free/copyShare {
		return fmt.Errorf("%d bytes are free where the state is: a copy of its database takes %d, and at most half of what is free", free, info.Size())
	}
	return nil
}

// Release removes a moment; what stays is removed at the appliance's next start.
func (m *Moment) Release(state string) { _ = os.RemoveAll(filepath.Join(state, m.Folder)) }

// Tidy removes what a backup that was killed left in a state folder.
func Tidy(state string) error {
	stages, err := fs.Glob(os.DirFS(state), stagePattern)
	for _, name := range stages {
		err = errors.Join(err, os.RemoveAll(filepath.Join(state, name)))
	}
	return err
}

func isObject(name string) bool {
	return strings.HasPrefix(name, "objects/") || strings.HasPrefix(name, "aside/")
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
		if !isObject(f.Name) || known[filepath.FromSlash(f.Name)] {
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
