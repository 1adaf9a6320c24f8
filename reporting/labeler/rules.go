package labeler

import (
	"regexp"
	"regexp/syntax"
	"strings"
	"sync"

	"llamaxr/study"
)

// rule finds the mentions of one finding. They begin with a word, so the pattern is tried only where a word begins, with a letter that it can begin with:
// a search for every pattern at every place takes ten times as long.
type rule struct {
	finding study.Finding
	mention *regexp.Regexp // at the beginning of what it is given
	first   [256]bool
}

// find returns where text mentions the finding, from left to right.
func (r *rule) find(text string) (out [][]int) {
	for i := 0; i < len(text); i++ {
		if !r.first[text[i]] || i > 0 && isWord(text[i-1]) {
			continue
		}
		if at := r.mention.FindStringIndex(text[i:]); at != nil {
			out = append(out, []int{i, i + at[1]})
			i += at[1] - 1
		}
	}
	return out
}

func isWord(b byte) bool {
	return b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z' || b >= '0' && b <= '9' || b == '_'
}

// firstBytes are those that a match of a pattern can begin with.
func firstBytes(pattern string) (out [256]bool) {
	parsed, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		panic(err) // it is one of ours
	}
	prog, err := syntax.Compile(parsed.Simplify())
	if err != nil {
		panic(err)
	}
	seen := map[int]bool{}
	var walk func(pc int)
	walk = func(pc int) {
		inst := &prog.Inst[pc]
		if seen[pc] {
			return
		}
		seen[pc] = true
		switch inst.Op {
		case syntax.InstAlt, syntax.InstAltMatch:
			walk(int(inst.Out))
			walk(int(inst.Arg))
		case syntax.InstCapture, syntax.InstNop, syntax.InstEmptyWidth:
			walk(int(inst.Out))
		default:
			for b := range out {
				out[b] = out[b] || inst.MatchRune(rune(b))
			}
		}
	}
	walk(prog.Start)
	return out
}

// rules name each finding as radiologists do. The patterns run over lower-case text.
var rules = compile(named)

var named = map[study.Finding][]string{
	study.Atelectasis:               {`atelecta\w+`, `volume loss`, `collapse\b`, `collapsed lung`},
	study.Cardiomegaly:              {`cardio-?megaly`, `cardiac enlargement`, `enlarge\w* (?:of the )?(?:heart|cardiac)`, `(?:heart|cardiac(?: silhouette| shadow| size| contour)?|cardiopericardial silhouette)(?: size)?(?: and [a-z ]{3,40}?)? (?:is|are|appears?|remains?|was)?\s*(?:\w+ly |within |at |top |borderline |slightly |mild(?:ly)? |moderate(?:ly)? )*(?:enlarged|prominent|large\b|increased in size)`, `enlarged (?:heart|cardiac|cardiopericardial)`, `(?:heart|cardiac silhouette) (?:\w+ ){0,3}enlarge`, `borderline (?:heart|cardiac) size`, `(?:heart|cardiac silhouette)(?: size)? (?:is |appears |remains )?(?:at |in )?(?:the )?borderline`, `increase in (?:the )?(?:heart|cardiac) size`, `increase in size of the (?:heart|cardiac)`, `enlarged cardiomediastinal silhouette`, `cardiomediastinal silhouette (?:is |appears )?enlarged`, `(?:large|big) heart`, `heart is big`},
	study.Consolidation:             {`consolidat\w+`},
	study.Edema:                     {`(?:pulmonary |interstitial |alveolar |perihilar )*o?edema`},
	study.Effusion:                  {`(?:pleural |subpulmonic )?effusions?`, `pleural fluid`, `hydro(?:pneumo)?thorax`, `ha?emo(?:pneumo)?thorax`, `empyema`, `fluid in the (?:major|minor) fissure`},
	study.Emphysema:                 {`(?:bullous )?emphysema\w*`},
	study.EnlargedCardiomediastinum: {`(?:widen\w+|enlarge\w+|prominen\w+) (?:of the )?(?:superior |upper )?(?:cardio)?mediastin\w+`, `(?:cardio)?mediastin(?:um|al (?:silhouette|contours?|shadow|width))(?: and [a-z ]{3,30}?)? (?:is |are |appears? |remains? )?(?:\w+ly )*(?:widened|enlarged|prominent|broad\w*)`, `mediastinal widening`, `mediastinal enlargement`, `enlarged cardiomediastin\w+`},
	study.Fibrosis:                  {`fibro(?:sis|tic|sing)`, `interstitial (?:lung )?(?:disease|scarring)`},
	study.Fracture:                  {`fractures?`, `fractured`, `broken`},
	study.Hernia:                    {`(?:(?:hiatal|hiatus|diaphragmatic|bochdalek|morgagni)\s+)?hernia\w*`},
	study.Infiltration:              {`infiltrat\w+`},
	study.LungLesion:                {`(?:lung|pulmonary|cavitary|cavitating|parenchymal) lesions?`, `cavit(?:y|ation)`},
	study.LungOpacity:               {`opaci(?:ty|ties|fication|fications)`, `haz(?:e|y|iness)\b`, `(?:focal |diffuse )?air[- ]?space (?:disease|process|opacit\w+)`, `ground[- ]glass\w*`},
	study.Mass:                      {`mass(?:es)?\b`, `mass[- ]?like`},
	study.Nodule:                    {`nodules?\b`, `nodularity`, `(?:reticulo|fibro)[- ]?nodular`},
	study.PleuralThickening:         {`pleural(?:[- ]parenchymal)? (?:\w+ )?thickening`, `thickening of the (?:\w+ )?pleura`, `pleural cap`, `apical cap(?:ping)?`, `thickened pleura`, `pleura is thickened`, `pleural scarring`},
	study.Pneumonia:                 {`(?:broncho-?)?pneumoni\w+`},
	study.Pneumothorax:              {`(?:hydro|ha?emo)?pneumo[- ]?thora(?:x|ces)`, `ptx`},
}

