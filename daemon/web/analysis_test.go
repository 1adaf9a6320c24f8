package web

import (
	"strings"
	"testing"

	"llamaxr/study"
)

// sides puts a comparison's two texts together again.
func sides(list []piece) (before, after string) {
	for _, p := range list {
		if p.Kind != added {
			before += p.Text
		}
		if p.Kind != gone {
			after += p.Text
		}
	}
	return before, after
}

// TestCompare: a sentence that stays is whole, of a changed one stays what is larger than its changes, and both texts can be put together from the pieces.
func TestCompare(t *testing.T) {
	for _, test := range []struct {
		before, after string
		gone, added   string
	}{
		{"", "", "", ""},
		{"No mass.", "No mass.", "", ""},
		{"No mass is seen.", "A mass is seen.", "No", "A"},
		{"Heart normal. No mass.", "Heart normal.", " No mass.", ""},
		{"", "New text.", "", "New text."},
		{"Clear lungs.", "Clear  lungs!", " |.", "  |!"},
		{"1.5 cm", "2.5 cm", "1", "2"},
		{
			"No mass. A pneumothorax is suspected. No hernia. No fracture.", "No mass. There is a small right pneumothorax. Healed fracture. No hernia.",
			"A pneumothorax is suspected| No fracture.", "There is a small right pneumothorax|Healed fracture. ",
		},
		{"The heart is large. No effusion.", "The heart is enlarged. There is an effusion.", "large|No", "enlarged|There is an"},
		{"The lungs are clear", "The lungs are not clear", "", "not "},
	} {
		list := compare(test.before, test.after)
		before, after := sides(list)
		if before != test.before || after != test.after {
			t.Errorf("%q to %q: the pieces %v give %q and %q", test.before, test.after, list, before, after)
		}
		var out, in []string
		for _, p := range list {
			switch p.Kind {
			case gone:
				out = append(out, p.Text)
			case added:
				in = append(in, p.Text)
			}
		}
		if strings.Join(out, "|") != test.gone || strings.Join(in, "|") != test.added {
			t.Errorf("%q to %q: %v", test.before, test.after, list)
		}
	}
}

func FuzzCompare(f *testing.F) {
	f.Add("No mass. Clear.", "A mass. Not clear.")
	f.Add("\xff a", "a \x00")
	f.Fuzz(func(t *testing.T, before, after string) {
		list := compare(before, after)
		a, b := sides(list)
		// What is no character is in no word; everything else must be there.
		if strings.ToValidUTF8(a, "") != strings.ToValidUTF8(before, "") || strings.ToValidUTF8(b, "") != strings.ToValidUTF8(after, "") {
			t.Errorf("%q to %q gives %q and %q", before, after, a, b)
		}
		_ = analyse(study.Draft{}, study.SectionFindings, after)
	})
}

// TestAnalysis: each sentence keeps its own changes, says what it says, and is held against the scores.
func TestAnalysis(t *testing.T) {
	frontal := study.Scores{study.Effusion: 0.9}
	draft := study.Draft{
		Scores: study.PairScores{Frontal: &frontal},
		Sentences: []study.Sentence{
			{Section: study.SectionFindings, Text: "Pleural effusion is present.", Verdict: study.VerdictReplaced, Original: "No effusion.", Reason: "scored 0.90"},
			{Section: study.SectionFindings, Text: "No mass.", Verdict: study.VerdictKept},
			{Section: study.SectionFindings, Text: "Unchanged.", Verdict: study.VerdictRemoved},
		},
	}
	got := analyse(draft, study.SectionFindings, "Pleural effusion is present. There is a mass. No pneumothorax.")
	if len(got) != 3 {
		t.Fatalf("%d sentences: %+v", len(got), got)
	}
	if got[0].Verdict != "replaced" || got[0].Original != "No effusion." || len(got[0].Says) != 1 || got[0].Says[0].Differs || got[0].Says[0].Finding != "effusion" {
		t.Errorf("the draft's sentence: %+v", got[0])
	}
	if p := got[1].Pieces; len(got[0].Pieces) != 1 || p[0] != (piece{gone, "No mass"}) || p[1].Kind != added {
		t.Errorf("what was taken out between two sentences is not the second's: %+v", got[:2])
	}
	if s := got[1].Says; len(s) != 1 || s[0].Finding != "mass" || !s[0].Differs || s[0].Polarity != study.Present {
		t.Errorf("the sentence against the scores: %+v", got[1])
	}
	if s := got[2].Says; len(s) != 1 || s[0].Finding != "pneumothorax" || s[0].Differs || s[0].Polarity != study.Absent {
		t.Errorf("the new sentence: %+v", got[2])
	}
	var all []piece
	for _, s := range got {
		all = append(all, s.Pieces...)
	}
	before, after := sides(all)
	if before != draft.Text(study.SectionFindings) || after != "Pleural effusion is present. There is a mass. No pneumothorax." {
		t.Errorf("the sentences' pieces give %q and %q", before, after)
	}
}
