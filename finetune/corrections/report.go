package corrections

import (
	"errors"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"llamaxr/reporting/guard"
	"llamaxr/reporting/labeler"
	"llamaxr/study"
)

// MaxReport bounds a report in bytes; long ones have under 4 KiB.
const MaxReport = 64 << 10

// Report is a report's two sections.
type Report struct{ Findings, Impression string }

// heading is one at the beginning of a line, or in capitals anywhere: systems lose line breaks.
var heading = regexp.MustCompile(`(?m)(?:^[ \t]*((?i:findings?|impressions?|conclusions?|opinion))|\b(FINDINGS?|IMPRESSIONS?|CONCLUSIONS?|OPINION))[ \t]*:[ \t]*`)

// ErrNoSections is returned for a text without a FINDINGS or an IMPRESSION heading.
var ErrNoSections = errors.New("corrections: the report has neither a FINDINGS nor an IMPRESSION heading at the beginning of a line")

// ErrTooLong is returned for a text of more than MaxReport bytes.
var ErrTooLong = errors.New("corrections: the report is longer than 64 KiB")

// ParseReport finds the sections by their headings; other sections (INDICATION, COMPARISON, TECHNIQUE ...) are left out.
func ParseReport(text string) (Report, error) {
	if len(text) > MaxReport {
		return Report{}, ErrTooLong
	}
	var r Report
	at := heading.FindAllStringSubmatchIndex(text, -1)
	for i, m := range at {
		end := len(text)
		if i+1 < len(at) {
			end = at[i+1][0]
		}
		body := strings.TrimSpace(untilOther(text[m[1]:end]))
		if name := strings.ToLower(text[max(m[2], m[4]):max(m[3], m[5])]); strings.HasPrefix(name, "finding") {
			r.Findings = strings.TrimSpace(r.Findings + " " + body)
		} else {
			r.Impression = strings.TrimSpace(r.Impression + " " + body)
		}
	}
	if r.Findings == "" && r.Impression == "" {
		return r, ErrNoSections
	}
	return r, nil
}

// marks are our own warnings, as a system may have left them in a report that began as our draft.
var marks = regexp.MustCompile(`(?i)(?:` + regexp.QuoteMeta(study.DraftWarning) + `|` + regexp.QuoteMeta(study.StarterWarning) + `)\.?[ \t]*`)

// Unmarked is a report without the warnings that we put before drafts, and without control characters and bytes that are no text: an adapter must not learn
// them.
func Unmarked(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && r != '\n' && r != '\t' || r == utf8.RuneError {
			return -1
		}
		return r
	}, marks.ReplaceAllString(strings.ReplaceAll(text, "\r\n", "\n"), ""))
}

var (
	// otherHeading begins a section that says nothing of the picture: a line that starts with words in capitals and a colon, or tells who wrote.
	otherHeading = regexp.MustCompile(`(?m)^[ \t]*(?:[A-Z][A-Z /,&]{3,}|(?i:dictated|signed|electronically|e-?signed|transcribed|reported|reading|read|verified|approved|reviewed|attending|resident|radiologist|signature|` +
		`technique|comparison|indication|(?:clinical )?history|recommendations?|addendum|cc)\b[^:\n]{0,30}):|(?m)^[ \t]*(?i:electronically signed|e-?signed|dictated|transcribed)\b`)
	// organ is in the heading of a part of the findings.
	organ = regexp.MustCompile(`(?i)\b(?:lungs?|heart|cardi\w+|pleura\w*|mediastin\w+|bones?|osseous|skelet\w+|ribs?|hila?r?|airways?|diaphragm\w*|abdomen|soft|tissues?|vessels?|vascul\w+|aorta|thora\w+|chest|spine)\b`)
)

// untilOther is a section's text as far as the next heading that is none of its own parts.
func untilOther(text string) string {
	for _, at := range otherHeading.FindAllStringIndex(text, -1) {
		if !organ.MatchString(text[at[0]:at[1]]) {
			return text[:at[0]]
		}
	}
	return text
}

// String is the form in which reports are written and learnt.
func (r Report) String() string {
	return "FINDINGS: " + r.Findings + "\nIMPRESSION: " + r.Impression
}

// unsayable are words that 36 scores cannot support and that a sentence can do without.
var unsayable = regexp.MustCompile(`(?i)\b(?:(?:as )?compared (?:with|to)[^.;,]*|(?:since|from) (?:the )?(?:prior|previous|last)[^.;,]*|when compared[^.;,]*|` +
	`(?:again|previously)(?: (?:seen|noted|demonstrated))?|unchanged|stable|persistent|interval(?:ly)?|newly|new|` +
	`left[- ]sided|right[- ]sided|left|right|bilateral(?:ly)?|unilateral)\b[ ,]*`)

// staying says of a finding that it is, without that it was.
var staying = strings.NewReplacer(" remains ", " is ", " remain ", " are ")

// ofPeople tells who was told, or saw and thinks what: it says nothing of the picture, and the names in it may be words that no mask knows for names.
var ofPeople = regexp.MustCompile(`(?i)\b(?:notified|informed|paged|telephoned|phoned|alerted|contacted|discussed|communicated|relayed|conveyed|spoken?|consulted|` +
	`(?:seen|read|noted|reviewed|confirmed|identified|interpreted|agreed) by|results? (?:given|called|to|was|were)|attending|resident|radiologist|physician|clinician|doctor|nurse)\b|` +
	`^\W*\p{L}+ (?:notes|confirms|confirmed|agrees|agreed|thinks|believes|feels|saw)\b`)

// TrainingText is what an adapter may learn of a report: sentences with a masked identifier, or of people, are dropped, words that scores cannot
// support are taken out where the sentence stands without them and says the same of every finding, and the sentence is dropped where
// not. It is empty when a section has nothing left.
func TrainingText(r Report) string {
	clean := Report{teachable(r.Findings), teachable(r.Impression)}
	if clean.Findings == "" || clean.Impression == "" {
		return ""
	}
	return clean.String()
}

func teachable(section string) string {
	var out []string
	for _, sentence := range labeler.Sentences(section) {
		if placeholder.MatchString(sentence) || ofPeople.MatchString(sentence) {
			continue
		}
		if guard.Claim(sentence) != "" {
			plain := tidy(unsayable.ReplaceAllString(staying.Replace(sentence), ""))
			if guard.Claim(plain) != "" || len(labeler.LabelSentence(plain)) == 0 || !sameLabels(sentence, plain) {
				continue
			}
			sentence = plain
		}
		out = append(out, sentence)
	}
	return strings.Join(out, " ")
}

func sameLabels(a, b string) bool {
	la, lb := labeler.LabelSentence(a), labeler.LabelSentence(b)
	if len(la) != len(lb) {
		return false
	}
	for f, p := range la {
		if lb[f] != p {
			return false
		}
	}
	return true
}

var (
	spaces  = regexp.MustCompile(`\s+`)
	loose   = regexp.MustCompile(`\s+([.,;])`)
	doubled = regexp.MustCompile(`([.,;])[.,;]+`)
)

// tidy mends what taking words out leaves: spaces, punctuation, the capital.
func tidy(sentence string) string {
	s := strings.TrimSpace(spaces.ReplaceAllString(sentence, " "))
	s = doubled.ReplaceAllString(loose.ReplaceAllString(s, "$1"), "$1")
	s = strings.TrimLeft(s, ",;. ")
	if s == "" {
		return ""
	}
	return strings.ToUpper(s[:1]) + s[1:]
}
