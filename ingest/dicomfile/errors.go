package dicomfile

import (
	"errors"
	"fmt"

	"github.com/suyashkumar/dicom/pkg/tag"
)

// Causes of a refusal; errors.Is tells them apart.
var (
	// ErrNotDICOM is returned for a file that does not begin like DICOM.
	ErrNotDICOM = errors.New("not a DICOM file")
	// ErrTruncated is returned when a length points past the bytes that are there.
	ErrTruncated = errors.New("truncated")
	// ErrMalformed is returned when the bytes break the encoding rules.
	ErrMalformed = errors.New("malformed")
	// ErrLimit is returned when a file passes one of the limits of this package.
	ErrLimit = errors.New("over the limit")
	// ErrValue is returned when an attribute's value is not of its VR's form.
	ErrValue = errors.New("invalid value")
)

// Error is a refusal: what was wrong with which element, and where in the file it stands.
type Error struct {
	// Offset is the position in the file, or in the inflated data set of a deflated file; -1 when not known.
	Offset int64
	// Tag is the element, zero when none was read yet.
	Tag tag.Tag
	// What was wrong, in words.
	What string
	// Err is one of the package's Err values.
	Err error
}

func (e *Error) Error() string {
	text := fmt.Sprintf("dicomfile: %v: %s", e.Err, e.What)
	if e.Tag != (tag.Tag{}) {
		text = fmt.Sprintf("dicomfile: %v: %s %s", e.Err, nameOf(e.Tag), e.What)
	}
	if e.Offset >= 0 {
		text += fmt.Sprintf(" at offset %d", e.Offset)
	}
	return text
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// nameOf writes a tag as (0028,0010) Rows.
func nameOf(t tag.Tag) string {
	text := fmt.Sprintf("(%04X,%04X)", t.Group, t.Element)
	if info, err := tag.Find(t); err == nil && info.Name != "" {
		text += " " + info.Name
	}
	return text
}
