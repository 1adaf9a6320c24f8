package corrections

import (
	"regexp"
	"slices"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"llamaxr/reporting/labeler"
	"llamaxr/study"

	"golang.org/x/text/unicode/norm"
)

// placeholder is what stands for something masked.
var placeholder = regexp.MustCompile(`\[(?:name|date|time|phone|number|address)\]`)

const (
	months = `(?:jan(?:uary|uar|vier)?|enero|feb(?:ruary|ruar|rero)?|f[eé]vrier|mar(?:ch|s|zo)?|märz|apr(?:il)?|avril|abril|may|mai|mayo|june?|juni|juin|junio|july?|juli|juillet|julio|aug(?:ust)?|ao[uû]t|agosto|` +
		`sep(?:t(?:ember|embre|iembre)?)?|o[ck]t(?:ober|obre|ubre)?|nov(?:ember|embre|iembre)?|de[cz](?:ember)?|d[eé]cembre|diciembre)`
	ordinals = `(?:first|second|third|fourth|fifth|sixth|seventh|eighth|ninth|tenth|eleventh|twelfth|thirteenth|fourteenth|fifteenth|sixteenth|seventeenth|eighteenth|nineteenth|` +
		`(?:twent|thirt)ieth|(?:twenty|thirty)-(?:first|second|third|fourth|fifth|sixth|seventh|eighth|ninth))`
	// word is a word of a name, wordsOf a whole one with its initials and particles.
	word    = `\p{Lu}[\p{L}\p{M}'’-]+|(?:[A-Z]\.){1,3}|[A-Z]\b\.?`
	wordsOf = `(?:(?:van|von|der|den|de|del|della|di|da|dos|la|le|el|al|bin|ibn|ter|ten|zu)\s+)*(?:` + word + `)(?:(?:,\s*|\s+|\s*[/&]\s*|\s+and\s+)(?:(?:van|von|der|den|de|del|di|da|la|le|el|al|bin)\s+)*(?:` + word + `)){0,4}`
	title   = `(?:(?i:dr|drs|doctor|prof|professor|mr|mrs|ms|miss|master|sister|nurse|rn|np|pa-c|pa)\b\.?\s+)`
)

