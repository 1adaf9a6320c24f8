package labeler

import (
	"slices"
	"strings"

	"llamaxr/study"
)

// Labels are what a text says, for the findings it speaks of.
type Labels map[study.Finding]study.Polarity

// Label labels a whole text: present in any sentence is present, else uncertain in any is uncertain, else absent. What a sentence only
// offers as a meaning of something else ("an opacity that may represent pneumonia") is no statement of it.
func Label(text string) Labels { return labelText(text, false) }

// Claims labels a whole text likewise, with all that its sentences claim (LabelSentence).
func Claims(text string) Labels { return labelText(text, true) }

func labelText(text string, offered bool) Labels {
	all := Labels{}
	for _, sentence := range Sentences(text) {
		for f, p := range label(sentence, offered) {
			all[f] = stronger(all[f], p)
		}
	}
	return all
}

// longestSentence bounds what is read, in bytes: the time for a sentence grows with the square of its length. The longest of the IU reports has 500; a
// longer one than this says nothing, and is not plain.
const longestSentence = 2000

// LabelSentence labels one sentence with all that it claims: a meaning that it offers counts as uncertain.
// What says it in other words ("blunted costophrenic angles") is claimed too.
func LabelSentence(sentence string) Labels { return label(sentence, true) }

// label labels a sentence, with or without the findings that it only offers as a meaning of something else.
func label(sentence string, offered bool) Labels {
	labels := Labels{}
	if len(sentence) > longestSentence {
		return labels
	}
	text := strings.ReplaceAll(strings.ToLower(sentence), "compatible with", "compatible to") // not the "with" of a further statement
	text = nothingNew.ReplaceAllString(text, "stable")
	text = nearlyNormal.ReplaceAllString(text, "borderline $1")
	text = Headed(answer.ReplaceAllString(notNormal.ReplaceAllString(text, "abnormal"), " none"))
	if request.MatchString(text) {
		return labels
	}
	mentions := rules
	if offered {
		mentions = everyClaim()
	}
	if !slices.ContainsFunc(mentions, func(r rule) bool { return r.find(text) != nil }) && !normalWord.MatchString(text) {
		return labels
	}
	differential := false
	for _, clause := range clauses(text) {
		differential = differential || strings.Contains(clause, "differential")
		for _, r := range mentions {
			for _, at := range r.find(clause) {
				p := polarity(clause, at[0], at[1])
				if p == study.Uncertain && !offered && (differential || offers.MatchString(clause[:at[0]])) {
					continue
				}
				if p != "" && !excluded(r.finding, clause, at) {
					labels[r.finding] = stronger(labels[r.finding], p)
				}
			}
		}
		for _, n := range normals {
			if n.says.MatchString(clause) {
				for _, f := range n.denies {
					labels[f] = stronger(labels[f], study.Absent)
				}
			}
		}
	}
	return labels
}

// clauses splits a sentence where a negation or a hedge stops reaching.
func clauses(text string) []string {
	var out []string
	start := 0
	for _, at := range clauseEnd.FindAllStringIndex(text, -1) {
		out = append(out, text[start:at[0]])
		start = at[0]
	}
	return append(out, text[start:])
}

// polarity decides what clause says of the mention at [start, end).
func polarity(clause string, start, end int) study.Polarity {
	before, after := clause[:start], clause[end:]
	if history.MatchString(before) && !doubleNegation.MatchString(before) {
		return ""
	}
	for _, at := range newStatement.FindAllStringIndex(clause[:end], -1) {
		if at[0] <= start && !doubleNegation.MatchString(clause[:at[0]]) {
			before = clause[at[0]:start]
		}
	}
	switch comma := strings.LastIndexAny(before, ","); {
	case listed.MatchString(after):
	case joined.MatchString(before):
		before = before[joined.FindStringIndex(before)[0]:]
	case stands.MatchString(after) && comma >= 0 && !listed.MatchString(before[comma:]) && names(before[:comma]):
		before = before[comma:]
	case stands.MatchString(after) && listVerb.MatchString(before):
		at := listVerb.FindAllStringIndex(before, -1)
		before = before[at[len(at)-1][1]:]
	}
	if at := newStatement.FindStringIndex(after); at != nil {
		after = after[:at[0]]
	}
	if doubleNegation.MatchString(before) || hedgeAfter.MatchString(after) {
		return study.Uncertain
	}
	if answerAfter.MatchString(after) || negationBefore.MatchString(before) || negationInside.MatchString(clause[start:end]) || negationAfter.MatchString(after) {
		return study.Absent
	}
	if hedgeBefore.MatchString(before) || hedgeBefore.MatchString(clause[start:end]) {
		return study.Uncertain
	}
	return study.Present
}

// names reports whether text speaks of a finding.
func names(text string) bool {
	return slices.ContainsFunc(rules, func(r rule) bool { return r.find(text) != nil })
}

// excluded reports whether the words around a mention make it another thing: a breast mass, a nodular contour, a nipple.
func excluded(f study.Finding, clause string, at []int) bool {
	around := clause[max(at[0]-25, 0):min(at[1]+25, len(clause))]
	has := func(words ...string) bool {
		for _, w := range words {
			if strings.Contains(around, w) {
				return true
			}
		}
		return false
	}
	switch f {
	case study.Effusion:
		return strings.HasSuffix(clause[:at[0]], "pericardial ")
	case study.Emphysema:
		return has("subcutaneous emphysema", "surgical emphysema", "soft tissue emphysema", "mediastinal emphysema")
	case study.Mass:
		return has("body mass", "mass effect", "breast mass")
	case study.Fibrosis:
		return strings.HasSuffix(clause[:at[0]], "cystic ")
	case study.Fracture:
		return brokenDevice.MatchString(clause) || has("femur", "hip fracture", "pelvi", "scaphoid")
	case study.Atelectasis:
		return strings.HasPrefix(clause[at[0]:], "collapse") && has("vertebral", "compression", "collapse of the vert", "tracheal")
	case study.LungOpacity:
		return has("bone densit", "bony densit", "mineral densit")
	case study.Edema:
		return has("soft tissue edema", "subcutaneous edema")
	}
	return false
}

func stronger(a, b study.Polarity) study.Polarity {
	rank := map[study.Polarity]int{study.Absent: 1, study.Uncertain: 2, study.Present: 3}
	if rank[b] > rank[a] {
		return b
	}
	return a
}
