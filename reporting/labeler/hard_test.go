package labeler

import (
	"os"
	"reflect"
	"strings"
	"testing"

	"llamaxr/study"
)

var short = map[string]study.Finding{
	"at": study.Atelectasis, "cm": study.Cardiomegaly, "co": study.Consolidation, "ed": study.Edema, "ef": study.Effusion, "em": study.Emphysema,
	"ec": study.EnlargedCardiomediastinum, "fi": study.Fibrosis, "fx": study.Fracture, "he": study.Hernia, "in": study.Infiltration, "ll": study.LungLesion,
	"lo": study.LungOpacity, "ma": study.Mass, "no": study.Nodule, "pt": study.PleuralThickening, "pn": study.Pneumonia, "px": study.Pneumothorax,
}

// TestHardSentences: what sentences say that are made to be misread. Those marked ~ are misread, and then not plain.
func TestHardSentences(t *testing.T) {
	data, err := os.ReadFile("testdata/hard.txt")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		text, said, ok := strings.Cut(strings.TrimSpace(line), " => ")
		text, misread := strings.CutPrefix(text, "~ ")
		if !ok {
			text = strings.TrimSuffix(text, " =>")
		}
		want := Labels{}
		for _, word := range strings.Fields(said) {
			want[short[word[:2]]] = map[string]study.Polarity{"+": study.Present, "-": study.Absent, "?": study.Uncertain}[word[2:]]
		}
		got, plain := Labels{}, true
		for _, sentence := range Sentences(text) {
			labels := LabelSentence(sentence)
			plain = plain && Plain(sentence, labels)
			for f, p := range labels {
				got[f] = stronger(got[f], p)
			}
		}
		if reflect.DeepEqual(got, want) == misread {
			t.Errorf("%q says %v, want %v (misread: %v)", text, got, want, misread)
		}
		for f, p := range want {
			if plain && (got[f] == "" || (got[f] == study.Absent) != (p == study.Absent)) {
				t.Errorf("%q is called plain and misread: %v, want %v", text, got, want)
			}
		}
	}
}

// TestPlainSentences: what people and models write most is plain.
func TestPlainSentences(t *testing.T) {
	for _, text := range []string{
		"There is a pleural effusion.", "No pleural effusion or pneumothorax.", "No focal consolidation, effusion, or edema.", "The heart is enlarged.",
		"The heart is not enlarged.", "Heart size is normal.", "Possible atelectasis.", "Pneumonia is suspected.", "Pneumonia cannot be excluded.",
		"A pneumothorax is not seen.", "Cardiomegaly without edema.", "Pleural effusion, no pneumothorax.", "No effusion and no pneumothorax.",
		"The lungs are clear without evidence of focal airspace disease.", "Neither effusion nor pneumothorax is seen.", "1. No rib fracture.", "Atelectasis, effusion.",
		"There is no focal consolidation, pneumothorax or large pleural effusion.", "Emphysema; no nodule.", "The trachea is midline.", "No effusion/pneumothorax.",
		"No focal consolidation to suggest pneumonia.", "Healed fracture of the 7th rib.", "Patchy opacity at the base, which may represent pneumonia.",
	} {
		if !Plain(text, LabelSentence(text)) {
			t.Errorf("%q is not plain", text)
		}
	}
}
