package dicomfile

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/suyashkumar/dicom/pkg/tag"

	"llamaxr/dicomnet/dicomjson"
)

// ofOrder are the attributes, beside those of the patient (group 0010), that are others once a patient or an order was corrected.
var ofOrder = []tag.Tag{
	tag.AccessionNumber, tag.IssuerOfAccessionNumberSequence, tag.ReferringPhysicianName, tag.StudyID, tag.StudyDescription,
	tag.ReferencedRequestSequence, tag.RequestAttributesSequence, tag.OriginalAttributesSequence,
}

// SameContent reports whether the pixel data of two files are the same bytes in the same encoding; of two documents, which have none, whether they say the same
// but for whose they are.
func (open Opener) SameContent(a, b string) (bool, error) {
	first, err := open.contentDigest(a)
	if err != nil {
		return false, err
	}
	second, err := open.contentDigest(b)
	return first == second, err
}

func (open Opener) contentDigest(path string) (string, error) {
	f, err := open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	sum, sections := sha256.New(), f.left
	if p, ok := f.PixelData(); ok {
		fmt.Fprintf(sum, "%s %dx%d %t ", f.Header.TransferSyntaxUID, f.Header.Rows, f.Header.Columns, p.BigEndian)
		if sections = p.Fragments; !p.Encapsulated {
			sections = []Fragment{{p.Offset, p.Length}}
		}
	} else if err := f.writeContent(sum); err != nil {
		return "", err
	}
	for _, s := range sections {
		fmt.Fprintf(sum, "%d ", s.Length)
		if _, err := io.Copy(sum, f.Section(s.Offset, s.Length)); err != nil {
			return "", fmt.Errorf("dicomfile: reading what is left on disk: %w", err)
		}
	}
	return string(sum.Sum(nil)), nil
}

// writeContent writes the attributes but those that say whose the object is, one after another: all at once would be twice as much.
func (d *Dataset) writeContent(w io.Writer) error {
	all := d.JSON()
	for _, t := range ofOrder {
		delete(all, dicomjson.Key(t))
	}
	for _, key := range slices.Sorted(maps.Keys(all)) {
		if strings.HasPrefix(key, "0010") {
			continue
		}
		text, err := json.Marshal(all[key])
		if err != nil {
			return fmt.Errorf("dicomfile: comparing %s: %w", key, err)
		}
		fmt.Fprintf(w, "%s %s ", key, text)
	}
	return nil
}
