package sr

import (
	"bytes"
	"os/exec"
	"strings"
	"testing"
	"time"

	"llamaxr/internal/peertest"
	"llamaxr/study"
)

func signedInput(in Input) Input {
	in.Time = time.Date(2026, 1, 2, 11, 30, 0, 0, time.FixedZone("", 2*60*60))
	in.Predecessor = &Predecessor{SOPClassUID: BasicTextSR, SOPInstanceUID: "2.25.77", SeriesInstanceUID: "2.25.78", Preliminary: true}
	return in
}

var signer = Signer{Name: "Röntgen^Wilhelm^^Prof.", Organization: "Würzburg", Number: 1}

// TestSignedReportIsVerified: dciodvfy finds no error in a signed report of any variant, and pydicom reads the flags, the verifying
// observer and the predecessor that PS3.3 C.17.2 asks for.
func TestSignedReportIsVerified(t *testing.T) {
	dciodvfy, python := peertest.Program(t, "dciodvfy"), peertest.Python(t)
	for name, in := range variants() {
		d, err := Signed(signedInput(in), signer, in.Draft.Sentences)
		path := write(t, d, err)
		out, _ := exec.Command(dciodvfy, path).CombinedOutput()
		for line := range strings.Lines(string(out)) {
			if strings.HasPrefix(line, "Error") {
				t.Errorf("%s: %s", name, strings.TrimSpace(line))
			}
		}
	}
	d, err := Signed(signedInput(input()), signer, input().Draft.Sentences)
	out, err := exec.Command(python, "testdata/read_signed.py", write(t, d, err)).CombinedOutput()
	if err != nil {
		t.Fatalf("pydicom: %v\n%s", err, out)
	}
	want := `FINAL COMPLETE VERIFIED
Röntgen^Wilhelm^^Prof. | Würzburg | 20260102113000+0200
PSN Röntgen^Wilhelm^^Prof.
2.25.77 121362
Findings: STARTER MODELS - NOT FOR CLINICAL USE. There is a pleural effusion. No nodule.
Impressions: STARTER MODELS - NOT FOR CLINICAL USE. Pleural effusion.
`
	if string(out) != want {
		t.Errorf("pydicom reads\n%swant\n%s", out, want)
	}
}

// TestSignaturesAreObjectsOfOneSeries: the same signature is the same bytes, the next one another instance beside it.
func TestSignaturesAreObjectsOfOneSeries(t *testing.T) {
	encode := func(number int) (*Document, []byte) {
		s := signer
		s.Number = number
		d, err := Signed(signedInput(input()), s, input().Draft.Sentences)
		if err != nil {
			t.Fatal(err)
		}
		var buf bytes.Buffer
		if _, err := d.WriteTo(&buf); err != nil {
			t.Fatal(err)
		}
		return d, buf.Bytes()
	}
	first, bytes1 := encode(1)
	_, again := encode(1)
	second, _ := encode(2)
	if !bytes.Equal(bytes1, again) {
		t.Error("the same signature gives other bytes")
	}
	if first.SOPInstanceUID == second.SOPInstanceUID || first.SeriesInstanceUID != second.SeriesInstanceUID {
		t.Error("a second signature is another instance of the same series")
	}
	if _, err := Signed(signedInput(input()), Signer{Name: "\\^^", Number: 1}, nil); err == nil {
		t.Error("a report was signed by nobody")
	}
}

func FuzzSigned(f *testing.F) {
	f.Add("Doe^Jane", "Hospital", "Clear.")
	f.Add("\\=\x00", "\xff", "\t")
	f.Fuzz(func(t *testing.T, name, organization, text string) {
		sentences := []study.Sentence{{Section: study.SectionFindings, Text: text}}
		if d, err := Signed(signedInput(input()), Signer{Name: name, Organization: organization, Number: 1}, sentences); err == nil {
			if _, err := d.WriteTo(&bytes.Buffer{}); err != nil {
				t.Error(err)
			}
		}
	})
}
