package wording

import (
	"maps"
	"regexp"
	"slices"
	"strings"

	"llamaxr/finetune/corrections"
	"llamaxr/finetune/metrics"
	"llamaxr/reporting/guard"
	"llamaxr/reporting/labeler"
	"llamaxr/study"
)

// Wording is how the training reports, taken together, say each thing: of each finding the sentence that says it most often, and the sentences of
// normal reports that make what is composed of them most like all reports. Only short sentences that 36 scores can support are known to it: none
// with a side, a place in the lung, a degree, a measurement, a prior, a device or a masked word.
type Wording struct {
	Present  [study.NumFindings]string `json:"present"`
	Possible [study.NumFindings]string `json:"possible"`
	// Normal are, in their order, ways to say one thing that is as it should be: the first, then those that say less.
	Normal [][]string `json:"normal"`
	// Conclusion is the impression where nothing is scored present.
	Conclusion string `json:"conclusion"`
}

const (
	// longestStatement and longestDenial are in words: a longer sentence says more than scores do.
	longestStatement, longestDenial = 7, 14
	// mostConclusions bounds the search.
	mostConclusions = 5
	// usual is how many reports have a sentence before it is anybody's but its writer's.
	usual = 2
)

// Example is a report with the scores that it was, or would be, written from.
type Example struct {
	Report corrections.Report
	Scores study.PairScores
}

// New learns from training reports.
func New(train []Example) (*Wording, error) {
	findings, impressions := map[string]int{}, map[string]int{}
	for _, r := range train {
		for _, part := range []struct {
			text string
			into map[string]int
		}{{r.Report.Findings, findings}, {r.Report.Impression, impressions}} {
			for _, s := range labeler.Sentences(part.text) {
				s = numbering.ReplaceAllString(s, "")
				n := len(strings.Fields(s))
				if n > 0 && n <= longestDenial && strings.HasSuffix(s, ".") && !strings.HasSuffix(s, " .") && !strings.Contains(s, "XX") {
					part.into[strings.ToUpper(s[:1])+s[1:]]++
				}
			}
		}
	}
	w := new(Wording)
	for _, f := range study.Findings() {
		phrases := guard.Phrases(f)
		w.Possible[f], w.Present[f] = phrases[1], phrases[2]
	}
	var said [2][study.NumFindings]bool // present, possible
	var denials []string
	nothing := nothingPresent()
	for _, s := range frequent(findings, len(findings)) {
		if findings[s] < usual || vague.MatchString(s) || guard.Claim(s) != "" {
			continue
		}
		labels := labeler.LabelSentence(s)
		present, possible := of(labels, study.Present), of(labels, study.Uncertain)
		switch short := len(strings.Fields(s)) <= longestStatement && !place.MatchString(s); {
		case len(present)+len(possible) == 0:
			if normal.MatchString(s) && topics(s) != 0 && kept(s, nothing) {
				denials = append(denials, s)
			}
		case short && len(labels) == 1 && !normal.MatchString(s):
			f, into, known := append(present, possible...)[0], &w.Present, &said[0]
			if len(possible) > 0 {
				into, known = &w.Possible, &said[1]
			}
			if only := onlyPresent(f); !known[f] && kept(s, only) && metrics.Statements(s) == metrics.Scored(only) {
				into[f], known[f] = s, true
			}
		}
	}
	var conclusions []string
	for _, s := range frequent(impressions, len(impressions)) {
		if len(conclusions) < mostConclusions && kept(s, nothing) {
			conclusions = append(conclusions, s)
		}
	}
	return w, w.agree(train, denials, conclusions)
}

// of lists the findings that labels give a polarity.
func of(labels labeler.Labels, p study.Polarity) (out []study.Finding) {
	for _, f := range study.Findings() {
		if labels[f] == p {
			out = append(out, f)
		}
	}
	return out
}

var (
	// numbering stands before a sentence of a list, or is left of a masked word.
	numbering = regexp.MustCompile(`^[\s.,;]*(?:\d+[.)]\s*)?`)
	// place is where in the chest, or how old: scores know neither.
	place = regexp.MustCompile(`(?i)\b(?:lobes?|bas(?:e|es|al|ilar)|apex|apices|apical|zones?|mid|upper|lower|lateral|anterior|posterior|hil\w+|hemi\w+|old|healed|chronic|acute|ribs?)\b`)
)

var (
	// normal is said of what is as it should be.
	normal = regexp.MustCompile(`(?i)\b(?:no|not|without|free|normal\w*|unremarkable|clear|intact|limits)\b`)
	// vague sentences speak of a degree, of a kind or a state that no score has, or lean on another sentence.
	vague = regexp.MustCompile(`(?i)\b(?:mild\w*|minimal\w*|moderate\w*|severe\w*|degenerat\w+|calcif\w+|granulom\w+|tortuo\w+|scolio\w+|large|small|scatter\w+|` +
		`limited|low|increased|interstitial|acute\w*|active|otherwise|gross(?:ly)?|specifically|also|however)\b`)
)

// kept reports whether the guard lets a sentence of findings stand.
func kept(sentence string, scores study.PairScores) bool {
	checked := guard.Check(sentence, scores, nil)
	return checked[0].Verdict == study.VerdictKept && checked[0].Text == sentence
}

// supported reports whether a normal sentence may be said beside what is scored: the guard lets it stand, and it is about nothing that a finding
// that is scored present is about. A reader takes "no infiltrate" beside an opacity for a contradiction, the guard does not.
func supported(sentence string, scores study.PairScores) bool {
	for _, f := range study.Findings() {
		if scores.Present(f) && topics(sentence)&topicsOf(f) != 0 {
			return false
		}
	}
	return kept(sentence, scores)
}

func nothingPresent() study.PairScores { return study.PairScores{Frontal: new(study.Scores)} }

func onlyPresent(f study.Finding) study.PairScores {
	scores := new(study.Scores)
	scores[f] = 1
	return study.PairScores{Frontal: scores}
}

// frequent are the n most frequent of counted sentences.
func frequent(counted map[string]int, n int) []string {
	list := slices.Sorted(maps.Keys(counted))
	slices.SortStableFunc(list, func(a, b string) int { return counted[b] - counted[a] })
	return list[:min(n, len(list))]
}

// Compose is the report that the training reports' wording gives for scores: what is present, what is possible, in the order of the findings;
// then of each normal thing as much as the scores allow; then a conclusion.
func (w *Wording) Compose(scores study.PairScores) corrections.Report {
	sentences := append(w.Statements(scores), w.Normals(scores)...)
	return corrections.Report{Findings: strings.Join(sentences, " "), Impression: w.Impression(scores)}
}

// Statements say what is present, then what is possible, a sentence each.
func (w *Wording) Statements(scores study.PairScores) []string {
	var sure, unsure []string
	for _, f := range study.Findings() {
		switch {
		case scores.Sure(f):
			sure = append(sure, w.Present[f])
		case scores.Present(f):
			unsure = append(unsure, w.Possible[f])
		}
	}
	return append(sure, unsure...)
}

// Normals say of each normal thing as much as the scores allow.
func (w *Wording) Normals(scores study.PairScores) (out []string) {
	for _, ways := range w.Normal {
		if i := slices.IndexFunc(ways, func(s string) bool { return supported(s, scores) }); i >= 0 {
			out = append(out, ways[i])
		}
	}
	return out
}

// Impression names what is present and possible, or is the usual conclusion.
func (w *Wording) Impression(scores study.PairScores) string {
	if metrics.Scored(scores) == [study.NumFindings]bool{} {
		return w.Conclusion
	}
	return guard.Conclusion(scores)
}
