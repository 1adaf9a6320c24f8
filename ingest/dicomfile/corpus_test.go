package dicomfile

import (
	"encoding/csv"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/suyashkumar/dicom/pkg/tag"

	"llamaxr/internal/peertest"
)

type row struct{ file, folder, expected string }

func manifest(t testing.TB) []row {
	t.Helper()
	file, err := os.Open(peertest.SharedData(t, "dicom/manifest.csv"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	lines, err := csv.NewReader(file).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	column := map[string]int{}
	for i, name := range lines[0] {
		column[name] = i
	}
	var rows []row
	for _, line := range lines[1:] {
		rows = append(rows, row{line[column["file"]], line[column["folder"]], line[column["expected"]]})
	}
	return rows
}

// cutShort is a DICOMDIR from which 24 bytes were taken without adjusting lengths. pydicom reads what is left; a receiver
// must refuse what is shorter than it says.
const cutShort = "odd/DICOMDIR-nooffset.dcm"

// Every readable public file is read; every broken one ends with a typed error or is read, quickly and without a panic.
func TestCorpus(t *testing.T) {
	read, refused := 0, 0
	for _, r := range manifest(t) {
		start := time.Now()
		f, err := Open(peertest.SharedData(t, "dicom/"+r.file))
		if took := time.Since(start); took > 2*time.Second {
			t.Errorf("%s took %v", r.file, took)
		}
		if err == nil {
			read++
			f.Close()
			continue
		}
		refused++
		var typed *Error
		if !errors.As(err, &typed) {
			t.Errorf("%s: error without a type: %v", r.file, err)
		}
		if r.expected == "read" && r.file != cutShort {
			t.Errorf("%s must be read: %v", r.file, err)
		} else {
			t.Logf("%s refused: %v", r.file, err)
		}
	}
	t.Logf("%d read, %d refused", read, refused)
}

// What pydicom reads of the header, we read alike, in every character set and transfer syntax of the public files.
func TestHeaderAgainstPydicom(t *testing.T) {
	tags := map[string]tag.Tag{
		"PatientName": tag.PatientName, "PatientID": tag.PatientID, "StudyInstanceUID": tag.StudyInstanceUID,
		"SOPInstanceUID": tag.SOPInstanceUID, "StudyDescription": tag.StudyDescription, "Manufacturer": tag.Manufacturer,
		"Rows": tag.Rows, "Columns": tag.Columns, "BitsStored": tag.BitsStored, "ImageType": tag.ImageType,
		"WindowCenter": tag.WindowCenter, "RescaleSlope": tag.RescaleSlope, "PixelPaddingValue": tag.PixelPaddingValue,
		"SmallestImagePixelValue": tag.SmallestImagePixelValue, "NumberOfFrames": tag.NumberOfFrames,
		"StudyDate": tag.StudyDate, "ViewPosition": tag.ViewPosition, "PatientComments": tag.PatientComments,
		"ReferringPhysicianName": tag.ReferringPhysicianName, "RequestedProcedureDescription": tag.RequestedProcedureDescription,
	}
	const script = `
import sys, json, warnings, pydicom
warnings.simplefilter("ignore")
for line in sys.stdin:
    path, names = json.loads(line)
    try:
        ds = pydicom.dcmread(path, force=True)
        out = {}
        for name in names:
            v = ds.get(name)
            if v is None: continue
            many = list(v) if isinstance(v, pydicom.multival.MultiValue) else [v]
            out[name] = [float(x) if isinstance(x, (int, float)) or type(x).__name__ in ("DSfloat", "DSdecimal", "IS") else str(x) for x in many]
    except Exception as e:
        out = {"error": [str(e)]}
    print(json.dumps(out))
`
	var names []string
	for name := range tags {
		names = append(names, name)
	}
	var files []row
	var input strings.Builder
	for _, r := range manifest(t) {
		if r.folder == "malformed" {
			continue
		}
		files = append(files, r)
		line, _ := json.Marshal([]any{peertest.SharedData(t, "dicom/"+r.file), names})
		input.Write(append(line, '\n'))
	}
	command := exec.Command(peertest.Python(t), "-c", script)
	command.Stdin = strings.NewReader(input.String())
	output, err := command.Output()
	if err != nil {
		t.Fatal(err)
	}
	compared := 0
	for i, line := range strings.Split(strings.TrimSpace(string(output)), "\n") {
		var want map[string][]any
		if err := json.Unmarshal([]byte(line), &want); err != nil {
			t.Fatal(err)
		}
		if want["error"] != nil {
			continue
		}
		f, err := Open(peertest.SharedData(t, "dicom/"+files[i].file))
		if err != nil {
			if files[i].expected == "read" && files[i].file != cutShort {
				t.Errorf("%s: %v", files[i].file, err)
			}
			continue
		}
		for name, values := range want {
			got := f.Strings(tags[name])
			numbers, _ := f.Floats(tags[name])
			for k, v := range values {
				compared++
				switch v := v.(type) {
				case float64:
					if k >= len(numbers) || numbers[k] != v {
						t.Errorf("%s %s: %v, pydicom has %v", filepath.Base(files[i].file), name, numbers, values)
					}
				case string:
					have := ""
					if k < len(got) {
						have = got[k]
					}
					if have != strings.TrimSpace(v) {
						t.Errorf("%s %s: %q, pydicom has %q", filepath.Base(files[i].file), name, have, v)
					}
				}
			}
		}
		f.Close()
	}
	t.Logf("%d values compared", compared)
}
