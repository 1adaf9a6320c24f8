package e2e

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"llamaxr/daemon"
	"llamaxr/internal/peertest"
	"llamaxr/queue"
	"llamaxr/study"
)

const presentationState = "1.2.840.10008.5.1.4.1.1.11.1"

// TestHeatMapAsPresentationStates: a site that asks for it receives a presentation state of each image in place of the picture. DCMTK renders
// the images with them, with the outlines of the very regions that highdicom reads from the scores. They are documents like any other: Orthanc
// commits to them, retention removes them, and a rejection note that comes late withdraws them.
func TestHeatMapAsPresentationStates(t *testing.T) {
	port, folder := startStorescp(t)
	archive := startOrthanc(t)
	settings := fmt.Sprintf("heat_map: gsps\ndestinations:\n- {ae_title: PACS, address: '127.0.0.1:%s'}\n- {ae_title: ORTHANC, address: '127.0.0.1:%s', storage_commitment: true}\n", port, archive.port)
	n := startNode(t, "--config", configured(t, settings))
	archive.know(t, n)
	uid, frontal, lateral := phantomStudy(t, outlinedPhantom)
	n.taken(frontal, lateral)
	report := n.await(uid, "drafted and committed", stands(queue.Delivered, 1))
	if d := report.Deliveries["ORTHANC@127.0.0.1:"+archive.port]; d == nil || d.Commitment == nil || d.Commitment.Committed.IsZero() {
		t.Errorf("Orthanc and our draft: %+v", d)
	}
	got := received(t, folder)[uid]
	if len(got[presentationState]) != 2 || len(got[secondaryCapture]) != 1 {
		t.Fatalf("%d presentation states and %d pictures came", len(got[presentationState]), len(got[secondaryCapture]))
	}
	if held := archive.studies(t)[uid]; held[presentationState] != 2 || held[secondaryCapture] != 1 {
		t.Errorf("Orthanc holds %v", held)
	}
	var drawn []string
	for _, state := range got[presentationState] {
		drawn = append(drawn, outlines(t, state, frontal, lateral)...)
	}
	slices.Sort(drawn)
	if regions := regionsOf(t, got[comprehensive3DSR][0]); len(regions) == 0 || !slices.Equal(drawn, regions) {
		t.Errorf("DCMTK draws %v, highdicom reads %v", drawn, regions)
	}

	drafts := objects(t, folder, uid)
	n.args = nil
	n.retire(uid, settings)
	if kept, _ := os.ReadDir(daemon.DraftFolder(n.state, uid, 1)); len(kept) != 1 || kept[0].Name() != "draft.json" {
		t.Errorf("%v are left of the draft", kept)
	}
	n.taken(rejectionNotes(t, rejection{string(study.RejectedSafety), []string{frontal, lateral}})...)
	n.await(uid, "withdrawn", func(r *daemon.StudyReport) bool { return len(r.Withdrawn) == 1 })
	checkNotes(t, notes(t, folder)[uid], string(study.RejectedSafety), drafts)
}

// outlinedPhantom has findings on both views.
const outlinedPhantom = 9501

// outlines renders the image that a state is of with it, by DCMTK, and returns the coordinates of what it draws.
func outlines(t *testing.T, state string, images ...string) (found []string) {
	t.Helper()
	text, err := os.ReadFile(state)
	if err != nil {
		t.Fatal(err)
	}
	of := slices.IndexFunc(images, func(path string) bool { return bytes.Contains(text, []byte(reference(t, path)[1])) })
	if of < 0 {
		t.Fatalf("%s is of none of the images", state)
	}
	picture := filepath.Join(t.TempDir(), "picture.pgm")
	said, err := exec.Command(peertest.Program(t, "dcmp2pgm"), "-v", "-p", state, images[of], picture).CombinedOutput()
	if err != nil {
		t.Fatalf("dcmp2pgm: %v\n%s", err, said)
	}
	if rendered, err := os.ReadFile(picture); err != nil || !bytes.HasPrefix(rendered, []byte("P5")) {
		t.Errorf("no picture: %v", err)
	}
	if !strings.Contains(string(said), study.DraftWarning) {
		t.Errorf("the state does not warn:\n%s", said)
	}
	for _, m := range regexp.MustCompile(`coordinates: (.*), `).FindAllStringSubmatch(string(said), -1) {
		found = append(found, strings.ReplaceAll(m[1], `\`, " "))
	}
	return found
}

// regionsOf are the coordinates of the planar regions of a scores document, as highdicom reads them and DCMTK writes numbers.
func regionsOf(t *testing.T, path string) (found []string) {
	t.Helper()
	const script = "import sys, pydicom, highdicom as hd\n" +
		"for g in hd.sr.Comprehensive3DSR.from_dataset(pydicom.dcmread(sys.argv[1])).content.get_planar_roi_measurement_groups():\n" +
		"    print(', '.join('%g %g' % tuple(p) for p in g.roi.value.tolist()))\n"
	out, err := exec.Command(peertest.Python(t), "-c", script, path).Output()
	if err != nil {
		t.Fatalf("highdicom: %v", err)
	}
	for line := range strings.Lines(string(out)) {
		found = append(found, strings.TrimSpace(line))
	}
	slices.Sort(found)
	return found
}