// Parts whose size a sentence may call normal, in the words that readers have for them.
const (
	heart       = `(?:heart|cardiac)(?: (?:silhouettes?|shadow|contours?|borders?))?(?: size)?`
	mediastinum = `mediastin(?:um|al (?:silhouettes?|contours?|shadows?|size|width))(?: size)?`
	heartAndAll = `cardio[ -]?(?:mediastin(?:um|al (?:silhouettes?|contours?|shadows?|size))|thymic silhouette)`
	// beside is what is called normal together with one.
	beside = `(?:(?:,|,? and) [a-z ]{3,40}?){0,4}?`
	// asItShould follows a part.
	asItShould = beside + `(?:,? (?:is|are|was|remains?|appears?|looks?|seems?|has|grossly|otherwise|essentially|at|in|on|of|near|an?|the|size|upper|top|stable and))*:?,? ` +
		`(?:(?:top[- ])?normal|within (?:the )?(?:upper )?(?:limits of )?normal|within limits|unremarkable|maintained|preserved|(?:limits?|range) (?:of )?normal|not (?:enlarged|widened|increased|prominent|big))\b`
	// normalOf comes before one.
	normalOf = `\b(?:normal|unremarkable)(?:[- ]sized|(?: in)? size(?: of)?(?: the)?)? `
)

// headed is a part of the chest as a heading: "Heart size: normal."
var headed = regexp.MustCompile(`^(\W*(?:\d+\W+)?[a-z][a-z /-]{2,40}):\s+((?:normal|unremarkable|within|clear|sharp|intact|negative|wnl|not (?:enlarged|widened))\b)`)

// Headed is a lower-case sentence whose heading is made its subject.
func Headed(text string) string { return headed.ReplaceAllString(text, "$1 is $2") }

// normal statements deny findings without naming them.
var normals = []struct {
	says   *regexp.Regexp
	denies []study.Finding
}{
	{calledNormal(heart), []study.Finding{study.Cardiomegaly}},
	{calledNormal(mediastinum), []study.Finding{study.EnlargedCardiomediastinum}},
	{calledNormal(heartAndAll), []study.Finding{study.Cardiomegaly, study.EnlargedCardiomediastinum}},
	{regexp.MustCompile(normalOf + `(?:` + heart + `(?:,|,? and)? )?mediastin(?:um|al)\b`), []study.Finding{study.EnlargedCardiomediastinum}},
}

// calledNormal finds what calls a part normal.
func calledNormal(part string) *regexp.Regexp {
	return regexp.MustCompile(`\b` + part + asItShould + `|` + normalOf + part + `\b`)
}

