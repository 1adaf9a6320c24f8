package daemon

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"llamaxr/ingest/dicomfile"
	"llamaxr/internal/peertest"
	"llamaxr/reporting/sr"
	"llamaxr/study"
)

// pydicomNames prints what pydicom makes of the names in each file.
const pydicomNames = `
import json, sys, warnings
import pydicom
warnings.simplefilter("ignore")
out = {}
for path in sys.argv[1:]:
    ds = pydicom.dcmread(path)
    ds.decode()
    out[path] = [str(ds.get("PatientName", "")).rstrip("="), str(ds.get("ReferringPhysicianName", "")).rstrip("=")]
print(json.dumps(out))
`

// TestCharacterSets: the names of every file of the shared character sets come through, in UTF-8, to what the search and the page are made
// from, and to an SR as pydicom reads it.
func TestCharacterSets(t *testing.T) {
	files, _ := filepath.Glob(filepath.Join(peertest.SharedData(t, "dicom/charsets"), "*.dcm"))
	if len(files) < 13 {
		t.Fatalf("%d files", len(files))
	}
	want := pydicomReads(t, files)
	var reports []string
	of := map[string]string{}
	for _, file := range files {
		h, err := dicomfile.ReadHeader(file)
		if err != nil {
			t.Errorf("%s: %v", filepath.Base(file), err)
			continue
		}
		if got := [2]string{h.PatientName, h.ReferringPhysicianName}; got != want[file] {
			t.Errorf("%s: header %q, want %q", filepath.Base(file), got, want[file])
		}
		if h.StudyInstanceUID == "" { // an SR needs them, the names do not
			h.StudyInstanceUID, h.SeriesInstanceUID = "1.2", "1.2.1"
		}
		document, err := sr.Narrative(sr.Input{
			Draft: study.Draft{
				StudyInstanceUID: h.StudyInstanceUID, Revision: 1,
				Sentences: []study.Sentence{{Section: study.SectionFindings, Text: "Text.", Verdict: study.VerdictKept}},
			},
			Frontal: &h, Time: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Device: device("test"),
		})
		if err != nil {
			t.Errorf("%s: %v", filepath.Base(file), err)
			continue
		}
		var buf bytes.Buffer
		if _, err := document.WriteTo(&buf); err != nil {
			t.Fatal(err)
		}
		report := filepath.Join(t.TempDir(), "sr.dcm")
		if err := os.WriteFile(report, buf.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
		reports, of[report] = append(reports, report), file
	}
	for report, got := range pydicomReads(t, reports) {
		if got != want[of[report]] {
			t.Errorf("%s: SR %q, want %q", filepath.Base(of[report]), got, want[of[report]])
		}
	}
}

func pydicomReads(t *testing.T, files []string) (names map[string][2]string) {
	t.Helper()
	out, err := exec.Command(peertest.Python(t), append([]string{"-c", pydicomNames}, files...)...).Output()
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(out, &names); err != nil {
		t.Fatal(err)
	}
	return names
}
