package conformance

import (
	"bytes"
	"fmt"
	"image"
	"strings"
	"time"

	"llamaxr/dicomnet"
	"llamaxr/reporting/sr"
	"llamaxr/study"
)

// fullHeader is the header of an image in which every attribute that documents copy has a value of its own.
func fullHeader(view study.Projection) *study.Header {
	n := int(view)
	code := func(value string) []study.Code {
		return []study.Code{{Value: value, Scheme: "99IMAGE", Meaning: "procedure of the image " + value}}
	}
	return &study.Header{
		SOPClassUID: "1.2.840.10008.5.1.4.1.1.1.1", SOPInstanceUID: fmt.Sprintf("2.25.1001.%d", n), StudyInstanceUID: "2.25.1000",
		SeriesInstanceUID: fmt.Sprintf("2.25.1002.%d", n), Modality: "DX", PatientName: "Image^Patient", PatientID: "PATIENT-ID", IssuerOfPatientID: "ISSUER",
		PatientBirthDate: "19610203", PatientSex: "O", PatientAge: "063Y", StudyDate: "20200304", StudyTime: "050607", AccessionNumber: "ACCESSION",
		StudyID: "STUDY-ID", ReferringPhysicianName: "Image^Referrer", StudyDescription: "study of the image",
		Requests: []study.Request{{
			AccessionNumber: "ACCESSION", PlacerOrderNumber: "PLACER", FillerOrderNumber: "FILLER", ProcedureID: "PROCEDURE", ProcedureDescription: "as ordered",
			ProcedureCodes: code("ORDERED"),
		}},
		ProcedureCodes: code("DONE"), Rows: 1000, Columns: 1000, NumberOfFrames: 2, PhotometricInterpretation: "MONOCHROME2",
	}
}

// fullInput is a draft of two views with all 18 findings scored.
func fullInput() sr.Input {
	frontal, lateral := new(study.Scores), new(study.Scores)
	for i := range frontal {
		frontal[i], lateral[i] = 0.9, 0.4
	}
	region := &study.Region{Left: 100, Top: 600, Right: 400, Bottom: 900}
	evidence := []study.Evidence{{Finding: study.Effusion, Polarity: study.Present, View: study.Frontal, Score: 0.9, Region: region}}
	return sr.Input{
		Draft: study.Draft{
			StudyInstanceUID: "2.25.1000", Revision: 2, Scores: study.PairScores{Frontal: frontal, Lateral: lateral},
			Sentences: []study.Sentence{
				{Section: study.SectionFindings, Text: "There is a pleural effusion.", Evidence: evidence, Verdict: study.VerdictKept},
				{Section: study.SectionImpression, Text: "Pleural effusion.", Evidence: evidence, Verdict: study.VerdictKept},
			},
			Models: []study.ModelCard{{Role: "classifier", Name: "classifier", Version: "1", Digest: strings.Repeat("ab", 32)}},
		},
		Maps:    []study.HeatMap{{View: study.Frontal, Finding: study.Effusion, Region: region}},
		Frontal: fullHeader(study.Frontal), Lateral: fullHeader(study.Lateral), Time: time.Date(2024, 5, 6, 7, 8, 9, 0, time.UTC),
		Device: sr.Device{
			Manufacturer: "manufacturer", Model: "model of the device", SerialNumber: "serial number", SoftwareVersion: "version", UID: "2.25.1003", StationName: "STATION",
			ImplementationClassUID: dicomnet.ImplementationClassUID, ImplementationVersion: dicomnet.ImplementationVersionName,
		},
		Predecessor: &sr.Predecessor{SOPClassUID: sr.BasicTextSR, SOPInstanceUID: "2.25.1004", SeriesInstanceUID: "2.25.1005"},
	}
}

// inputs are drafts as sites meet them: whatever documents may have or leave out is had or left out in one of them.
func inputs() []sr.Input {
	bare := fullInput()
	bare.Lateral, bare.Draft.Scores.Lateral, bare.Draft.Partial, bare.Predecessor, bare.Draft.Revision = nil, nil, "lateral not received", nil, 1
	bare.Frontal = &study.Header{
		SOPClassUID: bare.Frontal.SOPClassUID, SOPInstanceUID: bare.Frontal.SOPInstanceUID, StudyInstanceUID: bare.Frontal.StudyInstanceUID, SeriesInstanceUID: bare.Frontal.SeriesInstanceUID,
		PhotometricInterpretation: "MONOCHROME2", Rows: 1, Columns: 1,
	}
	bare.Device.StationName = ""
	sparse := fullInput()
	sparse.Frontal.Requests, sparse.Sectioned = []study.Request{{}}, true
	apart := fullInput()
	apart.Lateral.StudyInstanceUID = "2.25.1006"
	apart.Time = apart.Time.Add(1000 * time.Hour)
	apart.Device.UID, apart.Device.SoftwareVersion = "2.25.1007", "another version"
	apart.Predecessor = &sr.Predecessor{SOPClassUID: sr.BasicTextSR, SOPInstanceUID: "2.25.2004", SeriesInstanceUID: "2.25.2005"}
	inputs := []sr.Input{fullInput(), bare, sparse, apart}
	if state, err := presentation(inputs[0]); err == nil { // what fails is told by the states' own table
		inputs[0].Presentations = map[string]*sr.Document{inputs[0].Frontal.SOPInstanceUID: state}
	}
	return inputs
}

