package dicomscan

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"llamaxr/internal/peertest"
)

// TestHeadersAgainstPydicom compares identifying attributes and names in every character set with pydicom's.
func TestHeadersAgainstPydicom(t *testing.T) {
	python := peertest.Python(t)
	var files []string
	for _, folder := range []string{"charsets", "radiographs", "transfer_syntaxes", "sr", "odd"} {
		found, _ := filepath.Glob(filepath.Join(peertest.SharedData(t, "dicom/"+folder), "*"))
		files = append(files, found...)
	}
	out, err := exec.Command(python, append([]string{"testdata/headers.py"}, files...)...).Output()
	if err != nil {
		t.Fatalf("pydicom: %v", err)
	}
	var want map[string]map[string]string
	if err := json.Unmarshal(out, &want); err != nil {
		t.Fatal(err)
	}
	compared := 0
	for _, path := range files {
		h, err := ReadHeader(path)
		theirs, readable := want[path]
		if err != nil {
			if readable {
				t.Logf("%s: pydicom reads it, we say: %v", filepath.Base(path), err)
			}
			continue
		}
		compared++
		for name, ours := range map[string]string{
			"SOPClassUID": h.SOPClassUID, "SOPInstanceUID": h.SOPInstanceUID, "StudyInstanceUID": h.StudyInstanceUID,
			"PatientName": h.PatientName, "PatientID": h.PatientID, "Modality": h.Modality,
		} {
			if strings.TrimSpace(theirs[name]) != ours && readable {
				t.Errorf("%s: %s is %q, pydicom says %q", filepath.Base(path), name, ours, theirs[name])
			}
		}
	}
	t.Logf("%d of %d files compared", compared, len(files))
	if compared < len(files)*9/10 {
		t.Errorf("only %d of %d files are read", compared, len(files))
	}
}

// TestBrokenFilesAreSurvived reads every malformed file: an error or a header, quickly.
func TestBrokenFilesAreSurvived(t *testing.T) {
	files, _ := filepath.Glob(filepath.Join(peertest.SharedData(t, "dicom/malformed"), "*"))
	for _, path := range files {
		started := time.Now()
		_, err := ReadHeader(path)
		if took := time.Since(started); took > 2*time.Second {
			t.Errorf("%s took %s", filepath.Base(path), took)
		}
		if err != nil && !strings.HasPrefix(err.Error(), "dicomscan: ") {
			t.Errorf("%s: error does not say whose it is: %v", filepath.Base(path), err)
		}
	}
}

func FuzzNew(f *testing.F) {
	f.Add([]byte{8, 0, 0x16, 0, 'U', 'I', 4, 0, '1', '.', '2', 0})
	f.Add(append(append(make([]byte, 128), "DICM"...), 2, 0, 0x10, 0, 'U', 'I', 4, 0, '1', '.', '2', 0))
	f.Add([]byte{8, 0, 0x12, 0x11, 'S', 'Q', 0, 0, 0xff, 0xff, 0xff, 0xff, 0xfe, 0xff, 0, 0xe0, 0xff, 0xff, 0xff, 0xff})
	if data, err := os.ReadFile("../../../shared/data/dicom/radiographs/6154.dcm"); err == nil {
		f.Add(data[:2048])
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if file, err := New(bytes.NewReader(data), int64(len(data))); err == nil {
			for tag := range file.Elements {
				file.Floats(tag)
			}
		}
	})
}
