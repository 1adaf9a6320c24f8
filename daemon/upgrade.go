package daemon

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"llamaxr/daemon/backup"
	"llamaxr/ingest/spool"
	"llamaxr/internal/durable"
	"llamaxr/queue"

	"github.com/google/renameio/v2"
)

// stamp is a moment in the name of a file; such names sort by time.
const stamp = "20060102T150405Z"

// sinceFolder begins the name of the folder that holds the objects which came after a conversion that was taken back.
const sinceFolder = "since-upgrade-"

// Upgraded is what a state is, or was before it was converted.
type Upgraded struct {
	From   queue.Form `json:"from"`
	Writes int        `json:"writes"` // the format of this program
	// Kept is the archive of the database from before; empty when nothing was converted.
	Kept string `json:"kept,omitempty"`
}

// FormatOf tells the format of the state of an appliance that does not run.
func FormatOf(state string) (Upgraded, error) {
	form, err := queue.FormatOf(filepath.Join(state, databaseFile))
	if err == nil && form.Format == 0 {
		err = errors.New("its database holds no state")
	}
	if err != nil {
		return Upgraded{}, fmt.Errorf("daemon: %s: %w", state, err)
	}
	return Upgraded{From: form, Writes: queue.Format}, nil
}

// Upgrade converts the state of an appliance that does not run to the format that this program writes, as the appliance's start does.
func Upgrade(state, version string) (done Upgraded, err error) {
	if done, err = FormatOf(state); err != nil {
		return Upgraded{}, err
	}
	db, err := queue.Open(filepath.Join(state, databaseFile), upgrading(state, version, func(_ queue.Form, kept string) { done.Kept = kept }))
	if err != nil {
		return Upgraded{}, fmt.Errorf("daemon: converting %s: %w", state, err)
	}
	return done, db.Close()
}

// upgrading are the options by which a database is converted when it is opened: the older one is kept first, and read back as it is written.
func upgrading(state, version string, told func(from queue.Form, kept string)) queue.Options {
	return queue.Options{Program: version, Convert: func(from queue.Form) error {
		kept, err := keepDatabase(state, version, from)
		if err != nil {
			return fmt.Errorf("keeping the database of %s before it is converted: %w", from, err)
		}
		told(from, kept)
		return nil
	}}
}

// keepDatabase writes the archive that Back takes. Only the database is in it: a conversion changes nothing else.
func keepDatabase(state, version string, from queue.Form) (path string, err error) {
	db, err := queue.OpenReadOnly(filepath.Join(state, databaseFile))
	if err != nil {
		return "", err
	}
	defer db.Close()
	path = filepath.Join(state, strings.Replace(backup.KeptPattern, "*", fmt.Sprintf("%d-%s", queue.Format, time.Now().UTC().Format(stamp)), 1))
	out, err := renameio.NewPendingFile(path, renameio.WithPermissions(0o600))
	if err != nil {
		return "", err
	}
	defer func() { _ = out.Cleanup() }()
	if _, err := backup.WriteDatabase(context.Background(), out, state, db, version); err != nil {
		return "", err
	}
	if _, err := out.Seek(0, 0); err != nil {
		return "", err
	}
	if _, err := backup.Verify(out, nil); err != nil {
		return "", err
	}
	if err := out.CloseAtomicallyReplace(); err != nil {
		return "", err
	}
	return path, durable.Names(state)
}

// Returned is what going back to an older database came to.
type Returned struct {
	Format int `json:"format"` // of the state now
	From   int `json:"from"`   // and before
	// Set is the database from before, which nothing reads any more.
	Set string `json:"set_aside"`
	// Since is the folder of the objects that the older database does not know, to be sent again; empty when there are none.
	Since   string `json:"since,omitempty"`
	Objects int    `json:"objects"` // in it
	// Gone are how many objects the older database knows whose files are not there: retention or a rejection removed them, before or since.
	Gone int `json:"gone"`
}

