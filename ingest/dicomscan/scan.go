package dicomscan

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Limits on what a file may make us do.
const (
	maxDepth     = 16      // of sequences in sequences; real objects stay under 8
	maxElements  = 200_000 // in one file, nested ones included
	maxFragments = 100_000 // of encapsulated pixel data
	maxValue     = 1 << 20 // bytes of one value that is not pixel data
	maxMeta      = 64 << 10
)

// Tag is a group and an element number.
type Tag uint32

// String gives the usual form.
func (t Tag) String() string { return fmt.Sprintf("(%04X,%04X)", uint32(t)>>16, uint32(t)&0xffff) }

// Element is one element of a data set: where its value lies.
type Element struct {
	Tag       Tag
	VR        string // "UN" where an implicit data set does not say and the element is not one we know
	Offset    int64
	Length    int64
	Items     []*DataSet // of a sequence
	Fragments []Fragment // of encapsulated pixel data, the offset table first
}

// Fragment is a piece of encapsulated pixel data.
type Fragment struct{ Offset, Length int64 }

// DataSet is a set of elements by tag.
type DataSet struct {
	Elements map[Tag]*Element
	scanner  *scanner
}

// FormatError says what is wrong with a file, and where.
type FormatError struct {
	Offset int64
	Tag    Tag
	What   string
}

// Error implements error.
func (e *FormatError) Error() string {
	return fmt.Sprintf("dicomscan: at byte %d, element %s: %s", e.Offset, e.Tag, e.What)
}

type scanner struct {
	r        io.ReaderAt
	size     int64
	order    binary.ByteOrder
	explicit bool
	count    int
}

func (s *scanner) fail(offset int64, tag Tag, format string, args ...any) error {
	return &FormatError{offset, tag, fmt.Sprintf(format, args...)}
}

// Tags that delimit.
const (
	tagItem         Tag = 0xFFFEE000
	tagItemEnd      Tag = 0xFFFEE00D
	tagSequenceEnd  Tag = 0xFFFEE0DD
	undefinedLength     = 0xFFFFFFFF
	PixelData       Tag = 0x7FE00010
	floatPixelData  Tag = 0x7FE00008
	doublePixelData Tag = 0x7FE00009
	trailingPadding Tag = 0xFFFCFFFC
)

// header is a decoded element header.
type header struct {
	tag    Tag
	vr     string
	length uint32
	value  int64 // offset of the value
}

func (s *scanner) header(at, end int64) (header, error) {
	var b [12]byte
	if end-at < 8 {
		return header{}, s.fail(at, 0, "%d bytes left, an element header needs 8", end-at)
	}
	if _, err := s.r.ReadAt(b[:8], at); err != nil {
		return header{}, fmt.Errorf("dicomscan: reading at byte %d: %w", at, err)
	}
	h := header{tag: Tag(uint32(s.order.Uint16(b[:]))<<16 | uint32(s.order.Uint16(b[2:])))}
	if uint32(h.tag)>>16 == 0xFFFE || !s.explicit {
		h.length, h.value, h.vr = s.order.Uint32(b[4:]), at+8, implicitVR(h.tag)
		return h, nil
	}
	h.vr = string(b[4:6])
	switch h.vr {
	case "OB", "OW", "OF", "OD", "OL", "OV", "SQ", "UC", "UR", "UT", "UN", "SV", "UV":
		if end-at < 12 {
			return header{}, s.fail(at, h.tag, "%d bytes left, a long element header needs 12", end-at)
		}
		if _, err := s.r.ReadAt(b[8:], at+8); err != nil {
			return header{}, fmt.Errorf("dicomscan: reading at byte %d: %w", at, err)
		}
		h.length, h.value = s.order.Uint32(b[8:]), at+12
	case "AE", "AS", "AT", "CS", "DA", "DS", "DT", "FL", "FD", "IS", "LO", "LT", "PN", "SH", "SL", "SS", "ST", "TM", "UI", "UL", "US":
		h.length, h.value = uint32(s.order.Uint16(b[6:])), at+8
	default:
		return header{}, s.fail(at, h.tag, "unknown VR %q", h.vr)
	}
	return h, nil
}

