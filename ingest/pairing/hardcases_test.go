package pairing

import (
	"strings"
	"testing"
	"time"

	"llamaxr/study"
)

// The hard cases of a chest room at the level of pairing. Each asserts which images are read and that the reason for every other one
// is kept. The eleventh, an object sent again with other bytes, is the receiver's: TestResendWithOtherBytes of package ingest.

// decide pairs and checks what holds always: a reason for each object and no chosen object that was left.
func decide(t *testing.T, candidates ...Candidate) study.Pair {
	t.Helper()
	pair := Decide(candidates, Config{MinimumAge: 18})
	if len(pair.Choices) != len(candidates) {
		t.Fatalf("%d choices for %d objects", len(pair.Choices), len(candidates))
	}
	for _, c := range pair.Choices {
		if len(c.Why) == 0 {
			t.Errorf("no reason for %s", c.SOPInstanceUID)
		}
		if said := strings.Contains(strings.Join(c.Why, "\n"), "left: "); c.Chosen == said {
			t.Errorf("%s: chosen %v, and it says %q", c.SOPInstanceUID, c.Chosen, c.Why)
		}
	}
	return pair
}

// want checks a pair, and that each reason stands somewhere.
func want(t *testing.T, pair study.Pair, frontal, lateral string, reasons ...string) {
	t.Helper()
	if pair.Frontal != frontal || pair.Lateral != lateral {
		t.Errorf("frontal %q lateral %q (%s), want %q and %q", pair.Frontal, pair.Lateral, pair.Refusal, frontal, lateral)
	}
	if (pair.Refusal == "") != (frontal+lateral != "") {
		t.Errorf("refusal %q", pair.Refusal)
	}
	all := pair.Refusal
	for _, c := range pair.Choices {
		all += "\n" + strings.Join(c.Why, "\n")
	}
	for _, r := range reasons {
		if !strings.Contains(all, r) {
			t.Errorf("no reason says %q:\n%s", r, all)
		}
	}
}

func at(clock string) func(*study.Header) {
	return func(h *study.Header) { h.AcquisitionDate, h.AcquisitionTime = "20260101", clock }
}

// 1. A portable AP alone is read as it is.
func TestPortableAlone(t *testing.T) {
	portable := func(h *study.Header) {
		h.ViewPosition, h.SeriesDescription, h.BodyPartExamined = "AP", "CHEST PORTABLE", "PORTABLE CHEST"
	}
	want(t, decide(t, candidate("1", portable, looksFrontal)), "1", "")
	want(t, decide(t, candidate("1", portable, nil)), "1", "") // by its header too
}

// 2. Two exposures in one object are not one view.
func TestTwoExposuresInOneObject(t *testing.T) {
	frames := func(h *study.Header) { h.NumberOfFrames = 2 }
	wide := func(h *study.Header) { h.Rows, h.Columns = 2000, 4100 }
	want(t, decide(t, candidate("1", frames, looksFrontal)), "", "", "2 frames")
	want(t, decide(t, candidate("1", wide, looksFrontal)), "", "", "two exposures in one picture")
	want(t, decide(t, candidate("1", wide, looksFrontal), candidate("2", nil, looksFrontal), candidate("3", nil, looksLateral)), "2", "3")
}

// 3. Of repeats the newest is read, by acquisition and not by arrival; a rejected one drops out.
func TestRepeats(t *testing.T) {
	first, second, lateral := candidate("2", at("100000"), looksFrontal), candidate("1", at("100500.25"), looksFrontal), candidate("3", at("100200"), looksLateral)
	first.Received, second.Received = time.Unix(900, 0), time.Unix(100, 0)
	want(t, decide(t, first, second, lateral), "1", "3", "a newer frontal view is there")
	second.Rejected = "quality"
	want(t, decide(t, first, second, lateral), "2", "3", "rejected: quality")
	again := candidate("4", at("100900"), looksLateral)
	want(t, decide(t, first, second, lateral, again), "2", "4", "a newer lateral view is there")
}

