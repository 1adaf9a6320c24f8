package guard

import (
	"regexp"
	"slices"
	"strings"

	"llamaxr/reporting/labeler"
	"llamaxr/study"
)

const (
	normalAgainstScores   = "calls the chest normal, which the scores do not say"
	abnormalAgainstScores = "calls the chest abnormal, which the scores do not say"
	wrongUnscored         = "calls something wrong that is not scored"
)

// fine is what is said of what is as it should be.
const fine = `(?:clear|normal|unremarkable|healthy|intact|sharp|within normal limits|wnl|negative|without (?:\w+ )?(?:abnormalit\w*|findings?)|free of (?:disease|abnormalit\w*)|` +
	`(?:fine|good|okay|satisfactory|excellent)\W*$)`

// listed goes on from a part of the chest, through others, to their being as they should be.
const listed = `(?:(?:,|,? and|,? or) (?:(?:the|visuali[sz]ed|upper|lower|adjacent|heart|cardiac|cardiomediastinal|mediastin\w+|lungs?|pleura\w*|hil\w+|bon\w+|osseous|skeletal|soft|tissues?|vascul\w+|thora\w+|diaphragm\w*|abdom\w+|structures?|silhouettes?|contours?|spaces?|size) ?)+){1,6}(?:is|are|appears?|remains?) (?:\w+ )?` + fine + `(?:\W|$)`

// region is a part of the chest with the words for it and what it could have.
type region struct {
	name *regexp.Regexp
	has  func(study.Finding) bool
}

var regions = []region{
	{regexp.MustCompile(`\b(?:bon(?:y|es?)|osseous|skelet\w+|ribs?|spin(?:e|al)|vertebra\w*)\b`), only(study.Fracture)},
	{regexp.MustCompile(`\b(?:lungs?|pulmonary|parenchym\w+|air-?space)\b`), inLungs},
	{regexp.MustCompile(`\bpleural?\b`), inPleura},
	{regexp.MustCompile(`\b(?:cardiac|heart)\b`), only(study.Cardiomegaly)},
	{regexp.MustCompile(`\bmediastin\w+\b`), only(study.EnlargedCardiomediastinum)},
	{regexp.MustCompile(`\binterstiti\w+\b`), func(f study.Finding) bool { return f == study.Edema || f == study.Fibrosis }},
	{regexp.MustCompile(`\b(?:soft tissues?|hilar|hil(?:a|um)|degenerative|vascular|aort\w+|abdom\w+|diaphragm\w*)\b`), func(study.Finding) bool { return false }},
}

// nothingWrong denies without naming; the words between may say of what region alone.
var nothingWrong = regexp.MustCompile(`\b(?:no|without|free of|negative for|negative)((?:[ ,/()]+[\w-]+){0,9}?)[ ,/()]+(?:abnormal\w*|patholog\w*|diseases?|findings?|problems?|process(?:es)?|injur(?:y|ies)|changes?|trauma|deformit\w+|issues?|concerns?|conditions?|illness|events?)\b`)

// airspaceDisease is a name of lung opacity, which the labeler knows.
var airspaceDisease = regexp.MustCompile(`\bair-?space (?:disease|process)`)

// joins stand before the last of a list.
var joins = regexp.MustCompile(`,|/|\b(?:or|and)\b`)

// written is how words are written that are written in several ways.
var written = strings.NewReplacer("/", " and ", "cardio-pulmonary", "cardiopulmonary", "cardio pulmonary", "cardiopulmonary")

// volumes of the lungs are not the lungs.
var volumes = regexp.MustCompile(`\blung (?:volumes?|markings|expansion|inflation|aeration)\b`)

