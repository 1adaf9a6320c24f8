package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"llamaxr/daemon"
	"llamaxr/queue"
	"llamaxr/study"
)

// flip changes one bit of a file.
func flip(t testing.TB, path string, at int64, bit int) {
	t.Helper()
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	b := make([]byte, 1)
	if _, err := file.ReadAt(b, at); err != nil {
		t.Fatal(err)
	}
	b[0] ^= 1 << bit
	if _, err := file.WriteAt(b, at); err != nil {
		t.Fatal(err)
	}
}

// fsck runs the command and returns what it found and its exit status.
func fsck(t testing.TB, state string, args ...string) (report daemon.FsckReport, status int) {
	t.Helper()
	cmd := exec.Command(program, append([]string{"fsck", "--state", state, "--json"}, args...)...)
	out, err := cmd.Output()
	status = cmd.ProcessState.ExitCode()
	if bad := json.Unmarshal(out, &report); bad != nil {
		t.Fatalf("fsck: %v, %v: %s", err, bad, out)
	}
	if report.Findings == nil {
		t.Errorf("findings are no list: %s", out)
	}
	return report, status
}

// TestFsck: each kind of damage to a state is found, repaired as far as it can be, and the state is sound afterwards.
func TestFsck(t *testing.T) {
	port, folder := startStorescp(t)
	n := startNode(t, "--destination", "PACS@127.0.0.1:"+port)
	uid, frontal, lateral := phantomStudy(t, 9041)
	n.taken(frontal, lateral)
	study := n.await(uid, "drafted", stands(queue.Delivered, 1))
	drafts := objects(t, folder, uid)
	n.stop(os.Interrupt)
	if report, status := fsck(t, n.state); status != 0 || len(report.Findings) > 0 || report.Studies != 1 || report.Instances != 2 || report.Drafts != 1 {
		t.Fatalf("a sound state: exit status %d, %+v", status, report)
	}
	image := study.Objects[0].Path
	draft, err := filepath.Rel(n.state, daemon.DraftFolder(n.state, uid, 1))
	if err != nil {
		t.Fatal(err)
	}
	update := func(state string, change func(tx *queue.Tx) error) {
		db, err := queue.Open(filepath.Join(state, "llamaxr.db"), queue.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if err := db.Update(change); err != nil {
			t.Error(err)
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}
	for name, test := range map[string]struct {
		damage func(state string)
		want   string
	}{
		"a bit of an image":        {func(state string) { flip(t, filepath.Join(state, image), 20_000, 3) }, "its file is damaged"},
		"a bit of an image's head": {func(state string) { flip(t, filepath.Join(state, image), 200, 1) }, "its file is damaged"},
		"an image cut short":       {func(state string) { os.Truncate(filepath.Join(state, image), 30_000) }, "its file is damaged"},
		"an image gone":            {func(state string) { os.Remove(filepath.Join(state, image)) }, "its file is missing"},
		"a bit of a draft":         {func(state string) { flip(t, filepath.Join(state, draft, "draft.json"), 1000, 2) }, "its checksum does not fit"},
		"a bit of a document":      {func(state string) { flip(t, filepath.Join(state, draft, "narrative.dcm"), 500, 2) }, "narrative.dcm"},
		"a document gone":          {func(state string) { os.Remove(filepath.Join(state, draft, "scores.dcm")) }, "scores.dcm"},
		"a file of nobody": {func(state string) {
			data, _ := os.ReadFile(filepath.Join(state, image))
			os.WriteFile(filepath.Join(state, "objects", "00", "unknown.dcm"), data, 0o600)
		}, "does not know it"},
		"a file that is nothing": {func(state string) { os.WriteFile(filepath.Join(state, "objects", "00", "x.dcm"), []byte("x"), 0o600) }, "does not know it"},
		"a study that nobody works on": {func(state string) {
			update(state, func(tx *queue.Tx) error {
				s, err := tx.Study(uid)
				if err == nil {
					s.State = queue.Complete
					err = tx.PutStudy(s)
				}
				return err
			})
		}, "nobody does its report"},
		"a study that lists what is not there": {func(state string) {
			update(state, func(tx *queue.Tx) error {
				s, err := tx.Study(uid)
				if err == nil {
					s.Instances = append(s.Instances, "1.2.3")
					err = tx.PutStudy(s)
				}
				return err
			})
		}, "lists 1 objects that are lost"},
	} {
		t.Run(name, func(t *testing.T) {
			state := filepath.Join(t.TempDir(), "[a]*")
			if err := os.CopyFS(state, os.DirFS(n.state)); err != nil {
				t.Fatal(err)
			}
			test.damage(state)
			report, status := fsck(t, state)
			if status != 1 || len(report.Findings) != 1 || !strings.Contains(fmt.Sprint(report.Findings), test.want) {
				t.Fatalf("exit status %d, found %+v, want %q", status, report.Findings, test.want)
			}
			if report, status := fsck(t, state, "--repair"); status != 0 || !report.Findings[0].Repaired {
				t.Fatalf("repairing: exit status %d, %+v", status, report.Findings)
			}
			if name == "a bit of a document" || name == "a document gone" { // the appliance itself does that
				n := *n
				n.t, n.state = t, state
				n.start()
				n.await(uid, "made again", stands(queue.Delivered, 1))
				n.stop(os.Interrupt)
				if again := objects(t, folder, uid); fmt.Sprint(again) != fmt.Sprint(drafts) {
					t.Error("documents were sent again under other UIDs")
				}
			}
			if report, status := fsck(t, state); status != 0 || len(report.Findings) > 0 {
				t.Errorf("afterwards: exit status %d, %+v", status, report.Findings)
			}
		})
	}
}

// TestDatabaseDamagedUnderIt: with bits of the database changed between two starts the appliance starts, still has every image or takes it
// back in from its file, and works; fsck finds what it found.
func TestDatabaseDamagedUnderIt(t *testing.T) {
	port, _ := startStorescp(t)
	n := startNode(t, "--destination", "PACS@127.0.0.1:"+port)
	uid, frontal, lateral := phantomStudy(t, 9051)
	n.taken(frontal, lateral)
	n.await(uid, "drafted", stands(queue.Delivered, 1))
	n.stop(os.Interrupt)
	info, err := os.Stat(filepath.Join(n.state, "llamaxr.db"))
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(5, 5))
	const tries = 40
	found := 0
	for range tries {
		state := t.TempDir()
		if err := os.CopyFS(state, os.DirFS(n.state)); err != nil {
			t.Fatal(err)
		}
		at, bit := rng.Int64N(info.Size()/4096)*4096+rng.Int64N(700), rng.IntN(8)
		flip(t, filepath.Join(state, "llamaxr.db"), at, bit)
		report, status := fsck(t, state, "--repair")
		found += min(len(report.Findings), 1)
		if status != 0 {
			t.Errorf("byte %d: %+v", at, report.Findings)
		}
		s, err := daemon.StudyOf(state, uid)
		if err != nil || len(s.Objects) != 2 {
			t.Errorf("byte %d: the study is %+v, %v; found %+v", at, s, err, report.Findings)
		}
		if report, status := fsck(t, state); status != 0 {
			t.Errorf("byte %d, afterwards: %+v", at, report.Findings)
		}
		os.RemoveAll(state)
	}
	t.Logf("%d of %d changed bits mattered", found, tries)

	// The daemon itself, with a bit of the study's record changed.
	db, err := os.ReadFile(filepath.Join(n.state, "llamaxr.db"))
	if err != nil {
		t.Fatal(err)
	}
	for at := 0; ; {
		next := strings.Index(string(db[at:]), `"first_received"`)
		if next < 0 {
			break
		}
		at += next
		flip(t, filepath.Join(n.state, "llamaxr.db"), int64(at), 0)
		at++
	}
	n.start()
	n.await(uid, "drafted again after its record was lost", stands(queue.Delivered, 2))
	other, frontal, lateral := phantomStudy(t, 9052)
	n.taken(frontal, lateral)
	n.await(other, "drafted", stands(queue.Delivered, 1))
	if !strings.Contains(n.log.String(), "the database is damaged") {
		t.Error("the log does not tell of the damage")
	}
}

// TestStateWithoutItsDatabase: where the database is missing or empty, as in a state folder that was half copied, the objects are not taken for what nobody was
// told of: they are taken in from their files, and drafted after the drafts that are there.
func TestStateWithoutItsDatabase(t *testing.T) {
	n := startNode(t)
	uid, frontal, lateral := phantomStudy(t, 9061)
	n.taken(frontal, lateral)
	n.await(uid, "drafted", stands(queue.Delivered, 1))
	for revision, lose := range []func(string) error{os.Remove, func(path string) error { return os.Truncate(path, 0) }} {
		n.stop(os.Interrupt)
		if err := lose(filepath.Join(n.state, "llamaxr.db")); err != nil {
			t.Fatal(err)
		}
		n.start()
		n.await(uid, "taken in and drafted", stands(queue.Delivered, revision+2))
		if s, err := daemon.StudyOf(n.state, uid); err != nil || len(s.Objects) != 2 {
			t.Errorf("%v: %+v", err, s)
		}
	}
}

// TestStateWithAnOlderDatabase: what came after the database that lies there, a study and a patient's correction, is taken in from its files, and drafts are numbered
// after those that are there.
func TestStateWithAnOlderDatabase(t *testing.T) {
	n := startNode(t)
	database := filepath.Join(n.state, "llamaxr.db")
	early, frontal, lateral := phantomStudy(t, 9064)
	n.taken(frontal, lateral)
	n.await(early, "drafted", stands(queue.Delivered, 1))
	n.stop(os.Interrupt)
	old, err := os.ReadFile(database)
	if err != nil {
		t.Fatal(err)
	}
	n.start()
	n.taken(changed(t, []string{"PatientID=MERGED"}, frontal, lateral)...)
	late, frontal, lateral := phantomStudy(t, 9065)
	n.taken(frontal, lateral)
	n.await(early, "corrected", stands(queue.Delivered, 2))
	n.await(late, "drafted", stands(queue.Delivered, 1))
	n.stop(os.Interrupt)
	if err := os.WriteFile(database, old, 0o600); err != nil {
		t.Fatal(err)
	}
	n.start()
	n.await(late, "taken in", stands(queue.Delivered, 2))
	r := n.await(early, "corrected again", stands(queue.Delivered, 3))
	if r.Objects[0].Header.PatientID != "MERGED" || r.Objects[1].Header.PatientID != "MERGED" {
		t.Errorf("the correction is lost: %+v", r.Objects)
	}
}

// TestStateWithoutItsObjects: a folder of objects that is not mounted is no loss: nothing starts, and nothing is noted as lost until an administrator says so.
func TestStateWithoutItsObjects(t *testing.T) {
	n := startNode(t)
	uid, frontal, lateral := phantomStudy(t, 9063)
	n.taken(frontal, lateral)
	n.await(uid, "drafted", stands(queue.Delivered, 1))
	n.stop(os.Interrupt)
	folder := filepath.Join(n.state, "objects")
	if err := errors.Join(os.Rename(folder, folder+".elsewhere"), os.Mkdir(folder, 0o700)); err != nil {
		t.Fatal(err)
	}
	key := filepath.Join(t.TempDir(), "key")
	says(t, 0, "", "encryption", "new-key", key)
	for _, command := range [][]string{
		{"backup", "--to", t.TempDir()},
		{"encryption", "apply", "--key", key},
		{"run", "--listen", "127.0.0.1:" + n.port},
		{"fsck"},
		{"doctor"},
	} {
		out, err := exec.Command(program, append(command, "--state", n.state)...).CombinedOutput()
		if err == nil || !strings.Contains(string(out), "the folder objects of "+n.state+" is missing or empty, and the ledger has 2") {
			t.Errorf("%s: %v: %s", command, err, out)
		}
	}
	if err := errors.Join(os.Remove(folder), os.Rename(folder+".elsewhere", folder)); err != nil {
		t.Fatal(err)
	}
	if report, status := fsck(t, n.state); status != 0 {
		t.Errorf("mounted again: exit status %d, %+v", status, report)
	}
	// Taken for lost, and then found again.
	if err := os.Rename(folder, folder+".elsewhere"); err != nil {
		t.Fatal(err)
	}
	if report, status := fsck(t, n.state, "--repair"); status != 0 || len(report.Findings) != 2 {
		t.Errorf("lost: exit status %d, %+v", status, report)
	}
	if err := errors.Join(os.RemoveAll(folder), os.Rename(folder+".elsewhere", folder)); err != nil {
		t.Fatal(err)
	}
	if report, status := fsck(t, n.state, "--repair"); status != 0 || len(report.Findings) != 2 {
		t.Errorf("found again: exit status %d, %+v", status, report)
	}
	if report, status := fsck(t, n.state); status != 0 || len(report.Findings) != 0 {
		t.Errorf("then: exit status %d, %+v", status, report)
	}
	if err := os.RemoveAll(folder); err != nil {
		t.Fatal(err)
	}
	if report, status := fsck(t, n.state, "--repair"); status != 0 || len(report.Findings) != 2 {
		t.Errorf("lost: exit status %d, %+v", status, report)
	}
	n.start()
	n.taken(frontal, lateral)
	r := n.await(uid, "drafted", stands(queue.Delivered, 1))
	for _, o := range r.Objects {
		if info, err := os.Stat(filepath.Join(n.state, o.Path)); err != nil || info.Size() == 0 || o.Gone != "" {
			t.Errorf("%s did not come back: %v", o.Header.SOPInstanceUID, err)
		}
	}
}

// TestCorrectedPatientOutlivesTheDatabase: of the objects that a start takes in without its database, the one that came last says whose picture it is, and sent again
// it is no stale copy.
func TestCorrectedPatientOutlivesTheDatabase(t *testing.T) {
	n := startNode(t)
	corrected := map[string][]string{}
	for seed := uint64(9062); len(corrected) < 4; seed++ {
		uid, frontal, lateral := phantomStudy(t, seed)
		corrected[uid] = changed(t, []string{"PatientID=MERGED"}, frontal, lateral)
		n.taken(frontal, lateral)
	}
	for uid, images := range corrected {
		n.await(uid, "drafted", stands(queue.Delivered, 1))
		n.taken(images...)
	}
	for uid := range corrected {
		n.await(uid, "corrected", stands(queue.Delivered, 2))
	}
	n.stop(os.Interrupt)
	if err := os.Remove(filepath.Join(n.state, "llamaxr.db")); err != nil {
		t.Fatal(err)
	}
	n.start()
	for uid, images := range corrected {
		for _, when := range []string{"taken in", "sent again"} {
			r := n.await(uid, when, stands(queue.Delivered, 3))
			if len(r.Objects) != 2 || r.Objects[0].Header.PatientID != "MERGED" || r.Objects[1].Header.PatientID != "MERGED" {
				t.Errorf("%s: %+v", when, r.Objects)
			}
			n.taken(images...)
		}
	}
}

// TestImageDamagedUnderIt: an image whose file changed on the disk is not read; the study is drafted without it and, when it comes again, with
// it.
func TestImageDamagedUnderIt(t *testing.T) {
	port, _ := startStorescp(t)
	n := startNode(t, "--destination", "PACS@127.0.0.1:"+port)
	uid, frontal, lateral := phantomStudy(t, 9061)
	n.taken(frontal)
	r := n.await(uid, "drafted", stands(queue.Delivered, 1))
	flip(t, filepath.Join(n.state, r.Objects[0].Path), 50_000, 0)
	n.taken(lateral)
	r = n.await(uid, "drafted without", stands(queue.Delivered, 2))
	if r.Pair.Frontal != "" || r.Pair.Lateral == "" || r.Objects[0].Gone == "" {
		t.Errorf("read: %+v", r.Pair)
	}
	n.taken(frontal)
	if r = n.await(uid, "drafted with", stands(queue.Delivered, 3)); r.Pair.Frontal == "" || r.Pair.Lateral == "" {
		t.Errorf("read: %+v", r.Pair)
	}
}

// copied is a stopped node with a copy of the state.
func (n *node) copied(t testing.TB) *node {
	t.Helper()
	c := *n
	c.t, c.state = t, filepath.Join(t.TempDir(), "state")
	if out, err := exec.Command("cp", "-a", n.state, c.state).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return &c
}

// spoil changes a bit of each record of a database that holds a text.
func spoil(t testing.TB, state, text string) {
	t.Helper()
	path := filepath.Join(state, "llamaxr.db")
	db, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for at := 0; ; at++ {
		next := strings.Index(string(db[at:]), text)
		if next < 0 {
			break
		}
		at += next
		flip(t, path, int64(at+len(text)-1), 0)
		found = true
	}
	if !found {
		t.Fatalf("no record holds %q", text)
	}
}

// TestPatientStaysCorrected: whatever a database has lost of a patient that was corrected, the correction stands, though the times of the files are lost too.
func TestPatientStaysCorrected(t *testing.T) {
	n := startNode(t)
	uid, frontal, lateral := phantomStudy(t, 9066)
	n.taken(frontal, lateral)
	first := n.await(uid, "drafted", stands(queue.Delivered, 1)).Objects
	corrected := changed(t, []string{"PatientID=MERGED"}, frontal, lateral)
	n.taken(corrected...)
	second := n.await(uid, "corrected", stands(queue.Delivered, 2)).Objects
	n.stop(os.Interrupt)
	if report, status := fsck(t, n.state); status != 0 {
		t.Errorf("after a correction: %+v", report.Findings)
	}
	n.start()
	if out, err := n.send(frontal); err == nil || !strings.Contains(out, "0x0111") {
		t.Errorf("a stale copy: %v %s", err, out)
	}
	n.stop(os.Interrupt)
	if report, status := fsck(t, n.state); status != 0 {
		t.Errorf("after a stale copy: %+v", report.Findings)
	}
	later := time.Now()
	for name, damage := range map[string]func(state string){
		"the records of the first objects": func(state string) {
			for _, o := range first {
				spoil(t, state, o.SHA256)
			}
		},
		"the database, and the files' times": func(state string) {
			if err := os.Remove(filepath.Join(state, "llamaxr.db")); err != nil {
				t.Fatal(err)
			}
			for i, objects := range [][]*queue.Instance{second, first} {
				for _, o := range objects {
					at := later.Add(time.Duration(i) * time.Minute)
					if err := os.Chtimes(filepath.Join(state, o.Path), at, at); err != nil {
						t.Fatal(err)
					}
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			n := n.copied(t)
			damage(n.state)
			n.start()
			defer n.stop(os.Interrupt)
			for _, when := range []string{"taken in", "sent again"} {
				r := n.await(uid, when, func(r *daemon.StudyReport) bool { return r.State == queue.Delivered })
				for _, o := range r.Objects {
					if o.Header.PatientID != "MERGED" {
						t.Errorf("%s: %+v", when, o.Header)
					}
				}
				n.taken(corrected...)
			}
		})
	}
}

// TestRejectionsOutliveTheirRecords: what a note took back for good stays so though its record was lost.
func TestRejectionsOutliveTheirRecords(t *testing.T) {
	n := startNode(t)
	uid, frontal, lateral := phantomStudy(t, 9067)
	n.taken(frontal)
	n.await(uid, "drafted", stands(queue.Delivered, 1))
	n.taken(rejectionNotes(t, rejection{"113037", []string{frontal}})...)
	r := n.await(uid, "taken back", stands(queue.Refused, 2))
	n.stop(os.Interrupt)
	spoil(t, n.state, `"note":"`+r.Rejected[0].Note)
	n.start()
	n.taken(lateral)
	r = n.await(uid, "drafted without it", stands(queue.Delivered, 3))
	if r.Pair.Frontal != "" || len(r.Rejected) != 1 {
		t.Errorf("drafted from %+v, rejected %v", r.Pair, r.Rejected)
	}
	if out, err := n.send(frontal); err == nil || !strings.Contains(out, "0x0124") {
		t.Errorf("sent again: %v %s", err, out)
	}
}

// TestDraftsOutliveTheirRecords: a draft that left before the ledger lost where it went is taken back there when its images are.
func TestDraftsOutliveTheirRecords(t *testing.T) {
	port, folder := startStorescp(t)
	n := startNode(t, "--destination", "PACS@127.0.0.1:"+port)
	uid, frontal, lateral := phantomStudy(t, 9068)
	n.taken(frontal, lateral)
	n.await(uid, "drafted", stands(queue.Delivered, 1))
	n.stop(os.Interrupt)
	files := func(folder string) []string { all, _ := filepath.Glob(filepath.Join(folder, "*")); return all }
	before, note := files(folder), rejectionNotes(t, rejection{"113037", []string{frontal, lateral}})
	for name, damage := range map[string]func(state string){
		"the database": func(state string) {
			if err := os.Remove(filepath.Join(state, "llamaxr.db")); err != nil {
				t.Fatal(err)
			}
		},
		"the study": func(state string) { spoil(t, state, `{"study_instance_uid":"`+uid+`","state":"d`) },
	} {
		t.Run(name, func(t *testing.T) {
			n := n.copied(t)
			damage(n.state)
			n.start()
			defer n.stop(os.Interrupt)
			n.await(uid, "drafted again", stands(queue.Delivered, 2))
			drafts := objects(t, folder, uid)
			n.taken(note...)
			n.await(uid, "taken back", stands(queue.Refused, 3))
			got := notes(t, folder)[uid]
			checkNotes(t, got, "113037", drafts)
			for _, f := range files(folder) {
				if !slices.Contains(before, f) {
					os.Remove(f)
				}
			}
		})
	}
}

// readingOf is what people made of a study's draft, of a stopped node.
func (n *node) readingOf(uid string) (r *queue.Reading) {
	n.t.Helper()
	db, err := queue.OpenReadOnly(filepath.Join(n.state, "llamaxr.db"))
	if err != nil {
		n.t.Fatal(err)
	}
	defer db.Close()
	if err := db.View(func(tx *queue.Tx) (err error) { r, err = tx.Reading(uid); return err }); err != nil {
		n.t.Fatal(err)
	}
	return r
}

// TestSignaturesOutliveTheirRecords: a report that was signed stays so though the ledger lost it, and what is signed next replaces it where it went.
func TestSignaturesOutliveTheirRecords(t *testing.T) {
	port, folder := startStorescp(t)
	n := startNode(t, "--destination", "PACS@127.0.0.1:"+port)
	n.addUser("jane", "Doe^Jane^^Dr", password, "signer")
	uid, frontal, lateral := phantomStudy(t, 9069)
	n.taken(frontal, lateral)
	n.await(uid, "drafted", stands(queue.Delivered, 1))
	n.signer("jane").does("sign", uid, 0, "The heart is large.", "Cardiomegaly.")
	n.await(uid, "signed", stands(queue.Delivered, 1))
	n.stop(os.Interrupt)
	before := n.readingOf(uid).Signatures[0]
	for name, damage := range map[string]func(state string){
		"the database": func(state string) {
			if err := os.Remove(filepath.Join(state, "llamaxr.db")); err != nil {
				t.Fatal(err)
			}
		},
		"the reading": func(state string) { spoil(t, state, `{"study_instance_uid":"`+uid+`","revision":`) },
	} {
		t.Run(name, func(t *testing.T) {
			n := n.copied(t)
			damage(n.state)
			n.start()
			defer n.stop(os.Interrupt)
			n.await(uid, "there again", func(r *daemon.StudyReport) bool { return r.State == queue.Delivered })
			n.stop(os.Interrupt)
			r := n.readingOf(uid)
			if r == nil || r.State != queue.ReadingSigned || len(r.Signatures) != 1 || r.Findings != "The heart is large." {
				t.Fatalf("the reading is %+v", r)
			}
			s := r.Signatures[0]
			if s.SOPInstanceUID != before.SOPInstanceUID || s.SeriesInstanceUID != before.SeriesInstanceUID || s.Name != before.Name || s.User != "jane" || s.Revision != 1 ||
				!s.Time.Equal(before.Time.Truncate(time.Second)) || s.Delivered["PACS@127.0.0.1:"+port].IsZero() {
				t.Errorf("the signature was\n%+v and is\n%+v", before, s)
			}
			n.start()
			jane := n.signer("jane")
			jane.does("sign", uid, jane.does("reopen", uid, r.Version, r.Findings, r.Impression), "The heart is of normal size.", "Normal.")
			n.await(uid, "signed again", func(r *daemon.StudyReport) bool { return r.State == queue.Delivered })
			n.stop(os.Interrupt)
			again := n.readingOf(uid).Signatures[1]
			if !slices.Contains(objects(t, folder, uid), again.SOPInstanceUID) || again.SOPInstanceUID == before.SOPInstanceUID {
				t.Errorf("what was signed last has not arrived: %+v", again)
			}
		})
	}
}

// TestMendingIsGoneOnWith: a start that ends before it has made again what a damaged database had lost leaves that to the next.
func TestMendingIsGoneOnWith(t *testing.T) {
	n := startNode(t)
	uid, frontal, lateral := phantomStudy(t, 9070)
	n.taken(frontal, lateral)
	n.await(uid, "drafted", stands(queue.Delivered, 1))
	n.stop(os.Interrupt)
	spoil(t, n.state, `{"study_instance_uid":"`+uid+`","state":"d`)
	db, err := queue.Open(filepath.Join(n.state, "llamaxr.db"), queue.Options{})
	if err != nil || len(db.Damage()) == 0 {
		t.Fatal(err, db.Damage())
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	n.start()
	n.await(uid, "drafted again", stands(queue.Delivered, 2))
	n.stop(os.Interrupt)
	if db, err = queue.Open(filepath.Join(n.state, "llamaxr.db"), queue.Options{}); err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if left := db.Damage(); len(left) > 0 {
		t.Errorf("left to be mended: %v", left)
	}
}

// TestRemovedStudyOutlivesTheDatabase: a study of which retention left the draft alone is known again without the database, and its draft is taken back where it went.
func TestRemovedStudyOutlivesTheDatabase(t *testing.T) {
	port, folder := startStorescp(t)
	n := startNode(t, "--destination", "PACS@127.0.0.1:"+port)
	uid, frontal, lateral := phantomStudy(t, 9071)
	n.taken(frontal, lateral)
	n.await(uid, "drafted", stands(queue.Delivered, 1))
	drafts := objects(t, folder, uid)
	n.retire(uid, "")
	other, second, _ := phantomStudy(t, 9072)
	n.taken(second)
	n.await(other, "drafted", stands(queue.Delivered, 1))
	n.stop(os.Interrupt)
	if err := os.Remove(filepath.Join(n.state, "llamaxr.db")); err != nil {
		t.Fatal(err)
	}
	n.start()
	n.await(uid, "known again", stands(queue.Refused, 1))
	n.taken(rejectionNotes(t, rejection{string(study.RejectedSafety), []string{frontal, lateral}})...)
	n.await(uid, "taken back", stands(queue.Refused, 2))
	checkNotes(t, notes(t, folder)[uid], string(study.RejectedSafety), drafts)
	n.stop(os.Interrupt)
	if report, status := fsck(t, n.state); status != 0 {
		t.Errorf("%+v", report.Findings)
	}
}
