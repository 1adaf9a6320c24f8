package experiment

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

// Wording is how the training reports, taken together, say each thing: of each finding the sentence that says it most often, and the sentences of normal reports that together are most like all reports. Only short sentences that 36 scores can support are known
// to it: none with a side, a place in the lung, a measurement, a prior, a device or a masked word.
type Wording struct {
	Present  [study.NumFindings]string `json:"present"`
	Possible [study.NumFindings]string `json:"possible"`
	Normal   []string                  `json:"normal"` // in their order
	Absent   []string                  `json:"absent"` // sentences that deny, most frequent first
	// Conclusion is the impression where nothing is scored present.
	Conclusion string `json:"conclusion"`

	denies map[string]labeler.Labels // by sentence of Absent
}

const (
	// longestStatement and longestDenial are in words: a longer sentence says more than scores do.
	longestStatement, longestDenial = 7, 14
	// mostRivals, mostAbsent and mostConclusions bound the search for central sentences, sampled the reports that it is held against.
	mostRivals, mostAbsent, mostConclusions, sampled = 40, 120, 5, 200
	// worthIt is the least that a further normal sentence must add to the mean likeness.
	worthIt = 1e-3
	// recallCounts is what the share of a report's words that are there counts beside ROUGE-L: alone it makes reports too short.
	recallCounts = 0.5
)

// NewWording learns from the training reports.
func NewWording(train []Report) *Wording {
	findings, impressions := map[string]int{}, map[string]int{}
	for _, r := range train {
		for _, part := range []struct {
			text string
			into map[string]int
		}{{r.Text.Findings, findings}, {r.Text.Impression, impressions}} {
			for _, s := range labeler.Sentences(part.text) {
				s = numbering.ReplaceAllString(s, "")
				if n := len(strings.Fields(s)); n > 0 && n <= longestDenial && strings.HasSuffix(s, ".") && !strings.Contains(s, "XX") {
					part.into[strings.ToUpper(s[:1])+s[1:]]++
				}
			}
		}
	}
	w := &Wording{denies: map[string]labeler.Labels{}}
	var said [2][study.NumFindings][]string // present, possible
	nothing := nothingPresent()
	for _, s := range frequent(findings, len(findings)) {
		short := len(strings.Fields(s)) <= longestStatement && !place.MatchString(s)
		if !short && (findings[s] == 1 || len(w.Absent) == mostAbsent) || guard.Claim(s) != "" {
			continue
		}
		labels := labeler.LabelSentence(s)
		present, possible := of(labels, study.Present), of(labels, study.Uncertain)
		switch {
		case short && len(labels) == 1 && len(present) == 1:
			said[0][present[0]] = append(said[0][present[0]], s)
		case short && len(labels) == 1 && len(possible) == 1:
			said[1][possible[0]] = append(said[1][possible[0]], s)
		case len(w.Absent) < mostAbsent && len(present)+len(possible) == 0 && findings[s] > 1 && normal.MatchString(s) && !abnormal.MatchString(s) && kept(s, nothing):
			w.Absent = append(w.Absent, s)
		}
	}
	for _, f := range study.Findings() {
		phrases := guard.Phrases(f)
		w.Possible[f], w.Present[f] = phrases[1], phrases[2]
		for k, into := range []*string{&w.Present[f], &w.Possible[f]} {
			only := onlyPresent(f)
			usable := slices.DeleteFunc(said[k][f][:min(mostRivals, len(said[k][f]))], func(s string) bool {
				return !kept(s, only) || metrics.Statements(s) != metrics.Scored(only)
			})
			if len(usable) > 0 && findings[usable[0]] > 1 {
				*into = usable[0]
			}
		}
	}
	w.know()
	var conclusions []string
	for _, s := range frequent(impressions, len(impressions)) {
		if len(conclusions) < mostConclusions && kept(s, nothing) {
			conclusions = append(conclusions, s)
		}
	}
	w.choose(train, conclusions)
	return w
}

