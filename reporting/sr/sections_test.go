package sr

import (
	"os/exec"
	"slices"
	"testing"

	"llamaxr/internal/peertest"
	"llamaxr/study"
)

// TestSectionsOfTheTemplate: pydicom reads the sections in their order with each sentence under its organ, and no template is claimed that
// knows none of them.
func TestSectionsOfTheTemplate(t *testing.T) {
	in := input()
	in.Sectioned = true
	of := func(text string, f study.Finding) study.Sentence {
		return study.Sentence{Section: study.SectionFindings, Text: text, Evidence: []study.Evidence{{Finding: f, View: study.Frontal}}, Verdict: study.VerdictKept}
	}
	in.Draft.Sentences = append([]study.Sentence{
		of("The heart is large.", study.Cardiomegaly), of("There is a nodule.", study.Nodule), of("A rib is broken.", study.Fracture), of("There is a mass.", study.Mass),
	}, in.Draft.Sentences...)
	d, err := Narrative(in)
	const script = `
import sys, pydicom
r = pydicom.dcmread(sys.argv[1])
print("template" if "ContentTemplateSequence" in r else "no template")
def show(items, depth):
    for i in items:
        if i.RelationshipType == "CONTAINS" and i.ValueType in ("CONTAINER", "TEXT"):
            print("  " * depth + (i.ConceptNameCodeSequence[0].CodeMeaning if i.ValueType == "CONTAINER" else i.TextValue))
            show(i.get("ContentSequence", []), depth + 1)
show(r.ContentSequence, 0)
`
	out, err := exec.Command(peertest.Python(t), "-c", script, write(t, d, err)).CombinedOutput()
	if err != nil {
		t.Fatalf("pydicom: %v\n%s", err, out)
	}
	want := `no template
Current Procedure Descriptions
  Plain chest X-ray, frontal and lateral views.
Previous Findings
  The draft was compared with no earlier study.
Findings
  AI draft, not reviewed by a physician. STARTER MODELS - NOT FOR CLINICAL USE.
  Lungs
    There is a nodule.
    There is a mass.
  Pleura
    There is a pleural effusion.
  Heart
    The heart is large.
  Bones
    A rib is broken.
  Other
    No nodule.
Impressions
  AI draft, not reviewed by a physician. STARTER MODELS - NOT FOR CLINICAL USE.
  Pleural effusion.
`
	if string(out) != want {
		t.Errorf("pydicom reads\n%swant\n%s", out, want)
	}
}

// TestEveryFindingHasItsOrgan: each of the 18 findings stands under one heading, and under one alone.
func TestEveryFindingHasItsOrgan(t *testing.T) {
	for _, f := range study.Findings() {
		n := 0
		for _, o := range organs {
			if slices.Contains(o.findings, f) {
				n++
			}
		}
		if n != 1 {
			t.Errorf("%s is under %d headings", f, n)
		}
	}
}
