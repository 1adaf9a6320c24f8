package backup

import (
	"archive/tar"
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"llamaxr/internal/durable"
	"llamaxr/queue"
)

// Limits of an archive that is read.
const (
	maxHeader = 64 << 10
	maxFiles  = 1 << 24 // a million studies have some ten million files
	maxName   = 1024
	maxLine   = maxName + 2*sha256.Size + 3 // of SHA256SUMS
)

// ErrNotEmpty is returned when the folder for a restored state holds something.
var ErrNotEmpty = errors.New("the folder is not empty")

// halfName is where files lie until all of them are known to be whole.
const halfName = ".restoring"

// Progress is told how many bytes of how many are done.
type Progress func(done, total int64)

// Verify reads an archive to its end and holds every file against its checksum.
func Verify(r io.Reader, progress Progress) (Header, error) {
	return read(r, progress, func(*tar.Header, io.Reader) error { return nil })
}

// Database reads an archive to its end and writes the database in it to path, if all of it is whole.
func Database(r io.Reader, path string) (header Header, err error) {
	header, err = read(r, nil, func(h *tar.Header, data io.Reader) error {
		if h.Name != database {
			return nil
		}
		return writeFile(path, data, h.ModTime)
	})
	if err != nil {
		return Header{}, errors.Join(err, os.RemoveAll(path))
	}
	return header, nil
}

// Restore makes a state folder from an archive. state must be empty, but for LostAndFound, or not be there; it is left so unless everything is whole.
func Restore(r io.Reader, state string, progress Progress) (header Header, err error) {
	entries, err := os.ReadDir(state)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return Header{}, fmt.Errorf("backup: restoring: %w", err)
	}
	if slices.ContainsFunc(entries, func(e fs.DirEntry) bool { return e.Name() != LostAndFound }) {
		return Header{}, fmt.Errorf("backup: restoring to %s: %w", state, ErrNotEmpty)
	}
	half := filepath.Join(state, halfName)
	if err := os.MkdirAll(half, 0o700); err != nil {
		return Header{}, fmt.Errorf("backup: restoring: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(half)) }()
	folders := map[string]bool{half: true}
	header, err = read(r, progress, func(h *tar.Header, data io.Reader) error {
		path := filepath.Join(half, filepath.FromSlash(h.Name))
		if folder := filepath.Dir(path); !folders[folder] {
			folders[folder] = true
			if err := os.MkdirAll(folder, 0o700); err != nil {
				return err
			}
		}
		return writeFile(path, data, h.ModTime)
	})
	if err == nil && header.DatabaseOnly {
		err = errors.New("backup: restoring: the archive holds a database alone, for `llamaxr upgrade --back`")
	}
	if err != nil {
		return Header{}, err
	}
	db, err := queue.OpenReadOnly(filepath.Join(half, database))
	if err != nil {
		return Header{}, fmt.Errorf("backup: restoring: %w", err)
	}
	if err := db.Close(); err != nil {
		return Header{}, fmt.Errorf("backup: restoring: %w", err)
	}
	return header, settle(half, state, folders)
}

// settle moves what was restored to its place. The database is last: without it nothing starts on half a state.
func settle(half, state string, folders map[string]bool) error {
	for folder := range folders {
		if err := durable.Names(folder); err != nil {
			return fmt.Errorf("backup: restoring: %w", err)
		}
	}
	entries, err := os.ReadDir(half)
	for _, e := range entries {
		if err == nil && e.Name() != database {
			err = os.Rename(filepath.Join(half, e.Name()), filepath.Join(state, e.Name()))
		}
	}
	if err == nil {
		err = os.Rename(filepath.Join(half, database), filepath.Join(state, database))
	}
	if err == nil {
		err = durable.Names(state)
	}
	if err != nil {
		return fmt.Errorf("backup: restoring: %w", err)
	}
	return nil
}

// writeFile makes a file durable, with its time.
func writeFile(path string, data io.Reader, changed time.Time) error {
	out, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, data)
	if err == nil {
		err = os.Chtimes(path, changed, changed)
	}
	if err == nil {
		err = out.Sync()
	}
	return errors.Join(err, out.Close())
}