// patterns find identifiers by their form (after the eighteen of the HIPAA safe harbour that text can hold), in this order. Too much is masked rather
// than too little: a sentence with something masked does not train. They are made when they are wanted: most commands mask nothing.
var patterns = sync.OnceValue(func() []pattern {
	return []pattern{
		{regexp.MustCompile(`\S*@\S+|\S+ at \S+ dot \w+|\\\\\S+|\b[A-Za-z]:\\\S+|(?:^|\s)/\w+/\S+`), "[address]"},
		{regexp.MustCompile(`(?i)\b(?:https?://|www\.)\S+|\b[\w-]+\.(?:org|com|net|edu|gov|info|eu|de|ch|at|fr|uk)\b\S*`), "[address]"},
		{regexp.MustCompile(`\b(?:\d{1,3}\.){3}\d{1,3}\b|(?i)\b[0-9a-f]{1,4}(?:::?[0-9a-f]{1,4}){4,}\b`), "[address]"},
		{regexp.MustCompile(`\b\d+(?:\.\d+){3,}`), "[number]"},
		{regexp.MustCompile(`\b\d{1,5}[A-Za-z]? (?:\p{Lu}[\p{L}.'’-]+ ){1,4}(?i:street|st|road|rd|avenue|ave|lane|ln|drive|boulevard|blvd|court|way|square|terrace)\b\.?(?: [NS]?[EW]\b)?(?:, \p{Lu}\p{L}+)?`), "[address]"},
		{regexp.MustCompile(`\p{Lu}\p{L}*(?:straße|strasse|gasse|weg|platz|allee) \d+\w?|\b(?i:p\.? ?o\.? box) \d+|\b\p{Lu}\p{L}+(?: \p{Lu}\p{L}+)?, [A-Z]{2} \d{5}(?:-\d{4})?|\b[A-Z]{1,2}\d[A-Z\d]? \d[A-Z]{2}\b`), "[address]"},
		{regexp.MustCompile(`(?:\b\p{Lu}[\p{L}.'’&-]*\s+(?:(?:of|the|and|for)\s+)*){0,5}\b(?:Hospitals?|Clinics?|Infirmary|Medical Cent(?:er|re)|Health(?:care)?|Hospice|University|Institute|Klinikum|Kantonsspital|` +
			`Universitätsspital|Krankenhaus|Ospedale|CHU)\b(?:\s+\p{Lu}[\p{L}'’-]+)*|\bHôpital(?:\s+\p{Lu}[\p{L}'’-]+)+`), "[address]"},
		{regexp.MustCompile(`(?i)\b(?:the )?(?:\d{1,2}(?:st|nd|rd|th)?|` + ordinals + `)(?: day)?(?:[ .-]*|[ .]+of )` + months + `(?:\.?,?[ .'’-]*\d{2,4}\b|\b)`), "[date]"},
		{regexp.MustCompile(`(?i)\b` + months + `\b\.?,?[ -](?:\d{1,2}(?:st|nd|rd|th)?(?: ?- ?\d{1,2})?|` + ordinals + `)\b(?:,? \d{4})?`), "[date]"},
		{regexp.MustCompile(`(?i)\b` + months + `\b\.?,? (?:of )?(?:\d{4}\b|['’]\d{2})|\b(?:in|since|from|until|last|early|late|mid)[ -](?:january|february|march|april|may|june|july|august|september|october|november|december)\b`), "[date]"},
		{regexp.MustCompile(`(?i)\b(?:mon|tues|wednes|thurs|fri|satur|sun)day\b`), "[date]"},
		{regexp.MustCompile(`\b(?:19|20)\d{2} ?[-/.] ?\d{1,2} ?[-/.] ?\d{1,2}(?:T[\d:.]+Z?)?\b`), "[date]"},
		{regexp.MustCompile(`\b\d{1,2} ?[-/.] ?\d{1,2} ?[-/.] ?(?:\d{4}|\d{2})\b|\b\d{1,2}[-/.](?:19|20)\d{2}\b|\b\d{2}\.\d{2}\.(?:\s|$)|\b0\d/\d{2}\b`), "[date]"},
		{regexp.MustCompile(`(?i)\b(?:on|dated?|from|since|until|with|at|film|study|exam\w*|ct|radiographs?) \d{1,2}[-/]\d{1,2}(?:\b|$)`), "[date]"},
		{regexp.MustCompile(`\b(?:19|20)\d{6}(?:\d{6})?\b|\b(?:19|20)\d{2}\b`), "[date]"},
		{regexp.MustCompile(`(?i)\b\d{1,2}[:.]\d{2}(?::\d{2})?\s*(?:[ap]\.?m\b\.?|hours|hrs|h\b|o['’]clock)|\b\d{1,2}[:h]\d{2}(?::\d{2})?\b|\b\d{1,2} ?(?:[ap]\.?m\b\.?|o['’]clock)|\b\d{4} ?(?:h|hrs|hours)\b|\bat (?:noon|midnight)\b`), "[time]"},
		{regexp.MustCompile(`(?i)\b(?:9\d|1[0-2]\d)[ -]?(?:years?|yrs?|y[-/. ]?o)\b(?:[ -]old)?|\bninety(?:-\w+)?(?:[ -](?:years?|yrs?)(?:[ -]old)?)?\b|\bage[d:]? ?(?:9\d|1[0-2]\d)\b`), "[number]"},
		{regexp.MustCompile(`(?:\+\d{1,3}[ .-]?)?(?:\(\d{2,5}\)[ .-]?|\b\d{2,5}[ .-])\d{3,4}[ .-]\d{3,5}\b(?: ?x ?\d+)?`), "[phone]"},
		{regexp.MustCompile(`(?i)\b(?:tel|phone|telephone|pager|ext|extension|fax|beeper|bleep|mobile|cell|call|dial)\b\.?:?\s*(?:#\s*)?\+?[\d ().-]{2,}\d|\bx ?\d{3,6}\b`), "[phone]"},
		{regexp.MustCompile(`\b\d{3}[- ]\d{2}[- ]\d{4}\b|\b\d-\d{4}\b|\b\d(?:[ ().-]?\d){6,}\b`), "[number]"},
		{regexp.MustCompile(`(?i)\b(?:m\.?r\.?n|med(?:ical)? rec(?:ord)?|hosp(?:ital)?|patient|pt|identifier|id|accession|acc|acct|account|order|req(?:uisition)?|exam|study|case|visit|encounter|fin|room|rm|bed|ward|bay|unit|box|zip|` +
			`ssn|social security|nhs|chi|insurance|policy|medicare|medicaid|passport|licen[cs]e|dea|npi|serial|s/n|sn|device|detector|lot|model|uid|episode|level|theatre|theater|floor)\b[.#]?(?:\s*(?:id|number|num|no|nr|serial|#)\b\.?)?(?: is)?\s*[:#]*\s*` +
			`(?:[A-Z]{1,4}[- /]?)?\d[\w/-]*(?:[- ]\d[\w-]*)*(?: (?:north|south|east|west)\b)?`), "[number]"},
		{regexp.MustCompile(`(?i)\b(?:medicare|serial|sn|s/n|lot|model|device|id)\b\.?(?: (?:no|number|id|serial)\b\.?)?\s*[:#]*\s*(?:[A-Z]+\d|\d+[A-Z])[\w-]*|\b[A-Z]{0,2}ICU[- ]?\d+|\b\d{1,2}(?:st|nd|rd|th) floor`), "[number]"},
		{regexp.MustCompile(`\b[A-Z]{1,4}[- ]\d{5,}\b|\b[A-Za-z]{2,}\d{2,}\w*|\b[A-Z]\d{2,}-\d{2,}\b|\b[\w-]*\d{4,}[\w-]*`), "[number]"},
		{regexp.MustCompile(`\p{L}[\p{L}'’-]*\^[\p{L}^'’ -]*`), "[name]"},
		{regexp.MustCompile(`\b` + title + `\s*` + title + `?` + wordsOf), "[name]"},
		{regexp.MustCompile(`(?i)\b(?:dr|doctor)\b\.?\s+[a-z][a-z'’-]+`), "[name]"},
		{regexp.MustCompile(`(?:` + wordsOf + `),?\s+(?:M\.?D|D\.?O|R\.?N|Ph\.?D|FRC\w+|FFR|FRANZCR|FACR|MB ?B?S|MBB?Ch\w*|LPN|APRN|CRNA|MSc|DDS)\b\.?|(?:` + wordsOf + `), (?:PA(?:-C)?|NP|RT(?:\(R\))?|BSc)(?:\W|$)`), "[name]"},
		{regexp.MustCompile(`\b(?i:(?:dictat|e-?sign|sign|read|review|verif|approv|interpret|report|finali[sz]|authenticat|transcrib|perform|prepar|order|request|referr|attest|cosign|edit|author|agree|supervis|typ|complet|tak)(?:e?d|ied|ten|en)?` +
			`(?: electronically| and \w+)?(?: by|\s*:)|(?:dictated|signed|verified|approved|transcribed|interpreted)|(?:discussed|reviewed|consulted|conferred) with|spoke (?:with|to)|` +
			`(?:communicated|reported|relayed|conveyed|called|copy|copied|faxed|given|telephoned|phoned|cc|attn)(?: to|\s*:)|cc|(?:notified|informed|paged|contacted|told|alerted)|per(?: dr\.?| doctor))` +
			`\s*:?\s+` + title + `?` + wordsOf), "[name]"},
		{regexp.MustCompile(`(?i:\b(?:radiologist|attending|resident|fellow|physician|provider|clinician|consultant|registrar|surgeon|technologist|technician|radiographer|tech|transcriptionist|author|reporter|patient(?:['’]s)? name|name|signature|` +
			`patient|pt|dictated|signed|ordering|requesting|referring|cc|attn)(?: \w+)?)\s*:\s*` + title + `?` + wordsOf), "[name]"},
		{regexp.MustCompile(`(?i:\b(?:radiologist|attending|resident|fellow|physician|consultant|registrar|surgeon|technologist|radiographer|patient|mother|father|wife|husband|son|daughter|brother|partner)),?\s+` +
			`\p{Lu}\p{Ll}[\p{L}'’-]*(?:\s+\p{Lu}\p{Ll}[\p{L}'’-]*)*`), "[name]"},
		{regexp.MustCompile(`\p{Lu}\p{Ll}[\p{L}'’-]+(?:\s+\p{Lu}\p{Ll}[\p{L}'’-]*)*\s+(?:(?:was|is|has been|were)\s+)?(?:informed|notified|paged|told|contacted|aware|telephoned)\b`), "[name]"},
		{regexp.MustCompile(`\[name\](?:(?:,\s*|\s+and\s+|\s*[/&]\s*|\s+)(?:\p{Lu}[\p{Ll}'’-]+|\[name\]|Jr\.?|Sr\.?|II+\b))+`), "[name]"},
	}
})

