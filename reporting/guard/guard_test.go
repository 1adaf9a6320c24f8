package guard

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"unicode"

	"llamaxr/internal/peertest"
	"llamaxr/reporting/labeler"
	"llamaxr/study"
)

// pieces are sentences a language model may write, right or wrong, from which random reports are drawn.
var pieces = []string{
	"There is a pleural effusion.", "No pleural effusion or pneumothorax.", "The heart is enlarged.", "Heart size is normal.",
	"Possible atelectasis.", "The lungs are clear.", "Unchanged from the prior study.", "A 1.5 cm nodule is seen.",
	"Left basal consolidation.", "No focal consolidation, effusion, or edema.", "The mediastinum is widened.", "A pacemaker is seen.",
	"No acute cardiopulmonary abnormality.", "Emphysema is present.", "There is a rib fracture.", "Pneumonia cannot be excluded.",
	"Hiatal hernia.", "No mass or nodule.", "Pleural thickening is noted, with fibrosis.", "Lung opacity suggests pneumonia.", "xx", "",
	"The AP view shows no effusion.", "Infiltrate is present but there is no lung lesion.", "Bones are intact.", "Atelectasis, pleural thinning.", "Thinning of the apical pleura.",
}

// humanSentences are all that people wrote in the IU reports, claims on priors, sides, sizes and devices among them.
func humanSentences(t *testing.T) (out []string) {
	t.Helper()
	data, err := os.ReadFile(peertest.SharedData(t, "reports/iu_reports.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(data) {
		var report struct{ Findings, Impression string }
		if err := json.Unmarshal(line, &report); err != nil {
			t.Fatal(err)
		}
		out = append(out, labeler.Sentences(report.Findings+"\n"+report.Impression)...)
	}
	return out
}

// hostile offers in a sentence's place what a model may write and should not, goes on after one was taken, and heeds nothing.
func hostile(rng *rand.Rand, from []string) Others {
	return func(_, _ int, _, takes func(string) bool) error {
		for range rng.IntN(4) {
			one := from[rng.IntN(len(from))]
			switch rng.IntN(6) {
			case 0:
				one += " " + from[rng.IntN(len(from))]
			case 1:
				one = "IMPRESSION: " + one
			case 2:
				one = strings.TrimSuffix(one, ".") + "\nFINDINGS: " + from[rng.IntN(len(from))]
			}
			takes(one)
		}
		return nil
	}
}

// TestNoContradictionLeaves is the guard's promise on random reports over random scores: of sentences that a model may write, and of
// sentences that people wrote; with others of either in their place, whatever they are.
func TestNoContradictionLeaves(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	human := humanSentences(t)
	removed := map[string]int{}
	rewritten := 0
	reports := 10_000
	if peertest.Race {
		reports = 300
	}
	for i := range reports {
		scores := randomScores(rng)
		from := pieces
		if i%2 == 1 {
			from = human
		}
		raw := randomReport(rng, from)
		delivered, impression := "", ""
		checked := Check(raw, scores, nil)
		if i%4 > 1 {
			var err error
			if checked, err = CheckAgain(raw, scores, nil, hostile(rng, from)); err != nil {
				t.Fatal(err)
			}
		}
		if i%10 < 2 { // which reads all once more
			if reason := Unflagged(checked, scores); reason != "" {
				t.Fatalf("%s would be held back: %s", raw, reason)
			}
		}
		for _, s := range checked {
			if s.Verdict != study.VerdictKept && s.Reason == "" {
				t.Fatalf("sentence %q has verdict %s without a reason", s.Text, s.Verdict)
			}
			if s.Verdict == study.VerdictRemoved {
				removed[s.Reason]++
				continue
			}
			delivered += s.Text + "\n"
			if s.Section == study.SectionImpression {
				impression += s.Text + "\n"
			}
			if s.Verdict == study.VerdictRewritten {
				rewritten++
			}
			for _, word := range strings.FieldsFunc(strings.ToLower(s.Text), func(r rune) bool { return !unicode.IsLetter(r) }) {
				if slices.Contains(unknown, word) {
					t.Fatalf("%q is delivered in %q", word, s.Text)
				}
			}
			for f, p := range labeler.LabelSentence(s.Text) { // with the meanings that it only offers
				if p != study.Absent && !scores.Present(f) {
					t.Fatalf("%q claims %s, which is not scored present", s.Text, f)
				}
			}
		}
		said, concluded := labeler.Label(delivered), labeler.Label(impression)
		for _, f := range study.Findings() {
			if score, _ := scores.Combined(f); scores.Present(f) && score >= study.SurePoint && concluded[f] != study.Present && concluded[f] != study.Uncertain {
				t.Fatalf("%s is surely present and not in the impression: %s", f, impression)
			}
			positive := said[f] == study.Present || said[f] == study.Uncertain
			if positive != scores.Present(f) {
				t.Fatalf("%s is scored present=%v and said %q\nraw: %s\ndelivered: %s", f, scores.Present(f), said[f], raw, delivered)
			}
		}
		if (&checker{scores: scores}).callsNormal(delivered) {
			t.Fatalf("an abnormal study is called normal: %s", delivered)
		}
	}
	if rewritten < reports/200 {
		t.Errorf("only %d sentences were rewritten", rewritten)
	}
	for _, u := range unknowable {
		if removed[u.reason] < reports/100 {
			t.Errorf("only %d sentences were removed because it %s", removed[u.reason], u.reason)
		}
	}
}

// unknown are words of claims that no score can support, as a plain list beside the guard's own rules: none may be delivered.
var unknown = strings.Fields(`
	prior previous previously unchanged stable compared comparison interval again new newly improved worsened persistent redemonstrated
	cm mm centimeter centimeters millimeter millimeters
	left right bilateral bilaterally lingula bibasilar biapical lll rll rul lul rml
	catheter catheters tube tubes pacemaker sternotomy picc port-a-cath wires clips valve stent hardware prosthesis cabg defibrillator leads
	thinning`)

// TestPleuralThinning: a language model's slip for pleural thickening leaves as what the scores say of that, whatever they say.
func TestPleuralThinning(t *testing.T) {
	for _, test := range []struct {
		raw       string
		thickened float32
		want      string
	}{
		{"Pleural thinning.", 0.1, "No pleural thickening."},
		{"Pleural thinning.", 0.9, "Pleural thickening is present."},
		{"No pleural thinning.", 0.1, "No pleural thickening."},
		{"Atelectasis, pleural thinning.", 0.1, "Atelectasis is present. No pleural thickening."},
	} {
		scores := study.PairScores{Frontal: &study.Scores{study.Atelectasis: 0.9, study.PleuralThickening: test.thickened}}
		got := Check("FINDINGS: "+test.raw+" IMPRESSION: "+test.raw, scores, nil)
		for _, section := range []study.Section{study.SectionFindings, study.SectionImpression} {
			s := got[slices.IndexFunc(got, func(s study.Sentence) bool { return s.Section == section })]
			if s.Text != test.want || s.Verdict != study.VerdictReplaced || s.Original != test.raw || s.Reason == "" {
				t.Errorf("%q with %.1f, %s: %+v", test.raw, test.thickened, section, s)
			}
		}
	}
}

// TestHumanClaims: the ways of people to say what no score can support.
func TestHumanClaims(t *testing.T) {
	for reason, sentences := range map[string][]string{
		"prior": {
			"The heart is again mildly enlarged.", "Mild cardiomegaly as before.", "No significant change.", "Vascular congestion is redemonstrated.",
			"The effusion appears slightly smaller.", "There has been clearing of the opacity.", "Resolution of cardiomegaly.", "The heart remains enlarged.",
			"Infiltrates have developed.", "Increasing prominence of the mediastinum.", "The nodule has increased in size.", "Similar to the old film.",
			"Larger than on the earlier film.", "Interim placement.", "No comparisons.", "Residual opacities.",
		},
		"measurement": {
			"A 1.5 cm nodule.", "A 6mm nodule.", "A 17-mm opacity.", "A subcentimeter nodule.", "A nodule a few millimeters wide.", "A 2 x 3 cm mass.",
			"Pneumothorax of 20%.", "A mass measuring a hand.", "Two centimeters of apical air.",
		},
		"side": {
			"Left basal atelectasis.", "A right-sided effusion.", "Bibasilar atelectasis.", "Biapical scarring.", "Opacity in the lingula.", "Lingular atelectasis.",
			"Effusions on both sides.", "Opacities in both lungs.", "RLL pneumonia.", "Unilateral effusion.",
		},
		"device": {
			"A pacemaker is seen.", "Median sternotomy wires.", "There is evidence of CABG.", "An implantable defibrillator is noted.", "Portacatheter in place.",
			"A central line is noted.", "Surgical clips overlie the axilla.", "A tracheostomy is present.", "Prosthetic aortic valve.", "Shunt tubing is seen.",
			"AICD leads are intact.", "Endotracheal tube in good position.", "Postoperative chest.", "Spinal fixation hardware.", "A bullet overlies the heart.",
			"Status post mastectomy.", "No radiopaque foreign body.", "Breast implants.",
		},
		"technique": {
			"PA and lateral views show no effusion.", "The AP view shows no effusion.", "Normal PA chest.", "Portable chest without effusion.", "On the supine view there is no effusion.",
			"Heart size is normal for AP technique.", "Posteroanterior view: no effusion.", "The oblique views show no fracture.", "No effusion is seen on decubitus exam.", "Three views show clear lungs.",
			"The CT shows no effusion.", "CT of the chest shows clear lungs.", "MRI of the chest is normal.", "Ultrasound shows no effusion.", "The scan shows clear lungs.",
		},
	} {
		for _, s := range sentences {
			if got := Claim(s); !strings.Contains(got, reason) {
				t.Errorf("%q: %q, want a reason with %q", s, got, reason)
			}
		}
	}
	for _, s := range []string{
		"The heart is enlarged.", "Increased interstitial markings.", "Decreased lung volumes.", "The trachea is midline.",
		"No pleural line is visible.", "Chronic changes.", "Old granulomatous disease.", "There is a nodule.", "1. Emphysema.", "Lung opacity suggests pneumonia.",
	} {
		if got := Claim(s); got != "" {
			t.Errorf("%q: %q, want no claim", s, got)
		}
	}
}

// TestADiseaseIsMoreThanItsFinding: what is seen as a finding may have many causes, of which no score is about one. Such a sentence stands neither where all
// findings are possible nor, as a denial, where none is; the finding is said plainly instead.
func TestADiseaseIsMoreThanItsFinding(t *testing.T) {
	for _, disease := range []string{
		"lung cancer", "bronchogenic carcinoma", "malignancy", "metastases", "lymphoma", "a tumor", "a tumour", "a neoplasm", "a malignant pleural effusion", "metastatic nodules",
		"a granuloma", "calcified granulomas", "a mediastinal mass",
		"tuberculosis", "TB", "COVID-19", "covid", "a lung abscess", "aspiration", "pneumonitis",
		"empyema", "hemothorax", "haemothorax", "a hemopneumothorax", "chylothorax", "pleural blood", "layering pus", "pleurisy", "fibrothorax", "a tension pneumothorax",
		"COPD", "chronic obstructive disease", "heart failure", "CHF", "fluid overload", "venous hypertension", "cardiogenic edema", "cardiomyopathy", "ventricular enlargement",
		"UIP", "mucus plugging",
	} {
		for text, score := range map[string]float32{"There is " + disease + ".": 0.55, "Possible " + disease + ".": 0.9, "No evidence of " + disease + ".": 0} {
			checked := Check("FINDINGS: "+text, every(score), nil)
			if s := checked[0]; s.Verdict != study.VerdictRemoved || s.Reason != "names a condition that is not scored" {
				t.Errorf("%q, scored %.2f, is %s: %q (%s)", text, score, s.Verdict, s.Text, s.Reason)
			}
			for f := range labeler.LabelSentence(text) {
				if score > 0 && !slices.ContainsFunc(checked[1:], func(s study.Sentence) bool { return s.Text == Statement(f, every(score)) }) {
					t.Errorf("%q, scored %.2f, leaves %s unsaid", text, score, f)
				}
			}
			if reason := Unflagged([]study.Sentence{{Text: text, Verdict: study.VerdictKept}}, every(score)); !strings.Contains(reason, "condition") {
				t.Errorf("%q would be delivered", text)
			}
		}
	}
}

// TestANamedView: a sentence that names a view stands where that view was taken and says itself what is said of it.
func TestANamedView(t *testing.T) {
	view := func(effusion float32) *study.Scores { return &study.Scores{study.Effusion: effusion} }
	const kept, replaced, removed = study.VerdictKept, study.VerdictReplaced, study.VerdictRemoved
	for _, test := range []struct {
		text             string
		frontal, lateral *study.Scores
		want             study.Verdict
	}{
		{"Pleural effusion is seen on the lateral view.", view(0.9), view(0.9), kept},
		{"Pleural effusion is seen on the lateral view.", view(0.1), view(0.9), kept},
		{"Pleural effusion is seen on the lateral view.", view(0.9), view(0.05), replaced},
		{"Pleural effusion is seen on the lateral view.", view(0.9), nil, replaced},
		{"Pleural effusion is seen on the lateral.", view(0.9), nil, replaced},
		{"Pleural effusion is seen on the frontal view.", view(0.1), view(0.9), replaced},
		{"Pleural effusion is seen on the frontal view.", nil, view(0.9), replaced},
		{"Pleural effusion is seen on the frontal view.", view(0.9), nil, kept},
		{"Pleural effusion is seen on the frontal and lateral views.", view(0.9), view(0.9), kept},
		{"Pleural effusion is seen on the frontal and lateral views.", view(0.9), view(0.05), replaced},
		{"Two views show a pleural effusion.", view(0.9), view(0.9), kept},
		{"Two views show a pleural effusion.", view(0.05), view(0.9), replaced},
		{"Two views show a pleural effusion.", view(0.9), nil, replaced},
		{"The views show a pleural effusion.", view(0.9), nil, replaced},
		{"Pleural effusion is seen on the lateral view.", view(0.1), view(0.1), replaced},
		{"Frontal and lateral views of the chest show no pneumothorax.", view(0), view(0), kept},
		{"Frontal and lateral views of the chest show no pneumothorax.", view(0), nil, replaced},
		{"No pneumothorax on the lateral view.", view(0), view(0), kept},
		{"No pneumothorax on the lateral view.", view(0), nil, replaced},
		{"No pleural effusion on the lateral view.", view(0.9), view(0.1), replaced},
		{"The lateral view shows clear lungs.", view(0), view(0), kept},
		{"The lateral view shows clear lungs.", view(0), nil, removed},
		{"Two-view chest is normal.", view(0), nil, removed},
		{"The trachea is midline on the lateral view.", view(0), nil, removed},
		{"Frontal, lateral: normal chest.", nil, view(0), removed},
		{"The lateral costophrenic angles are sharp.", view(0), nil, kept}, // a direction
		{"Normal frontal and lateral views of the chest.", view(0), view(0), kept},
		{"Normal frontal and lateral views of the chest.", view(0.9), view(0.9), removed},
		{"Clear frontal view of the chest.", view(0.9), view(0.9), removed},
		{"The frontal view is normal.", view(0.9), view(0.1), removed},
		{"Chest, two views: normal.", view(0.9), view(0.9), removed},
		{"Normal two-view chest.", view(0.9), view(0.9), removed},
	} {
		scores := study.PairScores{Frontal: test.frontal, Lateral: test.lateral}
		checked := Check("FINDINGS: "+test.text, scores, nil)
		if s := checked[0]; s.Verdict != test.want || s.Verdict != kept && s.Reason == "" || s.Verdict == replaced && viewed(s.Text) != nil {
			t.Errorf("%q with %v and %v: %s, %q (%s)", test.text, test.frontal, test.lateral, s.Verdict, s.Text, s.Reason)
		}
		if reason := Unflagged(checked, scores); reason != "" {
			t.Errorf("%q would be held back: %s", test.text, reason)
		}
		if held := Unflagged([]study.Sentence{{Text: test.text, Verdict: kept}}, scores); (held == "") != (test.want == kept) {
			t.Errorf("%q with %v and %v, looked at last: %q", test.text, test.frontal, test.lateral, held)
		}
	}
}

func TestVerdicts(t *testing.T) {
	scores := study.PairScores{Frontal: &study.Scores{study.Effusion: 0.9}}
	for _, test := range []struct {
		text    string
		verdict study.Verdict
		reason  string
	}{
		{"A pleural effusion is present.", study.VerdictKept, ""},
		{"No pleural effusion.", study.VerdictReplaced, "Effusion is called absent, scored 0.90 (frontal)"},
		{"The heart is enlarged.", study.VerdictReplaced, "Cardiomegaly is called present"},
		{"Effusion, unchanged.", study.VerdictRemoved, "prior"},
		{"A left effusion.", study.VerdictRemoved, "side"},
		{"A 2 cm effusion.", study.VerdictRemoved, "measurement"},
		{"A chest tube is in place.", study.VerdictRemoved, "device"},
		{"No acute abnormality.", study.VerdictRemoved, "normal"},
		{"The lungs are clear.", study.VerdictKept, ""}, // an effusion is outside the lungs
		{"The bony structures are intact.", study.VerdictKept, ""},
	} {
		got := Check(test.text, scores, nil)[0]
		if got.Verdict != test.verdict || !strings.Contains(got.Reason, test.reason) {
			t.Errorf("%q: verdict %s (%s), want %s (%s)", test.text, got.Verdict, got.Reason, test.verdict, test.reason)
		}
	}
}

// TestOneCertaintyASection: a section does not call a finding both possible and present; what stands says it as its score does.
func TestOneCertaintyASection(t *testing.T) {
	for _, test := range []struct {
		impression  string
		atelectasis float32
		want        []string
	}{
		{"Atelectasis, pleural effusion. Possible atelectasis.", 0.67, []string{"Atelectasis, pleural effusion."}},
		{"Possible atelectasis. Atelectasis, pleural effusion.", 0.67, []string{"Atelectasis, pleural effusion."}},
		{"Atelectasis, pleural effusion. Possible atelectasis.", 0.55, []string{"Pleural effusion is present.", "Possible atelectasis."}},
		{"Possible atelectasis. Pleural effusion.", 0.67, []string{"Possible atelectasis.", "Pleural effusion."}}, // said once
	} {
		scores := study.PairScores{Frontal: &study.Scores{study.Atelectasis: test.atelectasis, study.Effusion: 0.7}}
		var got []string
		for _, s := range Check("FINDINGS: There is atelectasis. There is a pleural effusion. IMPRESSION: "+test.impression, scores, nil) {
			if s.Section == study.SectionImpression && s.Verdict != study.VerdictRemoved {
				got = append(got, s.Text)
			}
			if s.Verdict != study.VerdictKept && s.Reason == "" {
				t.Errorf("%q is %s without a reason", s.Text, s.Verdict)
			}
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%q, scored %.2f: %q, want %q", test.impression, test.atelectasis, got, test.want)
		}
	}
}

// TestImpressionNamesWhatIsSure: an impression that leaves out what is surely present gets it; what is only possible may stand in the findings alone.
func TestImpressionNamesWhatIsSure(t *testing.T) {
	scores := study.PairScores{Frontal: &study.Scores{study.Edema: 0.95, study.Effusion: 0.7, study.LungLesion: 0.55}}
	for impression, want := range map[string]string{
		"Possible lung lesion.":                        "Possible lung lesion. Pulmonary edema, pleural effusion.",
		"Pulmonary o. Pleural effusion.":               "Pleural effusion. Pulmonary edema.",
		"No pneumothorax.":                             "No pneumothorax. Pulmonary edema, pleural effusion.",
		"Pulmonary edema, pleural effusion.":           "Pulmonary edema, pleural effusion.",
		"Edema cannot be excluded. Pleural effusions.": "Edema cannot be excluded. Pleural effusions.",
	} {
		draft := study.Draft{Sentences: Check("FINDINGS: Pulmonary edema. Pleural effusion. Possible lung lesion. IMPRESSION: "+impression, scores, nil)}
		if got := draft.Text(study.SectionImpression); got != want {
			t.Errorf("%q became %q, want %q", impression, got, want)
		}
	}
}

// TestAKindIsNotDeniedInGeneral: what a finding that is scored present is a kind of is not denied beside it.
func TestAKindIsNotDeniedInGeneral(t *testing.T) {
	for _, test := range []struct {
		text    string
		present study.Finding
		want    string
	}{
		{"No lung lesion is seen.", study.Mass, ""},
		{"No mass or lung lesion.", study.Nodule, "No mass."},
		{"No lung opacity.", study.Pneumonia, ""},
		{"No lung lesion.", study.Pneumonia, "No lung lesion."},
		{"No nodule.", study.LungLesion, "No nodule."}, // of another kind
	} {
		scores := study.PairScores{Frontal: new(study.Scores)}
		scores.Frontal[test.present] = 0.9
		got := Check(test.text+" "+Statement(test.present, scores), scores, nil)[0]
		if want := test.want; got.Verdict == study.VerdictRemoved && want != "" || got.Verdict != study.VerdictRemoved && got.Text != want {
			t.Errorf("%q beside %s: %s, %q (%s)", test.text, test.present, got.Verdict, got.Text, got.Reason)
		}
	}
}

// TestSoundBonesDenyAFracture: what calls the bones normal does not stand beside a fracture that is scored present.
func TestSoundBonesDenyAFracture(t *testing.T) {
	scores := study.PairScores{Frontal: &study.Scores{study.Fracture: 0.9}}
	for _, text := range []string{
		"The bony structures are intact.", "The skeletal structures are normal.", "No acute bony abnormality.", "Visualized osseous structures are unremarkable.",
		"The bones are without acute abnormality.",
	} {
		if got := Check(text, scores, nil)[0]; got.Verdict != study.VerdictRemoved {
			t.Errorf("%q is %s", text, got.Verdict)
		}
	}
}

// TestNormalChestInOtherWords: a chest, its lungs or its bones are not called normal, in any of the words that the IU reports have for it, beside what
// is scored present there; where nothing is, they may be.
func TestNormalChestInOtherWords(t *testing.T) {
	for text, beside := range map[string]study.Finding{
		"There is no evidence of active disease.":                             study.Effusion,
		"There is no radiographic evidence of acute cardiopulmonary disease.": study.Mass,
		"Without acute disease.":                                              study.Mass,
		"The chest is clear.":                                                 study.Hernia,
		"Lungs clear.":                                                        study.Mass,
		"The lung appears clear.":                                             study.Nodule,
		"No evidence of acute bony abnormality.":                              study.Fracture,
	} {
		scores := new(study.Scores)
		if got := Check(text, study.PairScores{Frontal: scores}, nil)[0]; got.Verdict != study.VerdictKept {
			t.Errorf("%q where nothing is scored present: %s (%s)", text, got.Verdict, got.Reason)
		}
		scores[beside] = 0.9
		if got := Check(text, study.PairScores{Frontal: scores}, nil)[0]; got.Verdict != study.VerdictRemoved || got.Reason != normalAgainstScores {
			t.Errorf("%q beside %s is %s", text, beside, got.Verdict)
		}
	}
}

// TestEvidenceOfReplacedSentences: each of the plain sentences that stand for one of the model says what its score says.
func TestEvidenceOfReplacedSentences(t *testing.T) {
	scores := study.PairScores{Frontal: &study.Scores{study.Edema: 0.9}}
	got := Check("No consolidation, edema or effusion.", scores, nil)[0]
	if want := "No consolidation. Pulmonary edema is present. No pleural effusion."; got.Text != want {
		t.Fatalf("got %q, want %q", got.Text, want)
	}
	for _, e := range got.Evidence {
		if (e.Polarity == study.Absent) == (e.Finding == study.Edema) {
			t.Errorf("the evidence calls %s %s", e.Finding, e.Polarity)
		}
	}
	if len(got.Evidence) != 3 {
		t.Errorf("evidence %+v", got.Evidence)
	}
}

// TestOneSpellingADraft: what the guard puts into a draft is spelled as its model spells, whose spelling the site taught it.
func TestOneSpellingADraft(t *testing.T) {
	scores := study.PairScores{Frontal: new(study.Scores)}
	scores.Frontal[study.Edema], scores.Frontal[study.Effusion] = 0.9, 0.9
	for raw, want := range map[string]string{
		"FINDINGS: There is pulmonary oedema. IMPRESSION: No pulmonary oedema.":                       "There is pulmonary oedema. Pleural effusion is present. Pulmonary oedema is present. Pleural effusion.",
		"FINDINGS: Oedema and effusion. IMPRESSION: Effusion.":                                        "Oedema and effusion. Effusion. Pulmonary oedema.",
		"FINDINGS: No oedema, no effusion, no mass. IMPRESSION:":                                      "Pulmonary oedema is present. Pleural effusion is present. No mass. Pulmonary oedema, pleural effusion.",
		"FINDINGS: There is pulmonary edema. IMPRESSION: No pulmonary edema.":                         "There is pulmonary edema. Pleural effusion is present. Pulmonary edema is present. Pleural effusion.",
		"FINDINGS: Effusion. IMPRESSION: Effusion.":                                                   "Effusion. Pulmonary edema is present. Effusion. Pulmonary edema.",
		"FINDINGS: Edema and effusion. Pulmonary edema is seen. IMPRESSION: Effusion without oedema.": "Edema and effusion. Pulmonary edema is seen. Pulmonary edema is present. Pleural effusion is present.",
	} {
		var got []string
		for _, s := range Check(raw, scores, nil) {
			if s.Verdict != study.VerdictRemoved {
				got = append(got, s.Text)
			}
		}
		if text := strings.Join(got, " "); text != want {
			t.Errorf("%s\nbecomes %s\nand not %s", raw, text, want)
		}
	}
}

func TestEvidenceCarriesViewScoreAndRegion(t *testing.T) {
	region := &study.Region{Left: 1, Top: 2, Right: 3, Bottom: 4}
	scores := study.PairScores{Frontal: &study.Scores{study.Mass: 0.3}, Lateral: &study.Scores{study.Mass: 0.8}}
	maps := []study.HeatMap{{View: study.Lateral, Finding: study.Mass, Region: region}}
	got := Check("FINDINGS: A mass is present. IMPRESSION: Mass.", scores, maps)
	if len(got) != 2 || got[1].Section != study.SectionImpression {
		t.Fatalf("got %+v", got)
	}
	want := study.Evidence{Finding: study.Mass, Polarity: study.Present, View: study.Lateral, Score: 0.8, Region: region}
	if len(got[0].Evidence) != 1 || got[0].Evidence[0] != want {
		t.Errorf("evidence %+v, want %+v", got[0].Evidence, want)
	}
}

func randomScores(rng *rand.Rand) study.PairScores {
	view := func() *study.Scores {
		var s study.Scores
		for i := range s {
			if s[i] = rng.Float32() / 2; rng.IntN(5) == 0 {
				s[i] = 0.5 + rng.Float32()/2
			}
		}
		return &s
	}
	scores := study.PairScores{Frontal: view()}
	if rng.IntN(4) > 0 {
		scores.Lateral = view()
	}
	return scores
}

func randomReport(rng *rand.Rand, from []string) string {
	var b strings.Builder
	b.WriteString("FINDINGS: ")
	for range rng.IntN(8) {
		b.WriteString(from[rng.IntN(len(from))] + " ")
	}
	if rng.IntN(5) > 0 {
		b.WriteString("IMPRESSION: ")
		for range rng.IntN(3) {
			b.WriteString(from[rng.IntN(len(from))] + " ")
		}
	}
	return b.String()
}

// TestReasonTellsTheScore: a score just below the operating point, for which a finding counts as absent, does not read as 0.50.
func TestReasonTellsTheScore(t *testing.T) {
	scores := study.PairScores{Frontal: &study.Scores{study.Effusion: 0.497}}
	want := "Effusion is called present, scored 0.49 (frontal)"
	if got := Check("FINDINGS: There is a pleural effusion. IMPRESSION: Normal.", scores, nil)[0].Reason; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func FuzzCheck(f *testing.F) {
	f.Add("FINDINGS: No effusion. IMPRESSION: Normal.", uint64(1), "Possible effusion.")
	f.Add("impression: impression: x", uint64(2), "impression: x")
	f.Fuzz(func(t *testing.T, raw string, seed uint64, other string) {
		scores := randomScores(rand.New(rand.NewPCG(seed, 1)))
		if len(Check(raw, scores, nil)) < 2 {
			t.Error("a draft has at least a finding and an impression")
		}
		again, err := CheckAgain(raw, scores, nil, func(_, _ int, _, takes func(string) bool) error {
			for _, one := range append(labeler.Sentences(other), other) {
				takes(one)
			}
			return nil
		})
		if reason := Unflagged(again, scores); err != nil || reason != "" {
			t.Errorf("it would be held back: %s (%v)", reason, err)
		}
	})
}

// TestNotScoredIsNotSpokenOf: what the classifier does not score is neither affirmed nor denied, by name or by calling the chest normal.
func TestNotScoredIsNotSpokenOf(t *testing.T) {
	var view study.Scores
	view[study.Hernia], view[study.Mass] = study.NotScored(), study.NotScored()
	scores := study.PairScores{Frontal: &view}
	for _, raw := range pieces {
		delivered := ""
		for _, s := range Check("FINDINGS: "+raw+" IMPRESSION: "+raw, scores, nil) {
			if s.Verdict != study.VerdictRemoved {
				delivered += s.Text + "\n"
			}
		}
		said := labeler.Label(delivered)
		for _, f := range scores.NotScored() {
			if p, ok := said[f]; ok {
				t.Errorf("%q: %s is not scored and called %s: %s", raw, f, p, delivered)
			}
		}
		if (&checker{scores: scores}).callsNormal(delivered) {
			t.Errorf("%q: the chest is called normal though mass is not scored: %s", raw, delivered)
		}
	}
}
