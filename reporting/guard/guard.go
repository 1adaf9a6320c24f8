package guard

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"llamaxr/reporting/labeler"
	"llamaxr/study"
)

var (
	impressionHeading = regexp.MustCompile(`(?i)\bimpressions?\s*:`)
	findingsHeading   = regexp.MustCompile(`(?i)^\s*findings\s*:`)
)

// misnamed is a slip of language models for pleural thickening: "thinning" of the pleura is no finding, and no writer of the IU reports names one. It is
// read as what it stands for and never delivered.
var misnamed = regexp.MustCompile(`(?i)\bpleural thinning\b|\bthinning of the (?:\w+ )?pleura\b`)

// Check splits a model's raw text into sentences, ties each to its evidence and makes the whole agree with the scores.
// The heat maps, where given, lend their regions to the evidence.
func Check(raw string, scores study.PairScores, maps []study.HeatMap) []study.Sentence {
	findings, impression := split(raw)
	checker := checker{scores: scores, maps: maps, said: map[study.Finding]bool{}, seen: map[string]bool{}}
	out := checker.section(study.SectionFindings, findings)
	for _, f := range study.Findings() {
		if scores.Present(f) && !checker.said[f] {
			out = append(out, checker.sentence(study.SectionFindings, Statement(f, scores), study.VerdictAdded,
				fmt.Sprintf("%s is scored present and the model left it out", f)))
		}
	}
	if delivered(out) == 0 {
		out = append(out, checker.sentence(study.SectionFindings, nothingScored, study.VerdictAdded, "the model wrote no usable finding"))
	}
	checker.seen = map[string]bool{}
	concluded := checker.section(study.SectionImpression, impression)
	if delivered(concluded) == 0 {
		concluded = append(concluded, checker.sentence(study.SectionImpression, Conclusion(scores), study.VerdictAdded,
			"the model wrote no usable impression"))
	}
	if left := leftOut(concluded, scores); len(left) > 0 {
		concluded = append(concluded, checker.sentence(study.SectionImpression, named(left, scores), study.VerdictAdded,
			"the impression left out what is surely present"))
	}
	return append(out, concluded...)
}

// leftOut are the findings that are surely present and that an impression does not name: some read no further.
func leftOut(impression []study.Sentence, scores study.PairScores) (left []study.Finding) {
	said := map[study.Finding]bool{}
	for _, s := range impression {
		if s.Verdict != study.VerdictRemoved {
			for f, p := range labeler.Label(s.Text) {
				said[f] = said[f] || p != study.Absent
			}
		}
	}
	for _, f := range study.Findings() {
		if score, _ := scores.Combined(f); scores.Present(f) && score >= study.SurePoint && !said[f] {
			left = append(left, f)
		}
	}
	return left
}

// Unflagged says what of the sentences that Check let through contradicts the scores still; empty when nothing does. It is a last look, which finds
// something only where Check is at fault: a draft with such a sentence is not delivered.
func Unflagged(sentences []study.Sentence, scores study.PairScores) string {
	c := checker{scores: scores}
	text := ""
	for _, s := range sentences {
		if s.Verdict == study.VerdictRemoved {
			continue
		}
		text += s.Text + "\n"
		if reason := Claim(s.Text); reason != "" {
			return fmt.Sprintf("%q %s", s.Text, reason)
		}
		if c.callsNormal(s.Text) {
			return fmt.Sprintf("%q %s", s.Text, normalAgainstScores)
		}
		for f, said := range labeler.Claims(s.Text) {
			if score, _ := scores.Combined(f); !scores.Scored(f) || (said != study.Absent) != scores.Present(f) {
				return fmt.Sprintf("%q calls %s %s, scored %.2f", s.Text, f, said, score)
			}
		}
	}
	said := labeler.Label(text)
	for _, f := range study.Findings() {
		if scores.Present(f) && (said[f] == "" || said[f] == study.Absent) {
			return fmt.Sprintf("%s is scored present and not said", f)
		}
	}
	return ""
}

type checker struct {
	scores study.PairScores
	maps   []study.HeatMap
	said   map[study.Finding]bool // findings stated as present or possible so far
	seen   map[string]bool        // sentences of the section so far
}

func (c *checker) section(section study.Section, text string) []study.Sentence {
	var out []study.Sentence
	var says []labeler.Labels
	for _, original := range labeler.Sentences(text) {
		s := c.judge(section, original)
		out, says = append(out, s), append(says, nil)
		if s.Verdict == study.VerdictRemoved {
			continue
		}
		labels := labeler.Label(s.Text) // a meaning that is only offered does not say a finding
		says[len(says)-1] = labels
		for f, p := range labels {
			if p != study.Absent {
				c.said[f] = true
			}
		}
	}
	c.agree(out, says)
	return out
}