// pattern is a form and what stands in its place.
type pattern struct {
	form *regexp.Regexp
	with string
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
		out = append(out, h.PatientID, h.AccessionNumber, h.StudyID, h.PatientBirthDate, h.StationName)
		out = append(out, strings.Split(h.OtherPatientIDs, `\`)...)
		for _, r := range h.Requests {
			out = append(out, r.AccessionNumber, r.PlacerOrderNumber, r.FillerOrderNumber)
		}
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

// Mask replaces known identifiers, whatever their case and accents, and everything that has an identifier's form, and says how many it replaced. What is no
// UTF-8 becomes U+FFFD.
func Mask(text string, identifiers ...string) (masked string, replaced int) {
	text = strings.NewReplacer(knownName, "", knownNumber, "").Replace(strings.ToValidUTF8(text, "\uFFFD")) // else its pieces may make one of them
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
	text = maskNames(text, identifiers, &replaced)
	for _, p := range patterns() {
		replaced += len(p.form.FindAllString(text, -1))
		text = p.form.ReplaceAllString(text, p.with)
	}
	text, strangers := maskStrangers(text)
	return known.Replace(text), replaced + strangers
}

// maskNames masks the words of known names that are written with other accents, or in part, and names of two letters beside a masked one.
func maskNames(text string, identifiers []string, replaced *int) string {
	var list []string
	for _, k := range identifiers {
		for _, part := range strings.FieldsFunc(k, func(r rune) bool { return !unicode.IsLetter(r) && r != '\'' && r != '’' }) {
			if !strings.ContainsAny(k, "0123456789") && !isUsual(part) {
				list = append(list, spellings(part)...)
			}
		}
	}
	mask := func(form *regexp.Regexp, least int) {
		var out strings.Builder
		at := 0
		for _, m := range form.FindAllStringSubmatchIndex(text, -1) {
			word := text[m[2]:m[3]]
			if len([]rune(word)) < least || !slices.ContainsFunc(spellings(word), func(s string) bool { return slices.Contains(list, s) }) {
				continue
			}
			out.WriteString(text[at:m[2]] + knownName)
			at = m[3]
			*replaced++
		}
		text = out.String() + text[at:]
	}
	mask(anyName, shortestKnown)
	mask(beforeKnown, 2)
	mask(afterKnown, 2)
	return text
}

var (
	anyName     = regexp.MustCompile(`(\p{L}[\p{L}\p{M}'’]*)`)
	beforeKnown = regexp.MustCompile(`(\p{Lu}\p{L})[\s,^]+` + knownName)
	afterKnown  = regexp.MustCompile(knownName + `[\s,^]+(\p{Lu}\p{L})`)
)

// spellings are the ways to write a name without accents, in small letters: Müller is muller and mueller.
func spellings(name string) []string {
	name = strings.ToLower(strings.ReplaceAll(name, "’", "'"))
	bare := strings.Map(func(r rune) rune {
		if unicode.Is(unicode.Mn, r) {
			return -1
		}
		return r
	}, norm.NFKD.String(name))
	spelt := strings.NewReplacer("ä", "ae", "ö", "oe", "ü", "ue", "ß", "ss", "ø", "oe", "å", "aa", "æ", "ae").Replace(norm.NFC.String(name))
	plain := strings.NewReplacer("ß", "ss", "ø", "o", "æ", "ae", "ł", "l", "đ", "d").Replace(bare)
	return []string{plain, spelt, strings.NewReplacer("ae", "a", "oe", "o", "ue", "u").Replace(plain)}
}

var (
	sentenceEnd = regexp.MustCompile(`[.!?:;]\s+|\n`)
	anyWord     = regexp.MustCompile(`\[\w+\]|\p{L}[\p{L}\p{M}'’-]*`)
)

// maskStrangers masks words that reports are not written with, and words that begin with a capital inside a sentence that is not written in capitals
// throughout: names, but for those in usual.
func maskStrangers(text string) (string, int) {
	var out strings.Builder
	masked, last := 0, 0
	ends := append(sentenceEnd.FindAllStringIndex(text, -1), []int{len(text), len(text)})
	for _, end := range ends {
		sentence := text[last:end[0]]
		words := anyWord.FindAllStringIndex(sentence, -1)
		capitals := 0
		for _, w := range words[min(len(words), 1):] {
			if first, _ := utf8.DecodeRuneInString(sentence[w[0]:]); unicode.IsUpper(first) {
				capitals++
			}
		}
		mixed := len(words) > 1 && 2*capitals <= len(words)-1
		at := 0
		for i, w := range words {
			word := sentence[w[0]:w[1]]
			if strings.HasPrefix(word, "[") || ordinary(word) && !(mixed && i > 0 && capital(word) && !isUsual(word)) {
				continue
			}
			out.WriteString(sentence[at:w[0]] + "[name]")
			at = w[1]
			masked++
		}
		out.WriteString(sentence[at:] + text[end[0]:end[1]])
		last = end[1]
	}
	return out.String(), masked
}

// capital reports whether a word begins with a capital and is no abbreviation.
func capital(word string) bool {
	first, size := utf8.DecodeRuneInString(word)
	rest := word[size:]
	return unicode.IsUpper(first) && rest != "" && (len(word) > 4 || rest != strings.ToUpper(rest))
}

func isUsual(word string) bool {
	word = strings.TrimSuffix(strings.ReplaceAll(strings.ToLower(word), "’", "'"), "'s")
	return usual[word] || !slices.ContainsFunc(strings.Split(word, "-"), func(p string) bool { return !usual[p] && len(labeler.LabelSentence(p)) == 0 })
}
