package sr

import (
	"bytes"
	"fmt"
	"image"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"llamaxr/internal/peertest"
	"llamaxr/study"

	"github.com/suyashkumar/dicom"
	"github.com/suyashkumar/dicom/pkg/tag"
)

func header(uid string) *study.Header {
	return &study.Header{
		SOPClassUID: "1.2.840.10008.5.1.4.1.1.1.1", SOPInstanceUID: uid, StudyInstanceUID: "1.2.3", SeriesInstanceUID: "1.2.3." + uid,
		Modality: "DX", PatientName: "Doe^Jane", PatientID: "P1", PatientBirthDate: "19700101", PatientSex: "F", StudyDate: "20260102",
		StudyTime: "101500", AccessionNumber: "A1", StudyID: "S1", ReferringPhysicianName: "Ref^Er", Rows: 1000, Columns: 1000,
	}
}

func input() Input {
	frontal, lateral := &study.Scores{study.Effusion: 0.91, study.Nodule: 0.2}, &study.Scores{study.Effusion: 0.55}
	region := &study.Region{Left: 100, Top: 600, Right: 400, Bottom: 900}
	evidence := []study.Evidence{{Finding: study.Effusion, Polarity: study.Present, View: study.Frontal, Score: 0.91, Region: region}}
	return Input{
		Draft: study.Draft{
			StudyInstanceUID: "1.2.3", Revision: 1, Scores: study.PairScores{Frontal: frontal, Lateral: lateral},
			Sentences: []study.Sentence{
				{Section: study.SectionFindings, Text: "There is a pleural effusion.", Evidence: evidence, Verdict: study.VerdictKept},
				{Section: study.SectionFindings, Text: "No nodule.", Verdict: study.VerdictKept},
				{Section: study.SectionFindings, Text: "Unchanged.", Verdict: study.VerdictRemoved},
				{Section: study.SectionImpression, Text: "Pleural effusion.", Evidence: evidence, Verdict: study.VerdictKept},
			},
			Models: []study.ModelCard{{Role: "classifier", Name: "densenet", Version: "1", Digest: strings.Repeat("ab", 32), Starter: true}},
		},
		Maps:    []study.HeatMap{{View: study.Frontal, Finding: study.Effusion, Region: region}},
		Frontal: header("1.2.3.4"), Lateral: header("1.2.3.5"),
		Time: time.Date(2026, 1, 2, 10, 20, 0, 0, time.UTC),
		Device: Device{
			Manufacturer: "llamaxr", Model: "llamaxr", SerialNumber: "1", SoftwareVersion: "0.1", UID: "2.25.1", StationName: "EDGE",
			ImplementationClassUID: "2.25.2", ImplementationVersion: "LLAMAXR_0.1",
		},
	}
}

// variants are drafts as sites meet them.
func variants() map[string]Input {
	out := map[string]Input{"both views": input()}
	frontalOnly := input()
	frontalOnly.Lateral, frontalOnly.Draft.Scores.Lateral, frontalOnly.Draft.Partial = nil, nil, "lateral not received"
	out["frontal only"] = frontalOnly
	revision := input()
	revision.Draft.Revision = 2
	revision.Predecessor = &Predecessor{SOPClassUID: BasicTextSR, SOPInstanceUID: "2.25.77", SeriesInstanceUID: "2.25.78"}
	out["revision"] = revision
	bare := input()
	bare.Frontal.AccessionNumber, bare.Frontal.PatientName, bare.Frontal.StudyID, bare.Frontal.ReferringPhysicianName = "", "", "", ""
	bare.Frontal.PatientBirthDate, bare.Frontal.PatientSex, bare.Frontal.StudyTime = "", "", ""
	out["empty header"] = bare
	misformed := input()
	f := misformed.Frontal
	f.PatientAge, f.PatientSex, f.PatientBirthDate, f.StudyDate, f.StudyTime = "62", "female", "1970-01-01", "20.1.2026", "half past ten"
	out["values in no form of the standard"] = misformed
	absurd := input()
	f = absurd.Frontal
	f.PatientBirthDate, f.StudyDate, f.StudyTime = "99999999", "20261301", "250000"
	f.PatientName, f.ReferringPhysicianName = strings.Repeat("N", 60_000), `Doe^Jane\Roe^Joe`
	out["values that nothing and nobody has"] = absurd
	apart := input()
	apart.Lateral.StudyInstanceUID = "1.2.99"
	out["lateral of another study"] = apart
	foreign := input()
	foreign.Frontal.PatientName = "Yamada^Tarou=山田^太郎=やまだ^たろう"
	foreign.Draft.Sentences[0].Text = "Odd \x07 \t characters \\ and ünïcode."
	foreign.Frontal.Requests = []study.Request{{AccessionNumber: "A1", PlacerOrderNumber: strings.Repeat("9", 80), ProcedureCodes: []study.Code{{Value: "C", Scheme: "L", Meaning: "Chest"}}}}
	foreign.Frontal.ProcedureCodes = []study.Code{{Value: "XC2", Scheme: "L", Meaning: "Chest two views"}}
	out["foreign text"] = foreign
	return out
}

