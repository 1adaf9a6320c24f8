package e2e

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"llamaxr/internal/peertest"
)

// named is what pydicom reads in a file of the character sets: family and given name of each way of writing the patient's name, and the text
// that stands in a sequence.
type named struct {
	File      string
	Name      [][2]string
	Procedure string
}

// namesOfReports prints patient, physician, study and procedure of SRs, as pydicom reads them.
const namesOfReports = `
import json, sys, pydicom
out = {}
for path in sys.argv[1:]:
    ds = pydicom.dcmread(path)
    assert ds.SpecificCharacterSet == "ISO_IR 192", ds.SpecificCharacterSet
    request = ds.ReferencedRequestSequence[0]
    groups = lambda name: [(g.split("^") + [""])[:2] for g in str(name).rstrip("=").split("=")]
    out[str(ds.StudyInstanceUID)] = [groups(ds.PatientName), groups(ds.ReferringPhysicianName), groups(ds.StudyDescription),
        [[request.RequestedProcedureDescription, request.RequestedProcedureCodeSequence[0].CodeMeaning]]]
print(json.dumps(out))
`

// TestNamesInEveryCharacterSet: studies under every character set of the shared files are drafted, and their names and texts are in the SR at
// the destination, on the pages of the reading room as Chromium shows them, and in the RIS's message, in UTF-8, as pydicom reads what was sent.
func TestNamesInEveryCharacterSet(t *testing.T) {
	files, _ := filepath.Glob(filepath.Join(peertest.SharedData(t, "dicom/charsets"), "*.dcm"))
	if len(files) < 13 {
		t.Fatalf("%d files", len(files))
	}
	out := t.TempDir()
	args := []string{"testdata/named.py", out}
	for i, file := range files {
		_, frontal, _ := phantomStudy(t, 9600+uint64(i))
		args = append(args, file+","+frontal)
	}
	text, err := exec.Command(peertest.Python(t), args...).Output()
	if err != nil {
		t.Fatalf("pydicom: %v %s", err, stderr(err))
	}
	var want map[string]named
	if err := json.Unmarshal(text, &want); err != nil || len(want) != len(files) {
		t.Fatalf("%v: %s", err, text)
	}

	pacs, folder := startStorescp(t)
	r := startRIS(t)
	n := startNode(t, "--destination", "PACS@127.0.0.1:"+pacs, "--config", writeSettings(t, "hl7: {destinations: [{name: RIS, address: '127.0.0.1:"+r.port+"'}]}\n"))
	n.addUser("jane", "Doe^Jane^^Dr", password, "signer")
	sent, _ := filepath.Glob(filepath.Join(out, "*.dcm"))
	n.taken(sent...)
	for uid, s := range n.settle(len(files)) {
		if s.State != "delivered" {
			t.Errorf("%s is %s: %s", want[uid].File, s.State, s.Reason)
		}
	}

	reports := []string{"-c", namesOfReports}
	for _, classes := range received(t, folder) {
		reports = append(reports, classes[basicTextSR]...)
	}
	text, err = exec.Command(peertest.Python(t), reports...).Output()
	if err != nil {
		t.Fatalf("pydicom: %v %s", err, stderr(err))
	}
	var got map[string][4][][2]string
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	for uid, w := range want {
		for i, what := range []string{"patient", "physician", "study description"} {
			if !slices.Equal(got[uid][i], w.Name) {
				t.Errorf("%s: the SR's %s is %q, want %q", w.File, what, got[uid][i], w.Name)
			}
		}
		if !slices.Equal(got[uid][3], [][2]string{{w.Procedure, w.Procedure}}) {
			t.Errorf("%s: the SR's procedure is %q, want %q", w.File, got[uid][3], w.Procedure)
		}
	}
	messages(t, want, r.waits(t, len(files)))

	jane := startBrowser(t).visit("http://127.0.0.1:" + n.http)
	jane.login("jane", password, "/")
	list := eval[string](jane, `document.querySelector("tbody").innerText`)
	for uid, w := range want {
		jane.open("/studies/" + uid)
		heading := eval[string](jane, `document.querySelector("h1").textContent + " " + document.title`)
		for _, group := range w.Name {
			for _, part := range group {
				if strings.Count(heading, part) < 1 || !strings.Contains(list, part) {
					t.Errorf("%s: %q is not on the pages: the heading is %q", w.File, part, heading)
				}
			}
		}
	}
}

// messages holds PID-5, OBR-4 and OBR-16 of the messages against the names; table 0465 names a name's ways of writing.
func messages(t *testing.T, want map[string]named, files []string) {
	t.Helper()
	readORU(t, files...) // hl7apy holds them against the standard
	study := regexp.MustCompile(`\|113014\^DICOM Study\^DCM\|\|([0-9.]+)\|`)
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		found := study.FindSubmatch(data)
		if found == nil {
			t.Fatalf("a message names no study:\n%s", data)
		}
		w := want[string(found[1])]
		segments := map[string][]string{}
		for line := range strings.SplitSeq(string(data), "\r") {
			fields := strings.Split(line, "|")
			segments[fields[0]] = fields
		}
		if segments["MSH"][17] != "UNICODE UTF-8" {
			t.Errorf("%s: MSH-18 is %q", w.File, segments["MSH"][17])
		}
		var name [][2]string
		for i, repetition := range strings.Split(segments["PID"][5], "~") {
			part := append(strings.Split(repetition, "^"), make([]string, 8)...)
			name = append(name, [2]string{part[0], part[1]})
			if part[7] != []string{"A", "I", "P"}[i] {
				t.Errorf("%s: PID-5 is %q", w.File, segments["PID"][5])
			}
		}
		if !slices.Equal(name, w.Name) {
			t.Errorf("%s: PID-5 is %q, want %q", w.File, name, w.Name)
		}
		if doctor := append(strings.Split(segments["OBR"][16], "^"), "", "", ""); doctor[1] != w.Name[0][0] || doctor[2] != w.Name[0][1] {
			t.Errorf("%s: OBR-16 is %q, want %q", w.File, doctor, w.Name[0])
		}
		procedure := strings.Split(segments["OBR"][4], "^")
		if got := strings.ReplaceAll(procedure[1], `\S\`, "^"); got != w.Procedure {
			t.Errorf("%s: OBR-4 is %q, want %q", w.File, got, w.Procedure)
		}
	}
}
