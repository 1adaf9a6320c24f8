package dicomfile

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"

	"github.com/suyashkumar/dicom/pkg/tag"
)

const (
	undefinedLength = 0xFFFFFFFF
	groupDelimiter  = 0xFFFE
)

var (
	tagFloatPixelData       = tag.Tag{Group: 0x7FE0, Element: 0x0008}
	tagDoubleFloatPixelData = tag.Tag{Group: 0x7FE0, Element: 0x0009}
	tagTrailingPadding      = tag.Tag{Group: 0xFFFC, Element: 0xFFFC}
)

// scanner walks one data set and writes what it admits as Explicit VR Little Endian.
type scanner struct {
	src      source
	window   []byte // bytes around the last read
	windowAt int64

	order    binary.ByteOrder
	implicit bool
	signed   bool // Pixel Representation, for VRs that depend on it

	elements, items int

	out       bytes.Buffer
	to        io.Writer // where out is emptied when all values are wanted, nil when only those that are kept in memory
	pixelData *PixelData
	left      []Fragment // values that stay on disk, but for top-level pixel data
	charset   string     // top-level Specific Character Set, kept from the library so that text stays as it was sent
	notes     []string
}

const windowSize = 64 << 10

// peek returns n bytes at an offset that the caller has checked to be there; they are valid until the next call.
func (s *scanner) peek(at int64, n int) ([]byte, error) {
	if at >= s.windowAt && at+int64(n) <= s.windowAt+int64(len(s.window)) {
		return s.window[at-s.windowAt:][:n], nil
	}
	size := min(max(int64(n), windowSize), s.src.Size()-at)
	if size < int64(n) {
		return nil, &Error{Offset: at, What: "the file ends", Err: ErrTruncated}
	}
	if int64(cap(s.window)) < size {
		s.window = make([]byte, size)
	}
	s.window, s.windowAt = s.window[:size], at
	if _, err := s.src.ReadAt(s.window, at); err != nil {
		s.window = s.window[:0]
		return nil, fmt.Errorf("dicomfile: read at offset %d: %w", at, err)
	}
	return s.window[:n], nil
}

// element is the head of one data element.
type element struct {
	tag    tag.Tag
	vr     string
	length uint32
	at     int64 // of the tag
	value  int64 // of the value
}

func (e element) fail(cause error, format string, args ...any) *Error {
	what := fmt.Sprintf(format, args...)
	if e.tag == (tag.Tag{}) {
		what = nameOf(e.tag) + " " + what
	}
	return &Error{Offset: e.at, Tag: e.tag, What: what, Err: cause}
}

// head reads tag, VR and length of the element at an offset; end bounds the data set or item it stands in.
func (s *scanner) head(at, end int64) (element, error) {
	e := element{at: at}
	if end-at < 8 {
		return e, &Error{Offset: at, What: fmt.Sprintf("%d bytes left where an element begins", end-at), Err: ErrTruncated}
	}
	b, err := s.peek(at, 8)
	if err != nil {
		return e, err
	}
	e.tag = tagAt(b, s.order)
	if e.tag.Group == groupDelimiter || s.implicit || !isVR(b[4:6]) {
		// Delimiters carry no VR in any encoding (PS3.5 7.5); some writers drop into implicit VR for single elements.
		e.vr, e.length, e.value = dictionaryVR(e.tag, s.signed), s.order.Uint32(b[4:]), at+8
		return e, nil
	}
	e.vr = string(b[4:6])
	form, known := vrForms[e.vr]
	if !known {
		return e, e.fail(ErrMalformed, "has the unknown VR %q", e.vr)
	}
	if !form.long {
		e.length, e.value = uint32(s.order.Uint16(b[6:])), at+8
		return e, nil
	}
	if end-at < 12 {
		return e, e.fail(ErrTruncated, "has no length")
	}
	if b, err = s.peek(at, 12); err != nil {
		return e, err
	}
	e.length, e.value = s.order.Uint32(b[8:]), at+12
	return e, nil
}

