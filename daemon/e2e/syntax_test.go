package e2e

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"llamaxr/internal/peertest"
)

// sameObjects holds the objects of one folder tree against those of another, attribute by attribute, as pydicom reads them.
const sameObjects = `
import glob, sys
import pydicom
read = lambda pattern: {ds.SOPInstanceUID: ds for ds in map(pydicom.dcmread, glob.glob(pattern, recursive=True))}
sent, got = read(sys.argv[1]), read(sys.argv[2])
assert len(got) == 5 and sent.keys() == got.keys(), (len(sent), len(got))
for uid, ds in got.items():
    assert ds.file_meta.TransferSyntaxUID == pydicom.uid.ImplicitVRLittleEndian, ds.file_meta.TransferSyntaxUID
    assert ds == sent[uid], ds.SOPClassUID
print("same")
`

// TestDefaultTransferSyntax: an archive that takes the default transfer syntax alone, which every node must speak (PS3.5 10.1), gets each kind of
// document, the same in every attribute as it was made.
func TestDefaultTransferSyntax(t *testing.T) {
	port := freePort(t)
	folder := storescp(t, port, "+xi")
	n := startNode(t, "--destination", "PACS@127.0.0.1:"+port, "--config", configured(t, "heat_map: gsps\npdf: true\n"))
	names, _ := filepath.Glob(filepath.Join(peertest.SharedData(t, "dicom/charsets"), "chrH32.dcm"))
	out := t.TempDir()
	_, frontal, _ := phantomStudy(t, 9650)
	if text, err := exec.Command(peertest.Python(t), "testdata/named.py", out, names[0]+","+frontal).CombinedOutput(); err != nil {
		t.Fatalf("naming: %v\n%s", err, text)
	}
	named, _ := filepath.Glob(filepath.Join(out, "*.dcm"))
	storescu(t, n.port, named...)
	n.waitDelivered(1)
	made := filepath.Join(n.state, "drafts", "**", "*.dcm")
	text, err := exec.Command(peertest.Python(t), "-c", sameObjects, made, filepath.Join(folder, "*")).CombinedOutput()
	if err != nil || strings.TrimSpace(string(text)) != "same" {
		t.Errorf("%v\n%s", err, text)
	}
}