// normals call a part of the chest normal, and so deny, without naming it, what that part could have.
var normals = []region{
	{regexp.MustCompile(`\bnothing (?:acute|abnormal|wrong|significant|remarkable|to report|of note)|\b(?:no|without) (?:definite |convincing )?(?:acute|active|significant)\W*$|` +
		`\b(?:normal|unremarkable|negative|clear|healthy|satisfactory|excellent|disease-free) (?:\w+ )?(?:chest|thorax|study|exam(?:ination)?|x-?rays?|radiographs?|films?|cxr|imaging|appearances?)\b|` +
		`\b(?:chest|thorax|study|exam(?:ination)?|x-?rays?|radiographs?|films?|cxr|appearances?|patient|everything|all|looks|cardiopulmonary structures|all structures) (?:is |are |appears? |looks? |was )?(?:\w+ )?` + fine + `(?:\W|$)|` +
		`\b(?:normal|unremarkable|negative|clear|healthy) (?:(?:two|2|frontal|lateral|and)[ -])+(?:views?|projections?|chest)\b|\b(?:views?|projections?):? (?:(?:is|are|appears?) )?` + fine + `\W*$|` +
		`^\W*(?:\d+\W+)?(?:\w+: )?(?:\w+ )?(?:normal|unremarkable|negative|clear|wnl|within normal limits)\W*$`), everything},
	{regexp.MustCompile(`\b(?:lungs?|air ?spaces|parenchyma)(?: fields?| zones?| parenchyma| bases| apices)? (?:(?:are|is|remain|appear)s? )?(?:[\w-]+,? ){0,4}?(?:and )?(?:they are )?(?:(?:believed|felt|thought) to be )?` + fine + `(?:\W|$)|` +
		`\b(?:clear|normal|healthy|unremarkable|good)(?:,? (?:and )?(?:well[ -])?(?:expanded|aerated|inflated))? lungs?(?: fields?| parenchyma| bases)?\W*(?:$|,|and|with)`), inLungs},
	{regexp.MustCompile(`\b(?:pleura|pleural (?:spaces?|surfaces?|reflections?|margins?)|costophrenic (?:angles?|sulc\w+|recess\w*)|cp angles?)(?: (?:and|or) [\w ]{3,30}?)? (?:(?:is|are|remain|appear)s? )?(?:\w+ ){0,2}?(?:` + fine + `|free|dry|preserved|maintained|well (?:maintained|preserved|defined|seen))(?:\W|$)|` +
		`\b(?:clear|normal|unremarkable) (?:pleura\b|pleural s)|\b(?:clear|sharp|preserved|normal) costophrenic`), inPleura},
	{regexp.MustCompile(`\b(?:lungs?|parenchyma)` + listed), inLungs},
	{regexp.MustCompile(`\bpleura(?:l (?:spaces?|surfaces?))?` + listed), inPleura},
	{regexp.MustCompile(`\b(?:heart|cardiac \w+|cardiovascular \w+) (?:is |appears )?(?:\w+ )?(?:unremarkable|normal)\b`), only(study.Cardiomegaly)},
	{regexp.MustCompile(`\b(?:bon(?:y|es?)|osseous|skelet\w+|ribs?|rib cage|thoracic (?:cage|spine)|spine|clavicles?|vertebra\w*)\b[^.;]*\b(?:normal|intact|unremarkable|without (?:acute )?abnormalit\w*)|` +
		`\b(?:normal|intact|unremarkable) (?:\w+ )?(?:bon(?:y|es?)|ribs?|skelet\w+|osseous|thoracic (?:cage|spine))|\bvertebra\w*[^.;]* heights? (?:is |are )?(?:maintained|preserved)`), only(study.Fracture)},
}

// anatomy is what sentences that name no finding may be about.
var anatomy = regexp.MustCompile(`\b(?:trachea\w*|vascul\w+|vessels?|bon(?:e|es|y)|osseous|skelet\w+|ribs?|clavicles?|spine|vertebra\w*|soft tissues?|diaphragm\w*|hemidiaphragms?|hil(?:a|ar|um)|lungs?|pulmonary|pleura\w*|` +
	`costophrenic|mediastin\w+|heart|cardi\w+|cardiomediastinal|aort\w+|chest|thora\w+|airways?|bronch\w+|interstiti\w+|apic\w+|apex|bases?|abdom\w+|bowel|upper|granulomat\w+|degenerat\w+|markings|inspiration|volumes?)\b`)

// off reports whether a sentence is about nothing that a chest radiograph shows: an order, a remark on the report, another language.
func off(sentence string) bool {
	text := strings.ToLower(sentence)
	return !anatomy.MatchString(text) && !normals[0].name.MatchString(text) && !nothingWrong.MatchString(text) && !callAbnormal.MatchString(text)
}

const right = `(?:normal\w*|unremarkable|intact|clear|midline|sharp|well|preserved|maintained|satisfactory|healthy|patent|adequate\w*|good|symmetric\w*|fine|okay|excellent|wnl)\b`

// What no score is about may only be called right: reassuring words say that something is as it should be or not there, amiss ones, which a denial
// must come before, that something is wrong.
var (
	denying    = regexp.MustCompile(`\b(?:no|not|without|free|negative|nothing|neither|nor)\b`)
	reassuring = regexp.MustCompile(`\b` + right)
	notRight   = regexp.MustCompile(`\b(?:(?:not|no longer|less than|poorly|barely|hardly|never)(?: [\w-]+){0,2}?|(?:no|without)(?: [\w-]+)?) ` + right)
	amiss      = regexp.MustCompile(`\b(?:abnormal\w*|diseases?|patholog\w*|changes?|problems?|process\w*|disorders?|elevated|prominen\w+|enlarge\w+|displaced|flatten\w+|low|high|thick\w+|calcif\w+|` +
		`irregular\w*|asymmetr\w+|increased?|decreased?|reduced|diminished|poor|limited|coarse\w*|haz[ey]\w*|dense|density|densities|deform\w+)\b`)
	// apart begins what is said beside, or in contrast.
	apart = regexp.MustCompile(`; | but | however,? | although | though | while | whereas | except | apart from | other than | aside from | and (?:the|there|an?) `)
)

