package e2e

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"llamaxr/daemon"
	"llamaxr/ingest/phantom"
	"llamaxr/internal/peertest"
	"llamaxr/queue"
	"llamaxr/study"
)

const keyObjectSelection = "1.2.840.10008.5.1.4.1.1.88.59"

// phantomStudy writes a phantom's two views and returns its Study Instance UID and the files.
func phantomStudy(t testing.TB, seed uint64) (uid, frontal, lateral string) {
	t.Helper()
	patient := phantom.NewRandom(seed)
	habit := phantom.Habits()[0]
	habit.Size = 512
	files, err := patient.WriteDICOM(t.TempDir(), habit)
	if err != nil {
		t.Fatal(err)
	}
	return patient.StudyUID(), files[0], files[1]
}

// rejection is a note to be written: its title and the files that it takes back.
type rejection struct {
	title string
	files []string
}

// rejectionNotes writes rejection notes with highdicom.
func rejectionNotes(t testing.TB, wanted ...rejection) (paths []string) {
	t.Helper()
	dir := t.TempDir()
	args := []string{"testdata/reject.py"}
	for i, r := range wanted {
		paths = append(paths, filepath.Join(dir, fmt.Sprintf("note%d.dcm", i)))
		args = append(append(args, "--", r.title, paths[i]), r.files...)
	}
	out, err := exec.Command(peertest.Python(t), args...).CombinedOutput()
	if err != nil {
		t.Fatalf("highdicom: %v\n%s", err, out)
	}
	return paths
}

