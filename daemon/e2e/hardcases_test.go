package e2e

import (
	"os/exec"
	"slices"
	"strings"
	"testing"

	"llamaxr/daemon"
	"llamaxr/internal/peertest"
	"llamaxr/queue"
)

// The hard cases of a chest room that are about the whole appliance. The fourth is TestRejectionNotes, the fifth
// TestOneViewAndALateLateral, the thirteenth TestPatientCorrectedAfterTheDraft; those of pairing alone are in package pairing.

// TestTwoStudiesOneAccessionDrafted: a reader that gives each cassette a study of its own gets one draft of both views, in the study of
// the frontal one, whichever comes first; two patients under one number get a draft each.
func TestTwoStudiesOneAccessionDrafted(t *testing.T) {
	port, folder := startStorescp(t)
	n := startNode(t, "--destination", "PACS@127.0.0.1:"+port)
	apart := func(seed uint64, study, accession string, more ...string) (uid, frontal, lateral string) {
		uid, frontal, lateral = phantomStudy(t, seed)
		day := []string{"AccessionNumber=" + accession, "StudyDate=20260102"}
		frontal = changed(t, day, frontal)[0]
		lateral = changed(t, append(append(day, "StudyInstanceUID="+study), more...), lateral)[0]
		return uid, frontal, lateral
	}
	uid, frontal, lateral := apart(9021, "2.25.9021", "ACC1")
	n.taken(frontal)
	n.await(uid, "drafted alone", stands(queue.Delivered, 1))
	n.taken(lateral)
	n.await("2.25.9021", "read elsewhere", func(r *daemon.StudyReport) bool {
		return r.State == queue.Refused && strings.Contains(r.Reason, uid)
	})
	r := n.await(uid, "drafted with the lateral", stands(queue.Delivered, 2))
	if r.Draft.Draft.Scores.Lateral == nil || r.Draft.Draft.Partial != "" || len(received(t, folder)["2.25.9021"]) != 0 {
		t.Errorf("the second revision: %+v", r.Draft.Draft.Pair)
	}
	for _, class := range []string{basicTextSR, comprehensive3DSR} {
		for _, f := range received(t, folder)[uid][class] {
			if out, _ := exec.Command(peertest.Program(t, "dciodvfy"), f).CombinedOutput(); strings.Contains(string(out), "Error") {
				t.Errorf("%s", out)
			}
		}
	}
	// The lateral taken back in its own study takes it out of the draft of the other.
	n.taken(rejectionNotes(t, rejection{"113001", []string{lateral}})...)
	r = n.await(uid, "without the lateral", stands(queue.Delivered, 3))
	if r.Draft.Draft.Scores.Lateral != nil {
		t.Error("a rejected lateral of the other study is still read")
	}

	uid, frontal, lateral = apart(9022, "2.25.9022", "ACC2", "PatientID=SOMEBODYELSE")
	n.taken(frontal, lateral)
	for _, study := range []string{uid, "2.25.9022"} {
		if r := n.await(study, "drafted alone", stands(queue.Delivered, 1)); r.Draft.Draft.Partial == "" {
			t.Errorf("two patients under one accession number were read together: %+v", r.Pair)
		}
	}
}

// TestResendWithOtherBytesAfterTheDraft: the eleventh. The first bytes stay, the sender is told, the draft stands.
func TestResendWithOtherBytesAfterTheDraft(t *testing.T) {
	port, folder := startStorescp(t)
	n := startNode(t, "--destination", "PACS@127.0.0.1:"+port)
	uid, frontal, lateral := phantomStudy(t, 9031)
	n.taken(frontal, lateral)
	first := n.await(uid, "drafted", stands(queue.Delivered, 1))
	drafts := objects(t, folder, uid)
	if out, err := n.send(changed(t, []string{"InstitutionName=Coerced"}, frontal)...); err == nil || !strings.Contains(out, "0x0111") {
		t.Errorf("other bytes: %v %s", err, out)
	}
	n.taken(frontal) // the same bytes again are nothing new
	r := n.await(uid, "unmoved", stands(queue.Delivered, 1))
	if !slices.ContainsFunc(r.Events, func(e queue.Event) bool { return strings.Contains(e.What, "other bytes") }) {
		t.Error("the history does not tell of the other bytes")
	}
	if r.Objects[0].SHA256 != first.Objects[0].SHA256 || !slices.Equal(objects(t, folder, uid), drafts) {
		t.Error("other bytes changed what was drafted")
	}
}
