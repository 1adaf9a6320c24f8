package daemon

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"llamaxr/ingest/atrest"
	"llamaxr/ingest/spool"
)

// encrypted are the folders of a state whose files are encrypted where a key is configured: images as received, documents, pictures and
// drafts. The database, the logs, corrections (masked) and models are not.
var encrypted = []string{"objects", "aside", "damaged", "drafts"}

// CountPlain counts the files of a state that are encrypted where a key is configured, and those of them that are plain.
func CountPlain(ctx context.Context, state string) (plain, all int, err error) {
	err = eachEncrypted(ctx, state, func(path string) error {
		is, err := atrest.IsEncrypted(path)
		if errors.Is(err, fs.ErrNotExist) { // it was removed in the meantime
			return nil
		}
		all++
		if err == nil && !is {
			plain++
		}
		return err
	})
	return plain, all, err
}

// Encrypt encrypts the plain files of a stopped appliance's state, or, with decrypt, makes the encrypted ones plain; it returns how many it
// changed. Each is written anew, synced and renamed, so that one that is broken off can be run again.
func Encrypt(ctx context.Context, state string, key *atrest.Key, decrypt bool) (changed int, err error) {
	if key == nil {
		return 0, errors.New("daemon: encryption needs a key")
	}
	if err := key.Check(state); err != nil {
		return 0, err
	}
	db, err := openStopped(state)
	if err != nil {
		return 0, err
	}
	defer db.Close()
	if err := settle(state); err != nil { // it also makes the folders, and removes what an earlier run left half done
		return 0, err
	}
	// What the journal's slots held stays in them until they are written over: plain, where it was.
	if err := os.Remove(filepath.Join(state, spool.JournalFile)); err != nil {
		return 0, fmt.Errorf("daemon: emptying the journal: %w", err)
	}
	if err := key.Claim(state); err != nil {
		return 0, err
	}
	into := key
	if decrypt {
		into = nil
	}
	scratch := filepath.Join(state, "incoming")
	err = eachEncrypted(ctx, state, func(path string) error {
		is, err := atrest.IsEncrypted(path)
		if err != nil || is != decrypt {
			return err
		}
		changed++
		return atrest.Rewrite(path, scratch, key, into)
	})
	if err == nil && decrypt {
		err = atrest.Disclaim(state)
	}
	return changed, err
}

// eachEncrypted visits the regular files of the folders above.
func eachEncrypted(ctx context.Context, state string, visit func(path string) error) error {
	for _, folder := range encrypted {
		err := filepath.WalkDir(filepath.Join(state, folder), func(path string, entry fs.DirEntry, err error) error {
			switch {
			case ctx.Err() != nil:
				return ctx.Err()
			case errors.Is(err, fs.ErrNotExist):
				return nil
			case err != nil || !entry.Type().IsRegular():
				return err
			}
			return visit(path)
		})
		if err != nil {
			return fmt.Errorf("daemon: encryption: %w", err)
		}
	}
	return nil
}
