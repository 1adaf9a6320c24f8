package sr

import (
	"llamaxr/internal/dicomwrite"
	"llamaxr/study"

	"github.com/suyashkumar/dicom/pkg/tag"
)

// KeyObjectSelection is the SOP class of a rejection note.
const KeyObjectSelection = "1.2.840.10008.5.1.4.1.1.88.59"

// RejectionSeries is the series number of our rejection notes.
const RejectionSeries = 9005

// Rejected is a document of ours that is taken back.
type Rejected struct{ SOPClassUID, SOPInstanceUID, SeriesInstanceUID string }

// RejectionNote takes back the documents of a draft: a Key Object Selection document (PS3.3 A.35.4, PS3.16 TID 2010) as the profile
// Imaging Object Change Management of IHE RAD asks for. in is the input that the documents were made from, with the time of the note: the
// note stands in the record of the patient that they were filed under.
func RejectionNote(in Input, title study.RejectionTitle, reason string, documents []Rejected) (*Document, error) {
	d, err := Begin(in, KeyObjectSelection, "rejection "+string(title), "KO", "AI draft withdrawn", RejectionSeries)
	if err != nil {
		return nil, err
	}
	var taken []*study.Header
	children := []*item{text(contains, dcm("113012", "Key Object Description"), "AI draft withdrawn: "+reason)}
	for _, r := range documents {
		taken = append(taken, &study.Header{SeriesInstanceUID: r.SeriesInstanceUID, SOPClassUID: r.SOPClassUID, SOPInstanceUID: r.SOPInstanceUID})
		kind := "COMPOSITE"
		if r.SOPClassUID == SecondaryCapture {
			kind = "IMAGE"
		}
		children = append(children, &item{contains, kind, study.Code{}, func(s *dicomwrite.Set) {
			s.Items(tag.ReferencedSOPSequence, reference(r.SOPClassUID, r.SOPInstanceUID))
		}, nil, false})
	}
	root := container("", title.Code(), append(observerContext(in), children...)...)
	d.set.
		Items(tag.ReferencedPerformedProcedureStepSequence).
		Items(tag.CurrentRequestedProcedureEvidenceSequence, evidence(in.Draft.StudyInstanceUID, taken))
	if requests := requests(in); len(requests) > 0 {
		d.set.Items(tag.ReferencedRequestSequence, requests...)
	}
	d.content(root, "2010")
	return d, nil
}
