package dicomfile

import (
	"compress/flate"
	"errors"
	"fmt"
	"io"
	"io/fs"
)

// source is the bytes a data set is read from: the file, or the inflated data set of a deflated file.
type source interface {
	io.ReaderAt
	Size() int64
}

// chunks holds inflated bytes in pieces, so that growing never copies nor doubles what is there.
type chunks struct {
	pieces [][]byte
	size   int64
}

const chunkSize = 1 << 20

func (c *chunks) Size() int64 { return c.size }

// ReadAt implements io.ReaderAt.
func (c *chunks) ReadAt(p []byte, at int64) (int, error) {
	done := 0
	for done < len(p) && at >= 0 && at < c.size {
		n := copy(p[done:], c.pieces[at/chunkSize][at%chunkSize:])
		done += n
		at += int64(n)
	}
	if done < len(p) {
		return done, io.EOF
	}
	return done, nil
}

// inflate undoes Deflated Explicit VR Little Endian (PS3.5 A.5) for the bytes after the File Meta group.
func inflate(src source, start int64) (*chunks, error) {
	deflated := src.Size() - start
	reader := flate.NewReader(io.NewSectionReader(src, start, deflated))
	defer reader.Close()
	all := &chunks{}
	for {
		piece := make([]byte, chunkSize)
		n, err := io.ReadFull(reader, piece)
		if n > 0 {
			all.pieces = append(all.pieces, piece[:n:n])
			all.size += int64(n)
		}
		if all.size > MaxInflated || (all.size > inflateGrace && all.size > deflated*MaxInflateRatio) {
			return nil, &Error{Offset: start, What: fmt.Sprintf("deflated data set of %d bytes becomes more than %d bytes", deflated, all.size), Err: ErrLimit}
		}
		if errors.Is(err, io.EOF) || (errors.Is(err, io.ErrUnexpectedEOF) && n > 0) {
			// A short last piece is ErrUnexpectedEOF of ReadFull; whether the stream itself broke shows on the next read.
			if _, again := reader.Read(make([]byte, 1)); again != nil && !errors.Is(again, io.EOF) {
				return nil, &Error{Offset: start, What: fmt.Sprintf("deflated data set: %v", again), Err: ErrTruncated}
			}
			return all, nil
		}
		var disk *fs.PathError
		if errors.As(err, &disk) {
			return nil, fmt.Errorf("dicomfile: deflated data set: %w", err)
		}
		if err != nil {
			return nil, &Error{Offset: start, What: fmt.Sprintf("deflated data set: %v", err), Err: ErrMalformed}
		}
	}
}
