// Package rejection reads rejection notes: Key Object Selection documents that take objects back (IHE RAD, Imaging Object Change
// Management; PS3.3 A.35.4, PS3.16 TID 2010).
//
//	note, err := rejection.Read(dicomfile.Open, path) // nil when the document is no rejection note
package rejection

import (
	"errors"
	"fmt"
	"io"

	"llamaxr/ingest/dicomfile"
	"llamaxr/study"

	"github.com/suyashkumar/dicom/pkg/tag"
)

// KeyObjectSelection is the SOP class of a Key Object Selection document.
const KeyObjectSelection = "1.2.840.10008.5.1.4.1.1.88.59"

// MaxObjects bounds what one note may take back: a large CT study has a few thousand objects, and each is remembered.
const MaxObjects = 10_000

// ErrNote is returned for a rejection note that cannot be obeyed.
var ErrNote = errors.New("rejection note")

// Read reads a stored document; the note is nil when it is none of a rejection's titles.
func Read(open dicomfile.Opener, path string) (*study.RejectionNote, error) {
	file, err := open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return note(file)
}

// ReadFrom reads a document of size bytes.
func ReadFrom(r io.ReaderAt, size int64) (*study.RejectionNote, error) {
	file, err := dicomfile.Read(r, size)
	if err != nil {
		return nil, err
	}
	return note(file)
}

// note takes the title from the root of the content tree and the objects from the evidence, which must list all that the tree refers
// to (PS3.3 C.17.6.2.1) and gives each its study.
func note(file *dicomfile.File) (*study.RejectionNote, error) {
	if file.Header.SOPClassUID != KeyObjectSelection {
		return nil, nil
	}
	out := new(study.RejectionNote)
	for _, code := range file.Sequence(tag.ConceptNameCodeSequence) {
		if code.Text(tag.CodingSchemeDesignator) == "DCM" {
			out.Title = study.RejectionTitle(code.Text(tag.CodeValue))
		}
	}
	if !out.Title.Known() {
		return nil, nil
	}
	seen := map[study.ObjectReference]bool{}
	for _, s := range file.Sequence(tag.CurrentRequestedProcedureEvidenceSequence) {
		for _, series := range s.Sequence(tag.ReferencedSeriesSequence) {
			for _, sop := range series.Sequence(tag.ReferencedSOPSequence) {
				o := study.ObjectReference{
					StudyInstanceUID: s.Text(tag.StudyInstanceUID), SeriesInstanceUID: series.Text(tag.SeriesInstanceUID),
					SOPClassUID: sop.Text(tag.ReferencedSOPClassUID), SOPInstanceUID: sop.Text(tag.ReferencedSOPInstanceUID),
				}
				if !dicomfile.ValidUID(o.StudyInstanceUID) || !dicomfile.ValidUID(o.SOPInstanceUID) {
					return nil, fmt.Errorf("%w: an object that it refers to has no UID", ErrNote)
				}
				if seen[o] {
					continue
				}
				if len(out.Objects) == MaxObjects {
					return nil, fmt.Errorf("%w: it refers to more than %d objects", ErrNote, MaxObjects)
				}
				seen[o] = true
				out.Objects = append(out.Objects, o)
			}
		}
	}
	if len(out.Objects) == 0 {
		return nil, fmt.Errorf("%w: it refers to no object", ErrNote)
	}
	return out, nil
}
