package dicomfile

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/suyashkumar/dicom"

	"llamaxr/study"
)

// File is an open DICOM file: its attributes in memory, its pixel data on disk.
type File struct {
	*Dataset
	// Header is what the appliance keeps of the attributes.
	Header study.Header
	// Notes are oddities that were read over, for people.
	Notes []string

	src       source
	pixelData *PixelData
	left      []Fragment
	closer    io.Closer
	onClose   func()
}

// Source is an open file.
type Source interface {
	io.ReaderAt
	io.Closer
	Size() int64
}

// From reads the attributes of src and keeps it open for its pixel data; it closes it when it fails.
func From(src Source) (*File, error) {
	f, err := Read(src, src.Size())
	if err != nil {
		_ = src.Close() // nothing was written
		return nil, err
	}
	f.closer = src
	return f, nil
}

// Opener opens a DICOM file by its path; Open is one.
type Opener func(path string) (*File, error)

// ReadHeader returns the header of a file.
func (open Opener) ReadHeader(path string) (study.Header, error) {
	f, err := open(path)
	if err != nil {
		return study.Header{}, err
	}
	defer f.Close()
	return f.Header, nil
}

// Open reads the attributes of a file and keeps it open for its pixel data.
func Open(path string) (*File, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("dicomfile: %w", err)
	}
	info, err := file.Stat()
	if err != nil {
		file.Close()
		return nil, fmt.Errorf("dicomfile: %w", err)
	}
	if !info.Mode().IsRegular() {
		file.Close()
		return nil, &Error{Offset: -1, What: path + " is no regular file", Err: ErrNotDICOM}
	}
	f, err := Read(file, info.Size())
	if err != nil {
		file.Close()
		return nil, err
	}
	f.closer = file
	return f, nil
}

// ReadHeader returns the header of a file.
func ReadHeader(path string) (study.Header, error) { return Opener(Open).ReadHeader(path) }

// Read reads the attributes of size bytes; r must stay readable as long as the pixel data is wanted.
func Read(r io.ReaderAt, size int64) (*File, error) {
	s, m, at, err := begin(r, size)
	if err != nil {
		return nil, err
	}
	if _, err := s.dataSet(at, s.src.Size(), 0, false); err != nil {
		return nil, err
	}
	set, err := parse(s)
	if err != nil {
		return nil, err
	}
	if s.pixelData != nil && s.pixelData.Encapsulated {
		if table := set.extendedOffsets(); len(table) > 0 {
			s.pixelData.OffsetTable = table
		}
	}
	f := &File{Dataset: set, src: s.src, pixelData: s.pixelData, left: s.left}
	h, notes, err := header(set, m)
	if err != nil {
		return nil, err
	}
	f.Header, f.Notes = h, slices.Concat(s.notes, set.notes, notes)
	return f, nil
}

// begin reads a file's head and finds its data set, inflated and from an offset of the scanner's source.
func begin(r io.ReaderAt, size int64) (s *scanner, m meta, at int64, err error) {
	s = &scanner{src: io.NewSectionReader(r, 0, size)}
	if m, err = readMeta(s); err != nil {
		return nil, m, 0, err
	}
	at = m.dataSet
	if m.transferSyntax == DeflatedExplicitVRLittleEndian {
		inflated, err := inflate(s.src, at)
		if err != nil {
			return nil, m, 0, err
		}
		s.src, s.window, at = inflated, nil, 0
	}
	err = s.encoding(&m, at)
	return s, m, at, err
}

// ReadDataSet reads a data set that came without a file around it, in a transfer syntax of little endian that is not compressed.
func ReadDataSet(data []byte, transferSyntax string) (*Dataset, error) {
	s := &scanner{src: bytes.NewReader(data)}
	if err := s.encoding(&meta{transferSyntax: transferSyntax}, 0); err != nil {
		return nil, err
	}
	if _, err := s.dataSet(0, int64(len(data)), 0, false); err != nil {
		return nil, err
	}
	return parse(s)
}

// OnClose has something done when the file is closed.
func (f *File) OnClose(do func()) { f.onClose = do }

// Close closes the file.
func (f *File) Close() error {
	if f.onClose != nil {
		f.onClose()
		f.onClose = nil
	}
	if f.closer == nil {
		return nil
	}
	return f.closer.Close()
}

// parse gives the admitted data set to suyashkumar/dicom, behind a File Meta group that says what the scan wrote.
func parse(s *scanner) (*Dataset, error) {
	// File Meta Information Group Length and Transfer Syntax UID, each padded to even length.
	head := append(make([]byte, 128), "DICM\x02\x00\x00\x00UL\x04\x00\x1c\x00\x00\x00\x02\x00\x10\x00UI\x14\x00"+ExplicitVRLittleEndian+"\x00"...)
	all := io.MultiReader(bytes.NewReader(head), bytes.NewReader(s.out.Bytes()))
	parsed, err := dicom.Parse(all, int64(len(head)+s.out.Len()), nil)
	if err != nil {
		return nil, &Error{Offset: -1, What: err.Error(), Err: ErrMalformed}
	}
	charset, notes := parseCharset(s.charset)
	return newDataset(parsed.Elements, charset, notes), nil
}

// extendedOffsets returns the Extended Offset Table (PS3.3 C.7.6.3.1.8), nil when there is none.
func (d *Dataset) extendedOffsets() []uint64 {
	raw := d.Bytes(tagExtendedOffsetTable)
	table := make([]uint64, 0, len(raw)/8)
	for ; len(raw) >= 8; raw = raw[8:] {
		table = append(table, binary.LittleEndian.Uint64(raw))
	}
	return table
}
