package daemon

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"llamaxr/ingest/spool"
	"llamaxr/queue"
	"llamaxr/study"
)

// TestReportThatCannotBeRead: a stored report that the disk does not give is asked for again; one that is none ends, and the study says so.
func TestReportThatCannotBeRead(t *testing.T) {
	const uid, sop = "2.25.1", "2.25.7"
	for name, c := range map[string]struct {
		put  func(path string) error
		ends bool
	}{
		"refused by the disk": {func(path string) error { return os.Mkdir(path, 0o700) }, false},
		"not DICOM":           {func(path string) error { return os.WriteFile(path, []byte("nothing"), 0o600) }, true},
		"gone":                {func(string) error { return nil }, true},
	} {
		t.Run(name, func(t *testing.T) {
			a := withDrafts(t, 1, &queue.Study{UID: uid})
			var err error
			if a.spool, err = spool.Open(t.TempDir(), 0); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = a.spool.Close() })
			err = a.db.Update(func(tx *queue.Tx) error {
				i := &queue.Instance{Instance: study.Instance{Header: study.Header{StudyInstanceUID: uid, SOPInstanceUID: sop}, Path: "report"}}
				return errors.Join(tx.PutInstance(i), a.noteReport(tx, i))
			})
			if err != nil {
				t.Fatal(err)
			}
			if err := c.put(a.spool.Path("report")); err != nil {
				t.Fatal(err)
			}
			lease, err := a.db.Lease(t.Context(), time.Minute, kindReadReport)
			if err != nil {
				t.Fatal(err)
			}
			if err := a.readReport(t.Context(), lease); (err == nil) != c.ends {
				t.Errorf("it ends: %v, want %v", err, c.ends)
			}
			s, err := a.studyRecord(uid)
			if err != nil {
				t.Fatal(err)
			}
			if said := len(s.Events) > 0 && strings.Contains(s.Events[0].What, "could not be read"); said != c.ends {
				t.Errorf("the study says %+v", s.Events)
			}
		})
	}
}
