package dicomfile

import (
	"encoding/binary"
	"strings"

	"github.com/suyashkumar/dicom/pkg/tag"
)

// Transfer syntaxes that decide how a data set is walked (PS3.5 section 10); every other one is Explicit VR Little Endian
// with encapsulated pixel data.
const (
	ImplicitVRLittleEndian         = "1.2.840.10008.1.2"
	ExplicitVRLittleEndian         = "1.2.840.10008.1.2.1"
	DeflatedExplicitVRLittleEndian = "1.2.840.10008.1.2.1.99"
	ExplicitVRBigEndian            = "1.2.840.10008.1.2.2"
)

// metaVRs are the VRs that elements of the File Meta group have (PS3.10 7.1). Others are refused: readers that took their
// lengths on trust could be made to allocate without bound.
var metaVRs = map[string]bool{"UL": true, "OB": true, "UI": true, "SH": true, "AE": true, "UR": true}

// meta is the File Meta group.
type meta struct {
	sopClass, sopInstance, transferSyntax string
	dataSet                               int64 // offset of the data set
}

// readMeta finds the data set: behind preamble and File Meta group, behind a File Meta group alone, or at the very start of
// a stream that has neither.
func readMeta(s *scanner) (meta, error) {
	size := s.src.Size()
	at := int64(0)
	if size >= 132 {
		b, err := s.peek(128, 4)
		if err != nil {
			return meta{}, err
		}
		if string(b) == "DICM" {
			at = 132
		}
	}
	m := meta{dataSet: at}
	if size-at < 8 {
		return m, &Error{Offset: at, What: "too short", Err: ErrNotDICOM}
	}
	s.order, s.implicit = binary.LittleEndian, false
	end := int64(-1) // of the group, as it says itself
	for size-m.dataSet >= 8 {
		b, err := s.peek(m.dataSet, 8)
		if err != nil {
			return m, err
		}
		if binary.LittleEndian.Uint16(b) != 0x0002 {
			break
		}
		if m.dataSet == end {
			// The data set's own: it would change what the head says of it, and be taken for a part of the head by who reads on.
			return m, &Error{Offset: m.dataSet, Tag: tagAt(b, s.order), What: "stands behind the end of the File Meta group", Err: ErrMalformed}
		}
		if !isVR(b[4:6]) || !metaVRs[string(b[4:6])] {
			return m, &Error{Offset: m.dataSet, Tag: tagAt(b, s.order), What: "has a VR that the File Meta group does not know", Err: ErrMalformed}
		}
		e, err := s.head(m.dataSet, size)
		if err != nil {
			return m, err
		}
		if int64(e.length) > size-e.value {
			return m, e.fail(ErrTruncated, "says %d bytes, %d are there", e.length, size-e.value)
		}
		m.dataSet = e.value + int64(e.length)
		if m.dataSet-at > MaxMeta {
			return m, e.fail(ErrLimit, "brings the File Meta group to %d bytes", m.dataSet-at)
		}
		value, err := s.peek(e.value, int(e.length))
		if err != nil {
			return m, err
		}
		text := strings.TrimRight(string(value), "\x00 ")
		switch e.tag {
		case tag.FileMetaInformationGroupLength:
			if len(value) == 4 {
				end = m.dataSet + int64(binary.LittleEndian.Uint32(value))
			}
		case tag.MediaStorageSOPClassUID:
			m.sopClass = text
		case tag.MediaStorageSOPInstanceUID:
			m.sopInstance = text
		case tag.TransferSyntaxUID:
			m.transferSyntax = text
		}
	}
	return m, nil
}

// encoding settles how the data set is encoded. The bytes have the last word: some writers name a transfer syntax and use
// another, and a stream without File Meta group names none.
func (s *scanner) encoding(m *meta, at int64) error {
	declared := m.transferSyntax
	s.order, s.implicit = binary.LittleEndian, declared == ImplicitVRLittleEndian
	if declared == ExplicitVRBigEndian {
		s.order = binary.BigEndian
	}
	if s.src.Size()-at < 8 {
		if declared == "" {
			return &Error{Offset: at, What: "no data set", Err: ErrNotDICOM}
		}
		return nil
	}
	b, err := s.peek(at, 8)
	if err != nil {
		return err
	}
	_, explicit := vrForms[string(b[4:6])]
	if declared == "" {
		little, big := binary.LittleEndian.Uint16(b), binary.BigEndian.Uint16(b)
		if big < little {
			s.order = binary.BigEndian
		}
		// A data set begins with group 0008 but for rare command or private groups: nothing else is taken for DICOM.
		if min(little, big) != 0x0008 {
			return &Error{Offset: at, What: "neither preamble nor an element of group 0008", Err: ErrNotDICOM}
		}
		s.implicit = !explicit
		switch {
		case s.order == binary.BigEndian:
			m.transferSyntax = ExplicitVRBigEndian
		case s.implicit:
			m.transferSyntax = ImplicitVRLittleEndian
		default:
			m.transferSyntax = ExplicitVRLittleEndian
		}
		s.notes = append(s.notes, "no transfer syntax given; the bytes read as "+m.transferSyntax)
		return nil
	}
	if s.implicit == explicit {
		s.implicit = !explicit
		s.notes = append(s.notes, "transfer syntax "+declared+" declared, but the bytes are encoded with the other kind of VR")
	}
	return nil
}