// everyClaim finds both. It is made when it is wanted: most commands label nothing.
var everyClaim = sync.OnceValue(func() []rule { return compile(named, implied) })

// normalWord is in every one of normals.
var normalWord = regexp.MustCompile(`normal|unremarkable|within limits|maintained|preserved|not (?:enlarged|widened|increased|prominent|big)`)

// seen are the words for what is seen.
const seen = `(?:seen|identified|present|visuali[sz]ed|evident|appreciated|demonstrated|suspected|found|noted|detected|observed|apparent)`

// implied are other words for a finding, or for what nobody can see without thinking of it. A text's own statement they are not (the indexers of the
// IU reports have terms of their own for most), a claim that the scores must bear they are: LabelSentence knows them.
var implied = map[study.Finding][]string{
	study.Atelectasis:               {`loss of (?:\w+ )?volume`, `mucus plug\w*`},
	study.Cardiomegaly:              {`(?:heart|cardiac)(?: size| silhouette| contours?| shadow)? (?:is |are |appears )?(?:\w+ly )?(?:abnormal|increased|dilated|above|broad|globular)`, `(?:abnormal|increased|globular|dilated) (?:heart|cardiac)(?: size| silhouette| contours?)?`, `cardiothoracic ratio(?: (?:is |appears )?(?:abnormal|increased|above))?`, `(?:abnormal|increased) cardiothoracic ratio`, `(?:bi|left |right )?ventricular (?:enlargement|dilat\w+)`, `cardiac dilat\w+`, `cardiomyopathy`},
	study.Consolidation:             {`air bronchogram\w*`},
	study.Edema:                     {`kerley(?: [abc])?(?: lines?)?`, `(?:congestive )?(?:heart|cardiac) failure`, `chf`, `(?:vascular |venous |pulmonary )*congest\w+`, `fluid overload`, `cephali[sz]ation`, `venous hypertension`, `septal lines?`},
	study.Effusion:                  {`blunt\w*`, `(?:free |layering |pleural )?(?:fluid|blood|pus)(?: (?:in|within) (?:the |a )?(?:pleura|fissure)\w*)?`, `pleural (?:\w+ )?collections?`, `costophrenic (?:angles?|sulc\w+|recess\w*) (?:is |are )?(?:obscur\w+|effaced|not (?:sharp|clear))`, `obscur\w+ (?:of )?(?:the )?costophrenic`, `meniscus`, `chylothorax`},
	study.Emphysema:                 {`copd`, `(?:chronic )?obstructive`, `bulla\w*`, `blebs?`, `air trapping`, `hyper-?(?:inflat|expan|lucen|aerat)\w+`, `flatten\w+ (?:of )?(?:the )?(?:hemi)?diaphragms?`, `barrel`},
	study.EnlargedCardiomediastinum: {`(?:wide|broad|abnormal) mediastin\w+`, `mediastin\w+(?: \w+)? (?:is|are) (?:wide|abnormal)`, `mediastinal (?:fullness|prominence|mass\w*)`, `(?:fullness|prominence) of the (?:\w+ )?mediastinum`},
	study.Fibrosis:                  {`honeycomb\w*`, `fibrous`, `ild`, `uip`, `reticular pattern`},
	study.Fracture:                  {`(?:compression|wedge|rib|vertebral) (?:\w+ )?(?:deformit\w+|wedging)`, `fx`, `cracked`},
	study.Hernia:                    {`(?:intrathoracic|herniat\w+) stomach`},
	study.LungLesion:                {`(?:focal )?lesions?`},
	study.LungOpacity:               {`opacif\w+`, `white-?out`, `shadowing`, `(?:increased |patchy |hazy |focal )?densit(?:y|ies)`, `ggo`, `dense lobe`},
	study.Mass:                      {`tumou?rs?`, `neoplas\w+`, `cancer\w*`, `carcinoma\w*`, `malignan\w+`, `metasta\w+`, `lymphoma`},
	study.Nodule:                    {`coin lesions?`, `(?:nodular|rounded) densit\w+`, `spn`, `granulomas?\b`},
	study.PleuralThickening:         {`pleural (?:plaques?|disease|calcification|reaction)`, `fibrothorax`, `calcified pleura`, `pleurisy`},
	study.Pneumonia:                 {`(?:chest |lung |pulmonary |respiratory(?: tract)? )?infection`, `infectious (?:process|disease)`, `tubercul\w+`, `tb`, `covid\S*`, `lrti`, `(?:lung )?abscess\w*`, `aspiration`},
	study.Pneumothorax:              {`pleural air`, `air (?:in|within) the pleura\w*`, `visceral pleural line`, `deep sulcus`, `air leak`},
}

