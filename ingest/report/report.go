// Package report reads SR documents that other systems store: the text of a report and what it says of itself (PS3.3 C.17, PS3.16 TID 2000).
//
//	r, err := report.Read(dicomfile.Open, path) // nil when the object is no SR document
//	if r.Final() { ... r.Text() ... }
package report

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"llamaxr/ingest/dicomfile"

	"github.com/suyashkumar/dicom/pkg/tag"
)

// classes are the SOP classes of SR documents that hold a report's text.
var classes = []string{
	"1.2.840.10008.5.1.4.1.1.88.11", // Basic Text SR
	"1.2.840.10008.5.1.4.1.1.88.22", // Enhanced SR
	"1.2.840.10008.5.1.4.1.1.88.33", // Comprehensive SR
	"1.2.840.10008.5.1.4.1.1.88.34", // Comprehensive 3D SR
	"1.2.840.10008.5.1.4.1.1.88.35", // Extensible SR
}

// Is reports whether an SOP class is that of a document which may be a report.
func Is(sopClassUID string) bool { return slices.Contains(classes, sopClassUID) }

// Limits of what is read of one document.
const (
	// MaxText bounds the text of a report in bytes; long ones have under 4 KiB.
	MaxText = 64 << 10
	// maxItems bounds the content items that are looked at.
	maxItems = 20_000
	// maxReferences bounds the predecessors and orders that are noted.
	maxReferences = 64
)

// ErrReport is returned for a document that is too large to be a report.
var ErrReport = errors.New("report")

// Report is an SR document as a reader of reports needs it.
type Report struct {
	SOPInstanceUID, StudyInstanceUID string
	Completion, Verification         string // (0040,A491) and (0040,A493)
	Preliminary                      string // (0040,A496), may be empty
	AccessionNumbers                 []string
	PatientID                        string
	Names                            []string // person names in it: patient, observers, referring physician
	Predecessors                     []string // SOP Instance UIDs
	PredecessorStudies               []string
	Time                             time.Time // of the verification, else of the content; zero when neither is there
	Findings, Impression, Other      []string  // texts by section, in their order
}

// Final reports whether a physician stands for the whole text: COMPLETE and VERIFIED, and not PRELIMINARY (PS3.3 C.17.2).
func (r *Report) Final() bool {
	return r.Completion == "COMPLETE" && r.Verification == "VERIFIED" && r.Preliminary != "PRELIMINARY"
}

// Text is the report with the headings that a correction is read by; a document without known sections keeps its text as it stands.
func (r *Report) Text() string {
	if len(r.Findings)+len(r.Impression) == 0 {
		return strings.Join(r.Other, "\n")
	}
	return "FINDINGS: " + strings.Join(r.Findings, " ") + "\nIMPRESSION: " + strings.Join(r.Impression, " ")
}

// Read reads a stored object; the report is nil when it is none.
func Read(open dicomfile.Opener, path string) (*Report, error) {
	file, err := open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return read(file)
}

// ReadFrom reads a document of size bytes.
func ReadFrom(r io.ReaderAt, size int64) (*Report, error) {
	file, err := dicomfile.Read(r, size)
	if err != nil {
		return nil, err
	}
	return read(file)
}