// 4. Rejected images are not read, and a study of nothing else has no draft.
func TestRejectedImages(t *testing.T) {
	frontal, lateral := candidate("1", nil, looksFrontal), candidate("2", nil, looksLateral)
	lateral.Rejected = "incorrect worklist entry"
	want(t, decide(t, frontal, lateral), "1", "", "incorrect worklist entry")
	frontal.Rejected = "patient safety"
	want(t, decide(t, frontal, lateral), "", "", "rejected: patient safety")
	// An image of another patient that was taken back does not spoil the study.
	other := candidate("3", func(h *study.Header) { h.PatientID = "Q" }, looksFrontal)
	other.Rejected = "incorrect worklist entry"
	want(t, decide(t, candidate("1", nil, looksFrontal), other), "1", "")
}

// 5. A lateral that comes after the draft completes the pair and leaves the frontal as it was.
func TestLateLateral(t *testing.T) {
	frontal := candidate("1", at("100000"), looksFrontal)
	want(t, decide(t, frontal), "1", "")
	late := candidate("2", at("100300"), looksLateral)
	late.Received = time.Unix(1<<30, 0)
	want(t, decide(t, frontal, late), "1", "2")
}

// 6. Two studies with one accession number are one examination of one patient, or no pair at all.
func TestTwoStudiesOneAccession(t *testing.T) {
	header := func(change func(*study.Header)) study.Header {
		h := study.Header{StudyInstanceUID: "1", AccessionNumber: "A1", PatientID: "P", IssuerOfPatientID: "H", PatientBirthDate: "19600101", PatientName: "DOE^JANE", StudyDate: "20260101"}
		if change != nil {
			change(&h)
		}
		return h
	}
	other := func(change func(*study.Header)) study.Header {
		return header(func(h *study.Header) {
			h.StudyInstanceUID = "2"
			change(h)
		})
	}
	for _, test := range []struct {
		name string
		b    study.Header
		same bool
		why  string
	}{
		{"the same study", header(func(h *study.Header) { h.AccessionNumber = "" }), true, "one study"},
		{"a study for each cassette", other(func(*study.Header) {}), true, "two studies of one accession number"},
		{"a space more", other(func(h *study.Header) { h.AccessionNumber = "A1 " }), true, "two studies of one accession number"},
		{"another order", other(func(h *study.Header) { h.AccessionNumber = "A2" }), false, ""},
		{"no accession number", other(func(h *study.Header) { h.AccessionNumber = "" }), false, ""},
		{"two patients under one number", other(func(h *study.Header) { h.PatientID = "Q" }), false, "Patient ID"},
		{"no issuer", other(func(h *study.Header) { h.IssuerOfPatientID = "" }), true, "two studies of one accession number"},
		{"no birth date", other(func(h *study.Header) { h.PatientBirthDate = "" }), true, "two studies of one accession number"},
		{"no birth date and another name", other(func(h *study.Header) { h.PatientBirthDate, h.PatientName = "", "ROE^JANE" }), false, "name"},
		{"no birth date and no name", other(func(h *study.Header) { h.PatientBirthDate, h.PatientName = "", "" }), false, "name"},
		{"two issuers", other(func(h *study.Header) { h.IssuerOfPatientID = "OTHER" }), false, "Patient ID"},
		{"another birth date", other(func(h *study.Header) { h.PatientBirthDate = "19610101" }), false, "birth date"},
		{"another day", other(func(h *study.Header) { h.StudyDate = "20260102" }), false, "study date"},
	} {
		same, why := SameExamination(header(nil), test.b)
		if same != test.same || !strings.Contains(why, test.why) || (test.why == "") != (why == "") {
			t.Errorf("%s: %v %q, want %v %q", test.name, same, why, test.same, test.why)
		}
		if back, _ := SameExamination(test.b, header(nil)); back != same {
			t.Errorf("%s: not the same the other way round", test.name)
		}
	}
	unnamed := header(func(h *study.Header) { h.AccessionNumber, h.PatientID = "", "" })
	if same, _ := SameExamination(unnamed, func() study.Header { h := unnamed; h.StudyInstanceUID = "2"; return h }()); same {
		t.Error("two studies without patient and accession number are one")
	}
	// The images of both are paired as those of one study.
	lateral := candidate("2", func(h *study.Header) { h.StudyInstanceUID = "2" }, looksLateral)
	want(t, decide(t, candidate("1", nil, looksFrontal), lateral), "1", "2")
}

