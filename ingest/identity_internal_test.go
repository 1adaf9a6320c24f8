package ingest

import (
	"bytes"
	"errors"
	"io/fs"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/suyashkumar/dicom/pkg/tag"

	"llamaxr/dicomnet/part10"
	"llamaxr/ingest/dicomfile"
	"llamaxr/ingest/rejection"
	"llamaxr/ingest/spool"
	"llamaxr/internal/dicomwrite"
	"llamaxr/queue"
	"llamaxr/study"
)

const (
	computedRadiography = "1.2.840.10008.5.1.4.1.1.1"
	testUID             = "1.2.3"
)

// archive sends real objects of one study, 1.2, to a receiver.
type archive struct {
	*Receiver
	t     *testing.T
	moved int // times that a correction moved the study
}

func newArchive(t *testing.T) *archive {
	db, err := queue.Open(filepath.Join(t.TempDir(), "db"), queue.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	files, err := spool.Open(t.TempDir(), 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = files.Close() })
	open := dicomfile.Opener(func(path string) (*dicomfile.File, error) { return Open(files, path) })
	a := &archive{t: t}
	a.Receiver = &Receiver{
		DB: db, Spool: files, ReadHeader: open.ReadHeader, SamePicture: open.SameContent, Log: slog.New(slog.DiscardHandler),
		Complete: func(*queue.Tx, *queue.Study) error { return nil }, Look: func(*queue.Tx, *queue.Instance) error { return nil },
		Moved: func(*queue.Tx, *queue.Study, *queue.Instance) error { a.moved++; return nil },
	}
	return a
}

// send has the object 1.2.3 sent as one of a patient, and returns the status.
func (a *archive) send(from, class, patient string, change func(*dicomwrite.Set)) uint16 {
	a.t.Helper()
	set := dicomwrite.New().Text(tag.SOPClassUID, class).Text(tag.SOPInstanceUID, testUID).Text(tag.StudyInstanceUID, "1.2").Text(tag.SeriesInstanceUID, "1.2.4").
		Text(tag.PatientName, "Doe^Jane").Text(tag.PatientID, patient)
	if class == computedRadiography {
		set.Text(tag.Modality, "CR").Ints(tag.SamplesPerPixel, 1).Text(tag.PhotometricInterpretation, "MONOCHROME2").Ints(tag.Rows, 2).Ints(tag.Columns, 2).
			Ints(tag.BitsAllocated, 16).Ints(tag.BitsStored, 12).Ints(tag.HighBit, 11).Ints(tag.PixelRepresentation, 0).Pixels(make([]byte, 8))
	}
	if change != nil {
		change(set)
	}
	var file bytes.Buffer
	if err := set.Write(&file, "1.2.3", "TEST"); err != nil {
		a.t.Fatal(err)
	}
	body := bytes.NewReader(file.Bytes())
	meta, err := part10.Decode(body)
	if err != nil {
		a.t.Fatal(err)
	}
	head := part10.Encode(part10.Meta{SOPClassUID: class, SOPInstanceUID: testUID, TransferSyntaxUID: meta.TransferSyntaxUID, SourceAETitle: from}, "1.2.3", "TEST")
	_, err = a.Receive(Incoming{SOPClassUID: class, SOPInstanceUID: testUID, Calling: from, Head: head}, bytes.NewReader(file.Bytes()[meta.Length:]))
	var status *StatusError
	if err != nil && !errors.As(err, &status) {
		a.t.Fatal(err)
	}
	if status == nil {
		return 0
	}
	return status.Status
}

// kept is the object as the ledger has it.
func (a *archive) kept() (i *queue.Instance) {
	a.t.Helper()
	err := a.DB.View(func(tx *queue.Tx) (err error) { i, err = tx.Instance(testUID); return err })
	if err != nil {
		a.t.Fatal(err)
	}
	return i
}

// TestCorrectionKeepsWhatIsKnown: a correction that names no issuer does not make the patient one of any, else the next that names another would be the same.
func TestCorrectionKeepsWhatIsKnown(t *testing.T) {
	a := newArchive(t)
	for _, c := range []struct {
		patient, issuer, want string
		moved                 int
	}{{"A", "", "", 0}, {"A", "H1", "H1", 0}, {"A", "", "H1", 0}, {"A", "H2", "H2", 1}, {"B", "", "", 2}} {
		status := a.send("PACS", computedRadiography, c.patient, func(s *dicomwrite.Set) {
			s.Optional(tag.IssuerOfPatientID, c.issuer)
			if c.issuer == "" && c.want != "" {
				s.Text(tag.PatientName, "Doe^Joan")
			}
		})
		if issuer := a.kept().Header.IssuerOfPatientID; status != 0 || issuer != c.want || a.moved != c.moved {
			t.Errorf("sent as %s of %q: %#04x, kept with issuer %q, moved %d times", c.patient, c.issuer, status, issuer, a.moved)
		}
	}
}

