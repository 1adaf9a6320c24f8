package corrections

import (
	"regexp"
	"slices"
	"strings"

	"llamaxr/study"
)

// placeholder is what stands for something masked.
var placeholder = regexp.MustCompile(`\[(?:name|date|time|phone|number|address)\]`)

const months = `(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sep(?:t(?:ember)?)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)`

// patterns find identifiers by their form (after the eighteen of the HIPAA safe harbour that text can hold), in this order.
var patterns = []struct {
	form *regexp.Regexp
	with string
}{
	{regexp.MustCompile(`[\w.+-]+@[\w-]+(?:\.[\w-]+)+`), "[address]"},
	{regexp.MustCompile(`(?i)\b(?:https?://|www\.)\S+`), "[address]"},
	{regexp.MustCompile(`(?i)\b(?:\d{1,3}\.){3}\d{1,3}\b`), "[address]"},
	{regexp.MustCompile(`(?i)\b\d{1,5} (?:[A-Z][a-z]+ ){1,3}(?:street|st|road|rd|avenue|ave|lane|drive|boulevard|blvd)\b\.?`), "[address]"},
	{regexp.MustCompile(`(?i)\b\d{1,2}(?:st|nd|rd|th)?[ .-]+` + months + `\.?,?(?:[ .-]+\d{2,4})?\b`), "[date]"},
	{regexp.MustCompile(`(?i)\b` + months + `\.? \d{1,2}(?:st|nd|rd|th)?(?:,? \d{4})?\b`), "[date]"},
	{regexp.MustCompile(`(?i)\b` + months + `\.?,? \d{4}\b`), "[date]"},
	{regexp.MustCompile(`\b(?:19|20)\d{2}[-/.]\d{1,2}[-/.]\d{1,2}(?:T[\d:.]+Z?)?\b`), "[date]"},
	{regexp.MustCompile(`\b\d{1,2}[-/.]\d{1,2}[-/.](?:\d{4}|\d{2})\b`), "[date]"},
	{regexp.MustCompile(`\b(?:19|20)\d{6}(?:\d{6})?\b`), "[date]"},
	{regexp.MustCompile(`(?i)\b\d{1,2}[:.]\d{2}(?::\d{2})?\s*(?:[ap]\.?m\b\.?|hours|hrs|h\b|o'clock)|\b\d{1,2}:\d{2}(?::\d{2})?\b`), "[time]"},
	{regexp.MustCompile(`(?:\+\d{1,3}[ .-]?)?(?:\(\d{2,5}\)[ .-]?|\b\d{2,5}[ .-])\d{3,4}[ .-]\d{3,5}\b`), "[phone]"},
	{regexp.MustCompile(`(?i)\b(?:tel|phone|pager|ext|extension|fax|beeper)\b\.?:?\s*(?:#\s*)?[\d -]{3,}\d`), "[phone]"},
	{regexp.MustCompile(`\b\d{3}-\d{2}-\d{4}\b`), "[number]"},
	{regexp.MustCompile(`(?i)\b(?:mrn|medical record(?: number)?|patient id|accession(?: number| no)?|acc|account|order|case|exam|room|bed|visit|ssn|nhs(?: number)?)\b\.?\s*(?:#|no\.?|number)?\s*[:#]?\s*[A-Z]{0,4}[- ]?\d[\w-]*`), "[number]"},
	{regexp.MustCompile(`\b[A-Z]{1,4}[- ]?\d{5,}\b|\b\d{6,}\b`), "[number]"},
	{regexp.MustCompile(`\b(?i:dr|drs|doctor|prof|professor|mr|mrs|ms|miss|nurse|np|pa-c)\b\.?\s+(?:[A-Z]\.\s*)*[A-Z][\p{L}'-]+(?:\s+(?:[A-Z]\.\s*)*[A-Z][\p{L}'-]+)?`), "[name]"},
	{regexp.MustCompile(`\b[A-Z][\p{L}'-]+(?:,? [A-Z]\.)?(?: [A-Z][\p{L}'-]+)?,? (?:M\.?D\.?|D\.?O\.?|R\.?N\.?|PhD|FRCR)\b`), "[name]"},
	{regexp.MustCompile(`(?i)\b(?:dictated|signed|read|reviewed|verified|discussed with|communicated to|called to|transcribed|approved)(?: electronically)?(?: by)?:?\s+(?-i:[A-Z][\p{L}'-]+(?:,? [A-Z]\.)?(?:,? [A-Z][\p{L}'-]+)+)`), "[name]"},
}

// Identifiers are what a study's header knows of its patient: the parts of names, and the numbers.
func Identifiers(headers ...*study.Header) []string {
	var out []string
	for _, h := range headers {
		if h == nil {
			continue
		}
		for _, name := range []string{h.PatientName, h.ReferringPhysicianName} {
			out = append(out, strings.FieldsFunc(name, func(r rune) bool { return strings.ContainsRune("^= ,.", r) })...)
		}
		out = append(out, h.PatientID, h.AccessionNumber, h.PatientBirthDate, h.StationName)
	}
	return out
}

// shortestKnown: a known identifier of fewer letters is left to the forms: masking "Li" or "1" everywhere would mask the report.
const shortestKnown = 3

// What stands for a known identifier until the forms are done: no identifier holds these, so that one that reads "name" cannot find
// its own placeholder again. They are of Unicode's private use.
const (
	knownName   = "\uE000"
	knownNumber = "\uE001"
)

var known = strings.NewReplacer(knownName, "[name]", knownNumber, "[number]")

// Mask replaces known identifiers, whatever their case, and everything that has an identifier's form, and says how many it replaced.
func Mask(text string, identifiers ...string) (masked string, replaced int) {
	text = strings.NewReplacer(knownName, "", knownNumber, "").Replace(text)
	identifiers = slices.Clone(identifiers)
	slices.SortFunc(identifiers, func(a, b string) int { return len(b) - len(a) })
	for _, k := range identifiers {
		k = strings.TrimSpace(k)
		if len([]rune(k)) < shortestKnown || strings.ContainsAny(k, knownName+knownNumber) {
			continue
		}
		form, err := regexp.Compile(`(?i)(^|[^\p{L}\p{N}])` + regexp.QuoteMeta(k) + `($|[^\p{L}\p{N}])`)
		if err != nil {
			continue // QuoteMeta leaves nothing that does not compile, but for what is not UTF-8
		}
		with := knownName
		if strings.ContainsAny(k, "0123456789") {
			with = knownNumber
		}
		for form.MatchString(text) { // again, since neighbours share their separator
			replaced += len(form.FindAllString(text, -1))
			text = form.ReplaceAllString(text, "${1}"+with+"${2}")
		}
	}
	for _, p := range patterns {
		replaced += len(p.form.FindAllString(text, -1))
		text = p.form.ReplaceAllString(text, p.with)
	}
	return known.Replace(text), replaced
}
