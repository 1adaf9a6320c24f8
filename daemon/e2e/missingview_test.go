package e2e

import (
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"llamaxr/daemon"
	"llamaxr/internal/peertest"
	"llamaxr/queue"
)

// takes stores files at the archive.
func (o orthanc) takes(t testing.TB, files ...string) {
	t.Helper()
	send := exec.Command(peertest.Program(t, "storescu"), append([]string{"-aec", "ORTHANC", "127.0.0.1", o.port}, files...)...)
	if out, err := send.CombinedOutput(); err != nil {
		t.Fatalf("storescu: %v\n%s", err, out)
	}
}

// askingArchive is a configuration that has an archive asked for missing views.
func askingArchive(name, port, retrieve, wait string) string {
	return fmt.Sprintf("archive: {ae_title: %s, address: '127.0.0.1:%s', retrieve: %s, fetch_missing_view: true, fetch_time: %s}\n", name, port, retrieve, wait)
}

// both wants the first draft of a study to read two views, one of them from the archive.
func both(t *testing.T, what string, r *daemon.StudyReport, brought string) {
	t.Helper()
	if d := r.Draft.Draft; d.Scores.Frontal == nil || d.Scores.Lateral == nil || d.Partial != "" {
		t.Errorf("%s: the draft is partial: %q", what, d.Partial)
	}
	if f := r.Fetch; f == nil || f.Images != 1 || f.Ended.IsZero() || !slices.Equal(f.Objects, []string{brought}) {
		t.Errorf("%s: what was fetched is %+v, want %s", what, f, brought)
	}
}

// TestMissingViewFromOrthanc: a study that ends with one view is drafted once, with the other one that the archive has in the study, or in the
// study of the same patient, order and day; what it brought and what is not read is not drafted for itself.
func TestMissingViewFromOrthanc(t *testing.T) {
	archive := startOrthanc(t)
	pacs, folder := startStorescp(t)
	path := configured(t, askingArchive("ORTHANC", archive.port, "move", "4m"))
	n := startNode(t, "--config", path, "--destination", "PACS@127.0.0.1:"+pacs)
	archive.know(t, n)
	for i, retrieve := range []string{"move", "get"} {
		if i > 0 {
			n.hangup(path, askingArchive("ORTHANC", archive.port, retrieve, "4m"), "configuration read again")
		}
		seed := uint64(9700 + 10*i)
		uid, frontal, lateral := phantomStudy(t, seed)
		archive.takes(t, frontal, lateral)
		n.taken(frontal)
		both(t, retrieve+", one study", n.await(uid, "drafted with the lateral", stands(queue.Delivered, 1)), reference(t, lateral)[1])
		if drafts := received(t, folder)[uid][basicTextSR]; len(drafts) != 1 {
			t.Errorf("%s: %d narratives, want one", retrieve, len(drafts))
		}

		own := fmt.Sprintf("2.25.%d", seed+1)
		uid, frontal, lateral = phantomStudy(t, seed+1)
		day := []string{"AccessionNumber=" + own, "StudyDate=20260102"}
		frontal = changed(t, day, frontal)[0]
		lateral = changed(t, append(day, "StudyInstanceUID="+own), lateral)[0]
		archive.takes(t, lateral)
		n.taken(frontal)
		both(t, retrieve+", a study of its own", n.await(uid, "drafted with the other study's lateral", stands(queue.Delivered, 1)), reference(t, lateral)[1])
		n.await(own, "read elsewhere", func(r *daemon.StudyReport) bool { return r.State == queue.Refused && r.ReadWith == uid })

		if i > 0 {
			continue // what is not brought does not depend on how it would be
		}
		// Another patient's study of the same number stays where it is; of a second frontal view there is no draft.
		own = fmt.Sprintf("2.25.%d", seed+2)
		uid, frontal, lateral = phantomStudy(t, seed+2)
		_, again, _ := phantomStudy(t, seed+3)
		day = []string{"AccessionNumber=" + own, "StudyDate=20260102", "PatientID=P" + own, "PatientBirthDate=19600101"}
		frontal = changed(t, day, frontal)[0]
		lateral = changed(t, append(day[:2:2], "PatientID=SOMEBODYELSE", "StudyInstanceUID="+own+".1"), lateral)[0]
		again = changed(t, append(day, "StudyInstanceUID="+own+".2"), again)[0]
		archive.takes(t, lateral, again)
		n.taken(frontal)
		r := n.await(uid, "drafted alone", stands(queue.Delivered, 1))
		if want := "lateral not received; archive ORTHANC sent 1 images"; r.Draft.Draft.Partial != want || !slices.Equal(r.Fetch.Objects, []string{reference(t, again)[1]}) {
			t.Errorf("%s: partial %q, want %q; fetched %+v", retrieve, r.Draft.Draft.Partial, want, r.Fetch)
		}
		n.await(own+".2", "not drafted for itself", func(r *daemon.StudyReport) bool {
			return r.State == queue.Refused && strings.Contains(r.Reason, "brought from the archive for study "+uid)
		})
		if _, here := n.studies()[own+".1"]; here {
			t.Errorf("%s: another patient's image was brought", retrieve)
		}

		// By hand, once the archive has it.
		uid, frontal, lateral = phantomStudy(t, seed+4)
		n.taken(frontal)
		r = n.await(uid, "drafted alone", stands(queue.Delivered, 1))
		if want := "lateral not received; archive ORTHANC has no more images"; r.Draft.Draft.Partial != want {
			t.Errorf("%s: partial %q, want %q", retrieve, r.Draft.Draft.Partial, want)
		}
		archive.takes(t, lateral)
		out, err := exec.Command(program, "fetch", "--missing", uid, "--state", n.state).CombinedOutput()
		if want := "lateral view of " + uid + ": archive ORTHANC sent 1 images\n"; err != nil || string(out) != want {
			t.Errorf("llamaxr fetch --missing: %v %q, want %q", err, out, want)
		}
		both(t, retrieve+", by hand", n.await(uid, "drafted again", stands(queue.Delivered, 2)), reference(t, lateral)[1])
		out, err = exec.Command(program, "fetch", "--missing", uid, "--state", n.state).CombinedOutput()
		if err != nil || !strings.Contains(string(out), "nothing is missing") {
			t.Errorf("llamaxr fetch --missing of a whole study: %v %q", err, out)
		}
	}
	shown, err := exec.Command(program, "show", uidOfMissing(n), "--state", n.state).Output()
	if err != nil || !strings.Contains(string(shown), "Missing lateral view: archive ORTHANC") {
		t.Errorf("llamaxr show: %v\n%s", err, shown)
	}
}