func write(t testing.TB, d *Document, err error) string {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	var buf bytes.Buffer
	if _, err := d.WriteTo(&buf); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "document.dcm")
	if err := os.WriteFile(path, buf.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestDocumentsAreClean: dciodvfy finds no error in any object of any variant.
func TestDocumentsAreClean(t *testing.T) {
	dciodvfy := peertest.Program(t, "dciodvfy")
	for name, in := range variants() {
		picture := image.NewRGBA(image.Rect(0, 0, 31, 17))
		for kind, makeDocument := range map[string]func() (*Document, error){
			"narrative": func() (*Document, error) { return Narrative(in) },
			"narrative by sections": func() (*Document, error) {
				sectioned := in
				sectioned.Sectioned = true
				return Narrative(sectioned)
			},
			"scores": func() (*Document, error) { return ScoresReport(in) },
			"rejection": func() (*Document, error) {
				return RejectionNote(in, study.RejectedSafety, "images were rejected", []Rejected{{BasicTextSR, "2.25.5", "2.25.6"}, {SecondaryCapture, "2.25.7", "2.25.8"}})
			},
			"page":    func() (*Document, error) { return Encapsulate(in, "page", []byte("%PDF-1.4 ")) },
			"capture": func() (*Document, error) { return Capture(in, "heat map", "AI heat map", HeatMapSeries, picture) },
		} {
			d, err := makeDocument()
			path := write(t, d, err)
			out, _ := exec.Command(dciodvfy, path).CombinedOutput()
			for line := range strings.Lines(string(out)) {
				if strings.HasPrefix(line, "Error") {
					t.Errorf("%s, %s: %s", name, kind, strings.TrimSpace(line))
				}
			}
		}
	}
}

// TestIdentifiersAreNotCut: what names a patient, a study or an order stands in a document as in the image, though it is longer than it should be, or not
// at all; so does a code.
func TestIdentifiersAreNotCut(t *testing.T) {
	const long = "RXX-2026-0001234567-A"
	in := input()
	h := in.Frontal
	h.AccessionNumber, h.StudyID, h.PatientID = long, long, strings.Repeat("9", 70)
	h.Requests = []study.Request{{AccessionNumber: long, ProcedureID: long, PlacerOrderNumber: strings.Repeat("9", 70)}}
	h.ProcedureCodes = []study.Code{{Value: long, Scheme: "99X", Meaning: "Chest"}}
	d, err := Narrative(in)
	out, err := exec.Command(peertest.Program(t, "dcmdump"), "+U8", "+L", write(t, d, err)).Output()
	if err != nil {
		t.Fatal(err)
	}
	text := string(out)
	if got := strings.Count(text, "["+long+"]"); got != 4 {
		t.Errorf("%d identifiers are as they were, want 4", got)
	}
	for _, cut := range []string{"[" + long[:16] + "]", "9999"} {
		if strings.Contains(text, cut) {
			t.Errorf("the document has %s", cut)
		}
	}
}

// TestReadersReadThem: DCMTK's dsrdump, and highdicom and the rules of OHIF's viewer with the values that were put in.
func TestReadersReadThem(t *testing.T) {
	dsrdump, python := peertest.Program(t, "dsrdump"), peertest.Python(t)
	narrative, err := Narrative(input())
	path := write(t, narrative, err)
	out, err := exec.Command(dsrdump, "+Pl", path).CombinedOutput()
	if err != nil {
		t.Fatalf("dsrdump: %v\n%s", err, out)
	}
	for _, want := range []string{"Doe^Jane", study.DraftWarning, study.StarterWarning, "There is a pleural effusion.", "INFERRED FROM", "Preliminary"} {
		if !strings.Contains(string(out), want) && !strings.Contains(strings.ToLower(string(out)), strings.ToLower(want)) {
			t.Errorf("dsrdump shows no %q:\n%s", want, out)
		}
	}
	if strings.Contains(string(out), "Unchanged.") {
		t.Error("a removed sentence is in the report")
	}
	scores, err := ScoresReport(input())
	path = write(t, scores, err)
	out, err = exec.Command(python, "testdata/read_scores.py", path).CombinedOutput()
	if err != nil {
		t.Fatalf("highdicom: %v\n%s", err, out)
	}
	want := "groups 36 planar 1\nEffusion, frontal view 0.91 [[100.0, 600.0], [400.0, 600.0], [400.0, 900.0], [100.0, 900.0], [100.0, 600.0]]\n"
	if string(out) != want {
		t.Errorf("highdicom reads\n%swant\n%s", out, want)
	}
	out, err = exec.Command(python, "testdata/read_ohif.py", path).CombinedOutput()
	if err != nil {
		t.Fatalf("OHIF's rules: %v\n%s", err, out)
	}
	want = "images 1.2.3.4 1.2.3.5\nEffusion, frontal view Probability: 0.91 1 1.2.3.4 POLYLINE [100.0, 600.0, 400.0, 600.0, 400.0, 900.0, 100.0, 900.0, 100.0, 600.0]\nwithout a region 35\n"
	if string(out) != want {
		t.Errorf("by OHIF's rules it says\n%swant\n%s", out, want)
	}
}

// TestSameDraftSameBytes: a repeat after a crash makes the same objects; another revision makes others.
func TestSameDraftSameBytes(t *testing.T) {
	encode := func(in Input) []byte {
		d, err := Narrative(in)
		if err != nil {
			t.Fatal(err)
		}
		var buf bytes.Buffer
		if _, err := d.WriteTo(&buf); err != nil {
			t.Fatal(err)
		}
		return buf.Bytes()
	}
	if !bytes.Equal(encode(input()), encode(input())) {
		t.Error("the same draft gives other bytes")
	}
	next := input()
	next.Draft.Revision = 2
	first, _ := Narrative(input())
	second, _ := Narrative(next)
	if first.SOPInstanceUID == second.SOPInstanceUID || first.SeriesInstanceUID != second.SeriesInstanceUID {
		t.Error("a revision is another instance of the same series")
	}
}

// TestAnotherDocumentHasAnotherUID: what says something else, of another patient or order or by another device is another object, though its study, revision, models and images
// are the same, as they are for an appliance that lost its ledger. The time alone makes none.
func TestAnotherDocumentHasAnotherUID(t *testing.T) {
	signer := Signer{Name: "Doe^Jane", Number: 1}
	uids := func(in Input, text string) (out []string) {
		for _, makeDocument := range []func() (*Document, error){
			func() (*Document, error) { return Narrative(in) }, func() (*Document, error) { return ScoresReport(in) },
			func() (*Document, error) {
				return Signed(in, signer, []study.Sentence{{Section: study.SectionFindings, Text: text}})
			},
		} {
			d, err := makeDocument()
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, d.SOPInstanceUID)
		}
		return out
	}
	first := uids(input(), "Clear.")
	for what, change := range map[string]func(*Input){
		"patient": func(in *Input) { in.Frontal.PatientID = "B" }, "name": func(in *Input) { in.Frontal.PatientName = "Roe^Joe" },
		"order": func(in *Input) { in.Frontal.AccessionNumber = "A2" }, "text": func(in *Input) { in.Draft.Sentences[0].Text = "No effusion." },
		"device": func(in *Input) { in.Device.UID = "2.25.9" },
	} {
		in := input()
		change(&in)
		for i, uid := range uids(in, "Clear.") {
			if uid == first[i] {
				t.Errorf("another %s: document %d has the same UID", what, i)
			}
		}
	}
	if again := uids(input(), "Mass."); again[0] != first[0] || again[1] != first[1] || again[2] == first[2] {
		t.Error("another signed text is another signed report, and that alone")
	}
	later := input()
	later.Time = later.Time.Add(time.Hour)
	if again := uids(later, "Clear."); again[0] != first[0] || again[1] != first[1] || again[2] == first[2] {
		t.Error("a draft that is made again later is the same draft, a signature at another time is another")
	}
}