// 7. A turned cassette is not read as if it stood upright.
func TestTurnedCassette(t *testing.T) {
	for _, orientation := range []string{`F\R`, `H\L`, `F\A`, `FL\R`, `L\H`, `A\H`, `f\r`} {
		turned := candidate("1", func(h *study.Header) { h.PatientOrientation = orientation }, looksFrontal)
		want(t, decide(t, turned), "", "", "Patient Orientation is "+orientation)
		want(t, decide(t, turned, candidate("2", nil, looksLateral)), "", "2")
	}
	for _, orientation := range []string{`L\F`, `R\F`, `L\FP`, ``, `L`} {
		want(t, decide(t, candidate("1", func(h *study.Header) { h.PatientOrientation = orientation }, looksFrontal)), "1", "")
	}
}

// 8. Of for-processing and for-presentation twins the second is read, and raw grey levels never.
func TestForProcessingTwins(t *testing.T) {
	raw := func(h *study.Header) { h.SOPClassUID = forProcessing }
	byIntent := func(h *study.Header) { h.PresentationIntent = "FOR PROCESSING" }
	shown := func(h *study.Header) {
		h.SOPClassUID, h.PresentationIntent = "1.2.840.10008.5.1.4.1.1.1.1", "FOR PRESENTATION"
	}
	want(t, decide(t, candidate("1", raw, looksFrontal), candidate("2", shown, looksFrontal), candidate("3", raw, looksLateral), candidate("4", shown, looksLateral)),
		"2", "4", "grey levels are raw")
	want(t, decide(t, candidate("1", raw, looksFrontal), candidate("2", byIntent, looksLateral)), "", "", "for processing")
	want(t, decide(t, candidate("1", raw, looksFrontal), candidate("2", shown, looksLateral)), "", "2")
}

// 9. A picture whose grey levels look turned round, or of which there is else something to know, is read with the doubt stated, by view; of pictures
// that are not read nothing is said. Such a doubt is none of the view.
func TestInvertedPicture(t *testing.T) {
	inverted, small := &Picture{LogOddsLateral: -6, Inverted: true}, &Picture{LogOddsLateral: 6, Doubts: []string{"only 64 x 64 pixels", "odd"}}
	mirrored := func(h *study.Header) { h.PatientOrientation = `R\F` }
	older := func(h *study.Header) { h.AcquisitionDate = "20250101" }
	for _, test := range []struct {
		candidates      []Candidate
		frontal, doubts string
		certain         bool
	}{
		{[]Candidate{candidate("1", nil, looksFrontal)}, "1", "", true},
		{[]Candidate{candidate("1", nil, inverted)}, "1", "frontal view: its grey levels look turned round", true},
		{[]Candidate{candidate("1", mirrored, looksFrontal)}, "1", "frontal view: Patient Orientation R F is of a mirrored picture", true},
		{[]Candidate{candidate("1", nil, inverted), candidate("2", nil, small)}, "1", "frontal view: its grey levels look turned round; lateral view: only 64 x 64 pixels, odd", true},
		{[]Candidate{candidate("1", older, inverted), candidate("2", at("100000"), looksFrontal), candidate("3", nil, looksLateral)}, "2", "", true},
		{[]Candidate{candidate("1", func(h *study.Header) { h.ViewPosition = "AP" }, &Picture{LogOddsLateral: 1.5})}, "1", "frontal view: header and picture disagree", true},
		{[]Candidate{candidate("1", nil, &Picture{Inverted: true})}, "1", "view not certain, read as frontal; frontal view: its grey levels look turned round", false},
	} {
		pair := decide(t, test.candidates...)
		if pair.Frontal != test.frontal || pair.Doubt != test.doubts || pair.ViewsCertain() != test.certain {
			t.Errorf("frontal %q, doubt %q, views certain %t, want %q, %q, %t", pair.Frontal, pair.Doubt, pair.ViewsCertain(), test.frontal, test.doubts, test.certain)
		}
	}
	want(t, decide(t, candidate("1", nil, inverted)), "1", "", "check MONOCHROME1 against the picture")
}