// uidOfMissing is a study that the archive was asked for.
func uidOfMissing(n *node) string {
	for uid := range n.studies() {
		if r, err := daemon.StudyOf(n.state, uid); err == nil && r.Fetch != nil {
			return uid
		}
	}
	return ""
}

// archiveRequest is a line of qr.py.
type archiveRequest struct {
	Archive, Request, Level string
	Keys                    map[string]string
}

// startQR runs qr.py and returns what each archive was asked so far.
func startQR(t testing.TB, appliance string, ports map[string]string, files ...string) func(archive string) []archiveRequest {
	t.Helper()
	args := []string{"testdata/qr.py", appliance}
	for mode, port := range ports {
		args = append(args, mode+"="+port)
	}
	said := startTelling[archiveRequest](t, append(append(args, "--"), files...)...)
	return func(archive string) []archiveRequest {
		return slices.DeleteFunc(said(), func(r archiveRequest) bool { return r.Archive != archive })
	}
}

// TestMissingViewFromPynetdicom: an archive is asked once and for what is missing alone; one that answers with more than it was asked for brings
// no other patient's image, and of one that is silent, cannot move or is not there the draft says so and does not wait longer than it should.
func TestMissingViewFromPynetdicom(t *testing.T) {
	ports := map[string]string{"KEEPS": freePort(t), "LIES": freePort(t), "SILENT": freePort(t), "MOVELESS": freePort(t)}
	absent := freePort(t)
	uid, frontal, lateral := phantomStudy(t, 9751)
	getUID, getFrontal, getLateral := phantomStudy(t, 9752)
	stranger, strangerFrontal, strangerLateral := phantomStudy(t, 9753)
	path := configured(t, askingArchive("KEEPS", ports["KEEPS"], "move", "4m"))
	pacs, _ := startStorescp(t)
	n := startNode(t, "--config", path, "--destination", "PACS@127.0.0.1:"+pacs)
	said := startQR(t, n.port, ports, frontal, lateral, getFrontal, getLateral, strangerLateral)

	n.taken(frontal)
	both(t, "C-MOVE", n.await(uid, "drafted with the lateral", stands(queue.Delivered, 1)), reference(t, lateral)[1])
	n.hangup(path, askingArchive("KEEPS", ports["KEEPS"], "get", "4m"), "configuration read again")
	n.taken(getFrontal)
	both(t, "C-GET", n.await(getUID, "drafted with the lateral", stands(queue.Delivered, 1)), reference(t, getLateral)[1])
	moves, gets := 0, 0
	for _, r := range said("KEEPS") {
		switch r.Request {
		case "move":
			moves++
		case "get":
			gets++
		}
		if r.Request != "find" && (r.Level != "IMAGE" || r.Keys["SOPInstanceUID"] != reference(t, lateral)[1] && r.Keys["SOPInstanceUID"] != reference(t, getLateral)[1]) {
			t.Errorf("asked for more than the missing view: %+v", r)
		}
	}
	if moves != 1 || gets != 1 {
		t.Errorf("%d C-MOVE and %d C-GET, want one of each: %+v", moves, gets, said("KEEPS"))
	}

	for i, test := range []struct{ archive, port, wait, partial, why string }{
		{"LIES", ports["LIES"], "4m", "archive LIES has no more images", ""},
		{"SILENT", ports["SILENT"], "2s", "archive SILENT did not answer in time", ""},
		{"MOVELESS", ports["MOVELESS"], "4m", "archive MOVELESS could not be asked", "0xa801"},
		{"ABSENT", absent, "4m", "archive ABSENT could not be asked", "connection refused"},
	} {
		n.hangup(path, askingArchive(test.archive, test.port, "move", test.wait), "configuration read again")
		uid, frontal, _ := phantomStudy(t, 9760+uint64(i))
		if test.archive == "MOVELESS" { // it has the other view of this one
			uid, frontal = stranger, strangerFrontal
		}
		n.taken(frontal)
		r := n.await(uid, "drafted alone", stands(queue.Delivered, 1))
		if want := "lateral not received; " + test.partial; r.Draft.Draft.Partial != want || !strings.Contains(strings.ToLower(r.Fetch.Error), test.why) || (test.why == "") != (r.Fetch.Error == "") {
			t.Errorf("%s: partial %q, want %q; error %q", test.archive, r.Draft.Draft.Partial, want, r.Fetch.Error)
		}
	}
	if got := n.studies(); len(got) != 6 {
		t.Errorf("%d studies, want the six that were sent: %+v", len(got), got)
	}
}
