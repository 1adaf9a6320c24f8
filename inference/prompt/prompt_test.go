package prompt

import (
	"strings"
	"testing"

	"llamaxr/study"
)

func TestPaperIsFigure4(t *testing.T) {
	frontal, lateral := study.Scores{study.Atelectasis: 0.01646517962217331, study.Pneumothorax: 1}, study.Scores{study.Atelectasis: 0.5235421657562256}
	got := Paper.Fill(study.PairScores{Frontal: &frontal, Lateral: &lateral})
	for _, want := range []string{
		"Below is an instruction that describes a task, paired with an input that provides further context. Write a response that appropriately completes the request.\n\n### Instruction:\nGenerate a medical report",
		"Pleural Thickening, Pneumonia, and Pneumothorax. The first 18 values correspond to the Frontal view, while the remaining 18 values correspond to the Lateral view.\n\n### Input:\n[0.016, 0.0, ",
		", 0.0, 1.0, 0.524, 0.0,", "]\n\n### Response:\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("prompt lacks %q:\n%s", want, got)
		}
	}
	if n := strings.Count(got[strings.Index(got, "["):], ",") + 1; n != 36 {
		t.Errorf("%d scores, want 36", n)
	}
}

func TestScoresAreCutAndMissingViewsSaid(t *testing.T) {
	frontal := study.Scores{study.Effusion: 0.4999, study.Mass: 0.5, study.Nodule: 0.29}
	got := Grounded.Fill(study.PairScores{Frontal: &frontal})
	for _, want := range []string{"Effusion: 0.49 n/a\n", "Mass: 0.50 n/a\n", "Nodule: 0.29 n/a\n", "Enlarged Cardiomediastinum: 0.00 n/a\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("prompt lacks %q", want)
		}
	}
}

// TestPlannedNamesWhatIsToBeSaid: present and possible by the higher view, in the order of the findings; nothing else but what is not scored.
func TestPlannedNamesWhatIsToBeSaid(t *testing.T) {
	frontal, lateral := study.Scores{study.Effusion: 0.4999, study.Mass: 0.5, study.Nodule: 0.29, study.Edema: 0.61}, study.Scores{study.Effusion: 0.93}
	frontal[study.Hernia], lateral[study.Hernia] = study.NotScored(), study.NotScored()
	for _, test := range []struct {
		scores study.PairScores
		want   string
	}{
		{study.PairScores{Frontal: &frontal, Lateral: &lateral}, "Present: Edema 61/0, Effusion 49/93\nPossible: Mass 50/0\nNot scored: Hernia\nReport:\n"},
		{study.PairScores{Lateral: &study.Scores{}}, "Present: none\nPossible: none\nReport:\n"},
		{study.PairScores{Lateral: &study.Scores{study.Mass: 1}}, "Present: Mass -/100\nPossible: none\nReport:\n"},
	} {
		if got := Planned.Fill(test.scores); got != Planned.Head+test.want {
			t.Errorf("%q\nwant %q", got, Planned.Head+test.want)
		}
	}
}

// TestEndOfAReport: a text is a report up to the next prompt or the next report, whatever a model goes on to write.
func TestEndOfAReport(t *testing.T) {
	const report = "FINDINGS: No effusion.\nIMPRESSION: Normal. Report: none. #1"
	for _, more := range []string{"", "\n\n### Instruction:\nX", "\nFINDINGS: Clear. ### FINDINGS:", "\nPresent: none", "\nReport:\nFINDINGS: x"} {
		text := report + more
		at := Grounded.End(text)
		if more == "" && at >= 0 || more != "" && (at < 0 || strings.TrimRight(text[:at], "\n") != report) {
			t.Errorf("%q ends at %d", text, at)
		}
	}
}