// Back puts the database of an archive in the place of the present one: that of a conversion, or of a whole backup. The appliance must not run.
// Objects that were taken since then are put where they can be sent from again, so that nothing acknowledged is lost.
func Back(state, archive string) (r Returned, err error) {
	present := filepath.Join(state, databaseFile)
	half := filepath.Join(state, ".returning.db")
	if err := os.RemoveAll(half); err != nil {
		return r, fmt.Errorf("daemon: going back: %w", err)
	}
	file, err := os.Open(archive)
	if err != nil {
		return r, fmt.Errorf("daemon: going back: %w", err)
	}
	defer file.Close()
	if _, err := backup.Database(file, half); err != nil {
		return r, fmt.Errorf("daemon: going back: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(half)) }()
	before, form, err := knownBy(half)
	if err != nil {
		return r, fmt.Errorf("daemon: going back: %w", err)
	}
	now, from, err := knownBy(present)
	if err != nil {
		return r, fmt.Errorf("daemon: going back: %w", err)
	}
	r.Format, r.From = form.Format, from.Format
	if err := settle(state); err != nil {
		return r, fmt.Errorf("daemon: going back: %w", err)
	}
	moment := time.Now().UTC().Format(stamp)
	var since []string
	for path := range now {
		_, there := before[path]
		if _, err := os.Stat(filepath.Join(state, path)); err == nil && !there {
			since = append(since, path)
		}
	}
	slices.SortFunc(since, func(a, b string) int { return cmp.Or(now[a].Compare(now[b]), cmp.Compare(a, b)) })
	for path := range before {
		if _, err := os.Stat(filepath.Join(state, path)); errors.Is(err, fs.ErrNotExist) {
			r.Gone++
		}
	}
	// First the second names, then the database, then the first names away: whatever breaks off between leaves every object under one of them.
	if len(since) > 0 {
		r.Since, r.Objects = filepath.Join(state, sinceFolder+moment), len(since)
		if err := linkAll(state, r.Since, since); err != nil {
			return r, fmt.Errorf("daemon: going back: %w", err)
		}
	}
	r.Set = fmt.Sprintf("%s.format-%d-%s", present, r.From, moment)
	if err = os.Link(present, r.Set); err == nil {
		err = os.Rename(half, present)
	}
	if err == nil {
		err = durable.Names(state)
	}
	for _, path := range since {
		if err == nil {
			err = os.Remove(filepath.Join(state, path))
		}
	}
	if err != nil {
		return r, fmt.Errorf("daemon: going back: %w", err)
	}
	return r, nil
}

// settle makes files of the objects of a stopped appliance that lie in the journal alone, where only this program looks for them.
func settle(state string) error {
	if err := ObjectsMounted(state); err != nil { // the folders that are made here would hide it
		return err
	}
	s, err := spool.Open(state, 0)
	if err != nil {
		return err
	}
	return s.Close()
}

// knownBy lists the files that a database knows, with when they came.
func knownBy(path string) (known map[string]time.Time, form queue.Form, err error) {
	db, err := queue.OpenReadOnly(path)
	if err != nil {
		return nil, form, err
	}
	known = map[string]time.Time{}
	if form, err = db.Form(); err == nil {
		err = db.View(func(tx *queue.Tx) error {
			aside, err := tx.Aside()
			for _, i := range aside {
				known[i.Path] = i.Received
			}
			return errors.Join(err, tx.EachInstance(func(i *queue.Instance) error { known[i.Path] = i.Received; return nil }))
		})
	}
	return known, form, errors.Join(err, db.Close())
}

// linkAll gives files of the state a second name in a new folder, by which they are sent in the order that they have here: a later one may correct the patient of
// an earlier.
func linkAll(state, folder string, paths []string) error {
	if err := os.Mkdir(folder, 0o700); err != nil {
		return err
	}
	for n, path := range paths {
		if err := os.Link(filepath.Join(state, path), filepath.Join(folder, fmt.Sprintf("%08d-%s", n+1, filepath.Base(path)))); err != nil {
			return err
		}
	}
	return durable.Names(folder)
}
