package guard

import (
	"errors"
	"slices"
	"testing"

	"llamaxr/study"
)

// offering offers the same sentences in the place of each that contradicts the scores.
func offering(sentences ...string) Others {
	return func(_, _ int, _, takes func(string) bool) error {
		_ = slices.ContainsFunc(sentences, takes)
		return nil
	}
}

// TestWrittenAnew: of what the model offers in the place of a sentence that contradicts the scores the first stands that is a sentence, says what they say,
// and speaks of what the first spoke of; what it leaves out is added, unless it is said. It is marked, with the first sentence and the reason.
func TestWrittenAnew(t *testing.T) {
	const first = "No pleural effusion or pneumothorax."
	rewritten, replaced, added, removed, kept := study.VerdictRewritten, study.VerdictReplaced, study.VerdictAdded, study.VerdictRemoved, study.VerdictKept
	plain := []study.Sentence{{Text: "Pleural effusion is present. No pneumothorax.", Verdict: replaced}}
	for _, test := range []struct {
		name, findings string
		others         []string
		want           []study.Sentence
	}{
		{"none", first, nil, plain},
		{"contradicts too", first, []string{"There is no effusion.", "Pneumothorax is present."}, plain},
		{"can be read in two ways", first, []string{"Effusion is present, which is not excluded."}, plain},
		{"claims what is not scored", first, []string{"There is a left pleural effusion.", "Pleural effusion is unchanged."}, plain},
		{"speaks of something else", first, []string{"No mass.", "The trachea is midline."}, plain},
		{"is more than a sentence", first, []string{"No pneumothorax. No mass.", "IMPRESSION: No pneumothorax.", "FINDINGS: No pneumothorax.", "No pneumothorax.\nNo mass."}, plain},
		{"leaves out what is present", first, []string{"No mass.", "There is no pneumothorax.", "Pleural effusion is present."}, []study.Sentence{
			{Text: "There is no pneumothorax.", Verdict: rewritten}, {Text: "Pleural effusion is present.", Verdict: added},
		}},
		{"leaves out what is absent", first, []string{"There is a pleural effusion."}, []study.Sentence{
			{Text: "There is a pleural effusion.", Verdict: rewritten}, {Text: "No pneumothorax.", Verdict: added},
		}},
		{"leaves out what is absent and spelled otherwise here", "No oedema or effusion.", []string{"There is a pleural effusion."}, []study.Sentence{
			{Text: "There is a pleural effusion.", Verdict: rewritten}, {Text: "No pulmonary oedema.", Verdict: added},
		}},
		{"leaves out what is said", "Effusion is present. " + first, []string{"There is no pneumothorax."}, []study.Sentence{
			{Text: "Effusion is present.", Verdict: kept}, {Text: "There is no pneumothorax.", Verdict: rewritten},
		}},
		{"was said", "There is no pneumothorax. " + first, []string{"There is no pneumothorax."}, append([]study.Sentence{{Text: "There is no pneumothorax.", Verdict: kept}}, plain...)},
		{"is said again", first + " There is no pneumothorax.", []string{"There is no pneumothorax."}, []study.Sentence{
			{Text: "There is no pneumothorax.", Verdict: rewritten}, {Text: "Pleural effusion is present.", Verdict: added}, {Text: "There is no pneumothorax.", Verdict: removed},
		}},
		{"of what would be taken out", "Effusion. The costophrenic angles are sharp without a fracture.", []string{"There is no fracture."}, []study.Sentence{
			{Text: "Effusion.", Verdict: kept}, {Text: "There is no fracture.", Verdict: rewritten},
		}},
	} {
		scores := study.PairScores{Frontal: &study.Scores{study.Effusion: 0.9}}
		got, err := CheckAgain("FINDINGS: "+test.findings+"\nIMPRESSION: Effusion.", scores, nil, offering(test.others...))
		if err != nil {
			t.Fatal(err)
		}
		got = slices.DeleteFunc(got, func(s study.Sentence) bool { return s.Section == study.SectionImpression })
		same := slices.EqualFunc(got, test.want, func(a, b study.Sentence) bool { return a.Text == b.Text && a.Verdict == b.Verdict })
		if !same {
			t.Errorf("%s: %+v", test.name, got)
		}
		for _, s := range got {
			if s.Verdict == rewritten && (s.Original == "" || s.Original == s.Text || s.Reason == "" || len(s.Evidence) == 0) {
				t.Errorf("%s: %+v", test.name, s)
			}
		}
	}
}

// TestAskedForOthers: the model is asked for others of sentences that contradict the scores, of so many and no more, by their places in its text; beginnings
// that contradict them already are not worth going on with. Its error is the guard's.
func TestAskedForOthers(t *testing.T) {
	const raw = "FINDINGS: Mass. Effusion. No effusion. Left mass. The trachea is midline. A hernia.\nIMPRESSION: Mass. Emphysema. No effusion."
	scores := study.PairScores{Frontal: &study.Scores{study.Effusion: 0.9}}
	var asked []string
	ask := func(from, to int, worth, _ func(string) bool) error {
		asked = append(asked, raw[from:to])
		for begun, want := range map[string]bool{"No": true, "There is no effusion": false, "Effusion is": true, "Mass": false, "No mass or": true} {
			if worth(begun) != want {
				t.Errorf("%q is worth it: %v", begun, !want)
			}
		}
		return nil
	}
	if _, err := CheckAgain(raw, scores, nil, ask); err != nil {
		t.Fatal(err)
	}
	if want := []string{"Mass.", "No effusion.", "A hernia.", "Mass."}; !slices.Equal(asked, want) || len(want) != mostAgain {
		t.Errorf("asked for %q, want %q", asked, want)
	}
	asked = nil
	broken := errors.New("broken")
	if _, err := CheckAgain(raw, scores, nil, func(from, to int, _, _ func(string) bool) error {
		asked = append(asked, raw[from:to])
		return broken
	}); !errors.Is(err, broken) || len(asked) != 1 {
		t.Errorf("%v after %q", err, asked)
	}
}
