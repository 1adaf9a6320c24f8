package guard

import (
	"os"
	"strings"
	"testing"

	"llamaxr/reporting/labeler"
	"llamaxr/study"
)

func lines(t *testing.T, file string) []string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSuffix(string(data), "\n"), "\n")
}

// every gives all findings one score.
func every(score float32) study.PairScores {
	s := new(study.Scores)
	for f := range s {
		s[f] = score
	}
	return study.PairScores{Frontal: s}
}

// TestHardWords: ways to call a chest normal do not stand where all is scored present, ways to claim something do not where nothing is, and what no score is about stands nowhere; in both sections,
// with slips of spelling and letters that only look like ours. What is true stands.
func TestHardWords(t *testing.T) {
	for _, test := range []struct {
		file   string
		scores study.PairScores
		stands bool
	}{
		{"testdata/denials.txt", every(0.9), false},
		{"testdata/claims.txt", every(0), false},
		{"testdata/unscored.txt", every(0), false},
		{"testdata/unscored.txt", every(0.9), false},
		{"testdata/true_of_an_abnormal_chest.txt", every(0.9), true},
		{"testdata/true_of_a_normal_chest.txt", every(0), true},
	} {
		for _, text := range lines(t, test.file) {
			for _, raw := range []string{"FINDINGS: " + text, "FINDINGS: xx. IMPRESSION: " + text} {
				stands := false
				for _, s := range Check(raw, test.scores, nil) {
					stands = stands || s.Verdict == study.VerdictKept && s.Text != "xx."
				}
				if stands != test.stands {
					t.Errorf("%q (%s) stands: %v, want %v", raw, test.file, stands, test.stands)
				}
			}
		}
	}
}

// TestNormalBesideOne: what calls a part of the chest normal does not stand beside the one finding that part has, and stands beside another.
func TestNormalBesideOne(t *testing.T) {
	for text, f := range map[string]study.Finding{
		"Cardiac silhouette: Normal.": study.Cardiomegaly, "Heart size: normal.": study.Cardiomegaly, "Normal size of the heart.": study.Cardiomegaly,
		"Cardiomediastinal silhouettes are within normal limits.": study.Cardiomegaly, "Normal cardiac contour.": study.Cardiomegaly,
		"Heart size and mediastinal contours appear within normal limits.": study.EnlargedCardiomediastinum, "Mediastinum: Not widened.": study.EnlargedCardiomediastinum,
		"Lungs/pleura: Clear.": study.Effusion, "Preserved costophrenic angles.": study.Effusion, "No acute cardiac, pulmonary, or pleural abnormality.": study.Effusion,
		"No acute or active cardiac, pulmonary or pleural disease.": study.Effusion, "The cardiomediastinal contours, lungs, pleura and bones are normal.": study.Pneumothorax,
		"Lung fields: Clear.": study.Mass, "Clear, well-expanded lungs.": study.Mass, "No active/acute cardiopulmonary disease.": study.Mass, "No acute cardio-pulmonary disease.": study.Mass,
		"No bony injury.": study.Fracture, "No acute osseous injury.": study.Fracture, "Intact bony thorax.": study.Fracture, "Normal thoracic spine.": study.Fracture,
	} {
		scores := every(0.1)
		scores.Frontal[f] = 0.9
		if got := Check("FINDINGS: "+text, scores, nil)[0]; got.Verdict == study.VerdictKept {
			t.Errorf("%q stands beside %s", text, f)
		}
	}
	beside := every(0.1)
	beside.Frontal[study.Cardiomegaly] = 0.9
	for _, text := range []string{"Lungs: Clear.", "Bones: Normal.", "Mediastinum: Normal.", "No effusion, pneumothorax or focal airspace disease."} {
		if got := Check("FINDINGS: "+text, beside, nil)[0]; got.Verdict != study.VerdictKept {
			t.Errorf("%q is %s beside cardiomegaly: %s", text, got.Verdict, got.Reason)
		}
	}
}

// TestNoMoreThanAScoreSays: of a finding that is there, no extreme size, age, form, number and place is told; what is denied may have them.
func TestNoMoreThanAScoreSays(t *testing.T) {
	for text, want := range map[string]string{
		"There is a massive pneumothorax.":                   "Pneumothorax is present.",
		"Acute displaced fractures of the 7th and 8th ribs.": "Fracture is present.",
		"Compression fracture of T8.":                        "Fracture is present.",
		"Three nodules.":                                     "Nodule is present.",
		"Upper lobe pneumonia.":                              "Pneumonia is present.",
		"Severe cardiomegaly, no acute fracture.":            "Cardiomegaly is present. No fracture.",
		"Mild cardiomegaly.":                                 "Mild cardiomegaly.",
		"No acute displaced fracture.":                       "No acute displaced fracture.",
		"Cardiomegaly, no acute pneumonia.":                  "Cardiomegaly, no acute pneumonia.",
	} {
		scores := every(0.1)
		for f, said := range labeler.LabelSentence(text) {
			if said == study.Present {
				scores.Frontal[f] = 0.9
			}
		}
		if got := Check("FINDINGS: "+text, scores, nil)[0]; got.Text != want {
			t.Errorf("%q becomes %q, not %q: %s", text, got.Text, want, got.Reason)
		}
	}
}

