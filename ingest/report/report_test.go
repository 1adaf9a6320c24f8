package report

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"llamaxr/ingest/dicomfile"
	"llamaxr/internal/dicomwrite"
	"llamaxr/internal/peertest"

	"github.com/suyashkumar/dicom/pkg/tag"
)

// item is a content item under a code of a scheme, as in "LN 59776-5".
func item(relation, kind, code, value string, children ...*dicomwrite.Set) *dicomwrite.Set {
	scheme, code, _ := strings.Cut(code, " ")
	s := dicomwrite.New().Text(tag.RelationshipType, relation).Text(tag.ValueType, kind).Items(tag.ConceptNameCodeSequence,
		dicomwrite.New().Text(tag.CodeValue, code).Text(tag.CodingSchemeDesignator, scheme).Text(tag.CodeMeaning, "x"))
	switch kind {
	case "TEXT":
		s.Text(tag.TextValue, value)
	case "PNAME":
		s.Text(tag.PersonName, value)
	}
	if len(children) > 0 {
		s.Items(tag.ContentSequence, children...)
	}
	return s
}

func document(t testing.TB, flags [3]string, items ...*dicomwrite.Set) []byte {
	t.Helper()
	set := dicomwrite.New().Text(tag.SpecificCharacterSet, "ISO_IR 192").
		Text(tag.SOPClassUID, classes[0]).Text(tag.SOPInstanceUID, "1.2.4").Text(tag.StudyInstanceUID, "1.2").Text(tag.SeriesInstanceUID, "1.3").
		Text(tag.AccessionNumber, "A1").Text(tag.PatientID, "P1").Text(tag.PatientName, "Doe^J").
		Text(tag.CompletionFlag, flags[0]).Text(tag.VerificationFlag, flags[1]).Text(tag.PreliminaryFlag, flags[2]).
		Items(tag.VerifyingObserverSequence, dicomwrite.New().Text(tag.VerifyingObserverName, "Roe^K").Text(tag.VerificationDateTime, "20260102101112+0100")).
		Items(tag.ReferencedRequestSequence, dicomwrite.New().Text(tag.AccessionNumber, "A2")).
		Items(tag.PredecessorDocumentsSequence, dicomwrite.New().Text(tag.StudyInstanceUID, "1.9").Items(tag.ReferencedSeriesSequence,
			dicomwrite.New().Items(tag.ReferencedSOPSequence, dicomwrite.New().Text(tag.ReferencedSOPInstanceUID, "1.2.3"))))
	if len(items) > 0 {
		set.Items(tag.ContentSequence, items...)
	}
	var buf bytes.Buffer
	if err := set.Write(&buf, "1.2.5", "TEST"); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func readAll(t testing.TB, data []byte) *Report {
	t.Helper()
	r, err := ReadFrom(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestSections: a section's heading says what the texts in it are, whatever they are called themselves; what modifies or proves a text is none.
func TestSections(t *testing.T) {
	r := readAll(t, document(t, [3]string{"COMPLETE", "VERIFIED", "FINAL"},
		item("HAS OBS CONTEXT", "PNAME", "DCM 121008", "Poe^L"),
		item("HAS OBS CONTEXT", "TEXT", "DCM 121009", "A hospital"),
		item("CONTAINS", "CONTAINER", "LN 11329-0", "", item("CONTAINS", "TEXT", "DCM 121060", "Cough.")),
		item("CONTAINS", "CONTAINER", "DCM 121070", "",
			item("CONTAINS", "TEXT", "DCM 121071", "Größe normal.", item("INFERRED FROM", "TEXT", "DCM 121112", "An image")),
			item("CONTAINS", "CONTAINER", "LN 1-8", "", item("CONTAINS", "TEXT", "LN 1-9", "No effusion."))),
		item("CONTAINS", "CONTAINER", "DCM 121072", "", item("CONTAINS", "TEXT", "DCM 121071", "Normal.")),
	))
	want := &Report{
		SOPInstanceUID: "1.2.4", StudyInstanceUID: "1.2", Completion: "COMPLETE", Verification: "VERIFIED", Preliminary: "FINAL", AccessionNumbers: []string{"A1", "A2"},
		PatientID: "P1", Names: []string{"Doe^J", "Roe^K", "Poe^L"}, Predecessors: []string{"1.2.3"}, PredecessorStudies: []string{"1.9"}, Time: r.Time,
		Findings: []string{"Größe normal.", "No effusion."}, Impression: []string{"Normal."}, Other: []string{"Cough."},
	}
	if !reflect.DeepEqual(r, want) {
		t.Errorf("got  %+v\nwant %+v", r, want)
	}
	if !r.Time.Equal(time.Date(2026, 1, 2, 9, 11, 12, 0, time.UTC)) || r.Text() != "FINDINGS: Größe normal. No effusion.\nIMPRESSION: Normal." {
		t.Errorf("%s, %q", r.Time, r.Text())
	}
}

// TestFinal: only what a physician stands for as a whole is final (PS3.3 C.17.2).
func TestFinal(t *testing.T) {
	for flags, want := range map[[3]string]bool{
		{"COMPLETE", "VERIFIED", "FINAL"}: true, {"COMPLETE", "VERIFIED", ""}: true, {"COMPLETE", "UNVERIFIED", "FINAL"}: false,
		{"PARTIAL", "VERIFIED", "FINAL"}: false, {"COMPLETE", "VERIFIED", "PRELIMINARY"}: false, {"", "", ""}: false,
	} {
		if r := readAll(t, document(t, flags)); r.Final() != want {
			t.Errorf("%v: final %v", flags, r.Final())
		}
	}
}

// TestOtherPrograms: SR documents of other programs are read; what is no SR is none; what is too long is an error.
func TestOtherPrograms(t *testing.T) {
	files, _ := filepath.Glob(filepath.Join(peertest.SharedData(t, "dicom/sr"), "*.dcm"))
	read := 0
	for _, path := range files {
		if r, err := Read(dicomfile.Open, path); err == nil && r != nil && r.Text() != "" {
			read++
		} else if err != nil {
			t.Logf("%s: %v", filepath.Base(path), err)
		}
	}
	if read == 0 {
		t.Errorf("none of %d documents has a text", len(files))
	}
	if r, err := Read(dicomfile.Open, filepath.Join(peertest.SharedData(t, "dicom/transfer_syntaxes"), "ct_image.dcm")); r != nil || err != nil {
		t.Errorf("an image: %+v, %v", r, err)
	}
	var many []*dicomwrite.Set
	for range 8 {
		many = append(many, item("CONTAINS", "TEXT", "DCM 121071", strings.Repeat("x", 10_000)))
	}
	long := document(t, [3]string{}, many...)
	if _, err := ReadFrom(bytes.NewReader(long), int64(len(long))); !errors.Is(err, ErrReport) {
		t.Errorf("a long report: %v", err)
	}
}

// FuzzReadFrom: no document panics, and what is read keeps to its bounds.
func FuzzReadFrom(f *testing.F) {
	f.Add(document(f, [3]string{"COMPLETE", "VERIFIED", "FINAL"}, item("CONTAINS", "CONTAINER", "LN 59776-5", "", item("CONTAINS", "TEXT", "DCM 121071", "x"))))
	if data, err := os.ReadFile(filepath.Join(peertest.Root(f), "..", "shared", "data", "dicom", "sr", "test-SR.dcm")); err == nil {
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := ReadFrom(bytes.NewReader(data), int64(len(data)))
		if err != nil || r == nil {
			return
		}
		size := 0
		for _, list := range [][]string{r.Findings, r.Impression, r.Other} {
			size += len(strings.Join(list, ""))
		}
		if size > MaxText || len(r.Predecessors) > maxReferences || len(r.Names) > maxReferences {
			t.Fatalf("%d bytes, %d predecessors, %d names", size, len(r.Predecessors), len(r.Names))
		}
	})
}