// dataSet walks the elements from at. An item of undefined length ends with its delimiter, everything else at end. It
// returns the offset behind.
func (s *scanner) dataSet(at, end int64, depth int, undefined bool) (int64, error) {
	seen := map[tag.Tag]struct{}{}
	for {
		if at == end && !undefined {
			return at, nil
		}
		e, err := s.head(at, end)
		if err != nil {
			return at, err
		}
		if e.tag.Group == groupDelimiter {
			if undefined && e.tag == tag.ItemDelimitationItem {
				return at + 8, nil
			}
			return at, e.fail(ErrMalformed, "stands where an element is due")
		}
		if s.elements++; s.elements > MaxElements {
			return at, e.fail(ErrLimit, "is element number %d", s.elements)
		}
		if _, twice := seen[e.tag]; twice {
			return at, e.fail(ErrMalformed, "appears twice in one data set")
		}
		seen[e.tag] = struct{}{}
		if at, err = s.element(e, end, depth); err != nil {
			return at, err
		}
	}
}

// element admits one element and returns the offset behind it.
func (s *scanner) element(e element, end int64, depth int) (int64, error) {
	if e.tag.Group == 0x0000 || e.tag.Group == 0x0002 {
		// Command and File Meta groups; runs of zeros read as the former.
		return e.at, e.fail(ErrMalformed, "does not belong into a data set")
	}
	if e.length == undefinedLength {
		return s.undefinedLength(e, end, depth)
	}
	if int64(e.length) > end-e.value {
		return e.at, e.fail(ErrTruncated, "says %d bytes, %d are there", e.length, end-e.value)
	}
	next := e.value + int64(e.length)
	if e.vr == "UN" && !s.implicit && s.to == nil {
		// A gateway that did not know the element wrote it as UN: its value is implicit little endian (PS3.5 6.2.2).
		vr := dictionaryVR(e.tag, s.signed)
		word := uint32(max(vrForms[vr].swap, 1))
		if vr == "SQ" {
			if s.asSequence(e, next, depth) {
				return next, nil
			}
		} else if e.tag.Group%2 == 0 && e.length%word == 0 && s.order == binary.LittleEndian {
			e.vr = vr
		}
	}
	switch {
	case isPixelData(e.tag):
		if s.to != nil {
			return next, s.copyValue(e, vrForms[e.vr])
		}
		if depth == 0 {
			s.pixelData = &PixelData{Tag: e.tag, VR: e.vr, BigEndian: s.order == binary.BigEndian, Offset: e.value, Length: int64(e.length)}
		} else {
			s.left = append(s.left, Fragment{e.value, int64(e.length)})
		}
		return next, nil
	case e.vr == "SQ":
		_, err := s.sequence(e, next, depth, false)
		return next, err
	case e.tag.Element == 0 || e.tag == tagTrailingPadding:
		return next, nil // group lengths are retired (PS3.5 7.2), padding says nothing
	}
	return next, s.value(e, depth)
}

func isPixelData(t tag.Tag) bool {
	return t == tag.PixelData || t == tagFloatPixelData || t == tagDoubleFloatPixelData
}

// undefinedLength walks a sequence or encapsulated bytes that end with a delimiter.
func (s *scanner) undefinedLength(e element, end int64, depth int) (int64, error) {
	switch {
	case isPixelData(e.tag), e.vr == "OB", e.vr == "OW":
		return s.fragments(e, end, depth)
	case e.vr == "SQ":
		return s.sequence(e, end, depth, true)
	case e.vr == "UN":
		// PS3.5 6.2.2, note 2: the value is a sequence in implicit VR little endian, whatever the rest is.
		defer func(order binary.ByteOrder, implicit bool) { s.order, s.implicit = order, implicit }(s.order, s.implicit)
		s.order, s.implicit = binary.LittleEndian, true
		return s.sequence(e, end, depth, true)
	}
	return e.at, e.fail(ErrMalformed, "has VR %s and undefined length", e.vr)
}

// asSequence tries the value of an element of VR UN as the sequence that the dictionary says it is.
func (s *scanner) asSequence(e element, end int64, depth int) bool {
	order, implicit, written := s.order, s.implicit, s.out.Len()
	s.order, s.implicit = binary.LittleEndian, true
	next, err := s.sequence(e, end, depth, false)
	s.order, s.implicit = order, implicit
	if err != nil || next != end {
		s.out.Truncate(written)
		s.notes = append(s.notes, fmt.Sprintf("%s is of VR UN and does not read as a sequence", nameOf(e.tag)))
		return false
	}
	return true
}

