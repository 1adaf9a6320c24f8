package dicomfile

import (
	"bytes"
	"os"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/suyashkumar/dicom/pkg/tag"

	"llamaxr/internal/peertest"
)

// No bytes make reading panic, and what is read keeps the promises that others build on: UIDs are UIDs, text is UTF-8.
func FuzzScan(f *testing.F) {
	for _, r := range manifest(f) {
		raw, err := os.ReadFile(peertest.SharedData(f, "dicom/"+r.file))
		if err != nil {
			f.Fatal(err)
		}
		if len(raw) < 8_000 {
			f.Add(raw)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		file, err := Read(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			return
		}
		h := file.Header
		for _, uid := range []string{h.SOPClassUID, h.SOPInstanceUID, h.StudyInstanceUID, h.SeriesInstanceUID, h.TransferSyntaxUID} {
			if uid != "" && !ValidUID(uid) {
				t.Fatalf("UID %q", uid)
			}
		}
		for _, text := range []string{h.PatientName, h.PatientID, h.Modality, h.StudyDescription, h.PatientComments} {
			if !utf8.ValidString(text) {
				t.Fatalf("text %q", text)
			}
		}
		if p, ok := file.PixelData(); ok {
			if !p.Encapsulated && (p.Offset < 0 || p.Offset+p.Length > file.src.Size()) {
				t.Fatalf("pixel data from %d, %d bytes, of %d", p.Offset, p.Length, file.src.Size())
			}
			for _, fragment := range file.FirstFrame(h.NumberOfFrames) {
				if fragment.Offset < 0 || fragment.Offset+fragment.Length > file.src.Size() {
					t.Fatalf("fragment %+v of %d", fragment, file.src.Size())
				}
			}
		}
		_, _ = file.Floats(tag.WindowCenter)
		// What can be read can be rewritten, and says the same then.
		var set bytes.Buffer
		if err := WriteExplicit(&set, bytes.NewReader(b), int64(len(b))); err != nil {
			t.Fatal(err)
		}
		whole := part10(ExplicitVRLittleEndian, set.String())
		again, err := Read(strings.NewReader(whole), int64(len(whole)))
		if err != nil {
			t.Fatal(err)
		}
		if before, after := file.Text(tag.PatientName)+file.Text(tag.StudyInstanceUID), again.Text(tag.PatientName)+again.Text(tag.StudyInstanceUID); before != after {
			t.Fatalf("%q became %q", before, after)
		}
	})
}

// Text in any character set becomes valid UTF-8 and does not grow beyond what its bytes can mean.
func FuzzCharset(f *testing.F) {
	f.Add(`ISO 2022 IR 13\ISO 2022 IR 87`, "\xd4\xcf\xc0\xde^\xc0\xdb\xb3=\x1b$B;3ED\x1b(J^\x1b$BB@O:\x1b(J=")
	f.Add(`\ISO 2022 IR 149`, "Hong^Gildong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7")
	f.Add(`ISO_IR 192`, "Wang^XiaoDong=王^小東=")
	f.Add(`GB18030`, "Wang^XiaoDong=\xcd\xf5^\xd0\xa1\xb6\xab=")
	f.Add(`ISO_IR 144`, "\xbb\xee\xda\x63\x65\xdc")
	f.Fuzz(func(t *testing.T, terms, raw string) {
		c, _ := parseCharset(terms)
		for _, delimiters := range []string{delimitersOfText, delimitersOfName} {
			text := c.decode(raw, delimiters)
			if !utf8.ValidString(text) {
				t.Fatalf("%q", text)
			}
			if len(text) > 4*len(raw)+4 {
				t.Fatalf("%d bytes became %d", len(raw), len(text))
			}
		}
	})
}
