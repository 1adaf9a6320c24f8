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

// piece is how much is read and written at once: a system call and a change of goroutines for each.
const piece = 256 << 10

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

// WriteDatabase writes the database alone.
func WriteDatabase(ctx context.Context, w io.Writer, state string, db *queue.DB, version string) (Header, error) {
	m, err := take(state, db, false)
	if err != nil {
		return Header{}, err
	}
	defer m.Release(state)
	return m.write(ctx, w, state, Header{Version: version, DatabaseOnly: true})
}

// Write writes the moment of a state folder to w. version is the program's.
func (m *Moment) Write(ctx context.Context, w io.Writer, state, version string) (Header, error) {
	return m.write(ctx, w, state, Header{Version: version})
}

func (m *Moment) write(ctx context.Context, w io.Writer, state string, as Header) (Header, error) {
	root := filepath.Join(state, m.Folder)
	header, files, err := m.describe(root)
	header.Format, header.Version, header.DatabaseOnly, header.Made = format, as.Version, as.DatabaseOnly, time.Now().UTC().Truncate(time.Second)
	out := &archive{tar: tar.NewWriter(w), buffer: make([]byte, piece)}
	var text []byte
	if err == nil {
		text, err = json.Marshal(header)
	}
	if err == nil {
		err = out.add(headerName, int64(len(text)), header.Made, strings.NewReader(string(text)))
	}
	for _, f := range files {
		if err == nil {
			err = context.Cause(ctx)
		}
		if err == nil {
			err = out.addFile(root, f)
		}
	}
	if err == nil {
		sums := out.sums.String()
		err = out.add(sumsName, int64(len(sums)), header.Made, strings.NewReader(sums))
	}
	if err == nil {
		err = out.tar.Close()
	}
	if err != nil {
		return Header{}, fmt.Errorf("backup: %w", err)
	}
	return header, nil
}

// archive is being written.
type archive struct {
	tar    *tar.Writer
	buffer []byte
	sums   strings.Builder
}

func (a *archive) addFile(root string, f File) error {
	in, err := os.Open(filepath.Join(root, filepath.FromSlash(f.Name)))
	if err != nil {
		return err
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return err
	}
	return a.add(f.Name, f.Size, info.ModTime(), io.LimitReader(in, f.Size))
}

// add writes one entry of size bytes and its checksum. When an object came, its file's time says, which must not be rounded.
func (a *archive) add(name string, size int64, changed time.Time, data io.Reader) error {
	h := &tar.Header{Typeflag: tar.TypeReg, Name: name, Size: size, Mode: 0o600, ModTime: changed}
	if isObject(name) {
		h.Format = tar.FormatPAX
	}
	err := a.tar.WriteHeader(h)
	if err != nil {
		return err
	}
	digest := sha256.New()
	n, err := io.CopyBuffer(io.MultiWriter(a.tar, digest), data, a.buffer)
	if err == nil && n < size {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	fmt.Fprintf(&a.sums, "%s  %s\n", hex.EncodeToString(digest.Sum(nil)), name)
	return nil
}
