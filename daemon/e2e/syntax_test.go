package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"llamaxr/daemon/doctor"
	"llamaxr/internal/peertest"
	"llamaxr/queue"
)

// sameObjects holds the objects of one folder tree against those of another, attribute by attribute, as pydicom reads them.
const sameObjects = `
import pathlib, sys
import pydicom
read = lambda folder, pattern: {ds.SOPInstanceUID: ds for ds in map(pydicom.dcmread, pathlib.Path(folder).rglob(pattern))}
sent, got = read(sys.argv[1], "*.dcm"), read(sys.argv[2], "*.2.25.*")
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
	text, err := exec.Command(peertest.Python(t), "-c", sameObjects, filepath.Join(n.state, "drafts"), folder).CombinedOutput()
	if err != nil || strings.TrimSpace(string(text)) != "same" {
		t.Errorf("%v\n%s", err, text)
	}
}

// withoutScores is a profile of DCMTK's storescp that does not know Comprehensive 3D SR.
const withoutScores = `
[[TransferSyntaxes]]
[Uncompressed]
TransferSyntax1 = LittleEndianExplicit
TransferSyntax2 = LittleEndianImplicit
[[PresentationContexts]]
[Few]
PresentationContext1 = BasicTextSRStorage\Uncompressed
PresentationContext2 = SecondaryCaptureImageStorage\Uncompressed
PresentationContext3 = VerificationSOPClass\Uncompressed
[[Profiles]]
[Old]
PresentationContexts = Few
`

// TestLeaveOut: an archive that does not take Comprehensive 3D SR is sent all else of a draft, and the study is delivered; doctor tells of what it does not take.
func TestLeaveOut(t *testing.T) {
	profile := filepath.Join(t.TempDir(), "storescp.cfg")
	if err := os.WriteFile(profile, []byte(withoutScores), 0o600); err != nil {
		t.Fatal(err)
	}
	port := freePort(t)
	folder := storescp(t, port, "-xf", profile, "Old")
	settings := "destinations:\n- {ae_title: PACS, address: '127.0.0.1:" + port + "', leave_out: [%s]}\n"
	n := startNode(t, "--config", configured(t, fmt.Sprintf(settings, "scores")))
	for left, want := range map[string]bool{"chart": true, "scores": false} {
		checks, _ := examine(t, "--config", configured(t, fmt.Sprintf(settings, left)+"state: "+t.TempDir()+"\nlisten: 127.0.0.1:0\nhttp: ''\n"))
		if got := finds(checks, "destinations", doctor.Fail, "does not take Comprehensive 3D SR"); got != want || !finds(checks, "destinations", doctor.Fail, "Key Object Selection") {
			t.Errorf("without %s doctor finds %+v", left, checks)
		}
	}
	storescu(t, n.port, phantomFiles(t, "33")...)
	s := n.waitDelivered(1)
	if got := received(t, folder)[s.UID]; len(got[basicTextSR]) != 1 || len(got[secondaryCapture]) != 2 || len(got) != 2 {
		t.Errorf("the archive has %v", got)
	}
}

// TestDraftsThatComeBack: an archive that forwards all of a study sends our own pictures back. They are kept and open no revision, which would come back in
// its turn, for ever; a view that comes later opens one.
func TestDraftsThatComeBack(t *testing.T) {
	port, folder := startStorescp(t)
	n := startNode(t, "--destination", "PACS@127.0.0.1:"+port, "--config", configured(t, "heat_map: gsps\npdf: true\n"))
	uid, frontal, lateral := phantomStudy(t, 9651)
	n.taken(frontal)
	n.await(uid, "drafted", stands(queue.Delivered, 1))
	for class, files := range received(t, folder)[uid] {
		if n.taken(files...); class == secondaryCapture {
			time.Sleep(3 * time.Second) // three times the quiet time
		}
	}
	time.Sleep(3 * time.Second)
	if r := n.await(uid, "quiet", stands(queue.Delivered, 1)); len(r.Objects) != 4 {
		t.Errorf("%d objects", len(r.Objects))
	}
	n.taken(lateral)
	if r := n.await(uid, "drafted again", stands(queue.Delivered, 2)); r.Pair.Lateral == "" {
		t.Errorf("the pair is %+v", r.Pair)
	}
}
