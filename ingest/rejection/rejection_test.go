package rejection

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"llamaxr/ingest/dicomfile"
	"llamaxr/ingest/phantom"
	"llamaxr/internal/dicomwrite"
	"llamaxr/internal/peertest"
	"llamaxr/study"

	"github.com/suyashkumar/dicom/pkg/tag"
)

// document writes a Key Object Selection document of a title that refers to n objects.
func document(t testing.TB, scheme, title string, n int) []byte {
	t.Helper()
	var sops []*dicomwrite.Set
	for i := range n {
		sops = append(sops, dicomwrite.New().Text(tag.ReferencedSOPClassUID, "1.2.840.10008.5.1.4.1.1.1").
			Text(tag.ReferencedSOPInstanceUID, fmt.Sprintf("1.2.3.%d", i%(MaxObjects+1))))
	}
	set := dicomwrite.New().
		Text(tag.SOPClassUID, KeyObjectSelection).Text(tag.SOPInstanceUID, "1.2.4").Text(tag.StudyInstanceUID, "1.2").
		Items(tag.ConceptNameCodeSequence, dicomwrite.New().
			Text(tag.CodeValue, title).Text(tag.CodingSchemeDesignator, scheme).Text(tag.CodeMeaning, "x")).
		Items(tag.CurrentRequestedProcedureEvidenceSequence, dicomwrite.New().Text(tag.StudyInstanceUID, "1.2").
			Items(tag.ReferencedSeriesSequence, dicomwrite.New().Text(tag.SeriesInstanceUID, "1.2.9").Items(tag.ReferencedSOPSequence, sops...)))
	var buf bytes.Buffer
	if err := set.Write(&buf, "1.2.5", "TEST"); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// TestRead: the four titles of a rejection are read, other documents are none, and what cannot be obeyed is an error. Notes made by
// highdicom are read end to end by TestRejectionNotes of daemon/e2e.
func TestRead(t *testing.T) {
	for _, test := range []struct {
		scheme, title string
		objects       int
		want          int
		err           error
	}{
		{"DCM", "113001", 1, 1, nil},
		{"DCM", "113037", 3, 3, nil},
		{"DCM", "113038", MaxObjects, MaxObjects, nil},
		{"DCM", "113039", 1, 1, nil},
		{"DCM", "113000", 1, 0, nil},     // of interest
		{"99X", "113001", 1, 0, nil},     // another scheme's code
		{"DCM", "113001", 0, 0, ErrNote}, // rejects nothing
		{"DCM", "113001", MaxObjects + 1, 0, ErrNote},
	} {
		data := document(t, test.scheme, test.title, test.objects)
		path := filepath.Join(t.TempDir(), "note.dcm")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := Read(dicomfile.Open, path)
		if !errors.Is(err, test.err) || (got == nil) != (test.want == 0) {
			t.Errorf("%+v: %v, %v", test, got, err)
			continue
		}
		if got == nil {
			continue
		}
		want := study.ObjectReference{StudyInstanceUID: "1.2", SeriesInstanceUID: "1.2.9", SOPClassUID: "1.2.840.10008.5.1.4.1.1.1", SOPInstanceUID: "1.2.3.0"}
		if got.Title != study.RejectionTitle(test.title) || len(got.Objects) != test.want || got.Objects[0] != want {
			t.Errorf("%+v: read %s with %d objects, the first %+v", test, got.Title, len(got.Objects), got.Objects[0])
		}
	}
}

// TestAnImageIsNoNote: what is not a Key Object Selection document rejects nothing.
func TestAnImageIsNoNote(t *testing.T) {
	files, err := phantom.NewRandom(1).WriteDICOM(t.TempDir(), phantom.Habits()[0])
	if err != nil {
		t.Fatal(err)
	}
	if got, err := Read(dicomfile.Open, files[0]); got != nil || err != nil {
		t.Errorf("%v, %v", got, err)
	}
	if got, err := Read(dicomfile.Open, filepath.Join(peertest.SharedData(t, "dicom"), "sr", "test-SR.dcm")); got != nil || err != nil {
		t.Errorf("an SR: %v, %v", got, err)
	}
}

func FuzzReadFrom(f *testing.F) {
	f.Add(document(f, "DCM", "113001", 2))
	f.Add(document(f, "DCM", "113039", 0))
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := ReadFrom(bytes.NewReader(b), int64(len(b)))
		if err != nil || got == nil {
			return
		}
		if !got.Title.Known() || len(got.Objects) == 0 || len(got.Objects) > MaxObjects {
			t.Fatalf("%+v", got)
		}
	})
}
