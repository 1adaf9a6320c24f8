package hl7

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"llamaxr/internal/peertest"
	"llamaxr/study"
)

// nasty holds every delimiter, an escape that is none, and letters beyond Latin.
const nasty = `Heart|size ^normal & \F\ ~ 50\50, größer 日本`

func example(status study.ResultStatus) study.Result {
	return study.Result{
		Status: status, Findings: nasty + ".\nNo effusion.", Impression: "Normal.", Number: 1, Physician: "Doe^Jane^Q^Dr^MD",
		Draft: study.Draft{StudyInstanceUID: "1.2.3.4", Revision: 2},
		Frontal: &study.Header{
			StudyInstanceUID: "1.2.3.4", PatientID: "P|1", IssuerOfPatientID: "HOSP", PatientName: "Yamada^Tarou^^Mr^Jr=山田^太郎=やまだ^たろう", PatientBirthDate: "19700102",
			PatientSex: "M", AccessionNumber: "A77", StudyDate: "20260103", StudyTime: "101112.5", ReferringPhysicianName: "Ref^Erring",
			Requests:       []study.Request{{PlacerOrderNumber: "PL1", FillerOrderNumber: "FI1", ProcedureID: "RP1"}},
			ProcedureCodes: []study.Code{{Value: "36643-5", Scheme: "LN", Meaning: "XR Chest 2 Views"}},
		},
		Reason: "images were rejected", Time: time.Date(2026, 1, 3, 10, 20, 30, 0, time.UTC),
	}
}

// read is what validate.py says of a message.
type read struct {
	Type, Control, Version, Charset, Patient, Name, Birth, Sex, Filler, Procedure, Accession, Status []string
	Observations                                                                                     [][3]any
}

// TestMessagesAreHL7: hl7apy finds each kind of result valid by HL7 v2.5.1, and python-hl7 reads from it what went in.
func TestMessagesAreHL7(t *testing.T) {
	sender := Sender{"LLAMAXR", "Here & there", "RIS", "H|Q", "box 1"}
	var files []string
	controls := map[string]bool{}
	for _, status := range study.ResultStatuses() {
		m := sender.Message(example(status))
		if again := sender.Message(example(status)); !bytes.Equal(m.Encode(), again.Encode()) {
			t.Errorf("%s: a repeat is another message", status)
		}
		controls[ControlID(example(status))] = true
		files = append(files, file(t, string(status), m.Encode()))
	}
	bare := example(study.ResultDraft)
	bare.Frontal = &study.Header{StudyInstanceUID: "1.2.3.4", PatientID: "1"}
	files = append(files, file(t, "bare", sender.Message(bare).Encode()))
	if later := example(study.ResultDraft); len(controls) != 4 {
		t.Errorf("control identifiers of the four kinds: %v", controls)
	} else if later.Draft.Revision = 3; controls[ControlID(later)] {
		t.Error("a later revision has the control identifier of the earlier")
	}
	anew, other := example(study.ResultSigned), example(study.ResultSigned)
	anew.Time, other.Findings = anew.Time.Add(time.Minute), "Something else."
	if controls[ControlID(anew)] || controls[ControlID(other)] {
		t.Error("what was signed after a restore has the control identifier of what was lost")
	}
	lines := python(t, append([]string{"validate.py"}, files...)...)
	for i, want := range []struct{ report, observation, lead string }{
		{"P", "P", study.DraftWarning + ". "}, {"F", "F", ""}, {"C", "C", ""}, {"X", "D", "AI draft withdrawn: images were rejected"}, {"P", "P", study.DraftWarning + ". "},
	} {
		var got read
		if err := json.Unmarshal([]byte(lines[i]), &got); err != nil {
			t.Fatalf("%s: %v", lines[i], err)
		}
		if got.Status[0] != want.report || got.Charset[0] != "UNICODE UTF-8" || got.Version[0] != "2.5.1" || !reflect.DeepEqual(got.Type, []string{"ORU", "R01", "ORU_R01"}) {
			t.Errorf("%s: %+v", files[i], got)
		}
		text := got.Observations[1]
		paragraphs := text[2].([]any)
		if text[0] != findingsCode || text[1] != want.observation || !strings.HasPrefix(paragraphs[0].(string), want.lead) {
			t.Errorf("%s: the findings are %v", files[i], text)
		}
		if want.report == "P" || want.report == "F" || want.report == "C" {
			if paragraphs[0] != want.lead+nasty+"." || paragraphs[1] != "No effusion." {
				t.Errorf("%s: python-hl7 reads %q", files[i], paragraphs)
			}
		}
		if i == 4 {
			if got.Filler[0] != "1.2.3.4" || got.Procedure[0] != reportCode {
				t.Errorf("without an order: %+v", got)
			}
			continue
		}
		if got.Patient[0] != "P|1" || got.Patient[3] != "HOSP" || got.Birth[0] != "19700102" || got.Sex[0] != "M" || got.Filler[0] != "FI1" || got.Accession[0] != "A77" ||
			!reflect.DeepEqual(got.Name, []string{"Yamada", "Tarou", "", "Jr", "Mr", "", "L", "A"}) || got.Procedure[0] != "36643-5" {
			t.Errorf("%s: %+v", files[i], got)
		}
		if o := got.Observations[0]; o[0] != studyCode || o[1] != "O" || o[2].([]any)[0] != "1.2.3.4" {
			t.Errorf("the study is %v", o)
		}
	}
}