// read goes through an archive and hands each file of the state to take; what take leaves is skipped. It fails unless the archive is whole.
func read(r io.Reader, progress Progress, take func(h *tar.Header, data io.Reader) error) (header Header, err error) {
	r = bufio.NewReaderSize(r, piece)
	in := tar.NewReader(r)
	sums := map[string][sha256.Size]byte{}
	done := int64(0)
	for n := 0; ; n++ {
		h, err := in.Next()
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = errors.New("it was cut off: " + sumsName + " is missing")
			}
			return Header{}, fmt.Errorf("backup: archive: %w", err)
		}
		if err := checkEntry(h, n); err != nil {
			return Header{}, fmt.Errorf("backup: archive: %w", err)
		}
		digest := sha256.New()
		data := io.TeeReader(in, digest)
		switch {
		case h.Name == headerName:
			header, err = readHeader(data)
		case h.Name == sumsName:
			if err := checkSums(in, sums); err != nil {
				return Header{}, fmt.Errorf("backup: archive: %w", err)
			}
			_, err := io.Copy(io.Discard, r) // the writer sees that all of it was taken
			return header, err
		case done+h.Size > header.Bytes:
			err = errors.New("is more than the archive says it holds")
		default:
			done += h.Size
			err = take(h, data)
		}
		if err == nil {
			_, err = io.Copy(io.Discard, data)
		}
		if err != nil {
			return Header{}, fmt.Errorf("backup: archive: %s: %w", h.Name, err)
		}
		if _, twice := sums[h.Name]; twice {
			return Header{}, fmt.Errorf("backup: archive: %s is there twice", h.Name)
		}
		sums[h.Name] = [sha256.Size]byte(digest.Sum(nil))
		if progress != nil {
			progress(done, header.Bytes)
		}
	}
}

// checkEntry holds an entry to what an archive of ours has: plain files with names below the state, the description first.
func checkEntry(h *tar.Header, n int) error {
	switch {
	case (n == 0) != (h.Name == headerName):
		return errors.New("it is no backup of llamaxr")
	case n > maxFiles:
		return fmt.Errorf("more than %d files", maxFiles)
	case h.Typeflag != tar.TypeReg, len(h.Name) > maxName, !filepath.IsLocal(filepath.FromSlash(h.Name)), filepath.ToSlash(filepath.Clean(h.Name)) != h.Name:
		return fmt.Errorf("entry %.64q is no file of a state", h.Name)
	}
	return nil
}

func readHeader(data io.Reader) (header Header, err error) {
	text, err := io.ReadAll(io.LimitReader(data, maxHeader))
	if err == nil {
		err = json.Unmarshal(text, &header)
	}
	if err == nil && header.Format != format {
		err = fmt.Errorf("the archive has format %d, this program knows %d", header.Format, format)
	}
	return header, err
}

// checkSums compares what was read with the list of the archive, both ways.
func checkSums(list io.Reader, sums map[string][sha256.Size]byte) error {
	text, err := io.ReadAll(io.LimitReader(list, int64(len(sums))*maxLine))
	if err != nil {
		return err
	}
	listed := 0
	for line := range bytes.Lines(text) {
		digest, name, ok := strings.Cut(strings.TrimSuffix(string(line), "\n"), "  ")
		if !ok {
			return errors.New(sumsName + " cannot be read")
		}
		sum, known := sums[name]
		switch {
		case !known:
			return fmt.Errorf("%s is missing", name)
		case hex.EncodeToString(sum[:]) != digest:
			return fmt.Errorf("%s is damaged: its checksum is another", name)
		}
		listed++
	}
	if listed != len(sums) {
		return fmt.Errorf("%d files have no checksum", len(sums)-listed)
	}
	return nil
}