func read(file *dicomfile.File) (*Report, error) {
	if !Is(file.Header.SOPClassUID) {
		return nil, nil
	}
	h := file.Header
	r := &Report{
		SOPInstanceUID: h.SOPInstanceUID, StudyInstanceUID: h.StudyInstanceUID, PatientID: h.PatientID,
		Completion: file.Text(tag.CompletionFlag), Verification: file.Text(tag.VerificationFlag), Preliminary: file.Text(tag.PreliminaryFlag),
		AccessionNumbers: note(nil, h.AccessionNumber), Names: note(note(nil, h.PatientName), h.ReferringPhysicianName),
	}
	for _, request := range file.Sequence(tag.ReferencedRequestSequence) {
		r.AccessionNumbers = note(r.AccessionNumbers, request.Text(tag.AccessionNumber))
	}
	for _, s := range file.Sequence(tag.PredecessorDocumentsSequence) {
		r.PredecessorStudies = note(r.PredecessorStudies, s.Text(tag.StudyInstanceUID))
		for _, series := range s.Sequence(tag.ReferencedSeriesSequence) {
			for _, sop := range series.Sequence(tag.ReferencedSOPSequence) {
				r.Predecessors = note(r.Predecessors, sop.Text(tag.ReferencedSOPInstanceUID))
			}
		}
	}
	for _, observer := range file.Sequence(tag.VerifyingObserverSequence) {
		r.Names = note(r.Names, observer.Text(tag.VerifyingObserverName))
		if t := moment(observer.Text(tag.VerificationDateTime)); t.After(r.Time) {
			r.Time = t
		}
	}
	if r.Time.IsZero() {
		r.Time = moment(file.Text(tag.ContentDate) + file.Text(tag.ContentTime))
	}
	w := walk{report: r}
	if err := w.items(file.Sequence(tag.ContentSequence), &r.Other); err != nil {
		return nil, err
	}
	return r, nil
}

// note adds a value once.
func note(list []string, value string) []string {
	if value = strings.TrimSpace(value); value == "" || len(list) >= maxReferences || slices.Contains(list, value) {
		return list
	}
	return append(list, value)
}

// Headings and texts of a report's sections: CID 7001 and 7002 by LOINC, and the observations of CID 7001's sections in DCM.
var (
	findingCodes    = map[string]bool{"LN 59776-5": true, "LN 18782-3": true, "DCM 121070": true, "DCM 121071": true}
	impressionCodes = map[string]bool{"LN 19005-8": true, "DCM 121072": true, "DCM 121073": true, "DCM 121076": true, "DCM 121077": true, "LN 55110-1": true}
)

// walk gathers texts from a content tree.
type walk struct {
	report      *Report
	seen, bytes int
}

// items goes through content items; into takes texts whose own name says no section.
func (w *walk) items(items []*dicomfile.Dataset, into *[]string) error {
	for _, item := range items {
		if w.seen++; w.seen > maxItems {
			return fmt.Errorf("%w: more than %d content items", ErrReport, maxItems)
		}
		target := into
		for _, name := range item.Sequence(tag.ConceptNameCodeSequence) {
			code := name.Text(tag.CodingSchemeDesignator) + " " + name.Text(tag.CodeValue)
			switch {
			case impressionCodes[code]:
				target = &w.report.Impression
			case findingCodes[code] && into != &w.report.Impression: // a finding within an impression belongs to it
				target = &w.report.Findings
			}
		}
		switch item.Text(tag.ValueType) {
		case "TEXT":
			if relation := item.Text(tag.RelationshipType); relation != "CONTAINS" && relation != "" {
				break // who observed, what procedure, how it was found: not what was found
			}
			text := strings.TrimSpace(item.Text(tag.TextValue))
			if w.bytes += len(text); w.bytes > MaxText {
				return fmt.Errorf("%w: a text of more than %d bytes", ErrReport, MaxText)
			}
			if text != "" {
				*target = append(*target, text)
			}
		case "PNAME":
			w.report.Names = note(w.report.Names, item.Text(tag.PersonName))
		case "CONTAINER":
			if err := w.items(item.Sequence(tag.ContentSequence), target); err != nil {
				return err
			}
		}
	}
	return nil
}

// moment reads a DICOM date and time (PS3.5 table 6.2-1, DT), zero when it is none. Without a zone it is the site's.
func moment(text string) time.Time {
	zoned := strings.ContainsAny(text, "+-")
	for _, form := range []string{"20060102150405.000000", "20060102150405", "200601021504", "20060102"} {
		if zoned {
			form += "-0700"
		}
		if t, err := time.ParseInLocation(form, text, time.Local); err == nil {
			return t
		}
	}
	return time.Time{}
}