// TestStarterModelsSayTheyAre: what starter models drafted says so though it is signed.
func TestStarterModelsSayTheyAre(t *testing.T) {
	for _, status := range []study.ResultStatus{study.ResultDraft, study.ResultSigned} {
		r := example(status)
		r.Draft.Models = []study.ModelCard{{Starter: true}}
		for _, s := range (Sender{}).Message(r).Segments {
			if s.Name == "OBX" && s.Text(2, 1) == "TX" && !strings.Contains(s.Text(5, 1), study.StarterWarning) {
				t.Errorf("%s: %q", status, s.Text(5, 1))
			}
		}
	}
}

// TestResultsOfOtherSystems: how other systems write results is understood; where it is not, nothing is guessed.
func TestResultsOfOtherSystems(t *testing.T) {
	head := "MSH|^~\\&|RIS|H|LLAMAXR|H|20260103||ORU^R01^ORU_R01|1|P|2.5.1\rPID|1||P1^^^HOSP~X9||Doe^J\r"
	for _, test := range []struct {
		name, body string
		want       Received
	}{
		{
			"one text with headings, a line an OBX, accession as filler", "ORC|RE|PL|A77\rOBR|1|PL|A77|71020^Chest^C4||||||||||||||||||20260103101500+0100|||F\r" +
				"OBX|1|TX|71020^Chest^C4||FINDINGS: Heart is large.||||||F\rOBX|2|TX|71020^Chest^C4||IMPRESSION: Large heart.||||||F\r",
			Received{Final: true, Numbers: []string{"A77", "PL"}, Report: "FINDINGS: Heart is large.\nIMPRESSION: Large heart."},
		},
		{
			"sections by suffix, study by ZDS", "OBR|1||F1|||||||||||||||A77|||||||C\rOBX|1|FT|71020&GDT^Chest||Heart\\.br\\is \\T\\ large.||||||C\r" +
				"OBX|2|FT|71020&IMP^Chest||One.~Two.||||||C\rZDS|1.2.3^RIS^Application^DICOM\r",
			Received{Final: true, Corrected: true, Numbers: []string{"A77", "F1"}, StudyInstanceUID: "1.2.3", Report: "FINDINGS: Heart\nis & large.\nIMPRESSION: One.\nTwo."},
		},
		{
			"sections by name, status of the text only, a PDF beside", "OBR|1||A77\rOBX|1|ST|X^Findings^L||Fine.||||||F\rOBX|2|ST|Y^Impression^L||Fine.||||||F\r" +
				"OBX|3|ED|Z^PDF^L||^application^pdf^Base64^JVBERi0=||||||F\r",
			Received{Final: true, Numbers: []string{"A77"}, Report: "FINDINGS: Fine.\nIMPRESSION: Fine."},
		},
		{
			"a preliminary result", "OBR|1||A77||||||||||||||||||||||P\rOBX|1|TX|59776-5^F^LN||Draft.||||||P\r", Received{Numbers: []string{"A77"}},
		},
		{
			"an order that is final with a text that is not", "OBR|1||A77||||||||||||||||||||||F\rOBX|1|TX|59776-5^F^LN||Draft.||||||P\r", Received{Numbers: []string{"A77"}},
		},
		{
			"an order that is cancelled", "OBR|1||A77||||||||||||||||||||||X\rOBX|1|TX|59776-5^F^LN||Gone.||||||W\r", Received{Withdrawn: true, Numbers: []string{"A77"}},
		},
		{
			"a text of another patient", "OBR|1||A77||||||||||||||||||||||F\rOBX|1|TX|59776-5^F^LN||Gone.||||||W\r", Received{Withdrawn: true, Numbers: []string{"A77"}},
		},
		{
			"two studies", "OBR|1||A77||||||||||||||||||||||F\rOBX|1|ST|113014^S^DCM||1.2.3||||||O\rOBX|2|HD|110180^S^DCM||1.2.4||||||O\rOBX|3|TX|19005-8^I^LN||Fine.||||||F\r",
			Received{Final: true, Numbers: []string{"A77"}, Conflict: "it names more than one Study Instance UID", Report: "FINDINGS: \nIMPRESSION: Fine."},
		},
	} {
		m, err := Parse([]byte(head + test.body))
		if err != nil {
			t.Fatal(err)
		}
		got, err := Results(m)
		if err != nil || len(got) != 1 {
			t.Fatalf("%s: %v, %v", test.name, got, err)
		}
		test.want.PatientIDs, test.want.Names, test.want.Time = []string{"P1", "X9"}, []string{"Doe"}, got[0].Time
		if !reflect.DeepEqual(got[0], test.want) {
			t.Errorf("%s:\n got %+v\nwant %+v", test.name, got[0], test.want)
		}
		if strings.Contains(test.body, "101500+0100") && !got[0].Time.Equal(time.Date(2026, 1, 3, 9, 15, 0, 0, time.UTC)) {
			t.Errorf("%s: time %s", test.name, got[0].Time)
		}
	}
}