// unscored reports whether a part of a sentence that names no finding calls anything but right what it is about. Whether the whole names one is known.
func unscored(sentence string, names bool) bool {
	parts := apart.Split(strings.ToLower(sentence), -1)
	if len(parts) == 1 && names {
		return false
	}
	for _, part := range parts {
		if anatomy.MatchString(part) && !reassures(part) && len(labeler.LabelSentence(part)) == 0 {
			return true
		}
	}
	return false
}

func reassures(part string) bool {
	if notRight.MatchString(part) {
		return false
	}
	for _, at := range amiss.FindAllStringIndex(part, -1) {
		if !denying.MatchString(part[:at[0]]) {
			return false
		}
	}
	return denying.MatchString(part) || reassuring.MatchString(part)
}

// callAbnormal calls the chest, or the lungs, abnormal without saying how.
var callAbnormal = regexp.MustCompile(`^\W*(?:\w+: )?abnormal\b|\b(?:chest|thorax|study|exam(?:ination)?|radiographs?|lungs?(?: fields?)?) (?:is|are|appears?) (?:abnormal|not (?:clear|normal))`)

func everything(study.Finding) bool { return true }

func only(one study.Finding) func(study.Finding) bool {
	return func(f study.Finding) bool { return f == one }
}

// inLungs are the findings that do not leave the lungs clear.
func inLungs(f study.Finding) bool {
	switch f {
	case study.Cardiomegaly, study.EnlargedCardiomediastinum, study.Effusion, study.Fracture, study.Hernia, study.PleuralThickening, study.Pneumothorax:
		return false
	}
	return true
}

func inPleura(f study.Finding) bool {
	return f == study.Effusion || f == study.Pneumothorax || f == study.PleuralThickening
}

// kinds are findings that are what another one names in general: "No lung lesion." beside a mass contradicts itself, whatever is scored.
var kinds = map[study.Finding][]study.Finding{
	study.LungLesion:  {study.Mass, study.Nodule},
	study.LungOpacity: {study.Consolidation, study.Infiltration, study.Pneumonia},
}

// kindOf is a kind of f that is scored present.
func (c *checker) kindOf(f study.Finding) (study.Finding, bool) {
	i := slices.IndexFunc(kinds[f], c.scores.Present)
	if i < 0 {
		return 0, false
	}
	return kinds[f][i], true
}

// callsNormal reports whether a sentence denies, without naming it, what is scored present or not scored at all.
func (c *checker) callsNormal(sentence string) bool {
	sentence = strings.ReplaceAll(sentence, nothingScored, "") // which says no more than it knows
	text := written.Replace(volumes.ReplaceAllString(labeler.Headed(strings.ToLower(sentence)), "volumes"))
	for _, n := range normals {
		if n.name.MatchString(text) && c.any(n.has) {
			return true
		}
	}
	for _, m := range nothingWrong.FindAllStringSubmatchIndex(text, -1) {
		between := text[m[2]:m[3]]
		if at := joins.FindAllStringIndex(between, -1); at != nil && len(labeler.LabelSentence(between)) > 0 {
			between = between[at[len(at)-1][1]:] // what comes before it is denied by name
		}
		if !airspaceDisease.MatchString(text[m[2]:m[1]]) && c.any(denied(between)) {
			return true
		}
	}
	return false
}

// denied says what "no ... abnormality" denies, by the words between.
func denied(between string) func(study.Finding) bool {
	var of []func(study.Finding) bool
	for _, r := range regions {
		if r.name.MatchString(between) {
			of = append(of, r.has)
		}
	}
	if len(of) == 0 {
		return everything
	}
	return func(f study.Finding) bool {
		return slices.ContainsFunc(of, func(has func(study.Finding) bool) bool { return has(f) })
	}
}

// any reports whether one of the findings is scored present or not scored at all.
func (c *checker) any(of func(study.Finding) bool) bool {
	for _, f := range study.Findings() {
		if (c.scores.Present(f) || !c.scores.Scored(f)) && of(f) {
			return true
		}
	}
	return false
}

// callsAbnormal reports whether a sentence calls a chest abnormal of which no score says so.
func (c *checker) callsAbnormal(sentence string) bool {
	return callAbnormal.MatchString(strings.ToLower(sentence)) && !c.any(everything)
}
