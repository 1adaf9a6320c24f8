package dicomfile

import (
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/suyashkumar/dicom/pkg/tag"
)

// value copies one admitted value into the plain data set.
func (s *scanner) value(e element, depth int) error {
	form := vrForms[e.vr]
	if form.text && e.length > MaxText {
		return e.fail(ErrLimit, "is text of %d bytes", e.length)
	}
	if e.length > MaxBulk {
		if s.to != nil {
			return s.copyValue(e, form)
		}
		s.left = append(s.left, Fragment{e.value, int64(e.length)})
		s.notes = append(s.notes, fmt.Sprintf("%s of %d bytes left on disk", nameOf(e.tag), e.length))
		return nil
	}
	if form.swap > 1 && int(e.length)%form.swap != 0 {
		return e.fail(ErrMalformed, "of VR %s has %d bytes", e.vr, e.length)
	}
	value, err := s.peek(e.value, int(e.length))
	if err != nil {
		return err
	}
	if depth == 0 && e.tag == tag.SpecificCharacterSet && s.to == nil {
		s.charset = strings.TrimRight(string(value), " \x00")
		return nil
	}
	s.write(e, form, value)
	return s.room(e)
}

// room bounds what is kept in memory.
func (s *scanner) room(e element) error {
	if s.to != nil && s.out.Len() >= windowSize {
		return s.flush()
	}
	if s.out.Len() > MaxAttributes {
		return e.fail(ErrLimit, "brings the attributes to %d bytes", s.out.Len())
	}
	return nil
}

// write puts one element out as Explicit VR Little Endian, of even length.
func (s *scanner) write(e element, form vrForm, value []byte) {
	s.writeHead(e, form)
	s.writeWords(value, form.swap)
	s.pad(e, form)
	if e.tag == tag.PixelRepresentation && len(value) == 2 {
		s.signed = s.order.Uint16(value) == 1
	}
}

func (s *scanner) writeHead(e element, form vrForm) {
	vr, length := e.vr, e.length+e.length%2
	if !form.plain && s.to == nil || !form.long && length > 0xFFFE {
		vr, form.long = "UN", true
	}
	s.writeTag(e.tag)
	s.out.WriteString(vr)
	if form.long {
		s.out.Write([]byte{0, 0})
		s.write32(length)
	} else {
		s.out.Write(binary.LittleEndian.AppendUint16(nil, uint16(length)))
	}
}

func (s *scanner) writeWords(value []byte, word int) {
	start := s.out.Len()
	s.out.Write(value)
	if s.order == binary.BigEndian {
		toLittleEndian(s.out.Bytes()[start:], word)
	}
}

func (s *scanner) pad(e element, form vrForm) {
	if e.length%2 == 1 {
		pad := byte(0)
		if form.text && e.vr != "UI" {
			pad = ' '
		}
		s.out.WriteByte(pad)
	}
}

func (s *scanner) writeTag(t tag.Tag) {
	s.out.Write(binary.LittleEndian.AppendUint16(binary.LittleEndian.AppendUint16(nil, t.Group), t.Element))
}

func (s *scanner) write32(n uint32) { s.out.Write(binary.LittleEndian.AppendUint32(nil, n)) }

// open begins a sequence or an item; close fills in the length once it is known, or ends what has none since it is on its way.
func (s *scanner) open(t tag.Tag, vr string) int {
	s.writeTag(t)
	if vr != "" {
		s.out.WriteString(vr)
		s.out.Write([]byte{0, 0})
	}
	if s.to != nil {
		s.write32(undefinedLength)
	} else {
		s.write32(0)
	}
	return s.out.Len()
}

func (s *scanner) close(start int, delimiter tag.Tag) {
	if s.to != nil {
		s.writeTag(delimiter)
		s.write32(0)
		return
	}
	binary.LittleEndian.PutUint32(s.out.Bytes()[start-4:], uint32(s.out.Len()-start))
}