// TestOffTheSubject: remarks on the report, orders, other languages and headings do not stand; sentences too long to be read do not, and take no time.
func TestOffTheSubject(t *testing.T) {
	scores := study.PairScores{Frontal: &study.Scores{study.Effusion: 0.9}}
	for _, text := range []string{
		"That is wrong.", "No, there is none.", "The above is false.", "Discharge the patient.", "Kein Erguss.", "no hay derrame.", "FINDINGS", "Ef-\nfusion is absent.", "xx",
		"No effusion" + strings.Repeat(", no mass", 20_000) + " but pneumothorax.",
	} {
		for _, s := range Check("FINDINGS: Pleural effusion is present. "+text, scores, nil)[1:] {
			if s.Verdict == study.VerdictKept {
				t.Errorf("%.60q stands", s.Text)
			}
		}
	}
}

// TestUnflaggedIsHeldBack: the last look finds what does not belong into a draft, and nothing in what Check delivers.
func TestUnflaggedIsHeldBack(t *testing.T) {
	scores := study.PairScores{Frontal: &study.Scores{study.Effusion: 0.9}}
	for _, test := range []struct{ text, reason string }{
		{"Pleural effusion is present.", ""},
		{"No pleural effusion.", "calls Effusion absent, scored 0.90"},
		{"Pleural effusion is present. Pneumothorax is present.", "calls Pneumothorax present, scored 0.00"},
		{"Pleural effusion is present. A pacemaker is seen.", "device"},
		{"Pleural effusion is present. The chest is normal.", "normal"},
		{"The heart is normal in size.", "Effusion is scored present and not said"},
	} {
		var sentences []study.Sentence
		for _, s := range labeler.Sentences(test.text) {
			sentences = append(sentences, study.Sentence{Text: s, Verdict: study.VerdictKept})
		}
		if got := Unflagged(sentences, scores); !strings.Contains(got, test.reason) || (got == "") != (test.reason == "") {
			t.Errorf("%q: %q, want %q", test.text, got, test.reason)
		}
		if got := Unflagged(Check(test.text, scores, nil), scores); got != "" {
			t.Errorf("%q, checked: %s", test.text, got)
		}
	}
}

// TestLastLookReadsAlike: the last look reads a sentence as Check does, its accents, blanks and signs taken out, and holds back nothing that Check lets stand.
func TestLastLookReadsAlike(t *testing.T) {
	for _, text := range []string{"The \u00e9left trachea is midline.", "The lateral  costophrenic angles are sharp.", "The lateral\u00a0costophrenic angles are sharp."} {
		got := Check("FINDINGS: "+text, every(0), nil)
		if reason := Unflagged(got, every(0)); got[0].Verdict != study.VerdictKept || reason != "" {
			t.Errorf("%q is %s, and would be held back: %s", text, got[0].Verdict, reason)
		}
	}
}

// TestHardSentences: a sentence that is made to be misread does not stand where one of the findings that it speaks of is scored otherwise.
func TestHardSentences(t *testing.T) {
	for _, line := range lines(t, "../labeler/testdata/hard.txt") {
		text, said, _ := strings.Cut(strings.TrimPrefix(line, "~ "), " => ")
		for _, wrong := range strings.Fields(said) {
			scores := every(0)
			for _, word := range strings.Fields(said) {
				there := word[2:] != "-"
				if f := hardFinding(word); there != (word == wrong) {
					scores.Frontal[f] = 0.9
				}
			}
			f := hardFinding(wrong)
			for _, s := range Check(text, scores, nil) {
				if s.Verdict != study.VerdictKept {
					continue
				}
				if _, speaks := labeler.LabelSentence(s.Text)[f]; speaks || len(labeler.Sentences(text)) == 1 {
					t.Errorf("%q stands where %s is scored %.1f", s.Text, f, scores.Frontal[f])
				}
			}
		}
	}
}

// hardFinding is the finding that the first two letters of a word of hard.txt stand for.
func hardFinding(word string) study.Finding {
	return map[string]study.Finding{
		"at": study.Atelectasis, "cm": study.Cardiomegaly, "co": study.Consolidation, "ed": study.Edema, "ef": study.Effusion, "em": study.Emphysema,
		"ec": study.EnlargedCardiomediastinum, "fi": study.Fibrosis, "fx": study.Fracture, "he": study.Hernia, "in": study.Infiltration, "ll": study.LungLesion,
		"lo": study.LungOpacity, "ma": study.Mass, "no": study.Nodule, "pt": study.PleuralThickening, "pn": study.Pneumonia, "px": study.Pneumothorax,
	}[word[:2]]
}
