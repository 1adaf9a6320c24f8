package guard

import (
	"regexp"
	"strings"

	"llamaxr/reporting/labeler"
	"llamaxr/study"
)

// unknowable are the claims that 36 scores cannot support, each with the reason given to the reader. The words are those that radiologists
// use for them in the IU reports (TestHumanClaims, TestNoContradictionLeaves).
var unknowable = []struct {
	claim  *regexp.Regexp
	reason string
}{
	{
		regexp.MustCompile(`(?i)\b(?:compar(?:ed|ison\w*|ing)|prior|previous(?:ly)?|unchanged|interval(?:ly)?|interim|stable|stability|improv(?:ed|es|ing|ement)|` +
			`worsen(?:s|ed|ing)|new(?:ly)?|again|as before|redemonstrat\w+|persist\w*|remain(?:s|ed|ing)?|residual|resol(?:ved|ves|ving|ution)|progress\w*|` +
			`regress\w*|since|recent(?:ly)?|developing|(?:has|have) developed|evolving|(?:in|de)creasing|(?:has|have) (?:in|de)creased|` +
			`(?:in|de)creased? (?:in (?:size|extent|number|conspicuity)|since|from)|slightly (?:more|less)|(?:larger|smaller|more|less) (?:\w+ )?than|` +
			`appears? (?:slightly )?(?:larger|smaller|more|less)|(?:no|without|any)(?: \w+){0,2} change(?: (?:in|of|from))?|clearing|before|earlier|yesterday\w*|today\w*|baseline|former(?:ly)?|follow[- ]?up|similar (?:to|in|appear\w+)|old (?:film|exam|study|CT)\w*)\b`),
		"compares with a prior that was not given",
	},
	{
		regexp.MustCompile(`(?i)(?:\d|\b)[ -]?(?:cm|mm|centimet\w+|millimet\w+|inch(?:es)?)\b|\bsub-?centimet\w+|\d ?%|\b\d+ percent\b|\b\d+(?:\.\d+)? ?x ?\d|\b\w+-sized\b|\bctr\b|\bratio (?:is|of) \d|\bmeasur(?:es?|ing|ed)\b`),
		"states a measurement that was not made",
	},
	{
		regexp.MustCompile(`(?i)\b(?:left|right|bilateral(?:ly)?|unilateral(?:ly)?|both|bibasilar|bibasal|biapical|lingular?|[lr][lu]l|rml|middle lobe|dextrocardia|(?:[lr]t?)[ .-]+(?:sided?|lungs?|bas\w+|apex|apical|upper|lower|mid\w*|hemi\w+|pleural|effusion|hil\w+))\b`),
		"states a side that is not scored",
	},
	{
		regexp.MustCompile(`(?i)\b(?:catheters?|\w*tubes?|tubing|tip of|pacemakers?|pacers?|pacing|a?icd|defibrillators?|stimulators?|generators?|electrodes?|picc|mediport|` +
			`port-?a-?cath\w*|portacath\w*|(?:central|venous|picc|arterial|ij|subclavian|jugular|support) lines?|lines? and tubes?|swan-?ganz|balloon|pumps?|cannula\w*|` +
			`drains?|tracheostomy|sternotomy|thoracotomy|\w{4,}ectomy|cabg|bypass|grafts?|wires?|cerclage|clips?|sutures?|staples?|stents?|filters?|coils?|` +
			`prosthe\w+|valve (?:replacement|repair)|(?:mechanical|artificial|aortic|mitral|cardiac) valves?|ett|ngt?|endotracheal|nasogastric|orogastric|dobhoff|ports?|dialysis lines?|lines? in (?:place|situ)|hickman|` +
			`vascath|permacath|ecmo|lvad|impella|recorders?|jewel\w+|necklaces?|piercings?|nipple rings?|implant\w*|hardware|screws?|rods?|plates?|fixation|arthroplasty|` +
			`shunts?|leads?|devices?|bullets?|shrapnel|foreign (?:body|bodies|object\w*)|post-?(?:op|operative|surgical)\w*|surg\w+|status post|telemetry|monitoring)\b`),
		"names a device or an operation that is not scored",
	},
	{
		regexp.MustCompile(`(?i)\b(?:ap|pa|antero-?posterior|postero-?anterior|portable|bedside|supine|upright|erect|semi-?(?:erect|upright|recumbent)|recumbent|decubitus|lordotic|swimmer\w*|expirat(?:ory|ion)|` +
			`(?:oblique|three|four|[3-9])[ -]views?|ct|cta|mri?|tomogra\w+|ultraso\w+|sonogra\w+|echocardiogra\w+|pet|scintigra\w+|fluoroscop\w+|mammogra\w+|angiogra\w+|scans?)\b`),
		"names a technique that scores do not know",
	},
	{
		regexp.MustCompile(`(?i)\b(?:free (?:\w+ )?air|pneumo-?(?:peritoneum|mediastinum)|pericardial|(?:subcutaneous|surgical|soft tissue|mediastinal) emphysema|aneurysm\w*|dissection|` +
			`embol\w+|(?:lymph)?adenopath\w*|lymph nodes?|bronchiectasis|bronchiectatic|bronchitis|asthma|sarcoid\w*|silicosis|asbestosis|pneumoconiosis|scoliosis|kyphosis|scar(?:s|red|ring)?|osteophyt\w*|elevated hemidiaphragm|dislocat\w+|` +
			`(?:lytic|sclerotic|blastic|bone|bony|osseous|ribs?|vertebral?|spinal|spine|clavic\w+|pleural) (?:lesions?|mass(?:es)?)|(?:lesions?|mass(?:es)?) (?:of|in) (?:the |an? )?(?:\w+ )?(?:bones?|ribs?|vertebra\w*|spine|clavicles?|pleura)|inflammatory lesions?|situs inversus|eventration|diaphragmatic rupture|hilar (?:enlargement|mass|fullness|prominence)|atheroscl\w+|` +
			`(?:coronary|aortic|vascular) calcif\w+|degenerat\w+|spondyl\w+|arthri\w+|arthro(?:sis|pathy|tic)|spurs?|spurring|hyperostosis|demineral\w+|osteop[eo]\w+|tortuo\w+|ectatic|ectasia|uncoil\w+|unfold\w+|` +
			`deviat\w+|shift\w*|narrow(?:ed|ing)|crowding|crowded|cuffing|dilat(?:ed|ation|ion)|pectus|azygos|cervical ribs?|gyna?ecomastia|goit\w+|thyroid|miliary|` +
			// causes and kinds of what is scored
			`cancer\w*|carcinoma\w*|malignan\w+|metasta\w+|lymphoma\w*|tumou?rs?|neoplas\w+|granulomas?|mediastinal mass(?:es)?|tubercul\w+|tb|covid\w*|abscess\w*|aspirat\w+|pneumonitis|` +
			`empyema\w*|(?:ha?emo|chylo|fibro)-?(?:pneumo-?)?thora\w+|blood|pus|pleurisy|tension|copd|obstructive|(?:heart|cardiac) failure|congestive heart|(?:due|secondary|related) to (?:\w+ )?(?:heart|cardiac) disease|chf|(?:fluid|volume) overload|venous hypertension|` +
			`(?:non-?)?cardiogenic|cardiomyopath\w+|ventricular|uip|mucus plug\w*)\b`),
		"names a condition that is not scored",
	},
}

