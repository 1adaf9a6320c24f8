package ingest

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"llamaxr/ingest/dicomfile"
	"llamaxr/ingest/spool"
	"llamaxr/queue"
	"llamaxr/study"
)

// TestCorrectionOfWhatIsGone: the corrected object of one whose file retention removed is two objects under one UID, which a sender takes for
// done; an error that may pass would have it sent for ever.
func TestCorrectionOfWhatIsGone(t *testing.T) {
	db, err := queue.Open(filepath.Join(t.TempDir(), "db"), queue.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	files, err := spool.Open(t.TempDir(), 0)
	if err != nil {
		t.Fatal(err)
	}
	defer files.Close()
	r := &Receiver{DB: db, Spool: files, SamePicture: dicomfile.Opener(dicomfile.Open).SamePixels}
	object := func(patient string) *queue.Instance {
		return &queue.Instance{Instance: study.Instance{
			Header: study.Header{StudyInstanceUID: "1.2", SOPInstanceUID: "1.2.3", PatientID: patient}, Path: "objects/gone.dcm", SHA256: patient,
		}}
	}
	known := object("1")
	known.Gone = queue.GoneRetention
	if corrected, err := r.corrects("", object("2"), known); corrected || err != nil {
		t.Errorf("%v, %v", corrected, err)
	}
}

// TestCorrectedPictureStaysItsSenders: what an archive corrects of the patient is still the picture of the modality that sent it, by which the site decides what
// is done with it: a modality that is not live does not go live by a correction.
func TestCorrectedPictureStaysItsSenders(t *testing.T) {
	db, err := queue.Open(filepath.Join(t.TempDir(), "queue.db"), queue.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	object := func(patient, sender, sum string) *queue.Instance {
		h := study.Header{StudyInstanceUID: "1.2", SOPInstanceUID: "1.2.3", PatientID: patient}
		return &queue.Instance{Instance: study.Instance{Header: h, Calling: sender, SHA256: sum}}
	}
	known := object("A", "CR1", "1")
	r := &Receiver{
		DB: db, Complete: func(*queue.Tx, *queue.Study) error { return nil }, Look: func(*queue.Tx, *queue.Instance) error { return nil },
		Moved: func(*queue.Tx, *queue.Study, *queue.Instance) error { return nil },
	}
	err = db.Update(func(tx *queue.Tx) error {
		if err := tx.PutStudy(&queue.Study{UID: "1.2", Instances: []string{"1.2.3"}, Drafted: []string{"1.2.3"}}); err != nil {
			return err
		}
		if err := tx.PutInstance(known); err != nil {
			return err
		}
		return r.correct(tx, object("B", "PACS", "2"), known)
	})
	if err != nil {
		t.Fatal(err)
	}
	holds := func(db *queue.DB, where string) (s *queue.Study) {
		err := db.View(func(tx *queue.Tx) error {
			i, err := tx.Instance("1.2.3")
			if err != nil || i.Calling != "CR1" || i.Header.PatientID != "B" {
				t.Errorf("%s: %+v (%v)", where, i, err)
			}
			s, err = tx.Study("1.2")
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	if s := holds(db, "corrected"); !strings.HasPrefix(s.Events[0].What, "PACS corrected") || len(s.Drafted) > 0 {
		t.Errorf("%+v, as the draft reads it: %v", s.Events, s.Drafted)
	}

	// The record of the corrected object is lost, and it is taken in from its file.
	lost, err := queue.Open(filepath.Join(t.TempDir(), "queue.db"), queue.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer lost.Close()
	err = lost.Update(func(tx *queue.Tx) error {
		return errors.Join(tx.SetAside(known), tx.PutStudy(&queue.Study{UID: "1.2", Instances: []string{"1.2.3"}}))
	})
	r.DB = lost
	if err = errors.Join(err, r.adopt(object("B", "PACS", "2"), nil)); err != nil {
		t.Fatal(err)
	}
	holds(lost, "taken in")
}
