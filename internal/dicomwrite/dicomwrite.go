// Package dicomwrite builds data sets for github.com/suyashkumar/dicom and writes them as DICOM files in Explicit VR Little Endian
// (PS3.10, section 7). Text is UTF-8 and said to be (Specific Character Set ISO_IR 192).
package dicomwrite

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/suyashkumar/dicom"
	"github.com/suyashkumar/dicom/pkg/tag"
)

// Set is a data set in the making. The first error stays with it and is returned by Write.
type Set struct {
	elements []*dicom.Element
	err      error
}

// New returns an empty set.
func New() *Set { return new(Set) }

func (s *Set) put(t tag.Tag, value any) *Set {
	e, err := dicom.NewElement(t, value)
	if err != nil {
		if s.err == nil {
			s.err = fmt.Errorf("dicomwrite: element %s: %w", t, err)
		}
		return s
	}
	s.elements = slices.DeleteFunc(s.elements, func(old *dicom.Element) bool { return old.Tag == t })
	s.elements = append(s.elements, e)
	return s
}

// as gives the element of a tag whose VR depends on its use the one that it has here.
func (s *Set) as(t tag.Tag, vr string) *Set {
	for _, e := range s.elements {
		if e.Tag == t {
			e.RawValueRepresentation, e.ValueRepresentation = vr, tag.GetVRKind(t, vr)
		}
	}
	return s
}

// Remove takes elements out.
func (s *Set) Remove(tags ...tag.Tag) *Set {
	s.elements = slices.DeleteFunc(s.elements, func(e *dicom.Element) bool { return slices.Contains(tags, e.Tag) })
	return s
}

// Text sets a text element; no value makes it empty, which type 2 asks for.
func (s *Set) Text(t tag.Tag, values ...string) *Set {
	if values == nil {
		values = []string{}
	}
	return s.put(t, values)
}

// Optional sets a text element unless the value is empty.
func (s *Set) Optional(t tag.Tag, value string) *Set {
	if value == "" {
		return s
	}
	return s.Text(t, strings.Split(value, `\`)...)
}

// Required sets a type 2 element with a value that may hold several, apart by backslashes.
func (s *Set) Required(t tag.Tag, value string) *Set {
	if value == "" {
		return s.Text(t)
	}
	return s.Text(t, strings.Split(value, `\`)...)
}

// Ints sets an element of integers.
func (s *Set) Ints(t tag.Tag, values ...int) *Set { return s.put(t, values) }

// ShortInts sets an element of integers of 16 bits whose VR depends on its use: SS when signed, else US.
func (s *Set) ShortInts(t tag.Tag, signed bool, values ...int) *Set {
	if signed {
		return s.put(t, values).as(t, "SS")
	}
	return s.put(t, values).as(t, "US")
}

// Words sets an element of words in little endian (OW).
func (s *Set) Words(t tag.Tag, value []byte) *Set { return s.put(t, value).as(t, "OW") }

// Floats sets an element of floating-point numbers (FL, FD).
func (s *Set) Floats(t tag.Tag, values ...float64) *Set { return s.put(t, values) }

// Bytes sets an element of bytes (OB, OW, UN).
func (s *Set) Bytes(t tag.Tag, value []byte) *Set { return s.put(t, value) }

// Items sets a sequence.
func (s *Set) Items(t tag.Tag, items ...*Set) *Set {
	lists := make([][]*dicom.Element, len(items))
	for i, item := range items {
		if item.err != nil && s.err == nil {
			s.err = item.err
		}
		item.sort()
		lists[i] = item.elements
	}
	return s.put(t, lists)
}

// Pixels sets native pixel data from bytes in little endian.
func (s *Set) Pixels(data []byte) *Set {
	if len(data)%2 == 1 {
		data = append(data, 0)
	}
	return s.put(tag.PixelData, dicom.PixelDataInfo{IntentionallyUnprocessed: true, UnprocessedValueData: data})
}

func (s *Set) sort() {
	slices.SortFunc(s.elements, func(a, b *dicom.Element) int {
		if a.Tag.Group != b.Tag.Group {
			return int(a.Tag.Group) - int(b.Tag.Group)
		}
		return int(a.Tag.Element) - int(b.Tag.Element)
	})
}

// Write writes a DICOM file. The set must have its SOP Class and Instance UIDs.
func (s *Set) Write(w io.Writer, implementationClassUID, implementationVersion string) error {
	if s.err != nil {
		return s.err
	}
	s.sort()
	find := func(t tag.Tag) []string {
		for _, e := range s.elements {
			if e.Tag == t {
				return dicom.MustGetStrings(e.Value)
			}
		}
		return nil
	}
	class, instance := find(tag.SOPClassUID), find(tag.SOPInstanceUID)
	if len(class) != 1 || len(instance) != 1 {
		return fmt.Errorf("dicomwrite: no SOP Class or Instance UID")
	}
	meta := New().Bytes(tag.FileMetaInformationVersion, []byte{0, 1}).
		Text(tag.MediaStorageSOPClassUID, class[0]).Text(tag.MediaStorageSOPInstanceUID, instance[0]).
		Text(tag.TransferSyntaxUID, "1.2.840.10008.1.2.1").
		Text(tag.ImplementationClassUID, implementationClassUID).Text(tag.ImplementationVersionName, implementationVersion)
	if meta.err != nil {
		return meta.err
	}
	var buf bytes.Buffer
	all := dicom.Dataset{Elements: append(meta.elements, s.elements...)}
	if err := dicom.Write(&buf, all, dicom.SkipVRVerification()); err != nil {
		return fmt.Errorf("dicomwrite: %w", err)
	}
	_, err := w.Write(buf.Bytes())
	return err
}

// Implicit returns the data set of a file that a Set wrote, in Implicit VR Little Endian and without the file's head.
func Implicit(file []byte) ([]byte, error) {
	set, err := dicom.Parse(bytes.NewReader(file), int64(len(file)), nil, dicom.SkipProcessingPixelDataValue())
	if err != nil {
		return nil, fmt.Errorf("dicomwrite: %w", err)
	}
	var out bytes.Buffer
	w, err := dicom.NewWriter(&out, dicom.SkipVRVerification())
	if err != nil {
		return nil, fmt.Errorf("dicomwrite: %w", err)
	}
	w.SetTransferSyntax(binary.LittleEndian, true)
	for _, e := range set.Elements {
		if e.Tag.Group == tag.MetadataGroup {
			continue
		}
		if err := w.WriteElement(e); err != nil {
			return nil, fmt.Errorf("dicomwrite: element %s: %w", e.Tag, err)
		}
	}
	return out.Bytes(), nil
}

// Decimal formats a number as DS: at most 16 characters.
func Decimal(v float64) string {
	for precision := 10; precision > 0; precision-- {
		if text := strconv.FormatFloat(v, 'g', precision, 64); len(text) <= 16 {
			return text
		}
	}
	return strconv.FormatFloat(v, 'g', 1, 64)
}
