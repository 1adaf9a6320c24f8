package wording

import (
	"math/rand/v2"
	"strings"
	"testing"

	"llamaxr/finetune/corrections"
	"llamaxr/finetune/metrics"
	"llamaxr/finetune/starter"
	"llamaxr/reporting/guard"
	"llamaxr/study"
)

func learn(t *testing.T, examples []Example) *Wording {
	t.Helper()
	w, err := New(examples)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// TestComposedSayTheScores: what is composed says of every finding what the scores say, the guard lets every sentence stand, and no normal
// sentence is about what a finding is about that is scored present.
func TestComposedSayTheScores(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 9))
	var examples []Example
	for range 80 {
		scores := starter.RandomScores(rng)
		report, err := corrections.ParseReport(starter.FinalReport(scores))
		if err != nil {
			t.Fatal(err)
		}
		examples = append(examples, Example{report, scores})
	}
	w := learn(t, examples)
	for range 30 {
		scores := starter.RandomScores(rng)
		text := w.Compose(scores).String()
		if said := metrics.Statements(text); said != metrics.Scored(scores) {
			t.Fatalf("%v is said of %v: %s", said, metrics.Scored(scores), text)
		}
		for _, s := range guard.Check(text, scores, nil) {
			if s.Verdict != study.VerdictKept {
				t.Fatalf("%s (%s: %s)", s.Text, s.Verdict, s.Reason)
			}
		}
		for _, s := range w.Normals(scores) {
			for _, f := range study.Findings() {
				if scores.Present(f) && topics(s)&topicsOf(f) != 0 {
					t.Fatalf("%s is scored present: %s", f, text)
				}
			}
		}
	}
}

// TestContradictionsForAReader: what a reader takes for a contradiction is not said beside the finding, though the guard lets it stand.
func TestContradictionsForAReader(t *testing.T) {
	for _, c := range []struct {
		sentence string
		beside   study.Finding
		may      bool
	}{
		{"The lungs are free of any focal infiltrates.", study.LungOpacity, false},
		{"Cardiac and mediastinal contours are within normal limits.", study.Cardiomegaly, false},
		{"Pulmonary vascularity is within normal limits.", study.Edema, false},
		{"No pleural effusion.", study.Effusion, false},
		{"No bony abnormalities.", study.Fracture, false},
		{"No bony abnormalities.", study.Pneumothorax, true},
		{"The mediastinum is unremarkable.", study.Cardiomegaly, true},
		{"No pneumothorax.", study.Effusion, true},
	} {
		if got := supported(c.sentence, onlyPresent(c.beside)); got != c.may {
			t.Errorf("%s beside %s: %t", c.sentence, c.beside, got)
		}
	}
}

// TestConsensus: of reports most of which say the same in the same order, that text is what is composed, whatever the others say; no thing is
// said twice, nor in degrees; beside a finding what it forbids gives way to what says less.
func TestConsensus(t *testing.T) {
	var examples []Example
	for i := range 60 {
		e := Example{corrections.Report{Findings: "Normal heart size. The lungs are clear. No pleural effusion or pneumothorax.", Impression: "Normal chest."}, nothingPresent()}
		switch i % 5 {
		case 0:
			e.Report.Findings = "There is no pneumothorax. Osseous structures are intact. Both lungs are mildly clear. The heart is normal in size."
		case 1:
			e.Report.Findings = "Pneumothorax is seen. The heart is enlarged, stable. Lungs are clear. No pleural effusion."
			e.Scores = onlyPresent(study.Pneumothorax)
		}
		examples = append(examples, e)
	}
	w := learn(t, examples)
	for want, scores := range map[string]study.PairScores{
		"FINDINGS: Normal heart size. The lungs are clear. No pleural effusion or pneumothorax.\nIMPRESSION: Normal chest.":       nothingPresent(),
		"FINDINGS: Pneumothorax is seen. Normal heart size. The lungs are clear. No pleural effusion.\nIMPRESSION: Pneumothorax.": onlyPresent(study.Pneumothorax),
	} {
		if got := strings.TrimSpace(w.Compose(scores).String()); got != want {
			t.Errorf("%s\nwant %s", got, want)
		}
	}
}
