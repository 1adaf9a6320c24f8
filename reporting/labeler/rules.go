package labeler

import (
	"regexp"

	"llamaxr/study"
)

// rule finds the mentions of one finding.
type rule struct {
	finding study.Finding
	mention *regexp.Regexp
}

// rules name each finding as radiologists do. The patterns run over lower-case text.
var rules = compile(map[study.Finding][]string{
	study.Atelectasis:               {`atelecta\w+`, `volume loss`, `collapse\b`, `collapsed lung`},
	study.Cardiomegaly:              {`cardiomegaly`, `cardiac enlargement`, `enlarge\w* (?:of the )?(?:heart|cardiac)`, `(?:heart|cardiac(?: silhouette| shadow| size| contour)?|cardiopericardial silhouette)(?: size)?(?: and [a-z ]{3,40}?)? (?:is|are|appears?|remains?|was)?\s*(?:\w+ly |within |at |top |borderline |slightly |mild(?:ly)? |moderate(?:ly)? )*(?:enlarged|prominent|large\b|increased in size)`, `enlarged (?:heart|cardiac|cardiopericardial)`, `(?:heart|cardiac silhouette) (?:\w+ ){0,3}enlarge`, `borderline (?:heart|cardiac) size`, `(?:heart|cardiac silhouette)(?: size)? (?:is |appears |remains )?(?:at |in )?(?:the )?borderline`, `increase in (?:the )?(?:heart|cardiac) size`, `increase in size of the (?:heart|cardiac)`, `enlarged cardiomediastinal silhouette`},
	study.Consolidation:             {`consolidat\w+`},
	study.Edema:                     {`(?:pulmonary |interstitial |alveolar |perihilar )*o?edema`},
	study.Effusion:                  {`(?:pleural |subpulmonic )?effusions?`, `pleural fluid`, `hydropneumothorax`, `h(?:a)?emothorax`, `fluid in the (?:major|minor) fissure`},
	study.Emphysema:                 {`(?:bullous )?emphysema\w*`},
	study.EnlargedCardiomediastinum: {`(?:widen\w+|enlarge\w+|prominen\w+) (?:of the )?(?:superior |upper )?(?:cardio)?mediastin\w+`, `(?:cardio)?mediastin(?:um|al (?:silhouette|contours?|shadow|width))(?: and [a-z ]{3,30}?)? (?:is |are |appears? |remains? )?(?:\w+ly )*(?:widened|enlarged|prominent|broad\w*)`, `mediastinal widening`, `mediastinal enlargement`, `enlarged cardiomediastin\w+`},
	study.Fibrosis:                  {`fibro(?:sis|tic)`, `interstitial (?:lung )?(?:disease|scarring)`},
	study.Fracture:                  {`fractures?`, `fractured`, `broken`},
	study.Hernia:                    {`(?:hiatal|hiatus|diaphragmatic|bochdalek|morgagni)?\s*hernia\w*`},
	study.Infiltration:              {`infiltrat\w+`},
	study.LungLesion:                {`(?:lung|pulmonary|cavitary|cavitating|parenchymal) lesions?`, `cavit(?:y|ation)`},
	study.LungOpacity:               {`opaci(?:ty|ties|fication|fications)`, `haz(?:e|y|iness)\b`, `(?:focal |diffuse )?air[- ]?space (?:disease|process|opacit\w+)`, `ground[- ]glass\w*`},
	study.Mass:                      {`mass(?:es)?\b`, `mass[- ]?like`},
	study.Nodule:                    {`nodules?\b`, `nodularity`, `(?:reticulo|fibro)[- ]?nodular`},
	study.PleuralThickening:         {`pleural(?:[- ]parenchymal)? (?:\w+ )?thickening`, `thickening of the (?:\w+ )?pleura`, `pleural cap`, `apical cap(?:ping)?`, `thickened pleura`, `pleural scarring`},
	study.Pneumonia:                 {`pneumoni\w+`},
	study.Pneumothorax:              {`(?:hydro)?pneumothora(?:x|ces)`},
})

// normal statements deny findings without naming them.
var normals = []struct {
	says   *regexp.Regexp
	denies []study.Finding
}{
	{regexp.MustCompile(`(?:heart|cardiac (?:silhouette|shadow|contours?))(?: size)?(?:,? and [a-z ]{3,40}?)?(?: is| are| remains?| appears?)? (?:normal|within normal|unremarkable|not enlarged|of normal|stable and normal|upper limits of normal)`), []study.Finding{study.Cardiomegaly}},
	{regexp.MustCompile(`normal (?:heart|cardiac) (?:size|silhouette)|normal cardiomediastinal|cardiomediastinal (?:silhouette|contours?) (?:is |are )?(?:normal|within normal|unremarkable)|(?:heart|cardiac)(?:,| and) mediastin(?:um|al (?:contours?|silhouettes?|shadows?))(?:,? and [a-z ]{3,40}?)? (?:is |are |appears? )?(?:normal|within normal|unremarkable)|cardiomediastinal silhouette and [a-z ]{3,40} (?:is |are )(?:normal|within normal|unremarkable)`), []study.Finding{study.Cardiomegaly, study.EnlargedCardiomediastinum}},
	{regexp.MustCompile(`mediastin(?:um|al (?:contours?|silhouettes?|width))(?: is| are)? (?:normal|within normal|unremarkable|not widened)`), []study.Finding{study.EnlargedCardiomediastinum}},
}