// TestGoneComesBackWithOtherBytes: an object whose file is gone comes back as its archive has it now, for its sender and under what was promised of it, and as another
// patient's where it is; the stale copy of another patient does not, nor what is of another study or class.
func TestGoneComesBackWithOtherBytes(t *testing.T) {
	institution := func(name string) func(*dicomwrite.Set) {
		return func(s *dicomwrite.Set) { s.Text(tag.InstitutionName, name) }
	}
	for _, reason := range []string{queue.GoneRetention, ""} {
		a := newArchive(t)
		lose := func() {
			i := a.kept()
			i.Gone, i.PromisedUntil = reason, queue.Forever
			err := a.DB.Update(func(tx *queue.Tx) error { return tx.PutInstance(i) })
			if removed := a.Spool.Remove(i.Path); err != nil || removed != nil && !errors.Is(removed, fs.ErrNotExist) {
				t.Fatal(err, removed)
			}
		}
		a.send("CR", computedRadiography, "A", nil)
		for n, c := range []struct {
			class, patient string
			change         func(*dicomwrite.Set)
			want           uint16
			moved          int
		}{
			{computedRadiography, "A", institution("St. Mary"), 0, 0},
			{computedRadiography, "A", institution("St. Mary's"), 0, 0},
			{computedRadiography, "B", func(s *dicomwrite.Set) { s.Text(tag.SeriesInstanceUID, "1.7") }, StatusDuplicate, 0},
			{computedRadiography, "B", nil, 0, 1},
			{computedRadiography, "A", nil, StatusDuplicate, 1},
			{computedRadiography, "B", func(s *dicomwrite.Set) { s.Text(tag.StudyInstanceUID, "1.9") }, StatusDuplicate, 1},
			{computedRadiography + ".1", "B", nil, StatusDuplicate, 1},
			{computedRadiography, "B", institution("St. Mary"), 0, 1},
		} {
			lose()
			status := a.send("PACS", c.class, c.patient, c.change)
			i := a.kept()
			if status != c.want || a.moved != c.moved || i.Calling != "CR" || i.PromisedUntil != queue.Forever {
				t.Errorf("%q, object %d: %#04x, moved %d times, kept as %+v", reason, n, status, a.moved, i)
			}
			if c.want == 0 && (i.Gone != "" || i.Header.PatientID != c.patient || Verify(a.Spool, i) != nil) {
				t.Errorf("%q, object %d: %v, kept as %+v", reason, n, Verify(a.Spool, i), i)
			}
			if c.want != 0 && a.Spool.Has(i.Path, 0) {
				t.Errorf("%q, object %d took the place of %+v", reason, n, i)
			}
		}
	}
}

// TestCorrectedDocument: a document that its archive sends on under a corrected patient takes the place of the first, and its study is not drafted anew for it. One
// that says something else does not, however large what it says is.
func TestCorrectedDocument(t *testing.T) {
	saying := func(text string, page []byte) func(*dicomwrite.Set) {
		return func(s *dicomwrite.Set) { s.Text(tag.ContentLabel, text).Bytes(tag.EncapsulatedDocument, page) }
	}
	page, other := bytes.Repeat([]byte("page"), 1<<19), bytes.Repeat([]byte("page"), 1<<19)
	other[len(other)-1] = 'y'
	for _, class := range []string{"1.2.840.10008.5.1.4.1.1.88.67", "1.2.840.10008.5.1.4.1.1.11.1", "1.2.840.10008.5.1.4.1.1.104.1", rejection.KeyObjectSelection} {
		a := newArchive(t)
		a.Unsuited = func(study.Header) string { return "no radiograph" }
		a.send("PACS", class, "WRONG", saying("DOSE", page))
		err := a.DB.Update(func(tx *queue.Tx) error {
			return tx.PutStudy(&queue.Study{UID: "1.2", Instances: []string{testUID}, Drafted: []string{testUID}, State: queue.Delivered, Revision: 1})
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct {
			change func(*dicomwrite.Set)
			want   uint16
			whose  string
		}{{saying("DOSE", other), StatusDuplicate, "WRONG"}, {saying("NOTE", page), StatusDuplicate, "WRONG"}, {saying("DOSE", page), 0, "RIGHT"}} {
			if status, i := a.send("PACS", class, "RIGHT", c.change), a.kept(); status != c.want || i.Header.PatientID != c.whose || Verify(a.Spool, i) != nil {
				t.Errorf("%s: %#04x, kept as %+v", class, status, i)
			}
		}
		err = a.DB.View(func(tx *queue.Tx) error {
			s, err := tx.Study("1.2")
			if err == nil && s.State != queue.Delivered {
				t.Errorf("%s re-opened its study", class)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestCorrectionIsUndone: the bytes from before a correction are taken from whom it came from, time and again, and outlive what is kept aside; from another
// they are an old copy.
func TestCorrectionIsUndone(t *testing.T) {
	a := newArchive(t)
	for n, c := range []struct {
		from, patient string
		want          uint16
		kept          string
	}{
		{"CR", "A", 0, "A"},
		{"PACS", "B", 0, "B"},
		{"CR", "A", StatusDuplicate, "B"},
		{"PACS", "A", 0, "A"},
		{"CR", "B", StatusDuplicate, "A"},
		{"PACS", "B", 0, "B"},
		{"PACS", "A", 0, "A"},
	} {
		if status, i := a.send(c.from, computedRadiography, c.patient, nil), a.kept(); status != c.want || i.Header.PatientID != c.kept || i.Calling != "CR" {
			t.Errorf("%d: %s by %s: %#04x, kept as %+v", n, c.patient, c.from, status, i)
		}
	}
	router := newArchive(t) // that sends what modality and archive give it
	for _, patient := range []string{"A", "B"} {
		router.send("ROUTER", computedRadiography, patient, nil)
	}
	if status, i := router.send("ROUTER", computedRadiography, "A", nil), router.kept(); status != StatusDuplicate || i.Header.PatientID != "B" {
		t.Errorf("a stale copy by a router: %#04x, kept as %+v", status, i)
	}
	if err := a.ForgetAside(testUID, time.Now().Add(time.Hour)); err != nil || Verify(a.Spool, a.kept()) != nil {
		t.Errorf("after what is aside is forgotten: %v, %v", err, Verify(a.Spool, a.kept()))
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