// know labels the sentences that deny.
func (w *Wording) know() {
	w.denies = map[string]labeler.Labels{}
	for _, s := range w.Absent {
		w.denies[s] = labeler.LabelSentence(s)
	}
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

// normal is said of what is as it should be; abnormal of what no score speaks of.
var (
	normal   = regexp.MustCompile(`(?i)\b(?:no|not|without|free|normal\w*|unremarkable|clear|intact|limits)\b`)
	abnormal = regexp.MustCompile(`(?i)\b(?:mild\w*|moderate\w*|severe\w*|degenerat\w+|calcif\w+|granulom\w+|tortuo\w+|scolio\w+|large|small|scatter\w+|limited|low)\b`)
	// topic is what a sentence that names no finding is about.
	topic = regexp.MustCompile(`(?i)heart|cardi|mediastin|lung|pulmon|pleura|bon[ey]|osse|skelet|diaphragm|trachea`)
)

// kept reports whether the guard lets a sentence of findings stand.
func kept(sentence string, scores study.PairScores) bool {
	checked := guard.Check(sentence, scores, nil)
	return checked[0].Verdict == study.VerdictKept && checked[0].Text == sentence
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

// choose finds the normal sentences and the conclusion that together are most like the training reports, adding one at a time.
func (w *Wording) choose(train []Report, conclusions []string) {
	var sample [][]string
	for i := 0; i < len(train); i += max(len(train)/sampled, 1) {
		sample = append(sample, metrics.RougeWords(train[i].Plain()))
	}
	wordsOf := map[string][]string{}
	for _, s := range append(slices.Clone(conclusions), w.Absent...) {
		wordsOf[s] = metrics.RougeWords(s)
	}
	likeness := func(sentences []string, conclusion string) float64 {
		var text []string
		for _, s := range append(slices.Clone(sentences), conclusion) {
			text = append(text, wordsOf[s]...)
		}
		sum := 0.0
		for _, reference := range sample {
			f := metrics.RougeLOfWords(reference, text)
			recall := f * float64(len(reference)+len(text)) / 2 / float64(max(len(reference), 1))
			sum += f + recallCounts*recall
		}
		return sum / float64(len(sample))
	}
	most := 0.0
	for _, conclusion := range conclusions {
		if v := likeness(nil, conclusion); v > most {
			w.Conclusion, most = conclusion, v
		}
	}
	for {
		var best []string
		for _, s := range w.Absent {
			if w.repeats(s) {
				continue
			}
			for at := range len(w.Normal) + 1 {
				with := slices.Insert(slices.Clone(w.Normal), at, s)
				if v := likeness(with, w.Conclusion); v > most+worthIt {
					best, most = with, v
				}
			}
		}
		if best == nil {
			return
		}
		w.Normal = best
	}
}

// repeats reports whether a sentence denies what a chosen one denies, or denies nothing and is about what one of them is about.
func (w *Wording) repeats(s string) bool {
	for _, chosen := range w.Normal {
		for f := range w.denies[s] {
			if _, ok := w.denies[chosen][f]; ok {
				return true
			}
		}
	}
	if len(w.denies[s]) > 0 {
		return false
	}
	chosen := strings.ToLower(strings.Join(w.Normal, " "))
	return slices.ContainsFunc(topic.FindAllString(s, -1), func(about string) bool { return strings.Contains(chosen, strings.ToLower(about)) })
}

// Compose is the report that the training reports' wording gives for scores: what is present, what is possible, in the order of the findings;
// then the normal sentences that the scores allow, a shorter one in the place of one that they do not; then a conclusion.
func (w *Wording) Compose(scores study.PairScores) string {
	var sure, unsure, sentences []string
	for _, f := range study.Findings() {
		switch score, _ := scores.Combined(f); {
		case score >= study.SurePoint:
			sure = append(sure, w.Present[f])
		case scores.Present(f):
			unsure = append(unsure, w.Possible[f])
		}
	}
	sentences = append(append(sentences, sure...), unsure...)
	denied := labeler.Labels{}
	for _, s := range w.Normal {
		if kept(s, scores) {
			maps.Copy(denied, w.denies[s])
		}
	}
	for _, s := range w.Normal {
		if !kept(s, scores) {
			if s = w.instead(s, scores, denied); s == "" {
				continue
			}
			maps.Copy(denied, w.denies[s])
		}
		sentences = append(sentences, s)
	}
	conclusion := w.Conclusion
	if len(sure)+len(unsure) > 0 {
		conclusion = guard.Conclusion(scores)
	}
	return corrections.Report{Findings: strings.Join(sentences, " "), Impression: conclusion}.String()
}

// instead is the sentence that denies most of what another does and the scores allow, and nothing else; "" when it would only repeat what
// is denied already.
func (w *Wording) instead(sentence string, scores study.PairScores, denied labeler.Labels) string {
	best, most := "", 0
	for _, s := range w.Absent {
		within, more := true, 0
		for f := range w.denies[s] {
			if _, ok := w.denies[sentence][f]; !ok || scores.Present(f) {
				within = false
			}
			if _, ok := denied[f]; !ok {
				more++
			}
		}
		if within && more > most && kept(s, scores) {
			best, most = s, more
		}
	}
	return best
}
