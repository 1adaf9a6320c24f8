package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"llamaxr/daemon"
	"llamaxr/queue"
	"llamaxr/study"
)

// TestRetention: a delivered study that is old enough loses its files at the next start. It stays known: the state is sound, a resend makes no
// second draft, and a rejection note that comes late still withdraws the draft at the PACS.
func TestRetention(t *testing.T) {
	port, folder := startStorescp(t)
	n := startNode(t, "--destination", "PACS@127.0.0.1:"+port)
	uid, frontal, lateral := phantomStudy(t, 9501)
	n.taken(frontal, lateral)
	n.await(uid, "drafted", stands(queue.Delivered, 1))
	drafts := objects(t, folder, uid)
	r := n.retire(uid, "")
	kept, _ := os.ReadDir(daemon.DraftFolder(n.state, uid, 1))
	if r.State != queue.Delivered || len(kept) != 1 || kept[0].Name() != "draft.json" || r.Draft == nil || len(r.Draft.Draft.Sentences) == 0 {
		t.Errorf("the study is %s, %v are left of its draft", r.State, kept)
	}
	for _, o := range r.Objects {
		if _, err := os.Stat(filepath.Join(n.state, o.Path)); err == nil || o.Gone != queue.GoneRetention {
			t.Errorf("object %s: gone %q, %v", o.Header.SOPInstanceUID, o.Gone, err)
		}
	}
	if out, err := exec.Command(program, "show", uid, "--state", n.state).CombinedOutput(); err != nil || !strings.Contains(string(out), "Files removed by retention at ") {
		t.Errorf("llamaxr show: %v\n%s", err, out)
	}
	n.stop(os.Interrupt)
	if out, err := exec.Command(program, "fsck", "--state", n.state).CombinedOutput(); err != nil {
		t.Errorf("fsck: %v\n%s", err, out)
	}
	n.start()
	n.taken(frontal, lateral)
	r = n.await(uid, "sent again", func(r *daemon.StudyReport) bool { return r.Objects[0].Gone == "" && r.Objects[1].Gone == "" })
	if r.State != queue.Delivered || r.Revision != 1 || len(objects(t, folder, uid)) != len(drafts) {
		t.Errorf("after a resend the study is %s at revision %d", r.State, r.Revision)
	}
	n.taken(rejectionNotes(t, rejection{string(study.RejectedSafety), []string{frontal, lateral}})...)
	r = n.await(uid, "withdrawn", stands(queue.Refused, 2))
	if len(r.Withdrawn) != 1 {
		t.Errorf("withdrawn %+v", r.Withdrawn)
	}
	checkNotes(t, notes(t, folder)[uid], string(study.RejectedSafety), drafts)
}

// retire makes a study old enough that retention, with the settings beside it, removes its files.
func (n *node) retire(uid, settings string) *daemon.StudyReport {
	n.t.Helper()
	n.stop(os.Interrupt)
	n.age(uid, 40)
	n.args = append(n.args, "--config", configured(n.t, settings+"retention: {keep_days: 30}\n"))
	n.start()
	return n.await(uid, "removed", func(r *daemon.StudyReport) bool { return !r.Removed.IsZero() })
}

// age makes a study older while the appliance does not run.
func (n *node) age(uid string, days int) {
	n.t.Helper()
	db, err := queue.Open(filepath.Join(n.state, "llamaxr.db"), queue.Options{})
	if err != nil {
		n.t.Fatal(err)
	}
	defer db.Close()
	err = db.Update(func(tx *queue.Tx) error {
		s, err := tx.Study(uid)
		if err != nil {
			return err
		}
		for _, at := range append([]*time.Time{&s.First, &s.Last}, times(s.Events)...) {
			*at = at.AddDate(0, 0, -days)
		}
		return tx.PutStudy(s)
	})
	if err != nil {
		n.t.Fatal(err)
	}
}

func times(events []queue.Event) (out []*time.Time) {
	for i := range events {
		out = append(out, &events[i].Time)
	}
	return out
}