// after is the input with another predecessor, where it has one.
func after(in sr.Input, change func(*sr.Predecessor)) sr.Input {
	if in.Predecessor != nil {
		p := *in.Predecessor
		change(&p)
		in.Predecessor = &p
	}
	return in
}

// object is a kind of object that the appliance makes.
type object struct {
	Title, SOPClass, Template, When string
	make                            func(sr.Input) (*sr.Document, error)
}

// objects are all kinds that are sent to destinations.
var objects = []object{
	{"Narrative draft", sr.BasicTextSR, "2000", "each revision of a draft", sr.Narrative},
	{"Scores", sr.Comprehensive3DSR, "1500", "each revision of a draft", func(in sr.Input) (*sr.Document, error) {
		return sr.ScoresReport(after(in, func(p *sr.Predecessor) { p.SOPClassUID = sr.Comprehensive3DSR }))
	}},
	{"Pictures", sr.SecondaryCapture, "", "the probability chart of each revision of a draft, and its heat map where `heat_map` is `sc`", func(in sr.Input) (*sr.Document, error) {
		return sr.Capture(in, "picture", "AI heat map - unverified", sr.HeatMapSeries, image.NewRGBA(image.Rect(0, 0, 2, 2)))
	}},
	{"Outlines", sr.GrayscaleSoftcopyPresentationState, "", "each image that a revision of a draft was read from, where `heat_map` is `gsps`", presentation},
	{"Page", sr.EncapsulatedPDF, "", "each revision of a draft, where `pdf` is set", func(in sr.Input) (*sr.Document, error) { return sr.Encapsulate(in, "page", []byte("%PDF-1.4\n")) }},
	{"Signed report", sr.BasicTextSR, "2000", "a physician signs in the reading room", func(in sr.Input) (*sr.Document, error) {
		in = after(in, func(p *sr.Predecessor) { p.Preliminary = in.Sectioned }) // the first signed report is after a draft, others after a signed one
		return sr.Signed(in, sr.Signer{Name: "Signer^Physician", Organization: "organization", Number: 1}, in.Draft.Sentences)
	}},
	{"Rejection note", sr.KeyObjectSelection, "2010", "drafts that were sent no longer stand", func(in sr.Input) (*sr.Document, error) {
		return sr.RejectionNote(in, study.RejectedSafety, "quality", []sr.Rejected{
			{SOPClassUID: sr.BasicTextSR, SOPInstanceUID: in.Device.UID + ".1", SeriesInstanceUID: in.Device.UID + ".2"},
			{SOPClassUID: sr.SecondaryCapture, SOPInstanceUID: in.Device.UID + ".3", SeriesInstanceUID: in.Device.UID + ".4"},
		})
	}},
}

// fullDisplay is how an image asks to be shown in full.
var fullDisplay = study.Display{
	Rescale: &study.Rescale{Slope: 0.515625, Intercept: -7.25, Type: "RESCALED"}, Window: &study.Window{Center: 2046.5, Width: 4094.75, Function: "SIGMOID"},
	Aspect: [2]float64{1, 1}, Inverse: true,
}

// presentation is a presentation state of an image that says all, or nothing, of how it is shown: the latter where there is no lateral view.
func presentation(in sr.Input) (*sr.Document, error) {
	display := fullDisplay
	if in.Lateral == nil {
		display = study.Display{Aspect: fullDisplay.Aspect}
	}
	return sr.Presentation(in, study.Frontal, display)
}

// encoded is a document as a file.
func (o object) encoded(in sr.Input) ([]byte, error) {
	d, err := o.make(in)
	if err != nil {
		return nil, fmt.Errorf("conformance: %s: %w", o.Title, err)
	}
	var b bytes.Buffer
	_, err = d.WriteTo(&b)
	return b.Bytes(), err
}