// dataSet scans elements from at to end, or to an item delimiter when delimited; it returns where it stopped.
func (s *scanner) dataSet(at, end int64, depth int, delimited bool) (*DataSet, int64, error) {
	ds := &DataSet{Elements: map[Tag]*Element{}, scanner: s}
	last := Tag(0)
	for at < end {
		if !delimited && end-at < 8 && depth == 0 {
			break // trailing bytes too few for an element: padding of the file
		}
		h, err := s.header(at, end)
		if err != nil {
			return ds, at, err
		}
		if delimited && h.tag == tagItemEnd {
			return ds, h.value, nil
		}
		if s.count++; s.count > maxElements {
			return ds, at, s.fail(at, h.tag, "more than %d elements", maxElements)
		}
		e := &Element{Tag: h.tag, VR: h.vr, Offset: h.value, Length: int64(h.length)}
		switch {
		case h.tag == PixelData && h.length == undefinedLength:
			at, err = s.fragments(e, h.value, end)
		case h.vr == "SQ" || h.length == undefinedLength:
			at, err = s.sequence(e, h, end, depth)
		default:
			if int64(h.length) > end-h.value {
				return ds, at, s.fail(at, h.tag, "value of %d bytes with %d left", h.length, end-h.value)
			}
			at = h.value + int64(h.length)
		}
		if err != nil {
			return ds, at, err
		}
		if _, repeated := ds.Elements[h.tag]; !repeated {
			ds.Elements[h.tag] = e
		}
		last = h.tag
	}
	if delimited {
		return ds, at, s.fail(at, last, "item without its end")
	}
	return ds, at, nil
}

// sequence scans the items of a sequence, or of an unknown element of undefined length, which is implicit (PS3.5, section 6.2.2).
func (s *scanner) sequence(e *Element, h header, end int64, depth int) (int64, error) {
	if depth+1 > maxDepth {
		return 0, s.fail(h.value, h.tag, "sequences nested deeper than %d", maxDepth)
	}
	inner := s
	if h.vr == "UN" && s.explicit {
		implicit := *s
		implicit.explicit, implicit.order = false, binary.LittleEndian
		inner = &implicit
		defer func() { s.count = implicit.count }()
	}
	stop := end
	if h.length != undefinedLength {
		if stop = h.value + int64(h.length); stop > end {
			return 0, s.fail(h.value, h.tag, "sequence of %d bytes with %d left", h.length, end-h.value)
		}
	}
	at := h.value
	for at < stop {
		item, err := inner.header(at, stop)
		if err != nil {
			return at, err
		}
		switch {
		case item.tag == tagSequenceEnd:
			e.Length = item.value - h.value
			return item.value, nil
		case item.tag != tagItem:
			return at, s.fail(at, h.tag, "%s where an item of the sequence was due", item.tag)
		}
		if s.count++; s.count > maxElements {
			return at, s.fail(at, h.tag, "more than %d elements", maxElements)
		}
		var ds *DataSet
		if item.length == undefinedLength {
			ds, at, err = inner.dataSet(item.value, stop, depth+1, true)
		} else {
			itemEnd := item.value + int64(item.length)
			if itemEnd > stop {
				return at, s.fail(at, h.tag, "item of %d bytes with %d left", item.length, stop-item.value)
			}
			ds, at, err = inner.dataSet(item.value, itemEnd, depth+1, false)
			at = itemEnd
		}
		if err != nil {
			return at, err
		}
		e.Items = append(e.Items, ds)
	}
	if h.length == undefinedLength {
		return at, s.fail(at, h.tag, "sequence without its end")
	}
	return stop, nil
}

// fragments lists the items of encapsulated pixel data (PS3.5, annex A.4).
func (s *scanner) fragments(e *Element, at, end int64) (int64, error) {
	for at < end {
		item, err := s.header(at, end)
		if err != nil {
			return at, err
		}
		if item.tag == tagSequenceEnd {
			return item.value, nil
		}
		if item.tag != tagItem || item.length == undefinedLength {
			return at, s.fail(at, PixelData, "%s where a fragment was due", item.tag)
		}
		if int64(item.length) > end-item.value {
			return at, s.fail(at, PixelData, "fragment of %d bytes with %d left", item.length, end-item.value)
		}
		if len(e.Fragments) == maxFragments {
			return at, s.fail(at, PixelData, "more than %d fragments", maxFragments)
		}
		e.Fragments = append(e.Fragments, Fragment{item.value, int64(item.length)})
		at = item.value + int64(item.length)
	}
	return at, s.fail(at, PixelData, "encapsulated pixel data without its end")
}

// value reads an element's bytes.
func (s *scanner) value(e *Element) ([]byte, error) {
	if e.Length > maxValue {
		return nil, s.fail(e.Offset, e.Tag, "value of %d bytes, at most %d are read", e.Length, maxValue)
	}
	b := make([]byte, e.Length)
	if _, err := s.r.ReadAt(b, e.Offset); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("dicomscan: reading %s: %w", e.Tag, err)
	}
	return b, nil
}