// TestMadeAgainItStays: a document that was made before is the same object in the same series when it is made again, by whatever program and machine: others
// know it, refer to it and are told of its withdrawal by its UIDs.
func TestMadeAgainItStays(t *testing.T) {
	in := presentable(input())
	in.Made = map[string]Identity{}
	for _, kind := range []string{"narrative", "scores", SignedReport, "chart", "presentation-lateral"} {
		in.Made[kind] = Identity{DeriveUID(kind), DeriveUID(kind, "series")}
	}
	for kind, makeDocument := range documentsOf(in, study.Lateral) {
		d, err := makeDocument()
		if err != nil {
			t.Fatal(err)
		}
		var file bytes.Buffer
		if _, err := d.WriteTo(&file); err != nil {
			t.Fatal(err)
		}
		set, err := dicom.Parse(&file, int64(file.Len()), nil)
		if err != nil {
			t.Fatal(err)
		}
		want := in.Made[kind]
		for uid, at := range map[string]tag.Tag{want.SOPInstanceUID: tag.SOPInstanceUID, want.SeriesInstanceUID: tag.SeriesInstanceUID} {
			e, err := set.FindElementByTag(at)
			if err != nil || fmt.Sprint(e.Value) != "["+uid+"]" {
				t.Errorf("%s: %s is %v, want %s (%v)", kind, at, e, uid, err)
			}
		}
		if d.SOPInstanceUID != want.SOPInstanceUID || d.SeriesInstanceUID != want.SeriesInstanceUID {
			t.Errorf("%s: %+v, want %+v", kind, d, want)
		}
	}
}