// TestCharacterSets: text in another character set is read, one that we do not know is refused by name.
func TestCharacterSets(t *testing.T) {
	head := "MSH|^~\\&|||||||ORU^R01|1|P|2.5.1||||||"
	for charset, text := range map[string]string{"8859/1": "gr\xf6\xdfer", "8859/15": "gr\xf6\xdfer", "": "gr\xf6\xdfer", "UNICODE UTF-8": "größer", "ASCII": "größer"} {
		m, err := Parse([]byte(head + charset + "\rPID|" + text + "\r"))
		if err != nil || m.Segment("PID").Text(1, 1) != "größer" {
			t.Errorf("%q: %v %v", charset, m, err)
		}
	}
	var wrong *CharsetError
	if _, err := Parse([]byte(head + "ISO IR87\r")); !errors.As(err, &wrong) || wrong.Name != "ISO IR87" {
		t.Errorf("ISO IR87: %v", err)
	}
}

// TestBounds: what is too large is refused as it is read.
func TestBounds(t *testing.T) {
	for name, text := range map[string]string{
		"segments": "MSH|^~\\&|\r" + strings.Repeat("NTE|1\r", MaxSegments), "fields": "MSH|^~\\&|\rNTE" + strings.Repeat("|", MaxFields+1), "no MSH": "PID|1", "empty": "",
		"encoding characters": "MSH||||||", "letters": "MSHabcde|",
	} {
		if _, err := Parse([]byte(text)); !errors.Is(err, ErrMessage) {
			t.Errorf("%s: %v", name, err)
		}
	}
	frame := append([]byte{frameStart}, bytes.Repeat([]byte("x"), 100)...)
	if _, err := ReadFrame(bufio.NewReader(bytes.NewReader(frame)), 50, nil); !errors.Is(err, ErrFrame) {
		t.Errorf("a long frame: %v", err)
	}
}

// FuzzParse: no input panics, and what is read is written again and read the same.
func FuzzParse(f *testing.F) {
	for _, status := range study.ResultStatuses() {
		f.Add(Sender{}.Message(example(status)).Encode())
	}
	f.Add([]byte("MSH|^~\\&|||||||ORU^R01|1|P|2.5.1||||||8859/1\rOBR|1\rOBX|1|FT|1&IMP||\\X41\\ \\.sp3\\ \\Z\\||||||F\r"))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := Parse(data)
		if err != nil {
			return
		}
		if _, ok := Check(m); ok {
			results, err := Results(m)
			if err == nil && len(results) == 0 {
				t.Error("an OBR gives no result")
			}
		}
		_ = readAck(m, "1")
		answer := acknowledge(m, Fail("x"), time.Unix(0, 0), "1").Encode()
		if again, err := Parse(answer); err != nil || again.Segment("MSA").Text(1, 1) != Failed {
			t.Errorf("our answer %q does not read: %v", answer, err)
		}
	})
}

// FuzzReadFrame: no stream panics, and a frame that is read holds no more than it was let.
func FuzzReadFrame(f *testing.F) {
	f.Add([]byte("\r\n\x0bMSH\x1c\r"))
	f.Add([]byte("\x0ba\x1cb"))
	f.Fuzz(func(t *testing.T, data []byte) {
		r := bufio.NewReader(bytes.NewReader(data))
		for {
			message, err := ReadFrame(r, 64, nil)
			if err != nil {
				return
			}
			if len(message) > 64 {
				t.Fatalf("%d bytes", len(message))
			}
		}
	})
}

func file(t testing.TB, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name+".hl7")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// python runs a script of testdata and returns its lines.
func python(t testing.TB, args ...string) []string {
	t.Helper()
	args[0] = filepath.Join("testdata", args[0])
	cmd := exec.Command(peertest.Python(t), args...)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s", args[0], err, errs.String())
	}
	return strings.Split(strings.TrimSpace(string(out)), "\n")
}
