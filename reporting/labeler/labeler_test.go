package labeler

import (
	"bufio"
	"encoding/json"
	"os"
	"reflect"
	"strings"
	"testing"

	"llamaxr/internal/peertest"
	"llamaxr/study"
)

func TestSentences(t *testing.T) {
	for _, test := range []struct {
		text string
		want []string
	}{
		{"No effusion. Heart is normal.", []string{"No effusion.", "Heart is normal."}},
		{"1. Clear lungs. 2. A 1.5 cm nodule.", []string{"1. Clear lungs.", "2. A 1.5 cm nodule."}},
		{"Seen by Dr. Smith. Normal", []string{"Seen by Dr. Smith.", "Normal"}},
		{"", nil},
		{"... \n\n", nil},
	} {
		if got := Sentences(test.text); !reflect.DeepEqual(got, test.want) {
			t.Errorf("Sentences(%q) = %q, want %q", test.text, got, test.want)
		}
	}
}

func TestLabelSentence(t *testing.T) {
	const p, a, u = study.Present, study.Absent, study.Uncertain
	for _, test := range []struct {
		text string
		want Labels
	}{
		{"There is a small left pleural effusion.", Labels{study.Effusion: p}},
		{"No pleural effusion, pneumothorax, or focal consolidation.", Labels{study.Effusion: a, study.Pneumothorax: a, study.Consolidation: a}},
		{"No pneumothorax but there is an effusion.", Labels{study.Pneumothorax: a, study.Effusion: p}},
		{"No pneumothorax; small effusion.", Labels{study.Pneumothorax: a, study.Effusion: p}},
		{"Possible right basal atelectasis.", Labels{study.Atelectasis: u}},
		{"Pneumonia cannot be excluded.", Labels{study.Pneumonia: u}},
		{"A pneumothorax is not seen.", Labels{study.Pneumothorax: a}},
		{"The heart is enlarged.", Labels{study.Cardiomegaly: p}},
		{"The heart is not enlarged.", Labels{study.Cardiomegaly: a}},
		{"Heart size is normal.", Labels{study.Cardiomegaly: a}},
		{"Cardiac and mediastinal contours are within normal limits.", Labels{study.Cardiomegaly: a, study.EnlargedCardiomediastinum: a}},
		{"Cardiac and mediastinal silhouettes are unremarkable.", Labels{study.Cardiomegaly: a, study.EnlargedCardiomediastinum: a}},
		{"Cardiomediastinal contours are within normal limits.", Labels{study.Cardiomegaly: a, study.EnlargedCardiomediastinum: a}},
		{"Heart, mediastinum and lungs are unremarkable.", Labels{study.Cardiomegaly: a, study.EnlargedCardiomediastinum: a}},
		{"Cardiac silhouette: normal.", Labels{study.Cardiomegaly: a}},
		{"Heart and mediastinum of normal size and contour.", Labels{study.Cardiomegaly: a, study.EnlargedCardiomediastinum: a}},
		{"Normal heart and mediastinal contours.", Labels{study.Cardiomegaly: a, study.EnlargedCardiomediastinum: a}},
		{"Unremarkable mediastinal contour.", Labels{study.EnlargedCardiomediastinum: a}},
		{"Heart size upper limits normal.", Labels{study.Cardiomegaly: a}},
		{"Heart size is normal to mildly enlarged.", Labels{study.Cardiomegaly: u}},
		{"Effusion: negative.", Labels{study.Effusion: a}},
		{"There is no evidence of rib fracture.", Labels{study.Fracture: a}},
		{"The mediastinum is widened.", Labels{study.EnlargedCardiomediastinum: p}},
		{"Small pericardial effusion.", Labels{}},
		{"History of pneumonia.", Labels{}},
		{"Subcutaneous emphysema is noted.", Labels{}},
		{"No significant change in the hiatal hernia.", Labels{study.Hernia: p}},
		{"A nodular opacity overlies the left lung.", Labels{study.LungOpacity: p}},
		{"Reticulonodular scarring at the apex.", Labels{study.Nodule: p}},
		{"Borderline heart size.", Labels{study.Cardiomegaly: u}},
		{"The pacemaker lead is fractured.", Labels{}},
		{"Fracture of the clavicle with a fixation screw.", Labels{study.Fracture: p}},
		{"Dedicated views if there is concern for rib fracture.", Labels{}},
		{"Changes of cystic fibrosis.", Labels{}},
		{"An opacity that may represent pneumonia.", Labels{study.LungOpacity: p, study.Pneumonia: u}},
	} {
		if got := LabelSentence(test.text); !reflect.DeepEqual(got, test.want) {
			t.Errorf("LabelSentence(%q) = %v, want %v", test.text, got, test.want)
		}
	}
}

