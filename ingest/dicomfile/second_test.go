package dicomfile

import (
	"fmt"
	"os"
	"strings"
	"testing"

	second "github.com/grailbio/go-dicom"
	"github.com/grailbio/go-dicom/dicomtag"
	"github.com/suyashkumar/dicom/pkg/tag"

	"llamaxr/internal/peertest"
)

// grailbio/go-dicom, another parser altogether, reads the same identifiers and image attributes of plain files.
func TestSecondOpinion(t *testing.T) {
	compared := 0
	for _, r := range manifest(t) {
		if r.folder != "transfer_syntaxes" && r.folder != "radiographs" {
			continue
		}
		path := peertest.SharedData(t, "dicom/"+r.file)
		if info, err := os.Stat(path); err != nil || info.Size() > 1<<20 {
			continue
		}
		theirs, err := readSecond(path)
		if err != nil {
			continue // it does not know this encoding
		}
		f, err := Open(path)
		if err != nil {
			t.Errorf("%s: %v", r.file, err)
			continue
		}
		for _, want := range []tag.Tag{tag.SOPClassUID, tag.SOPInstanceUID, tag.StudyInstanceUID, tag.SeriesInstanceUID, tag.Modality, tag.Rows, tag.Columns, tag.BitsStored, tag.PixelRepresentation, tag.StudyDate, tag.PatientID} {
			e, err := theirs.FindElementByTag(dicomtag.Tag{Group: want.Group, Element: want.Element})
			if err != nil {
				continue
			}
			var texts []string
			for _, v := range e.Value {
				texts = append(texts, strings.TrimSpace(fmt.Sprint(v)))
			}
			compared++
			if got := f.Text(want); got != strings.Join(texts, `\`) {
				t.Errorf("%s %s: %q, go-dicom has %q", r.file, nameOf(want), got, texts)
			}
		}
		f.Close()
	}
	t.Logf("%d values compared", compared)
	if compared < 300 {
		t.Errorf("only %d values compared", compared)
	}
}

// readSecond keeps the other parser's panics to itself.
func readSecond(path string) (set *second.DataSet, err error) {
	defer func() {
		if broken := recover(); broken != nil {
			err = fmt.Errorf("go-dicom: %v", broken)
		}
	}()
	return second.ReadDataSetFromFile(path, second.ReadOptions{DropPixelData: true})
}
