package pdf

import (
	"bytes"
	"image"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"llamaxr/internal/peertest"
	"llamaxr/study"
)

var made = time.Date(2026, 1, 2, 10, 20, 0, 0, time.UTC)

func draft(findings string) study.Draft {
	return study.Draft{
		StudyInstanceUID: "1.2.3", Revision: 2, Partial: "lateral not received",
		Scores: study.PairScores{Frontal: &study.Scores{study.Effusion: 0.91, study.Mass: 0.497}},
		Sentences: []study.Sentence{
			{Section: study.SectionFindings, Text: findings, Verdict: study.VerdictKept},
			{Section: study.SectionImpression, Text: "Pleural effusion.", Verdict: study.VerdictKept},
		},
		Models: []study.ModelCard{{Role: "adapter", Name: "site-1", Version: "1", Digest: strings.Repeat("ab", 32), Starter: true}},
	}
}

func patient(name string) *study.Header {
	return &study.Header{PatientName: name, PatientID: "P1", PatientBirthDate: "19700101", PatientSex: "F", StudyDate: "20260102", AccessionNumber: "A1"}
}

// read has pypdf tell the number of pages and the text.
func read(t *testing.T, page []byte) (pages, text string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "page.pdf")
	if err := os.WriteFile(path, page, 0o600); err != nil {
		t.Fatal(err)
	}
	script := `import sys, pypdf
r = pypdf.PdfReader(sys.argv[1], strict=True)
print(len(r.pages), sum(len(p.images) for p in r.pages))
print(" ".join(" ".join(p.extract_text().split()) for p in r.pages))`
	out, err := exec.Command(peertest.Python(t), "-c", script, path).CombinedOutput()
	if err != nil {
		t.Fatalf("pypdf: %v\n%s", err, out)
	}
	pages, text, _ = strings.Cut(string(out), "\n")
	return pages, text
}

// TestPageSaysWhatTheDraftSays: pypdf reads one page with one picture, the warnings, the patient, the text and the scores; signs that the font
// lacks are question marks.
func TestPageSaysWhatTheDraftSays(t *testing.T) {
	heat := image.NewRGBA(image.Rect(0, 0, 1276, 764))
	for name, findings := range map[string]string{
		"Müller^Zoë":           "There is a pleural effusion.",
		"Yamada^Tarou=山田^太郎":   strings.Repeat("A long sentence with 肺 and µ, of no meaning. ", 60),
		"Иванов^Пётр=\xff\xfe": "Clear \xff lungs.",
	} {
		page, err := Page(draft(findings), patient(name), heat, made)
		if err != nil {
			t.Fatal(err)
		}
		pages, text := read(t, page)
		if pages != "1 1" {
			t.Errorf("%s: pages and pictures %s", name, pages)
		}
		people, _, _ := strings.Cut(name, "=")
		sign := strings.NewReplacer("肺", "?", "\xff", "?")
		for _, want := range []string{
			strings.ToUpper(study.DraftWarning), study.StarterWarning, "lateral not received", strings.ReplaceAll(people, "^", " "), "born 1970-01-01", "Study of 2026-01-02, accession number A1, revision 2",
			strings.TrimSpace(sign.Replace(findings)), "Pleural effusion.", "Effusion 0.91 / -", "Mass 0.49 / -", "site-1",
		} {
			if !strings.Contains(strings.Join(strings.Fields(text), " "), strings.Join(strings.Fields(want), " ")) {
				t.Errorf("%s: no %q in %q", name, want, text)
			}
		}
		again, err := Page(draft(findings), patient(name), heat, made)
		if err != nil || !bytes.Equal(page, again) {
			t.Errorf("%s: %v, the same draft gives other bytes", name, err)
		}
	}
}

// TestNothingIsSaidOfNoBirthDate: a patient whose birth date is not known is not born on nothing.
func TestNothingIsSaidOfNoBirthDate(t *testing.T) {
	unknown := patient("Doe^Jane")
	unknown.PatientBirthDate = ""
	page, err := Page(draft("Clear."), unknown, image.NewRGBA(image.Rect(0, 0, 4, 3)), made)
	if err != nil {
		t.Fatal(err)
	}
	if _, text := read(t, page); strings.Contains(text, "born") {
		t.Errorf("the page says %q", text)
	}
}

func FuzzPage(f *testing.F) {
	heat := image.NewRGBA(image.Rect(0, 0, 4, 3))
	f.Add("Clear lungs.", "Doe^Jane")
	f.Add("\xff\x00𝛼", "=^\\")
	f.Fuzz(func(t *testing.T, text, name string) {
		if len(text) > 4<<10 {
			t.Skip() // a section is longer only by mistake, and a page is slow to set
		}
		if _, err := Page(draft(text), patient(name), heat, made); err != nil {
			t.Error(err)
		}
	})
}