// TestOfferedMeaning: what a text only offers as a meaning of something else is no statement of it; what it calls possible is.
func TestOfferedMeaning(t *testing.T) {
	for text, want := range map[string]Labels{
		"An opacity that may represent pneumonia.":                    {study.LungOpacity: study.Present},
		"Interstitial prominence suggestive of edema.":                {},
		"Differential includes pneumonia and atelectasis.":            {},
		"An opacity that may represent pneumonia. Pneumonia.":         {study.LungOpacity: study.Present, study.Pneumonia: study.Present},
		"Possible pneumonia.":                                         {study.Pneumonia: study.Uncertain},
		"There may be a small effusion.":                              {study.Effusion: study.Uncertain},
		"The heart may be enlarged.":                                  {study.Cardiomegaly: study.Uncertain},
		"Atelectasis versus infiltrate.":                              {study.Atelectasis: study.Uncertain, study.Infiltration: study.Uncertain},
		"Hyperexpansion suggests emphysema but there is no effusion.": {study.Effusion: study.Absent},
	} {
		if got := Label(text); !reflect.DeepEqual(got, want) {
			t.Errorf("Label(%q) = %v, want %v", text, got, want)
		}
	}
}

// minimumMicroF1 is what the labeler is held to against the human MeSH terms of the IU reports.
const minimumMicroF1 = 0.92

// TestAgainstHumanTerms compares with the MeSH terms that people gave the IU reports; present and uncertain count as positive. The rules
// were written looking at the reports of even uid only; the others say how far they hold elsewhere.
func TestAgainstHumanTerms(t *testing.T) {
	file, err := os.Open(peertest.SharedData(t, "reports/iu_reports.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var seen, unseen [study.NumFindings]counts
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<20)
	shown := map[string]int{}
	for lines.Scan() {
		var report struct {
			UID                  int
			Findings, Impression string
			Terms                []string `json:"mesh_major"`
		}
		if err := json.Unmarshal(lines.Bytes(), &report); err != nil {
			t.Fatal(err)
		}
		if report.Findings+report.Impression == "" {
			continue
		}
		said := Label(report.Findings + "\n" + report.Impression)
		human := FromMeSH(report.Terms)
		for _, f := range InMeSH() {
			positive := said[f] == study.Present || said[f] == study.Uncertain
			half := &seen
			if report.UID%2 == 1 {
				half = &unseen
			}
			half[f].count(positive, human[f])
			if os.Getenv("LLAMAXR_SHOW") == f.String() && positive != human[f] && shown[f.String()] < 25 {
				shown[f.String()]++
				t.Logf("%d %v said %v human %v: %s %s", report.UID, f, positive, human[f], report.Findings, report.Impression)
			}
		}
	}
	for _, half := range []struct {
		name   string
		counts *[study.NumFindings]counts
	}{{"even uids, seen", &seen}, {"odd uids, unseen", &unseen}} {
		var all counts
		for _, f := range InMeSH() {
			c := half.counts[f]
			t.Logf("%s: %-28s tp %4d fp %4d fn %4d F1 %.3f", half.name, f, c.tp, c.fp, c.fn, c.f1())
			all.tp, all.fp, all.fn = all.tp+c.tp, all.fp+c.fp, all.fn+c.fn
		}
		t.Logf("%s: micro-F1 %.3f", half.name, all.f1())
		if all.f1() < minimumMicroF1 {
			t.Errorf("%s: micro-F1 against the human terms is %.3f, want at least %.2f", half.name, all.f1(), minimumMicroF1)
		}
	}
}

// counts are those of true positives, false positives and false negatives.
type counts struct{ tp, fp, fn int }

func (c *counts) count(said, human bool) {
	switch {
	case said && human:
		c.tp++
	case said:
		c.fp++
	case human:
		c.fn++
	}
}

func (c counts) f1() float64 { return 2 * float64(c.tp) / max(float64(2*c.tp+c.fp+c.fn), 1) }

func FuzzLabel(f *testing.F) {
	f.Add("No effusion. Possible mass; 1.5 cm nodule.")
	f.Add("cannot exclude . . . 1. 2. \xff")
	f.Fuzz(func(t *testing.T, text string) {
		Label(text)
		for _, s := range Sentences(text) {
			if strings.TrimSpace(s) == "" {
				t.Errorf("an empty sentence from %q", text)
			}
		}
	})
}