// TestScoreKeepsItsSide: the scores report tells a score below the operating point as one below it.
func TestScoreKeepsItsSide(t *testing.T) {
	in := input()
	in.Draft.Scores.Frontal[study.Mass] = 0.4999997
	d, err := ScoresReport(in)
	var file bytes.Buffer
	if err == nil {
		_, err = d.WriteTo(&file)
	}
	if err != nil || !bytes.Contains(file.Bytes(), []byte("0.499999")) {
		t.Errorf("no 0.499999 in the report (%v)", err)
	}
}

// documentsOf makes each kind of document of a draft.
func documentsOf(in Input, presented study.Projection) map[string]func() (*Document, error) {
	return map[string]func() (*Document, error){
		"narrative": func() (*Document, error) { return Narrative(in) },
		"scores":    func() (*Document, error) { return ScoresReport(in) },
		SignedReport: func() (*Document, error) {
			return Signed(in, Signer{Name: "Doe^Jane", Number: 1}, in.Draft.Sentences)
		},
		"chart": func() (*Document, error) {
			return Capture(in, "chart", "chart", ChartSeries, image.NewRGBA(image.Rect(0, 0, 2, 2)))
		},
		"presentation-" + presented.String(): func() (*Document, error) {
			return Presentation(in, presented, study.Display{Aspect: [2]float64{1, 1}})
		},
	}
}

// TestAllGapsAreTold: each document of a draft says all that the draft says of its gaps, the end of it too.
func TestAllGapsAreTold(t *testing.T) {
	in := presentable(input())
	in.Draft.Partial = "lateral not received; frontal view: its grey levels look turned round; archive A_LONG_AE_TITLE did not answer in time"
	documents := documentsOf(in, study.Frontal)
	delete(documents, SignedReport) // which is a physician's
	for kind, makeDocument := range documents {
		d, err := makeDocument()
		if err != nil {
			t.Fatal(err)
		}
		var file bytes.Buffer
		if _, err := d.WriteTo(&file); err != nil {
			t.Fatal(err)
		}
		if want := "L" + in.Draft.Partial[1:] + "."; !bytes.Contains(file.Bytes(), []byte(want)) {
			t.Errorf("%s: no %q", kind, want)
		}
	}
}

func FuzzNarrative(f *testing.F) {
	f.Add("There is a mass.", "Doe^Jane", "A1")
	f.Add("\x00\\\t\xff", "^^^^", "\\")
	f.Fuzz(func(t *testing.T, text, name, accession string) {
		in := input()
		in.Draft.Sentences[0].Text, in.Frontal.PatientName, in.Frontal.AccessionNumber = text, name, accession
		if d, err := Narrative(in); err == nil {
			_, _ = d.WriteTo(&bytes.Buffer{})
		}
	})
}
