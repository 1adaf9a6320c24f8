package web

import (
	"strings"

	"llamaxr/reporting/labeler"
	"llamaxr/study"
)

// said is what a sentence says of a finding, beside its scores.
type said struct {
	Finding  string         `json:"finding"` // slug
	Name     string         `json:"name"`
	Polarity study.Polarity `json:"polarity"`
	Score    string         `json:"score"` // the higher of the two views', as it is shown
	View     string         `json:"view"`
	Differs  bool           `json:"differs"` // the scores say otherwise
}

// spoken is one sentence of a section as it stands now: what it keeps, adds and drops of the draft, and what it says.
type spoken struct {
	Pieces   []piece `json:"pieces"`
	Says     []said  `json:"says"`
	Verdict  string  `json:"verdict,omitempty"`  // of the guard, when the sentence is the draft's
	Original string  `json:"original,omitempty"` // the model's own sentence
	Reason   string  `json:"reason,omitempty"`
}

// analyse compares a section with its draft and ties each sentence to the scores.
func analyse(draft study.Draft, section study.Section, text string) []spoken {
	starts := sentenceStarts(text)
	out := make([]spoken, max(len(starts), 1))
	at, position := 0, 0
	next := func() int { // where the present sentence ends
		if at+1 < len(starts) {
			return starts[at+1]
		}
		return len(text)
	}
	reach := func() {
		for position >= next() && at+1 < len(starts) {
			at++
		}
	}
	for _, p := range compare(draft.Text(section), text) {
		if p.Kind == gone { // between two sentences it is what the second was
			reach()
			out[at].Pieces = append(out[at].Pieces, p)
			continue
		}
		for rest := p.Text; rest != ""; {
			reach()
			n := min(len(rest), max(next()-position, 1))
			if at+1 >= len(starts) {
				n = len(rest)
			}
			out[at].Pieces = append(out[at].Pieces, piece{p.Kind, rest[:n]})
			rest, position = rest[n:], position+n
		}
	}
	for i := range starts {
		end := len(text)
		if i+1 < len(starts) {
			end = starts[i+1]
		}
		sentence := strings.TrimSpace(text[starts[i]:end])
		out[i].Says = says(draft.Scores, sentence)
		for _, s := range draft.Sentences {
			if s.Section == section && s.Text == sentence && s.Verdict != study.VerdictKept && s.Verdict != study.VerdictRemoved {
				out[i].Verdict, out[i].Original, out[i].Reason = string(s.Verdict), s.Original, s.Reason
			}
		}
	}
	return out
}

// sentenceStarts are the places where sentences begin; the first begins with the text.
func sentenceStarts(text string) []int {
	var starts []int
	from := 0
	for _, sentence := range labeler.Sentences(text) {
		at := strings.Index(text[from:], sentence)
		if at < 0 {
			break
		}
		starts = append(starts, from+at)
		from += at + len(sentence)
	}
	if len(starts) > 0 {
		starts[0] = 0
	}
	return starts
}

// says labels a sentence and holds it against the scores.
func says(scores study.PairScores, sentence string) []said {
	out := []said{}
	labels := labeler.LabelSentence(sentence)
	for _, f := range study.Findings() {
		polarity, ok := labels[f]
		if !ok {
			continue
		}
		score, view := scores.Combined(f)
		out = append(out, said{
			Finding: slug(f), Name: f.String(), Polarity: polarity, Score: study.ShownScore(score), View: view.String(),
			Differs: (polarity != study.Absent) != scores.Present(f),
		})
	}
	return out
}
