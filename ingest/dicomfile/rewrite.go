package dicomfile

import (
	"encoding/binary"
	"fmt"
	"io"
)

// WriteExplicit writes the data set of size bytes that Read reads to w in Explicit VR Little Endian, whatever they are encoded in: with pixel data and all
// other values, without group lengths and trailing padding. Sequences are of undefined length, so that none is held in memory.
func WriteExplicit(w io.Writer, r io.ReaderAt, size int64) error {
	s, _, at, err := begin(r, size)
	if err != nil {
		return err
	}
	if !s.implicit && s.order == binary.LittleEndian { // it was deflated
		if _, err := io.Copy(w, io.NewSectionReader(s.src, at, s.src.Size()-at)); err != nil {
			return fmt.Errorf("dicomfile: copying the data set: %w", err)
		}
		return nil
	}
	s.to = w
	if _, err := s.dataSet(at, s.src.Size(), 0, false); err != nil {
		return err
	}
	return s.flush()
}

// copyValue writes a value of any size, of which a window is held at a time.
func (s *scanner) copyValue(e element, form vrForm) error {
	s.writeHead(e, form)
	if err := s.copyBytes(e, form.swap); err != nil {
		return err
	}
	s.pad(e, form)
	return nil
}

// copyFragment writes an item of encapsulated bytes, of which the first is a table of words.
func (s *scanner) copyFragment(item element, table bool) error {
	s.writeTag(item.tag)
	s.write32(item.length)
	if table {
		return s.copyBytes(item, 4)
	}
	return s.copyBytes(item, 1)
}

// copyBytes writes the bytes of a value, words turned around as the byte order asks.
func (s *scanner) copyBytes(e element, word int) error {
	for at, end := e.value, e.value+int64(e.length); at < end; {
		piece, err := s.peek(at, int(min(windowSize, end-at)))
		if err != nil {
			return err
		}
		s.writeWords(piece, word)
		at += int64(len(piece))
		if err := s.flush(); err != nil {
			return err
		}
	}
	return nil
}

func (s *scanner) flush() error {
	if _, err := s.out.WriteTo(s.to); err != nil {
		return fmt.Errorf("dicomfile: writing the data set: %w", err)
	}
	return nil
}
