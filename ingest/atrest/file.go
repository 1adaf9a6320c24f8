package atrest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"filippo.io/age"
)

// ErrDamaged is returned for an encrypted file that is not what was written.
var ErrDamaged = errors.New("the encrypted file is damaged")

// intro begins every file that age encrypts. No DICOM file begins so: we write their preambles ourselves.
const intro = "age-encryption.org/v1\n"

// Encrypt returns a writer that encrypts to w; the file is whole after Close. Without a key it is w itself, and Close does nothing.
func (k *Key) Encrypt(w io.Writer) (io.WriteCloser, error) {
	if k == nil {
		return plainWriter{w}, nil
	}
	return age.Encrypt(w, k.recipient)
}

type plainWriter struct{ io.Writer }

// Close implements io.Closer.
func (plainWriter) Close() error { return nil }

// Bytes is data as a file holds it.
func (k *Key) Bytes(data []byte) ([]byte, error) {
	if k == nil {
		return data, nil
	}
	var out bytes.Buffer
	w, err := k.Encrypt(&out)
	if err == nil {
		if _, err = w.Write(data); err == nil {
			err = w.Close()
		}
	}
	if err != nil {
		return nil, fmt.Errorf("atrest: encrypting: %w", err)
	}
	return out.Bytes(), nil
}

// File is an open file of the state, as plain bytes.
type File struct {
	*io.SectionReader // Read, ReadAt, Seek, Size
	info              fs.FileInfo
	file              io.Closer
	encrypted         bool
}

// Close implements io.Closer.
func (f *File) Close() error { return f.file.Close() }

// Info describes the file on disk.
func (f *File) Info() fs.FileInfo { return f.info }

// Encrypted reports whether the file on disk is.
func (f *File) Encrypted() bool { return f.encrypted }

// Open opens a regular file, encrypted or plain.
func (k *Key) Open(path string) (*File, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = &fs.PathError{Op: "open", Path: path, Err: errors.New("it is no regular file")}
	}
	if err != nil {
		file.Close()
		return nil, err
	}
	f := &File{info: info, file: file}
	if f.SectionReader, f.encrypted, err = k.Reader(file, info.Size()); err != nil {
		file.Close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return f, nil
}

// Reader gives the plain bytes of a file of size bytes, and whether it is encrypted.
func (k *Key) Reader(r io.ReaderAt, size int64) (plain *io.SectionReader, encrypted bool, err error) {
	head := make([]byte, len(intro))
	if n, err := r.ReadAt(head, 0); n < len(head) || string(head) != intro {
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, false, err
		}
		return io.NewSectionReader(r, 0, size), false, nil
	}
	if k == nil {
		return nil, true, ErrNoKey
	}
	at, length, err := age.DecryptReaderAt(r, size, k.identity)
	if err != nil {
		return nil, true, damaged(err)
	}
	return io.NewSectionReader(decrypted{at}, 0, length), true, nil
}

// decrypted tells a file that does not decrypt from a disk that does not read.
type decrypted struct{ at io.ReaderAt }

// ReadAt implements io.ReaderAt.
func (d decrypted) ReadAt(p []byte, offset int64) (int, error) {
	n, err := d.at.ReadAt(p, offset)
	switch {
	case n == len(p): // age says with the last byte that it is the last; a file does not, and readers take it for one that is cut short
		err = nil
	case err != io.EOF:
		err = damaged(err)
	}
	return n, err
}

func damaged(err error) error {
	var disk *fs.PathError
	if errors.As(err, &disk) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrDamaged, err)
}

// ReadFile reads a whole file of at most limit plain bytes.
func (k *Key) ReadFile(path string, limit int64) ([]byte, error) {
	f, err := k.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if f.Size() > limit {
		return nil, fmt.Errorf("%s: %d bytes, %d at most", path, f.Size(), limit)
	}
	data := make([]byte, f.Size())
	if _, err := io.ReadFull(f, data); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return data, nil
}