// sequence walks the items of a sequence (PS3.5 7.5) and returns the offset behind.
func (s *scanner) sequence(e element, end int64, depth int, undefined bool) (int64, error) {
	if depth++; depth > MaxDepth {
		return e.at, e.fail(ErrLimit, "nests sequences deeper than %d", MaxDepth)
	}
	if e.tag == tag.SpecificCharacterSet { // the one attribute that the library reads as it parses
		return e.at, e.fail(ErrMalformed, "is a sequence")
	}
	patch := s.open(e.tag, "SQ")
	at := e.value
	for {
		if at == end && !undefined {
			s.close(patch, tag.SequenceDelimitationItem)
			return at, nil
		}
		item, err := s.head(at, end)
		if err != nil {
			return at, err
		}
		if undefined && item.tag == tag.SequenceDelimitationItem {
			s.close(patch, tag.SequenceDelimitationItem)
			return at + 8, nil
		}
		if item.tag != tag.Item {
			return at, item.fail(ErrMalformed, "stands in %s where an item is due", nameOf(e.tag))
		}
		if s.items++; s.items > MaxItems {
			return at, item.fail(ErrLimit, "is item number %d", s.items)
		}
		stop := end
		if item.length != undefinedLength {
			if int64(item.length) > end-item.value {
				return at, item.fail(ErrTruncated, "of %s says %d bytes, %d are there", nameOf(e.tag), item.length, end-item.value)
			}
			stop = item.value + int64(item.length)
		}
		inner := s.open(tag.Item, "")
		if at, err = s.dataSet(item.value, stop, depth, item.length == undefinedLength); err != nil {
			return at, err
		}
		s.close(inner, tag.ItemDelimitationItem)
		if err := s.room(item); err != nil {
			return at, err
		}
	}
}

// fragments walks encapsulated pixel data (PS3.5 A.4): the offset table, the fragments, the delimiter.
func (s *scanner) fragments(e element, end int64, depth int) (int64, error) {
	p := &PixelData{Tag: e.tag, VR: e.vr, Encapsulated: true}
	at, first := e.value, true
	if s.to != nil {
		s.open(e.tag, "OB")
	}
	for {
		item, err := s.head(at, end)
		if err != nil {
			return at, err
		}
		if item.tag == tag.SequenceDelimitationItem {
			if s.to != nil {
				s.close(0, item.tag)
			}
			if isPixelData(e.tag) && depth == 0 {
				s.pixelData = p
			} else {
				s.left = append(s.left, p.Fragments...)
			}
			return at + 8, nil
		}
		if item.tag != tag.Item {
			return at, item.fail(ErrMalformed, "stands in %s where a fragment is due", nameOf(e.tag))
		}
		if item.length == undefinedLength || int64(item.length) > end-item.value {
			return at, item.fail(ErrTruncated, "of %s says %d bytes, %d are there", nameOf(e.tag), item.length, end-item.value)
		}
		at = item.value + int64(item.length)
		if s.to != nil {
			if err := s.copyFragment(item, first); err != nil {
				return at, err
			}
		}
		if first {
			first, p.firstItem = false, at
			if item.length%4 != 0 || item.length/4 > MaxFragments {
				return at, item.fail(ErrMalformed, "of %s is an offset table of %d bytes", nameOf(e.tag), item.length)
			}
			for o := item.value; o < at; o += 4 {
				b, err := s.peek(o, 4)
				if err != nil {
					return at, err
				}
				p.OffsetTable = append(p.OffsetTable, uint64(s.order.Uint32(b)))
			}
			continue
		}
		if len(p.Fragments) >= MaxFragments {
			return at, item.fail(ErrLimit, "of %s is fragment number %d", nameOf(e.tag), MaxFragments+1)
		}
		p.Fragments = append(p.Fragments, Fragment{Offset: item.value, Length: int64(item.length)})
	}
}
