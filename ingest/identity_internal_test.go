package ingest

import (
	"path/filepath"
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
