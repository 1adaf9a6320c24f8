package guard

import (
	"cmp"
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

// Others has the model write other sentences in the place of raw[from:to], the likeliest first, until takes says yes to one; what begins as worth says no
// to is not gone on with.
type Others func(from, to int, worth, takes func(sentence string) bool) error

// Check splits a model's raw text into sentences, ties each to its evidence and makes the whole agree with the scores.
// The heat maps, where given, lend their regions to the evidence.
func Check(raw string, scores study.PairScores, maps []study.HeatMap) []study.Sentence {
	sentences, _ := CheckAgain(raw, scores, maps, nil) // no others, no error of theirs
	return sentences
}

// CheckAgain is Check where the model writes a sentence that contradicts the scores anew: the first of the others that stands as it is, and says one of
// the findings that the sentence spoke of, takes its place. An error is that of others.
func CheckAgain(raw string, scores study.PairScores, maps []study.HeatMap, others Others) ([]study.Sentence, error) {
	findings, impression := split(raw)
	checker := checker{scores: scores, maps: maps, others: others, british: british(raw), said: map[study.Finding]bool{}, seen: map[string]bool{}}
	out := checker.section(study.SectionFindings, findings, strings.Index(raw, findings))
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
	concluded := checker.section(study.SectionImpression, impression, len(raw)-len(impression))
	if delivered(concluded) == 0 {
		concluded = append(concluded, checker.sentence(study.SectionImpression, Conclusion(scores), study.VerdictAdded,
			"the model wrote no usable impression"))
	}
	if left := leftOut(concluded, scores); len(left) > 0 {
		concluded = append(concluded, checker.sentence(study.SectionImpression, named(left, scores), study.VerdictAdded,
			"the impression left out what is surely present"))
	}
	return append(out, concluded...), checker.err
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
		if scores.Sure(f) && !said[f] {
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
		read, _ := legible(s.Text)
		if reason := Claim(read); reason != "" {
			return fmt.Sprintf("%q %s", s.Text, reason)
		}
		if c.callsNormal(read) {
			return fmt.Sprintf("%q %s", s.Text, normalAgainstScores)
		}
		claims := labeler.Claims(read)
		if reason := c.misplaced(read, claims); reason != "" {
			return fmt.Sprintf("%q: %s", s.Text, reason)
		}
		for f, said := range claims {
			if score, _ := scores.Combined(f); c.contradicted(f, said) {
				return fmt.Sprintf("%q calls %s %s, scored %s", s.Text, f, said, study.ShownScore(score))
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

// mostAgain is how many sentences of a text are written anew: of a model that heeds the scores few contradict them, and each costs the time of
// some sentences.
const mostAgain = 4

type checker struct {
	scores  study.PairScores
	maps    []study.HeatMap
	others  Others
	british bool                   // the model writes oedema, so that our sentences do
	again   int                    // sentences for which others were asked
	err     error                  // the first of others
	said    map[study.Finding]bool // findings stated as present or possible so far
	seen    map[string]bool        // sentences of the section so far
}

// section checks a section's text, which begins at a place in the raw text.
func (c *checker) section(section study.Section, text string, at int) (out []study.Sentence) {
	var says []labeler.Labels
	from := 0
	for _, original := range labeler.Sentences(text) {
		if c.seen[strings.ToLower(original)] {
			out, says = append(out, c.removed(section, original, "repeats an earlier sentence")), append(says, nil)
			continue
		}
		c.see(original)
		judged := []study.Sentence{c.judge(section, original)}
		if start := strings.Index(text[from:], original); start >= 0 {
			start += from
			from = start + len(original)
			judged = c.anew(judged[0], at+start)
		}
		for _, s := range judged {
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
		if !c.scores.Sure(f) {
			right, wrong = wrong, right
		}
		if !slices.ContainsFunc(says, func(l labeler.Labels) bool { return l[f] == right }) {
			continue
		}
		for i, s := range section {
			if says[i][f] != wrong {
				continue
			}
			reason := fmt.Sprintf("%s is called %s beside a sentence that calls it %s, scored %s (%s)", f, wrong, right, study.ShownScore(score), view)
			var names []string
			for _, e := range s.Evidence {
				if e.Finding != f {
					names = append(names, Statement(e.Finding, c.scores))
				}
			}
			if len(names) == 0 {
				section[i], says[i] = c.removed(s.Section, cmp.Or(s.Original, s.Text), reason), nil
				continue
			}
			section[i] = c.replaced(s.Section, cmp.Or(s.Original, s.Text), strings.Join(names, " "), reason)
			says[i] = labeler.Label(section[i].Text)
		}
	}
}

func (c *checker) see(sentence string) { c.seen[strings.ToLower(sentence)] = true }

// anew is what stands in the place of a sentence at a place in the raw text: where it contradicts the scores, another of the model if there is one, and
// plain sentences for what that leaves out of the findings that the first spoke of.
func (c *checker) anew(first study.Sentence, at int) []study.Sentence {
	spoken := c.contradicts(first)
	if len(spoken) == 0 || c.others == nil || c.again == mostAgain || c.err != nil {
		return []study.Sentence{first}
	}
	c.again++
	out := []study.Sentence{first}
	c.err = c.others(at, at+len(first.Original), func(begun string) bool {
		for f, said := range labeler.LabelSentence(begun) {
			if c.contradicted(f, said) {
				return false
			}
		}
		return true
	}, func(other string) bool {
		if findings, _ := split(other); findings != other || !slices.Equal(labeler.Sentences(other), []string{other}) || c.seen[strings.ToLower(other)] {
			return false
		}
		s, labels := c.judge(first.Section, other), labeler.LabelSentence(other)
		if s.Verdict != study.VerdictKept || !slices.ContainsFunc(spoken, func(f study.Finding) bool { return labels[f] != "" }) {
			return false
		}
		s.Verdict, s.Original, s.Reason = study.VerdictRewritten, first.Original, first.Reason
		out[0] = s
		return true
	})
	labels := labeler.LabelSentence(out[0].Text)
	if out[0].Verdict != study.VerdictRewritten {
		return out
	}
	c.see(out[0].Text)
	for _, f := range spoken {
		plain := c.spelled(Statement(f, c.scores))
		if _, beside := c.kindOf(f); beside && !c.scores.Present(f) {
			continue // which is not denied
		}
		if labels[f] != "" || c.scores.Present(f) && c.said[f] || c.seen[strings.ToLower(plain)] {
			continue
		}
		c.see(plain)
		out = append(out, c.sentence(first.Section, plain, study.VerdictAdded, fmt.Sprintf("the model's second sentence leaves out %s", f)))
	}
	return out
}

// contradicts are the scored findings that a sentence speaks of which was found to contradict the scores, none where it was not.
func (c *checker) contradicts(s study.Sentence) (spoken []study.Finding) {
	if s.Verdict != study.VerdictReplaced && s.Reason != normalAgainstScores {
		return nil
	}
	labels := labeler.LabelSentence(s.Original)
	for _, f := range study.Findings() {
		if labels[f] != "" && c.scores.Scored(f) {
			spoken = append(spoken, f)
		}
	}
	return spoken
}

// contradicted reports whether the scores do not say what is said of a finding.
func (c *checker) contradicted(f study.Finding, said study.Polarity) bool {
	return !c.scores.Scored(f) || (said != study.Absent) != c.scores.Present(f)
}

// judge gives one sentence of the model its verdict.
func (c *checker) judge(section study.Section, original string) study.Sentence {
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
	if qualifies(read, labels) {
		wrong = append(wrong, "states a size, an age, a form, a number or a place that is not scored")
	}
	beside := unscored(read, len(labels) > 0)
	if beside && len(labels) > 0 {
		wrong = append(wrong, wrongUnscored)
	}
	if read != legibly {
		wrong = append(wrong, "pleural thinning is no finding: pleural thickening is")
	}
	if reason := c.misplaced(read, labels); reason != "" {
		wrong = append(wrong, reason)
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
		if c.contradicted(f, said) {
			score, view := c.scores.Combined(f)
			wrong = append(wrong, fmt.Sprintf("%s is called %s, scored %s (%s)", f, said, study.ShownScore(score), view))
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
	text = c.spelled(text)
	return c.evidenced(study.Sentence{Section: section, Text: text, Verdict: verdict, Reason: reason}, labeler.Claims(text))
}

// spelled is a sentence of ours as the model spells, whose spelling is the site's.
func (c *checker) spelled(text string) string {
	if !c.british {
		return text
	}
	return americanWord.ReplaceAllString(text, oedema)
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

// The one of our words that is spelled in two ways.
const american, oedema = "edema", "oedema"

var americanWord = regexp.MustCompile(`\b` + american + `\b`)

// british reports whether a text spells oedema so more often than not.
func british(text string) bool {
	text = strings.ToLower(text)
	all, so := strings.Count(text, american), strings.Count(text, oedema)
	return 2*so > all
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
