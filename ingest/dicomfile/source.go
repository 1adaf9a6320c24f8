package dicomfile

import (
	"compress/flate"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sync"
)

// source is the bytes a data set is read from: the file, or the inflated data set of a deflated file.
type source interface {
	io.ReaderAt
	Size() int64
}

// keptInflated is how many bytes of a deflated data set behind the last read are still there: what the scanner goes back over, a value of
// MaxBulk that did not read as the sequence it should be, and its window.
const keptInflated = MaxBulk + 4*windowSize

// inflated is the data set of a deflated file (Deflated Explicit VR Little Endian, PS3.5 A.5). It is inflated while it is read and never
// held whole: many small objects that become large ones may arrive at once. Who goes back further than keptInflated pays with a new start.
type inflated struct {
	deflated *io.SectionReader
	size     int64

	mu     sync.Mutex
	reader io.Reader
	at     int64  // of the byte that reader gives next
	window []byte // the bytes before it
}

// Size implements source.
func (s *inflated) Size() int64 { return s.size }

// inflate opens the data set behind the File Meta group. It is inflated once to learn its length and whether it is sound.
func inflate(src source, start int64) (*inflated, error) {
	s := &inflated{deflated: io.NewSectionReader(src, start, src.Size()-start)}
	reader, piece := flate.NewReader(s.deflated), make([]byte, windowSize)
	for {
		n, err := reader.Read(piece)
		s.size += int64(n)
		if s.size > MaxInflated || (s.size > inflateGrace && s.size > s.deflated.Size()*MaxInflateRatio) {
			return nil, &Error{Offset: start, What: fmt.Sprintf("deflated data set of %d bytes becomes more than %d bytes", s.deflated.Size(), s.size), Err: ErrLimit}
		}
		var disk *fs.PathError
		switch {
		case err == nil:
		case errors.Is(err, io.EOF):
			return s, nil
		case errors.As(err, &disk):
			return nil, fmt.Errorf("dicomfile: deflated data set: %w", err)
		case errors.Is(err, io.ErrUnexpectedEOF):
			return nil, &Error{Offset: start, What: fmt.Sprintf("deflated data set: %v", err), Err: ErrTruncated}
		default:
			return nil, &Error{Offset: start, What: fmt.Sprintf("deflated data set: %v", err), Err: ErrMalformed}
		}
	}
}

// ReadAt implements io.ReaderAt.
func (s *inflated) ReadAt(p []byte, at int64) (done int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for done < len(p) && at < s.size {
		switch behind := s.at - at; {
		case s.reader == nil, behind > int64(len(s.window)):
			err = s.restart()
		case behind <= 0:
			err = s.more()
		default:
			n := copy(p[done:], s.window[int64(len(s.window))-behind:])
			done, at = done+n, at+int64(n)
		}
		if err != nil {
			return done, err
		}
	}
	if done < len(p) {
		return done, io.EOF
	}
	return done, nil
}

func (s *inflated) restart() error {
	if _, err := s.deflated.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("dicomfile: deflated data set: %w", err)
	}
	s.reader, s.at, s.window = flate.NewReader(s.deflated), 0, s.window[:0]
	return nil
}

// more inflates the next bytes.
func (s *inflated) more() error {
	if s.window == nil {
		s.window = make([]byte, 0, min(s.size, 2*keptInflated))
	}
	if len(s.window) == cap(s.window) {
		s.window = s.window[:copy(s.window, s.window[len(s.window)-keptInflated:])]
	}
	n, err := s.reader.Read(s.window[len(s.window):cap(s.window)])
	s.window, s.at = s.window[:len(s.window)+n], s.at+int64(n)
	if n == 0 && err != nil { // it was whole when it was opened
		return fmt.Errorf("dicomfile: inflating again at byte %d of %d: %w", s.at, s.size, err)
	}
	return nil
}