// Words that turn a mention. Before the mention they reach over a list to the end of the clause; after it they belong to its verb.
var (
	negationBefore = regexp.MustCompile(`\b(?:no|not|without|free of|clear of|negative for|absence of|absent|lack of|denies|rather than|resolution of|resolved|rules? out|nor|neither|never|unlikely|exclude(?:s|d)?)\b`)
	// doubleNegation looks like a negation and is a hedge.
	doubleNegation = regexp.MustCompile(`\b(?:cannot|can not|can't|not|difficult to|unable to|could not|cannot be)\s+(?:be\s+|completely\s+|entirely\s+|definitely\s+|reliably\s+)*(?:exclud\w+|rul\w+ out|ruled out)\b|\bnot (?:definitely|clearly) (?:absent|normal)`)
	negationInside = regexp.MustCompile(`\bno[tr]?\b`)
	negationAfter  = regexp.MustCompile(`^[^,;.]{0,60}?\b(?:(?:is|are|was|were|has|have)(?: been)? (?:not|no longer|absent|resolved|cleared|excluded|unlikely)\b|not (?:seen|identified|present|visuali[sz]ed|evident|appreciated|demonstrated|suspected|found)|(?:is|are) (?:absent|excluded|unlikely)|(?:has|have) resolved|\bresolved\b|\bunlikely\b)`)
	hedgeBefore    = regexp.MustCompile(`\b(?:possib\w+|probab\w+|likely|may|might|could|suspect\w*|suspicious|suspicion|question\w*|concern\w*|suggest\w*|equivocal|versus|vs|borderline|presum\w+|potential\w*|perhaps|differential|appear\w* to represent|consider|favou?red?|worrisome|indeterminate|cannot|difficult to exclude|compatible)\b`)
	hedgeAfter     = regexp.MustCompile(`^[^;.]{0,60}?\b(?:(?:is|are) (?:possible|suspected|likely|questioned|not excluded|considered)|cannot be (?:excluded|ruled out)|can ?not be (?:excluded|ruled out)|not excluded|is difficult to exclude|may be present|versus|suspected|is favou?red)\b`)
	clauseEnd      = regexp.MustCompile(`;|:|\bbut\b|\bhowever\b|\balthough\b|\bthough\b|\bexcept\b|\bapart from\b|\baside from\b|\bother than\b|\bwhich\b|\byet\b|\bwith(?: associated| adjacent)\b`)
	// nothingNew looks like a negation and says that what follows is still there.
	nothingNew = regexp.MustCompile(`\bno (?:significant |interval |appreciable |definite |substantial |gross )*change(?:s)? (?:in|of)?\b`)
	// offers stand between something seen and a meaning of it.
	offers = regexp.MustCompile(`\b(?:may|might|could|can)(?: also| well| just| possibly| still)? (?:represent|reflect|indicate|signify|include|relate|be (?:due|secondary|related|compatible|attribut\w+|consistent))\b|\bsuggest\w*\b|\b(?:concerning|worrisome|suspicious) for\b|\b(?:correct|appropriate|proper|right) clinical (?:setting|context)\b`)
	// brokenDevice is a fracture of no bone.
	brokenDevice = regexp.MustCompile(`\b(?:catheters?|screws?|wires?|leads?|plates?|hardware) (?:is |are )?(?:fractur|broken)|fractured? (?:\w+ ){0,2}(?:catheter|screw|wire|lead)s?\b|fractures? of (?:the )?(?:\w+[ -]){0,3}(?:catheter|screw|wire|lead)s?\b`)
	// newStatement ends the reach of a negation: "No effusion, there is ..." joined by a comma or "and there is".
	newStatement = regexp.MustCompile(`(?:,|\band\b)\s*(?:there (?:is|are|has|remains?)|the (?:heart|lungs?|cardi\w+|mediastin\w+)|(?:mild|moderate|severe|minimal|small|stable|unchanged|bilateral|left|right|there)\b[^,]{0,40}\b(?:is|are|noted|seen|present)\b)`)
	history      = regexp.MustCompile(`\b(?:history of|indication|rule out|evaluate for|prior history|status post|r/o|(?:re)?evaluation (?:for|of)|evaluate|correlat\w+ (?:clinically )?for|limits? evaluation|could obscure|please note|if (?:there is |continued |further |clinical |persistent )*(?:concern|suspicion)|consistent with previous)\b`)
)

func compile(table map[study.Finding][]string) []rule {
	var out []rule
	for _, f := range study.Findings() {
		pattern := ""
		for i, p := range table[f] {
			if i > 0 {
				pattern += "|"
			}
			pattern += p
		}
		out = append(out, rule{f, regexp.MustCompile(`\b(?:` + pattern + `)`)})
	}
	return out
}