// Claim says what a sentence claims that scores cannot support: a prior, a measurement, a side, a device, a technique, a condition that is not scored. Empty when it claims none.
func Claim(sentence string) string {
	sentence = strings.ReplaceAll(sentence, "ate-like", "atelike") // the atelectasis, not the implant
	for _, u := range unknowable {
		if u.claim.MatchString(sentence) {
			return u.reason
		}
	}
	return ""
}

// qualified are an extreme size, an age, a form, a number and a place of a finding, none of which is in a score.
var qualified = regexp.MustCompile(`(?i)\b(?:massive|huge|enormous|giant|severe(?:ly)?|extensive|tiny|trace|acute|subacute|chronic|old|healed|healing|remote|displaced|comminuted|spiculated|calcified|` +
	`(?:solitary|single|two|three|four|five|several|multiple|numerous|many) (?:\w+ ){0,2}?(?:nodul|mass|fractur|lesion|opacit|infiltrat|effusion|hernia)\w*|\d+(?:st|nd|rd|th)|[tl] ?\d{1,2}|(?:upper|lower) (?:lobes?|zones?|lungs?))\b`)

// notAcute denies an age.
var notAcute = regexp.MustCompile(`(?i)\b(?:no|without)(?: evidence of)?(?: any)? (?:acute|chronic)\b`)

// qualifies reports whether a sentence that calls a finding present or possible says more of it than a score does.
func qualifies(sentence string, labels labeler.Labels) bool {
	for _, said := range labels {
		if said != study.Absent {
			return qualified.MatchString(notAcute.ReplaceAllString(sentence, ""))
		}
	}
	return false
}