// 10. Captures, documents and derived pictures are never the radiograph.
func TestNotTheRadiograph(t *testing.T) {
	for name, change := range map[string]func(*study.Header){
		"a secondary capt":  func(h *study.Header) { h.SOPClassUID, h.Modality = secondaryCapture, "CR" },
		"88.67":             func(h *study.Header) { h.SOPClassUID, h.Modality = "1.2.840.10008.5.1.4.1.1.88.67", "SR" },
		"BONE":              func(h *study.Header) { h.ImageType = `DERIVED\SECONDARY\SOFT TISSUE\BONE SUPPRESSED` },
		"another projecti":  func(h *study.Header) { h.SeriesDescription = "CHEST SCOUT" },
		"no pixels at all ": nil,
	} {
		odd := candidate("1", change, looksFrontal)
		if change == nil {
			odd.Picture, odd.NoImage = nil, "no pixels at all "
		}
		want(t, decide(t, odd), "", "", name)
		want(t, decide(t, odd, candidate("2", nil, looksFrontal), candidate("3", nil, looksLateral)), "2", "3", name)
	}
}

// 12. What is outside the intended use is left with its reason, by whatever attribute says so.
func TestOutOfRange(t *testing.T) {
	code := func(value, meaning string) []study.Code { return []study.Code{{Value: value, Meaning: meaning}} }
	for _, test := range []struct {
		name   string
		change func(*study.Header)
		reason string
	}{
		{"a child by age", func(h *study.Header) { h.PatientAge = "017Y" }, "the patient is 17"},
		{"an infant in months", func(h *study.Header) { h.PatientAge = "030M" }, "for adults"},
		{"a child, zeros left out", func(h *study.Header) { h.PatientAge = "7Y" }, "the patient is 7"},
		{"a child, unit left out", func(h *study.Header) { h.PatientAge = "9" }, "the patient is 9"},
		{"a newborn in days", func(h *study.Header) { h.PatientAge = "003D" }, "the patient is 0"},
		{"a child by birth date", func(h *study.Header) { h.PatientBirthDate = "20080102" }, "the patient is 17"},
		{"a child by protocol", func(h *study.Header) { h.PatientBirthDate, h.ProtocolName = "", "PED CHEST" }, "a child"},
		{"a hip", func(h *study.Header) { h.BodyPartExamined = "HIP" }, "HIP"},
		{"chest and abdomen", func(h *study.Header) { h.BodyPartExamined = "CHESTABDOMEN" }, "CHESTABDOMEN"},
		{"a knee by its code", func(h *study.Header) { h.BodyPartExamined, h.AnatomicRegions = "", code("72696002", "Knee") }, "Knee"},
		{"decubitus by position", func(h *study.Header) { h.ViewPosition = "RLD" }, "decubitus"},
		{"decubitus by words", func(h *study.Header) { h.SeriesDescription = "Lt lateral decubitus" }, "another projection"},
		{"decubitus by device", func(h *study.Header) { h.AcquisitionDevice = "CHEST LLD" }, "another projection"},
		{"oblique by code", func(h *study.Header) { h.ViewCodes = code("R-10220", "left anterior oblique") }, "left anterior oblique"},
		{"oblique by position", func(h *study.Header) { h.ViewPosition = "RAO" }, "oblique"},
		{"lordotic", func(h *study.Header) { h.ViewModifierCodes = code("399196006", "Cephalad") }, "Cephalad"},
		{"post mortem", func(h *study.Header) { h.ProtocolName = "POSTMORTEM CHEST" }, "another projection"},
		{"a colour photograph", func(h *study.Header) { h.SamplesPerPixel, h.PhotometricInterpretation = 3, "RGB" }, "in colour (RGB)"},
		{"a colour JPEG", func(h *study.Header) { h.SamplesPerPixel, h.PhotometricInterpretation = 3, "YBR_FULL_422" }, "in colour"},
		{"a palette", func(h *study.Header) { h.SamplesPerPixel, h.PhotometricInterpretation = 1, "PALETTE COLOR" }, "in colour"},
		{"a phone's picture of a film", func(h *study.Header) { h.Manufacturer, h.ManufacturerModel = "Apple", "iPhone 15 Pro" }, "a phone"},
		{"a phone by its number", func(h *study.Header) { h.Manufacturer, h.ManufacturerModel = "samsung", "SM-G991B" }, "a phone"},
		{"ribs", func(h *study.Header) { h.ProtocolName = "RIBS AP" }, "another projection"},
	} {
		t.Run(test.name, func(t *testing.T) {
			want(t, decide(t, candidate("1", test.change, looksFrontal)), "", "", test.reason)
		})
	}
	for name, change := range map[string]func(*study.Header){
		"Samsung's detector": func(h *study.Header) { h.Manufacturer, h.ManufacturerModel = "Samsung Electronics", "GC85A" },
		"monochrome 1":       func(h *study.Header) { h.SamplesPerPixel, h.PhotometricInterpretation = 1, "MONOCHROME1" },
		"eighteen today":     func(h *study.Header) { h.PatientBirthDate = "20080101" },
		"age unknown":        func(h *study.Header) { h.PatientBirthDate = "" },
		"chest by region":    func(h *study.Header) { h.BodyPartExamined, h.AnatomicRegions = "", code("51185008", "Chest") },
		"NON GRID CHEST":     func(h *study.Header) { h.BodyPartExamined = "NON GRID CHEST" },
		"TÓRAX":              func(h *study.Header) { h.BodyPartExamined = "TÓRAX" },
		"THORAX":             func(h *study.Header) { h.BodyPartExamined = "thorax" },
	} {
		t.Run(name, func(t *testing.T) { want(t, decide(t, candidate("1", change, looksFrontal)), "1", "") })
	}
	want(t, decide(t, candidate("1", nil, &Picture{LogOddsLateral: -5, POther: 0.95})), "", "", "no chest radiograph")
}

// 13. A merge or correction after the draft shows as two identities in one study: no pair until they agree. No value says nothing, also between two that differ.
func TestPatientCorrected(t *testing.T) {
	issued := func(h *study.Header) { h.IssuerOfPatientID = "H1" }
	frontal, lateral := candidate("1", issued, looksFrontal), candidate("2", issued, looksLateral)
	silent := candidate("3", func(h *study.Header) { h.PatientBirthDate = "" }, looksLateral)
	for name, change := range map[string]func(*study.Header){
		"another Patient ID": func(h *study.Header) { h.PatientID = "MERGED" },
		"another issuer":     func(h *study.Header) { h.IssuerOfPatientID = "H2" },
		"another birth date": func(h *study.Header) { h.PatientBirthDate = "19600110" },
	} {
		corrected := candidate("2", change, looksLateral)
		t.Run(name, func(t *testing.T) {
			want(t, decide(t, frontal, corrected), "", "", "different patients")
			want(t, decide(t, silent, frontal, corrected), "", "", "different patients")
		})
	}
	want(t, decide(t, frontal, lateral), "1", "2")
	want(t, decide(t, frontal, silent), "1", "3")
}
