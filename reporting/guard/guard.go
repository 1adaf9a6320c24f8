package guard

import (
	"fmt"
	"regexp"
	"strings"

	"llamaxr/reporting/labeler"
	"llamaxr/study"
)

var (
	impressionHeading = regexp.MustCompile(`(?i)\bimpressions?\s*:`)
	findingsHeading   = regexp.MustCompile(`(?i)^\s*findings\s*:`)
	// normalChest is a sentence that denies everything without naming it.
	normalChest = regexp.MustCompile(`(?i)\b(?:(?:no|without|free of|negative for)(?: (?:definite|convincing|radiographic|x-?ray))*(?: (?:evidence|signs?|findings?) (?:of|for))?(?: an?| any)? ` +
		`(?:acute|active|significant)|normal chest|normal study|normal examination|unremarkable chest|chest is (?:clear|normal|unremarkable)|no abnormalit)`)
	// clearLungs denies the findings that are in the lungs themselves.
	clearLungs = regexp.MustCompile(`(?i)\b(?:lungs? (?:(?:are|is|remain|appear)s? )?(?:\w+ )?clear|clear lungs?)\b`)
)

// soundBones denies a fracture.
var soundBones = regexp.MustCompile(`(?i)\b(?:bon(?:y|es?)|osseous|skelet\w+)\b[^.;]*\b(?:normal|intact|unremarkable|without (?:acute )?abnormalit\w*)|\bno (?:\w+ ){0,4}(?:bony|osseous|skeletal) abnormalit`)

// outsideLungs are the findings that leave the lungs clear.
var outsideLungs = map[study.Finding]bool{
	study.Cardiomegaly: true, study.EnlargedCardiomediastinum: true, study.Effusion: true, study.Fracture: true,
	study.Hernia: true, study.PleuralThickening: true, study.Pneumothorax: true,
}

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
	return append(out, concluded...)
}

type checker struct {
	scores study.PairScores
	maps   []study.HeatMap
	said   map[study.Finding]bool // findings stated as present or possible so far
	seen   map[string]bool        // sentences of the section so far
}

func (c *checker) section(section study.Section, text string) []study.Sentence {
	var out []study.Sentence
	for _, original := range labeler.Sentences(text) {
		s := c.judge(section, original)
		for f, p := range labeler.Label(s.Text) { // a meaning that is only offered does not say a finding
			if s.Verdict != study.VerdictRemoved && p != study.Absent {
				c.said[f] = true
			}
		}
		out = append(out, s)
	}
	return out
}

// judge gives one sentence of the model its verdict.
func (c *checker) judge(section study.Section, original string) study.Sentence {
	key := strings.ToLower(original)
	if c.seen[key] {
		return c.removed(section, original, "repeats an earlier sentence")
	}
	c.seen[key] = true
	if reason := Claim(original); reason != "" {
		return c.removed(section, original, reason)
	}
	read := misnamed.ReplaceAllString(original, "pleural thickening")
	labels := labeler.LabelSentence(read)
	var wrong, names []string
	if read != original {
		wrong = append(wrong, "pleural thinning is no finding: pleural thickening is")
	}
	unscored := false
	for _, f := range study.Findings() {
		said, ok := labels[f]
		if !ok {
			continue
		}
		if !c.scores.Scored(f) {
			unscored = true
			wrong = append(wrong, fmt.Sprintf("%s is called %s, and the classifier in use does not score it", f, said))
			continue
		}
		names = append(names, Statement(f, c.scores))
		if (said != study.Absent) != c.scores.Present(f) {
			score, view := c.scores.Combined(f)
			wrong = append(wrong, fmt.Sprintf("%s is called %s, scored %.2f (%s)", f, said, score, view))
		}
	}
	if unscored && len(names) == 0 {
		return c.removed(section, original, strings.Join(wrong, "; "))
	}
	if len(wrong) > 0 {
		return c.replaced(section, original, strings.Join(names, " "), strings.Join(wrong, "; "))
	}
	if c.callsNormal(original) {
		if section == study.SectionFindings {
			return c.removed(section, original, normalAgainstScores)
		}
		return c.replaced(section, original, Conclusion(c.scores), normalAgainstScores)
	}
	return c.sentence(section, original, study.VerdictKept, "")
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
	s := study.Sentence{Section: section, Text: text, Verdict: verdict, Reason: reason}
	labels := labeler.LabelSentence(text)
	for _, f := range study.Findings() {
		said, ok := labels[f]
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

const normalAgainstScores = "calls the chest normal, which the scores do not say"

// callsNormal reports whether a sentence denies, without naming it, what is scored present or not scored at all.
func (c *checker) callsNormal(sentence string) bool {
	normal, clear, bones := normalChest.MatchString(sentence), clearLungs.MatchString(sentence), soundBones.MatchString(sentence)
	for _, f := range study.Findings() {
		if (c.scores.Present(f) || !c.scores.Scored(f)) && (normal || clear && !outsideLungs[f] || bones && f == study.Fracture) {
			return true
		}
	}
	return false
}