// degree are words of size and age.
const degree = `(?:tiny|trace|minimal|small|mild|moderate|large|massive|severe|minor|major|subtle|stable|unchanged|bilateral|left|right|new|persistent)`

// Words that turn a mention. Before the mention they reach over a list to the end of the clause; after it they belong to its verb.
var (
	negationBefore = regexp.MustCompile(`\b(?:no|not|without|free (?:of|from)|clear of|devoid of|negative for|absence of|absent|lack(?:s|ing)?(?: of)?|denies|rather than|resolution of|resolved|rules? out|nor|neither|never|nil|zero|fail(?:s|ed) to (?:show|reveal|demonstrate)|unlikely|exclude(?:s|d)?)\b`)
	// doubleNegation looks like a negation and is a hedge.
	doubleNegation = regexp.MustCompile(`\b(?:cannot|can not|can't|not|difficult to|unable to|could not|cannot be)\s+(?:be\s+|completely\s+|entirely\s+|definitely\s+|reliably\s+)*(?:exclud\w+|rul\w+ out|ruled out|rule)\b|\bnot (?:definitely|clearly) (?:absent|normal)|\b(?:not|never) (?:clear|certain|sure)\b|\bless likely\b`)
	negationInside = regexp.MustCompile(`\bno[tr]?\b`)
	negationAfter  = regexp.MustCompile(`^[^,;.]{0,60}?\b(?:(?:is|are|was|were|has|have)(?: been)? (?:no longer|absent|resolved|cleared|excluded|unlikely)\b|(?:is|are|was|were) not\W*$|(?:is|are|was|were) not (?:(?:definitely|clearly|currently|otherwise|elsewhere) )?(?:` + seen + `)\b|not (?:` + seen + `)\b|no longer (?:` + seen + `)\b|(?:is|are) (?:absent|excluded|unlikely)|can be (?:excluded|ruled out)|(?:has|have) resolved|\bresolved\b|\bunlikely\b)`)
	// answer follows a word: "Effusion: none."
	answer      = regexp.MustCompile(`\s*[:-]\s*(?:no|none|nil|absent|negative|not seen)\W*$`)
	answerAfter = regexp.MustCompile(`^\s*(?:none|nil)\W*$`)
	// notNormal is what is said in the place of abnormal.
	notNormal = regexp.MustCompile(`\bnot (?:normal|unremarkable|within normal limits)\b`)
	// nearlyNormal is what may be more than normal: "The heart is normal to mildly enlarged."
	nearlyNormal = regexp.MustCompile(`\bnormal (?:or|to) (?:(?:\w+ly|borderline) )*(enlarged|prominent|widened)\b`)
	// request is what somebody asked, not what is seen.
	request     = regexp.MustCompile(`^\W*(?:indications?|(?:clinical )?history|clinical \w+|reason for \w+|comparison|technique|question)\s*:`)
	hedgeBefore = regexp.MustCompile(`\b(?:possib\w+|probab\w+|likely|may|might|could|suspect\w*|suspicious|suspicion|question\w*|query|concern\w*|suggest\w*|equivocal|versus|vs|borderline|presum\w+|potential\w*|perhaps|differential|appear\w* to represent|consider|favou?red?|worrisome|indeterminate|cannot|difficult to exclude|compatible|is there|are there)\b|\?`)
	hedgeAfter  = regexp.MustCompile(`^[^;.]{0,60}?\b(?:(?:is|are) (?:possible|probable|suspected|likely|questioned|not excluded|considered)|(?:cannot|can ?not|can't|could not) be (?:(?:completely|entirely|definitely|reliably) )?(?:excluded|ruled out)|not (?:(?:be )?(?:completely|entirely|definitely) )?(?:excluded|ruled out)|difficult to exclude|less likely|not (?:unlikely|favou?red)|may be present|versus|vs|suspected|is favou?red)\b|^(?: is)? (?:possible|probable|likely)\W*$|^\s*\?`)
	clauseEnd   = regexp.MustCompile(`;|:|\(| [-\x{2013}\x{2014}+] |\bbut\b|\bhowever\b|\balthough\b|\bthough\b|\bexcept\b|\bexcluding\b|\bexception of\b|\bapart from\b|\baside from\b|\bother than\b|\bbesides\b|\bbeyond\b|\bsave for\b|\bin addition to\b|\bwhich\b|\bwhile\b|\bwhereas\b|\bdespite\b|\bbecause\b|\bin (?:the presence|(?:this|a|the) patient)\b|\bnext to\b|\bfollowing\b|\binstead\b|\byet\b|\bwith (?:an? )?` + degree + `\b|\b(?:with )?(?:associated with|adjacent to)\b|\bwith(?: associated| adjacent)\b`)
	// nothingNew looks like a negation and says that what follows is still there.
	nothingNew = regexp.MustCompile(`\b(?:no|without) (?:significant |interval |appreciable |definite |substantial |gross )*(?:changes?|improvement|increase|decrease|resolution|doubt)(?: in| of| about)?\b|\bnot (?:only|just|without|no|absent)\b|\b(?:has|have) not (?:resolved|cleared)\b|\b(?:partial(?:ly)?|incompletely|nearly|near|almost completely) resol(?:ved|ution)(?: of)?\b|\bno reason to doubt\b`)
	// offers stand between something seen and a meaning of it.
	offers = regexp.MustCompile(`\b(?:may|might|could|can)(?: also| well| just| possibly| still)? (?:represent|reflect|indicate|signify|include|relate|be (?:due|secondary|related|compatible|attribut\w+|consistent))\b|\bsuggest\w*\b|\b(?:concerning|worrisome|suspicious) for\b|\b(?:correct|appropriate|proper|right) clinical (?:setting|context)\b`)
	// brokenDevice is a fracture of no bone.
	brokenDevice = regexp.MustCompile(`\b(?:catheters?|screws?|wires?|leads?|plates?|hardware) (?:is |are )?(?:fractur|broken)|fractured? (?:\w+ ){0,2}(?:catheter|screw|wire|lead)s?\b|fractures? of (?:the )?(?:\w+[ -]){0,3}(?:catheter|screw|wire|lead)s?\b`)
	// newStatement ends the reach of a negation: "No effusion, there is ..." joined by a comma or "and there is".
	newStatement = regexp.MustCompile(`(?:,|\band\b)\s*(?:there (?:is|are|has|remains?)|the (?:heart|lungs?|cardi\w+|mediastin\w+)|heart|only\b|(?:` + degree + `|there)\b[^,]{0,40}\b(?:is|are|noted|seen|present)\b)|[^t\s]\s+there (?:is|are)\b`)
	// joined begins a statement that a comma joins to a list: "No pneumothorax, a large effusion." Where "or" comes later it is of the list.
	joined = regexp.MustCompile(`,? and (?:an?|the) (?:` + degree + ` )?(?:pleural )?$|, (?:(?:an?|the) )?(?:` + degree + ` )(?:pleural )?$|, (?:an?|the) (?:pleural )?$`)
	// stands ends one: "No pneumothorax, effusion is present."
	stands   = regexp.MustCompile(`^(?: \w+){0,2} (?:is|are|remains?|was|were)(?: (?:` + seen + `|there|` + degree + `)|\W*$)|^ (?:` + seen + `)\W*$`)
	listed   = regexp.MustCompile(`/|\b(?:or|nor)\b`)
	listVerb = regexp.MustCompile(`\b(?:` + seen + `)\b`)
	history  = regexp.MustCompile(`\b(?:history of|indication|rule out|evaluate for|prior history|status post|r/o|(?:re)?evaluation (?:for|of)|evaluate|correlat\w+ (?:clinically )?for|limits? evaluation|could obscure|please note|if (?:there is |continued |further |clinical |persistent )*(?:concern|suspicion)|consistent with previous)\b`)
)

func compile(tables ...map[study.Finding][]string) []rule {
	var out []rule
	for _, f := range study.Findings() {
		var patterns []string
		for _, table := range tables {
			patterns = append(patterns, table[f]...)
		}
		pattern := `^(?:` + strings.Join(patterns, "|") + `)`
		out = append(out, rule{f, regexp.MustCompile(pattern), firstBytes(pattern)})
	}
	return out
}
