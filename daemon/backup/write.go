package backup

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"llamaxr/queue"
)

// format is that of the archive; a reader refuses a later one.
const format = 1

// Names of the archive's first and last entry.
const (
	headerName = "llamaxr-backup.json"
	sumsName   = "SHA256SUMS"
)

// Header describes an archive.
type Header struct {
	Format    int       `json:"format"`
	Version   string    `json:"llamaxr"` // the program that made it
	Made      time.Time `json:"made"`
	Files     int       `json:"files"`
	Bytes     int64     `json:"bytes"` // of all files
	Studies   int       `json:"studies"`
	Instances int       `json:"instances"`
	// StateFormat is that of the database; 0 in an archive from before it was told.
	StateFormat int `json:"state_format,omitempty"`
	// DatabaseOnly says that images and all else are not in it: it is the way back from a conversion, which changes the database alone.
	DatabaseOnly bool `json:"database_only,omitempty"`
}

// Write writes the state folder as it is at this moment to w. db is its open database; the appliance may be at work on it. version is the
// program's.
func Write(ctx context.Context, w io.Writer, state string, db *queue.DB, version string) (Header, error) {
	s, err := newStage(state, db, true)
	if err != nil {
		return Header{}, err
	}
	return s.write(ctx, w, version)
}

// WriteDatabase writes the database alone.
func WriteDatabase(ctx context.Context, w io.Writer, state string, db *queue.DB, version string) (Header, error) {
	s, err := newStage(state, db, false)
	if err != nil {
		return Header{}, err
	}
	return s.write(ctx, w, version)
}

// write writes what is staged and removes it.
func (s *stage) write(ctx context.Context, w io.Writer, version string) (_ Header, err error) {
	defer s.remove()
	s.header.Format, s.header.Version, s.header.Made = format, version, time.Now().UTC().Truncate(time.Second)
	out := &archive{tar: tar.NewWriter(w), made: s.header.Made}
	text, err := json.Marshal(s.header)
	if err == nil {
		err = out.add(headerName, int64(len(text)), strings.NewReader(string(text)))
	}
	for _, f := range s.files {
		if err == nil {
			err = ctx.Err()
		}
		if err == nil {
			err = out.addFile(s.root, f)
		}
	}
	if err == nil {
		sums := out.sums.String()
		err = out.add(sumsName, int64(len(sums)), strings.NewReader(sums))
	}
	if err == nil {
		err = out.tar.Close()
	}
	if err != nil {
		return Header{}, fmt.Errorf("backup: %w", err)
	}
	return s.header, nil
}

// archive is being written.
type archive struct {
	tar  *tar.Writer
	made time.Time
	sums strings.Builder
}

func (a *archive) addFile(root string, f file) error {
	in, err := os.Open(filepath.Join(root, filepath.FromSlash(f.name)))
	if err != nil {
		return err
	}
	defer in.Close()
	return a.add(f.name, f.size, io.LimitReader(in, f.size))
}

// add writes one entry of size bytes and its checksum.
func (a *archive) add(name string, size int64, data io.Reader) error {
	err := a.tar.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Size: size, Mode: 0o600, ModTime: a.made})
	if err != nil {
		return err
	}
	digest := sha256.New()
	n, err := io.Copy(io.MultiWriter(a.tar, digest), data)
	if err == nil && n < size {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	fmt.Fprintf(&a.sums, "%s  %s\n", hex.EncodeToString(digest.Sum(nil)), name)
	return nil
}
