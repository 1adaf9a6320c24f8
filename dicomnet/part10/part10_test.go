package part10

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"llamaxr/internal/peertest"
)

var meta = Meta{SOPClassUID: "1.2.840.10008.5.1.4.1.1.1", SOPInstanceUID: "1.2.3", TransferSyntaxUID: "1.2.840.10008.1.2.1", SourceAETitle: "MODALITY"}

// TestReadByPydicom: pydicom, strict, reads the head that we write.
func TestReadByPydicom(t *testing.T) {
	path := filepath.Join(t.TempDir(), "head.dcm")
	head := Encode(meta, "2.25.1", "VERSION")
	if err := os.WriteFile(path, head, 0o600); err != nil {
		t.Fatal(err)
	}
	const program = `
import os, sys, pydicom
m = pydicom.dcmread(sys.argv[1]).file_meta
assert m.FileMetaInformationGroupLength == os.path.getsize(sys.argv[1]) - 128 - 4 - 12
print(m.MediaStorageSOPClassUID, m.MediaStorageSOPInstanceUID, m.TransferSyntaxUID,
      m.ImplementationClassUID, m.ImplementationVersionName, m.SourceApplicationEntityTitle)
`
	out, err := exec.Command(peertest.Python(t), "-c", program, path).CombinedOutput()
	want := "1.2.840.10008.5.1.4.1.1.1 1.2.3 1.2.840.10008.1.2.1 2.25.1 VERSION MODALITY"
	if got := strings.TrimSpace(string(out)); err != nil || got != want {
		t.Errorf("pydicom reads %q (%v), want %q", got, err, want)
	}
	got, err := Decode(bytes.NewReader(head))
	if want := meta; err != nil || got.Length != int64(len(head)) {
		t.Errorf("read again %+v, %v", got, err)
	} else if want.Length = got.Length; *got != want {
		t.Errorf("read again %+v, want %+v", got, want)
	}
}

// TestSharedFiles: the data set of every file that has a head begins where pydicom finds it; a file without is refused.
func TestSharedFiles(t *testing.T) {
	files, _ := filepath.Glob(filepath.Join(peertest.SharedData(t, "dicom/transfer_syntaxes"), "*.dcm"))
	const program = `
import sys, pydicom
from pydicom.filereader import read_preamble, _read_file_meta_info
for path in sys.argv[1:]:
    with open(path, "rb") as f:
        try:
            read_preamble(f, False)
            m = _read_file_meta_info(f)
            print(m.MediaStorageSOPInstanceUID, m.TransferSyntaxUID, f.tell())
        except (pydicom.errors.InvalidDicomError, AttributeError):
            print("-")
`
	out, err := exec.Command(peertest.Python(t), append([]string{"-c", program}, files...)...).Output()
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	if len(files) == 0 || len(lines) != len(files) {
		t.Fatalf("%d lines for %d files", len(lines), len(files))
	}
	read := 0
	for i, path := range files {
		file, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		m, err := Decode(file)
		file.Close()
		if lines[i] == "-" {
			if err == nil {
				t.Errorf("%s: read as %+v, pydicom finds no head or no UID in it", filepath.Base(path), m)
			}
			continue
		}
		read++
		if err != nil {
			t.Errorf("%s: %v", filepath.Base(path), err)
			continue
		}
		var sop, syntax string
		var length int64
		if got := strings.Fields(lines[i]); len(got) == 3 {
			sop, syntax, length = got[0], got[1], parse(got[2])
		}
		if m.SOPInstanceUID != sop || m.TransferSyntaxUID != syntax || m.Length != length {
			t.Errorf("%s: read %+v, pydicom %s", filepath.Base(path), m, lines[i])
		}
	}
	t.Logf("%d of %d files have a head", read, len(files))
}

func parse(text string) (n int64) {
	for _, r := range text {
		n = 10*n + int64(r-'0')
	}
	return n
}