// agree holds the sentences of a section against each other: where one says a finding as surely as it is scored, another does not say it more or less
// surely. says are their labels.
func (c *checker) agree(section []study.Sentence, says []labeler.Labels) {
	for _, f := range study.Findings() {
		score, view := c.scores.Combined(f)
		right, wrong := study.Present, study.Uncertain
		if score < study.SurePoint {
			right, wrong = wrong, right
		}
		if !slices.ContainsFunc(says, func(l labeler.Labels) bool { return l[f] == right }) {
			continue
		}
		for i, s := range section {
			if says[i][f] != wrong {
				continue
			}
			reason := fmt.Sprintf("%s is called %s beside a sentence that calls it %s, scored %.2f (%s)", f, wrong, right, score, view)
			var names []string
			for _, e := range s.Evidence {
				if e.Finding != f {
					names = append(names, Statement(e.Finding, c.scores))
				}
			}
			if len(names) == 0 {
				section[i], says[i] = c.removed(s.Section, s.Text, reason), nil
				continue
			}
			section[i] = c.replaced(s.Section, s.Text, strings.Join(names, " "), reason)
			says[i] = labeler.Label(section[i].Text)
		}
	}
}

// judge gives one sentence of the model its verdict.
func (c *checker) judge(section study.Section, original string) study.Sentence {
	key := strings.ToLower(original)
	if c.seen[key] {
		return c.removed(section, original, "repeats an earlier sentence")
	}
	c.seen[key] = true
	read, ok := legible(original)
	if !ok {
		return c.removed(section, original, "holds letters or signs that no report has")
	}
	if reason := Claim(read); reason != "" {
		return c.removed(section, original, reason)
	}
	legibly := read
	read = misnamed.ReplaceAllString(read, "pleural thickening")
	labels := labeler.LabelSentence(read)
	var wrong, names []string
	if !labeler.Plain(read, labels) {
		wrong = append(wrong, "can be read in more than one way")
	}
	beside := unscored(read, len(labels) > 0)
	if beside && len(labels) > 0 {
		wrong = append(wrong, wrongUnscored)
	}
	if read != legibly {
		wrong = append(wrong, "pleural thinning is no finding: pleural thickening is")
	}
	for _, f := range study.Findings() {
		said, ok := labels[f]
		if !ok {
			continue
		}
		if !c.scores.Scored(f) {
			wrong = append(wrong, fmt.Sprintf("%s is called %s, and the classifier in use does not score it", f, said))
			continue
		}
		if kind, ok := c.kindOf(f); ok && said == study.Absent && !c.scores.Present(f) {
			wrong = append(wrong, fmt.Sprintf("%s is denied beside %s, which is one", f, kind))
			continue
		}
		names = append(names, Statement(f, c.scores))
		if (said != study.Absent) != c.scores.Present(f) {
			score, view := c.scores.Combined(f)
			wrong = append(wrong, fmt.Sprintf("%s is called %s, scored %.2f (%s)", f, said, score, view))
		}
	}
	if len(wrong) > 0 && len(names) == 0 {
		return c.removed(section, original, strings.Join(wrong, "; "))
	}
	if len(wrong) > 0 {
		return c.replaced(section, original, strings.Join(names, " "), strings.Join(wrong, "; "))
	}
	if c.callsNormal(read) {
		if section == study.SectionFindings {
			return c.removed(section, original, normalAgainstScores)
		}
		return c.replaced(section, original, Conclusion(c.scores), normalAgainstScores)
	}
	if len(labels) == 0 && off(read) {
		return c.removed(section, original, "says nothing about what is scored")
	}
	if c.callsAbnormal(read) {
		return c.removed(section, original, abnormalAgainstScores)
	}
	if beside {
		return c.removed(section, original, wrongUnscored)
	}
	return c.evidenced(study.Sentence{Section: section, Text: original, Verdict: study.VerdictKept}, labels)
}

func (c *checker) removed(section study.Section, original, reason string) study.Sentence {
	return study.Sentence{Section: section, Text: original, Verdict: study.VerdictRemoved, Original: original, Reason: reason}
}

func (c *checker) replaced(section study.Section, original, text, reason string) study.Sentence {
	s := c.sentence(section, text, study.VerdictReplaced, reason)
	s.Original = original
	return s
}

func (c *checker) sentence(section study.Section, text string, verdict study.Verdict, reason string) study.Sentence {
	return c.evidenced(study.Sentence{Section: section, Text: text, Verdict: verdict, Reason: reason}, labeler.Claims(text))
}

// evidenced is a sentence with the evidence for what it claims.
func (c *checker) evidenced(s study.Sentence, claims labeler.Labels) study.Sentence {
	for _, f := range study.Findings() {
		said, ok := claims[f]
		if !ok {
			continue
		}
		score, view := c.scores.Combined(f)
		evidence := study.Evidence{Finding: f, Polarity: said, View: view, Score: score}
		if said != study.Absent {
			evidence.Region = study.RegionOf(c.maps, view, f)
		}
		s.Evidence = append(s.Evidence, evidence)
	}
	return s
}

func split(raw string) (findings, impression string) {
	findings = raw
	if at := impressionHeading.FindStringIndex(raw); at != nil {
		findings, impression = raw[:at[0]], raw[at[1]:]
	}
	if at := findingsHeading.FindStringIndex(findings); at != nil {
		findings = findings[at[1]:]
	}
	return findings, impression
}

func delivered(sentences []study.Sentence) int {
	n := 0
	for _, s := range sentences {
		if s.Verdict != study.VerdictRemoved {
			n++
		}
	}
	return n
}