// changed writes files anew with other attributes.
func changed(t testing.TB, changes []string, files ...string) []string {
	t.Helper()
	dir := t.TempDir()
	args := append(append([]string{"testdata/correct.py", dir}, changes...), "--")
	out, err := exec.Command(peertest.Python(t), append(args, files...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("pydicom: %v\n%s", err, out)
	}
	var written []string
	for _, f := range files {
		written = append(written, filepath.Join(dir, filepath.Base(f)))
	}
	return written
}

// await waits until a study is as wanted and nothing of it waits to be done.
func (n *node) await(uid, what string, is func(*daemon.StudyReport) bool) *daemon.StudyReport {
	n.t.Helper()
	deadline := time.Now().Add(draftTime)
	for {
		report, err := daemon.StudyOf(n.state, uid)
		if err == nil && len(report.Jobs) == 0 && is(report) {
			return report
		}
		if time.Now().After(deadline) {
			n.t.Fatalf("%s: study %s is %+v (%v)", what, uid, report, err)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// swapped is the first file with the other's picture, as of another patient.
func swapped(t testing.TB, file, other string) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), "swapped.dcm")
	const swap = "import pydicom, sys\na, b = map(pydicom.dcmread, sys.argv[1:3])\na.PixelData, a.PatientID = b.PixelData, 'SWAPPED'\na.save_as(sys.argv[3])"
	if text, err := exec.Command(peertest.Python(t), "-c", swap, file, other, out).CombinedOutput(); err != nil {
		t.Fatalf("pydicom: %v\n%s", err, text)
	}
	return out
}

func stands(state string, revision int) func(*daemon.StudyReport) bool {
	return func(r *daemon.StudyReport) bool { return r.State == state && r.Revision == revision }
}

// send sends with the program itself, whose words say what the appliance answered.
func (n *node) send(files ...string) (string, error) {
	out, err := exec.Command(program, append([]string{"send", "--to", "LLAMAXR@127.0.0.1:" + n.port}, files...)...).CombinedOutput()
	return string(out), err
}

func (n *node) taken(files ...string) {
	n.t.Helper()
	if out, err := n.send(files...); err != nil {
		n.t.Fatalf("not taken: %v\n%s", err, out)
	}
}

// note is a rejection note that a receiver got.
type note struct {
	title, patient string
	rejects        []string
}

// notes reads the rejection notes of a receiver by study, and lets dciodvfy look at them.
func notes(t testing.TB, folder string) map[string][]note {
	t.Helper()
	files, _ := filepath.Glob(filepath.Join(folder, "*"))
	out, err := exec.Command(peertest.Python(t), append([]string{"testdata/notes.py"}, files...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("reading notes: %v\n%s", err, out)
	}
	found := map[string][]note{}
	for line := range strings.Lines(string(out)) {
		part := strings.Split(strings.TrimSpace(line), "\t")
		found[part[0]] = append(found[part[0]], note{part[1], part[2], strings.Split(part[3], ",")})
		said, _ := exec.Command(peertest.Program(t, "dciodvfy"), part[4]).CombinedOutput()
		for line := range strings.Lines(string(said)) {
			if strings.HasPrefix(line, "Error") {
				t.Errorf("our rejection note: %s", line)
			}
		}
	}
	return found
}

// objects returns the SOP Instance UIDs of all that a receiver holds of a study but notes.
func objects(t testing.TB, folder, study string) []string {
	t.Helper()
	var out []string
	for class, files := range received(t, folder)[study] {
		for _, f := range files {
			if class != keyObjectSelection {
				uid, _, err := dataSet(f)
				if err != nil {
					t.Fatal(err)
				}
				out = append(out, uid)
			}
		}
	}
	slices.Sort(out)
	return out
}

// TestRejectionNotes: notes made by highdicom take images back, after they came and before, and what was drafted from them.
func TestRejectionNotes(t *testing.T) {
	port, folder := startStorescp(t)
	n := startNode(t, "--destination", "PACS@127.0.0.1:"+port)
	uid, frontal, lateral := [5]string{}, [5]string{}, [5]string{}
	for i := range uid {
		uid[i], frontal[i], lateral[i] = phantomStudy(t, 9001+uint64(i))
	}
	note := rejectionNotes(t,
		rejection{"113001", []string{lateral[0]}}, rejection{"113001", []string{frontal[0]}},
		rejection{"113037", []string{frontal[1], lateral[1]}}, rejection{"113038", []string{frontal[2], lateral[2]}},
		rejection{"113038", []string{frontal[3]}}, rejection{"113001", []string{lateral[3]}},
		rejection{"113039", []string{frontal[4], lateral[4]}})
	for _, i := range []int{0, 1, 2, 4} {
		n.taken(frontal[i], lateral[i])
	}

	t.Run("quality, after: drafted again without, withdrawn when nothing is left", func(t *testing.T) {
		n.await(uid[0], "drafted", stands(queue.Delivered, 1))
		n.taken(note[0])
		r := n.await(uid[0], "drafted again", stands(queue.Delivered, 2))
		if r.Pair.Lateral != "" || r.Pair.Frontal == "" || len(r.Withdrawn) != 0 || len(r.Rejected) != 1 {
			t.Errorf("the second revision reads %+v, withdrawn %v, rejected %v", r.Pair, r.Withdrawn, r.Rejected)
		}
		out, err := exec.Command(peertest.Python(t), append([]string{"testdata/revisions.py"}, received(t, folder)[uid[0]][basicTextSR]...)...).CombinedOutput()
		if err != nil || strings.TrimSpace(string(out)) != "1 COMPLETE Machine-generated draft, not read by a physician -> 2 PARTIAL replaces 1" {
			t.Errorf("%v %s", err, out)
		}
		drafts := objects(t, folder, uid[0])
		n.taken(note[1])
		r = n.await(uid[0], "nothing left", stands(queue.Refused, 3))
		if !strings.Contains(r.Reason, "rejected: quality") || len(r.Withdrawn) != 2 {
			t.Errorf("refused with %q, %d drafts withdrawn", r.Reason, len(r.Withdrawn))
		}
		checkNotes(t, notes(t, folder)[uid[0]], "113001", drafts)
	})
	for i, final := range []study.RejectionTitle{study.RejectedSafety, study.RejectedWorklist} {
		uid, frontal, note, reason := uid[1+i], frontal[1+i], note[2+i], final.Reason()
		t.Run(reason+", after: withdrawn, and refused from now on", func(t *testing.T) {
			n.await(uid, "drafted", stands(queue.Delivered, 1))
			drafts := objects(t, folder, uid)
			n.taken(note)
			r := n.await(uid, "withdrawn", stands(queue.Refused, 2))
			if len(r.Withdrawn) != 1 || !strings.Contains(r.Reason, reason) {
				t.Errorf("refused with %q, withdrawn %+v", r.Reason, r.Withdrawn)
			}
			checkNotes(t, notes(t, folder)[uid], string(final), drafts)
			out, err := n.send(frontal)
			if err == nil || !strings.Contains(out, "0x0124") || !strings.Contains(out, "rejected ("+string(final)+"): "+reason) {
				t.Errorf("sent again: %v %s", err, out)
			}
			text, err := exec.Command(program, "show", uid, "--state", n.state).CombinedOutput()
			for _, want := range []string{"Rejected:", "Withdrawn:", reason, "told at"} {
				if err != nil || !strings.Contains(string(text), want) {
					t.Errorf("llamaxr show says no %q: %v\n%s", want, err, text)
				}
			}
		})
	}
	t.Run("before the images, remembered over a crash", func(t *testing.T) {
		n.taken(note[4], note[5])
		n.stop(syscall.SIGKILL)
		n.start()
		if out, err := n.send(frontal[3]); err == nil || !strings.Contains(out, "0x0124") {
			t.Errorf("an image that was rejected before: %v %s", err, out)
		}
		n.taken(lateral[3]) // bad quality is taken and not read
		r := n.await(uid[3], "refused", stands(queue.Refused, 1))
		if !strings.Contains(r.Reason, "rejected: quality") || len(r.Objects) != 1 {
			t.Errorf("%d objects, refused with %q", len(r.Objects), r.Reason)
		}
	})
	t.Run("retention: the copies go, the draft stays, a resend is taken", func(t *testing.T) {
		uid := uid[4]
		r := n.await(uid, "drafted", stands(queue.Delivered, 1))
		n.taken(note[6])
		r2 := n.await(uid, "expired", func(r *daemon.StudyReport) bool { return r.Objects[0].Gone != "" && r.Objects[1].Gone != "" })
		for _, o := range r.Objects {
			if _, err := os.Stat(filepath.Join(n.state, o.Path)); err == nil {
				t.Errorf("the copy of %s is still there", o.Header.SOPInstanceUID)
			}
		}
		left, _ := fs.Glob(os.DirFS(daemon.DraftFolder(n.state, uid, 1)), "*al.png")
		if r2.State != queue.Delivered || r2.Revision != 1 || r2.Draft == nil || len(left) != 0 || len(notes(t, folder)[uid]) != 0 {
			t.Errorf("the study is %s at revision %d with pictures %v", r2.State, r2.Revision, left)
		}
		n.taken(frontal[4], lateral[4])
		n.await(uid, "back", func(r *daemon.StudyReport) bool { return r.Objects[0].Gone == "" && r.Revision == 1 })
	})
}

// checkNotes checks that the notes of a study have one title and reject together just what the receiver had.
func checkNotes(t *testing.T, got []note, title string, drafts []string) {
	t.Helper()
	var rejects []string
	for _, n := range got {
		if n.title != title {
			t.Errorf("a note of title %s, want %s", n.title, title)
		}
		rejects = append(rejects, n.rejects...)
	}
	slices.Sort(rejects)
	if !slices.Equal(rejects, drafts) {
		t.Errorf("the notes reject %v, the receiver has %v", rejects, drafts)
	}
}

// TestPatientCorrectedAfterTheDraft: the thirteenth hard case end to end.
func TestPatientCorrectedAfterTheDraft(t *testing.T) {
	port, folder := startStorescp(t)
	n := startNode(t, "--destination", "PACS@127.0.0.1:"+port)
	patients := func(uid string) map[string]int {
		found := map[string]int{}
		for _, f := range received(t, folder)[uid][basicTextSR] {
			out, err := exec.Command(peertest.Program(t, "dcmdump"), "+P", "PatientID", "+P", "PatientName", f).Output()
			if err != nil {
				t.Fatal(err)
			}
			for line := range strings.Lines(string(out)) {
				_, value, _ := strings.Cut(line, "[")
				value, _, _ = strings.Cut(value, "]")
				found[value]++
			}
		}
		return found
	}

	t.Run("merged: sent again as another patient, withdrawn under the old and drafted under the new", func(t *testing.T) {
		uid, frontal, lateral := phantomStudy(t, 9011)
		n.taken(frontal, lateral)
		first := n.await(uid, "drafted", stands(queue.Delivered, 1))
		drafts := objects(t, folder, uid)
		archive := []string{"--calling", "ARCHIVE"}
		n.taken(append(archive, changed(t, []string{"PatientID=MERGED", "PatientName=Merged^Patient"}, frontal, lateral)...)...)
		r := n.await(uid, "drafted again", stands(queue.Delivered, 2))
		if len(r.Objects) != 2 || len(r.Withdrawn) != 1 {
			t.Errorf("%d objects, withdrawn %+v", len(r.Objects), r.Withdrawn)
		}
		got := notes(t, folder)[uid]
		checkNotes(t, got, "113038", drafts)
		old := first.Objects[0].Header.PatientID
		if len(got) == 1 && got[0].patient != old {
			t.Errorf("the note is of patient %q, the drafts of %q", got[0].patient, old)
		}
		if p := patients(uid); p["MERGED"] != 1 || p[old] != 1 {
			t.Errorf("narratives by patient: %v", p)
		}
		if out, err := n.send(frontal); err == nil || !strings.Contains(out, "0x0111") {
			t.Errorf("a stale copy of the old identity: %v %s", err, out)
		}
		n.taken(append(archive, frontal, lateral)...)
		if r := n.await(uid, "the merge taken back", stands(queue.Delivered, 3)); len(r.Withdrawn) != 2 || patients(uid)[old] != 2 {
			t.Errorf("withdrawn %+v, narratives by patient: %v", r.Withdrawn, patients(uid))
		}
	})
	t.Run("sent again as another patient, compressed by the archive", func(t *testing.T) {
		for i, options := range [][]string{{}, {"+ee", "+un"}} { // without loss, and with
			uid, frontal, lateral := phantomStudy(t, uint64(9015+i))
			n.taken(frontal, lateral)
			n.await(uid, "drafted", stands(queue.Delivered, 1))
			var again []string
			for _, f := range changed(t, []string{"PatientID=MERGED"}, frontal, lateral) {
				again = append(again, f+".compressed")
				if out, err := exec.Command(peertest.Program(t, "dcmcjpeg"), append(options, f, again[len(again)-1])...).CombinedOutput(); err != nil {
					t.Fatalf("dcmcjpeg: %v\n%s", err, out)
				}
			}
			n.taken(again...)
			if r := n.await(uid, "drafted again", stands(queue.Delivered, 2)); len(r.Withdrawn) != 1 {
				t.Errorf("withdrawn %+v", r.Withdrawn)
			}
			if out, err := n.send(swapped(t, frontal, lateral)); err == nil || !strings.Contains(out, "0x0111") {
				t.Errorf("another picture of another patient under the same UID: %v %s", err, out)
			}
		}
	})
	t.Run("the name corrected: a revision that replaces the first", func(t *testing.T) {
		uid, frontal, lateral := phantomStudy(t, 9012)
		n.taken(frontal, lateral)
		n.await(uid, "drafted", stands(queue.Delivered, 1))
		n.taken(changed(t, []string{"PatientName=Correct^Name"}, lateral)...)
		r := n.await(uid, "drafted again", stands(queue.Delivered, 2))
		if p := patients(uid); len(r.Withdrawn) != 0 || p["Correct^Name"] != 1 {
			t.Errorf("withdrawn %v, narratives by patient %v", r.Withdrawn, p)
		}
		out, err := exec.Command(peertest.Python(t), append([]string{"testdata/revisions.py"}, received(t, folder)[uid][basicTextSR]...)...).CombinedOutput()
		if err != nil || !strings.HasSuffix(strings.TrimSpace(string(out)), "replaces 1") {
			t.Errorf("%v %s", err, out)
		}
	})
	t.Run("the order corrected: withdrawn under the old accession number and drafted under the new", func(t *testing.T) {
		uid, frontal, lateral := phantomStudy(t, 9014)
		unordered := changed(t, []string{"AccessionNumber="}, frontal, lateral)
		n.taken(unordered...)
		n.await(uid, "drafted", stands(queue.Delivered, 1))
		n.taken(changed(t, []string{"AccessionNumber=WRONG"}, frontal, lateral)...)
		if r := n.await(uid, "drafted again", stands(queue.Delivered, 2)); len(r.Withdrawn) != 0 {
			t.Errorf("an order where there was none: withdrawn %+v", r.Withdrawn)
		}
		n.taken(frontal, lateral)
		if r := n.await(uid, "drafted once more", stands(queue.Delivered, 3)); len(r.Withdrawn) != 1 || r.Withdrawn[0].Revision != 2 {
			t.Errorf("another order: withdrawn %+v", r.Withdrawn)
		}
		if got := notes(t, folder)[uid]; len(got) != 1 || got[0].title != "113038" {
			t.Errorf("notes %+v", got)
		}
		orders := map[string]int{}
		for _, f := range received(t, folder)[uid][basicTextSR] {
			out, err := exec.Command(peertest.Program(t, "dcmdump"), "+P", "0008,0050", f).Output()
			if err != nil {
				t.Fatal(err)
			}
			orders[strings.Fields(string(out))[2]]++
		}
		if orders["[WRONG]"] != 1 || orders["[PH9014]"] != 1 || len(orders) != 3 {
			t.Errorf("narratives by accession number: %v", orders)
		}
		if out, err := n.send(unordered[0]); err == nil || !strings.Contains(out, "0x0111") {
			t.Errorf("a copy that names no order: %v %s", err, out)
		}
	})
	t.Run("a later image of another patient: no draft of both, the first withdrawn", func(t *testing.T) {
		uid, frontal, lateral := phantomStudy(t, 9013)
		n.taken(frontal)
		n.await(uid, "drafted", stands(queue.Delivered, 1))
		drafts := objects(t, folder, uid)
		n.taken(changed(t, []string{"PatientID=OTHER"}, lateral)...)
		r := n.await(uid, "refused", stands(queue.Refused, 2))
		if !strings.Contains(r.Reason, "different patients") || len(r.Withdrawn) != 1 {
			t.Errorf("refused with %q, withdrawn %v", r.Reason, r.Withdrawn)
		}
		checkNotes(t, notes(t, folder)[uid], "113038", drafts)
	})
}

// TestTimesAreOfTheSite: what says no time zone is of the site's (as its images and signed reports are), so that a reader who sorts by it sees a draft before
// the report that was signed after it.
func TestTimesAreOfTheSite(t *testing.T) {
	const zone = "America/Los_Angeles"
	there, err := time.LoadLocation(zone)
	if err != nil {
		t.Skip(err)
	}
	t.Setenv("TZ", zone)
	port, folder := startStorescp(t)
	n := startNode(t, "--destination", "PACS@127.0.0.1:"+port)
	uid, frontal, lateral := phantomStudy(t, 9021)
	began := time.Now().Truncate(time.Second)
	n.taken(frontal, lateral)
	n.await(uid, "drafted", stands(queue.Delivered, 1))
	n.taken(changed(t, []string{"PatientID=MERGED"}, frontal, lateral)...)
	n.await(uid, "drafted again and withdrawn", func(r *daemon.StudyReport) bool {
		return stands(queue.Delivered, 2)(r) && len(r.Withdrawn) == 1 && len(r.Jobs) == 0
	})
	files, err := filepath.Glob(filepath.Join(folder, "*"))
	if err != nil || len(files) != 9 {
		t.Fatalf("%d objects are there, %v", len(files), err)
	}
	for _, file := range files {
		for _, of := range []string{"InstanceCreation", "Content"} {
			out, err := exec.Command(peertest.Program(t, "dcmdump"), "-s", "+P", of+"Date", "+P", of+"Time", file).Output()
			if err != nil {
				t.Fatal(err)
			}
			text := ""
			for line := range strings.Lines(string(out)) {
				_, value, _ := strings.Cut(line, "[")
				value, _, _ = strings.Cut(value, "]")
				text += value
			}
			said, err := time.ParseInLocation("20060102150405", text, there)
			if err != nil || said.Before(began) || said.After(time.Now()) {
				t.Errorf("%s: %s is %s: %s there, want %s or a little later (%v)", filepath.Base(file), of, text, said, began.In(there), err)
			}
		}
	}
}
