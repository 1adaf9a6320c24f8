package e2e

import (
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"llamaxr/daemon"
	"llamaxr/ingest/phantom"
	"llamaxr/internal/peertest"
	"llamaxr/queue"
	"llamaxr/study"
)

// The hard cases of a chest room through the running appliance. The fourth is TestRejectionNotes, the fifth TestOneViewAndALateLateral, the
// thirteenth TestPatientCorrectedAfterTheDraft; docs/SAFETY.md lists all thirteen. What decides between images is held by package pairing.

// TestHardCases: odd objects alone are refused with their reason; beside good views the good ones are read; how a picture is stored
// changes nothing of its scores.
func TestHardCases(t *testing.T) {
	pacs, folder := startStorescp(t)
	n := startNode(t, "--destination", "PACS@127.0.0.1:"+pacs)
	seed := uint64(9800)
	next := func() (uid, frontal, lateral string) { seed++; return phantomStudy(t, seed) }

	reasons := map[string]string{} // of studies without a draft
	for _, test := range []struct {
		reason  string
		changes []string
	}{
		{"2 frames", []string{"NumberOfFrames=2"}},                                          // 2
		{`Patient Orientation is F\R`, []string{`PatientOrientation=F\R`, "ViewPosition="}}, // 7
		{"for processing", []string{"PresentationIntentType=FOR PROCESSING"}},               // 8
		{"BONE", []string{`ImageType=DERIVED\SECONDARY\SOFT TISSUE\BONE SUPPRESSED`}},       // 10
		{"the patient is 7", []string{"PatientBirthDate=", "PatientAge=007Y"}},              // 12
		{"decubitus", []string{"ViewPosition=RLD"}},                                         // 12
		{"KNEE", []string{"BodyPartExamined=KNEE"}},                                         // 12
	} {
		uid, frontal, _ := next()
		reasons[uid] = test.reason
		n.taken(changed(t, test.changes, frontal)...)
	}

	portable, alone, _ := next() // 1
	n.taken(changed(t, []string{"SeriesDescription=CHEST PORTABLE", "ViewPosition=AP"}, alone)...)

	repeated, first, lateral := next() // 3: the repeat comes first and is the newer one
	repeat := changed(t, []string{"SOPInstanceUID=2.25.98001", "AcquisitionTime=235900"}, first)[0]
	n.taken(repeat, first, lateral)

	twins, shown, side := next() // 8
	raw := changed(t, []string{"SOPInstanceUID=2.25.98002", "PresentationIntentType=FOR PROCESSING", "AcquisitionTime=235900"}, shown)[0]
	n.taken(raw, shown, side)

	_, usual, usualSide := next() // 9: twelve bits of the one kind, and of the other
	habit := phantom.Habits()[0]
	habit.Size, habit.Monochrome1 = 512, true
	turned, err := phantom.NewRandom(seed).WriteDICOM(t.TempDir(), habit)
	if err != nil {
		t.Fatal(err)
	}
	var stored []string
	for i, files := range [][]string{{usual, usualSide}, turned} {
		uid := fmt.Sprintf("2.25.9801%d", i)
		stored = append(stored, uid)
		var both []string
		for k, f := range files {
			both = append(both, changed(t, []string{"StudyInstanceUID=" + uid, fmt.Sprintf("SOPInstanceUID=%s.%d", uid, k+1), "AccessionNumber=" + uid}, f)...)
		}
		n.taken(both...)
	}

	states := n.settle(len(reasons) + 5)
	for uid, reason := range reasons {
		if s := states[uid]; s.State != queue.Refused || !strings.Contains(s.Reason, reason) || len(received(t, folder)[uid]) > 0 {
			t.Errorf("%s is %s: %q, want %q", uid, s.State, s.Reason, reason)
		}
	}
	read := func(uid string) *daemon.StudyReport {
		return n.await(uid, "drafted", func(r *daemon.StudyReport) bool { return r.State == queue.Delivered })
	}
	if d := read(portable).Draft.Draft; d.Partial != "lateral not received" {
		t.Errorf("a portable alone: partial %q", d.Partial)
	}
	for uid, want := range map[string][2]string{repeated: {"2.25.98001", reference(t, lateral)[1]}, twins: {reference(t, shown)[1], reference(t, side)[1]}} {
		if p := read(uid).Pair; p.Frontal != want[0] || p.Lateral != want[1] {
			t.Errorf("%s: %s and %s are read, want %v", uid, p.Frontal, p.Lateral, want)
		}
	}
	a, b := read(stored[0]).Draft.Draft.Scores, read(stored[1]).Draft.Draft.Scores
	for i := range a.Frontal {
		for _, pair := range [][2]float32{{a.Frontal[i], b.Frontal[i]}, {a.Lateral[i], b.Lateral[i]}} {
			if difference := pair[0] - pair[1]; difference > 0.01 || difference < -0.01 { // NaN, not scored, is as it is
				t.Errorf("finding %d: %.3f as MONOCHROME2, %.3f as MONOCHROME1", i, pair[0], pair[1])
			}
		}
	}
}

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

	// One of the two corrected to another patient parts them: what was drafted of both is withdrawn, and each is drafted for itself.
	for seed, which := range map[uint64]string{9023: "the lateral", 9024: "the frontal"} {
		other := fmt.Sprintf("2.25.%d", seed)
		uid, frontal, lateral := apart(seed, other, fmt.Sprint("ACC", seed))
		n.taken(frontal, lateral)
		n.await(uid, "drafted with the lateral", func(r *daemon.StudyReport) bool {
			return r.State == queue.Delivered && r.Draft.Draft.Scores.Lateral != nil
		})
		corrected := lateral
		if which == "the frontal" {
			corrected = frontal
		}
		n.taken(changed(t, []string{"PatientID=MERGED"}, corrected)...)
		for _, one := range []string{uid, other} {
			n.await(one, which+" corrected: drafted for itself", func(r *daemon.StudyReport) bool {
				return r.State == queue.Delivered && r.Draft != nil && r.Draft.Draft.Partial != "" && r.ReadWith == ""
			})
		}
		r := n.await(uid, which+" corrected: the draft of both is withdrawn", func(r *daemon.StudyReport) bool { return len(r.Withdrawn) > 0 && len(r.Jobs) == 0 })
		if w := r.Withdrawn[len(r.Withdrawn)-1]; w.Title != study.RejectedWorklist {
			t.Errorf("%s corrected: %+v", which, w)
		}
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
