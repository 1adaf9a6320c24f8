package labeler

import (
	"regexp"
	"slices"
	"strings"

	"llamaxr/study"
)

// Plain reports whether what a sentence says of the findings that it names can be read in one way only. It is a second reading, made to be strict
// where LabelSentence is made to be right most often: what affirms holds no word that could turn it, what denies is a list that begins with its negation
// and ends with "or" before the last, and both readings agree. Who must not be wrong (package guard) believes plain sentences only.
// labels are what LabelSentence gives of it.
func Plain(sentence string, labels Labels) bool {
	if len(sentence) > longestSentence {
		return false
	}
	text := strings.Trim(numberedItem.ReplaceAllString(strings.ToLower(strings.TrimSpace(sentence)), ""), " .")
	text = notExcluded.ReplaceAllString(text, "is possible")
	says := map[study.Finding]bool{} // whether it is there
	for _, part := range parts.Split(text, -1) {
		head, tail := part, ""
		if at := opener.FindStringIndex(part); at != nil {
			head, tail = part[:at[0]], part[at[1]:]
		}
		denied := ""
		if m := notSeen.FindStringSubmatch(part); m != nil {
			head, tail, denied = "", "", m[1]
		}
		if tail != "" {
			denied = ending.ReplaceAllString(tail, "")
			if strings.Contains(denied, " and ") && (denied != tail || degrees.MatchString(tail)) || strings.Contains(denied, " / ") {
				return false // "no pneumothorax and large effusion"
			}
		}
		if bare.MatchString(part) {
			return false // of what stands before
		}
		affirmed, negated := claimed(head), claimed(denied)
		if ownSize.MatchString(part) {
			head, affirmed, negated = "", nil, claimed(part)
		} else if len(affirmed)+len(negated) == 0 && !speaks(part) {
			continue
		}
		if turns.MatchString(head) || len(affirmed) > 0 && !affirms(head) || misspelt(part) || (tail != "" || denied != "") && !list(denied) {
			return false
		}
		for f := range affirmed {
			if there, ok := says[f]; ok && !there {
				return false
			}
			says[f] = true
		}
		for f := range negated {
			if there, ok := says[f]; ok && there {
				return false
			}
			says[f] = false
		}
	}
	for _, n := range normals {
		if n.says.MatchString(text) && slices.ContainsFunc(n.denies, func(f study.Finding) bool { return says[f] }) {
			return false
		}
	}
	for f, there := range says {
		if said, ok := labels[f]; !ok || (said != study.Absent) != there {
			return false
		}
	}
	return true
}

// Words of denials, and what may stand around them.
const (
	sight     = `(?:clearly |definitely )?` + seen
	evidence  = `(?:evidence|signs?|findings?|suggestion|suspicion|radiographic evidence)`
	modifiers = `(?:focal|lobar|active|appreciable|typical|associated|frontal|lateral|views?|to|suggest|acute|chronic|definite|definitive|obvious|large|small|suspicious|significant|discrete|dominant|overt|frank|confluent|gross|patchy|displaced|` +
		`pulmonary|pleural|pericardial|lung|lungs|parenchymal|airspace|air|space|interstitial|alveolar|rib|bony|osseous|mediastinal|hiatal|hiatus|cavitary|visible|` +
		`radiographic|convincing|evidence|signs?|sign|findings?|of|for|in|on|the|an?|any|either|other|chest|area|areas|region|process|disease|change|changes|cardiac|heart|` +
		`silhouette|size|mediastinum|contours?|apical|basal|basilar|upper|lower|mid|zones?|lobes?|bases?|apex|apices|subsegmental|discoid|plate-?like|linear|healing|noncalcified|calcified)`
)

var (
	// notExcluded are the double negations that everybody reads alike.
	notExcluded  = regexp.MustCompile(`\b(?:can ?not|could not) be (?:(?:entirely|completely|definitely) )?(?:excluded|ruled out)\b`)
	numberedItem = regexp.MustCompile(`^\d+[.)]\s*`)
	// parts stand beside each other in a sentence; each says one thing.
	parts = regexp.MustCompile(`;|[.:] |,? \b(?:but|however)\b,?|\n`)
	// opener begins what is denied.
	opener = regexp.MustCompile(`(?:,? (?:and|with) |, |^| )(?:no|without|negative for|(?:free|clear|absence) of|free from|neither)(?: any)?(?: ` + evidence + ` (?:of|for))? `)
	// ending closes it.
	ending = regexp.MustCompile(` (?:(?:is|are) )?` + sight + `$`)
	// notSeen denies what stands before it.
	notSeen = regexp.MustCompile(`^(.*?),? (?:(?:is|are) (?:not ` + sight + `|absent)|(?:is |are )?no longer ` + sight + `|not ` + sight + `)$`)
	// ownSize denies what its own verb says.
	ownSize = regexp.MustCompile(`^(?:the )?(?:heart|cardiac silhouette|mediastinum|cardiomediastinal silhouette)(?: size)? (?:is|are) not (?:enlarged|widened)$`)
	// bare is an answer without its question.
	bare    = regexp.MustCompile(`^\W*(?:(?:is|are) )?(?:no|not|none|nil|absent|negative|excluded|resolved|unlikely|false)?(?: ` + sight + `)?\W*$`)
	degrees = regexp.MustCompile(`\b` + degree + `\b|\b(?:significant|obvious|definite|definitive|extensive)\b| (?:is|are) `)
	// turns are words that can turn what is said, or make it a question, a condition, a wish.
	turns = regexp.MustCompile(`\b(?:no|not|non|nor|none|nil|zero|never|neither|without|w/o|sans|minus|free|negative|neg|absen\w+|lack\w*|devoid|deny|denie[sd]|fail\w*|unlikely|less|` +
		`exclu\w+|except\w*|rul(?:es?|ed|ing)|r/o|resol\w+|clear(?:ed|ing)|cannot|rather|instead|than|doubt\w*|nothing|gone|vanish\w*|disappear\w*|regress\w*|hardly|barely|little|scarcely|` +
		`far|false|untrue|if|unless|whether|should|would|until|wonder|history|known|evaluat\w+|correlat\w+|prior|previous|nevertheless|other|apart|besides|beyond|save|` +
		`refut\w+|dismiss\w*|contrary|unsupported|unremarkable|improbable|implausible|averted|missing)\b|\w{6}less\b|n't\b|\bnon-|\bun-|\w-free\b|\?`)
	item  = regexp.MustCompile(`^(?:(?:` + modifiers + `|\S*\x00)(?: |$))+$`)
	split = regexp.MustCompile(`,? (?:or|nor|and|and/or)(?: no)? |/|, (?:no )?| to suggest | suggesting `)
)

// affirming are the words that stand beside findings where people say that they are there. None of them takes back what it stands beside.
var affirming = func() map[string]bool {
	out := map[string]bool{}
	for _, word := range strings.Fields(`the a an is are was were be been being there here in at on of to by from for and or as with within it its this that these those which
	appears appear appearing seen present noted identified visualized visualised visible evident apparent demonstrated observed found shown shows show
	showing demonstrates demonstrate suspected possible possibly probable probably likely questionable borderline may might could can represent represents
	representing reflect reflects reflecting indicate indicates indicating suggest suggests suggesting suggestive suggestion consistent compatible keeping
	favored favoured favor suspicious concerning worrisome versus vs secondary related due associated underlying superimposed additional also again both
	bilateral bilaterally left right left-sided right-sided one two three several multiple numerous many few some couple scattered single solitary small
	tiny trace minimal minimally mild mildly moderate moderately large massive severe severely marked markedly extensive significant slight slightly
	subtle vague faint prominent prominence dense patchy streaky linear bandlike band-like bands band plate-like platelike discoid focal diffuse diffusely
	confluent multifocal lobar segmental subsegmental segment segments nodular reticular reticulonodular interstitial alveolar airspace air-space ground
	glass coarse coarsened fine hazy ill-defined well-defined defined rounded round irregular spiculated circumscribed calcified noncalcified uncalcified
	cavitary cavitating loculated layering lung lungs pulmonary pleural pleura parenchymal lobe lobes base bases basal basilar bibasilar bibasal apex
	apices apical biapical upper middle lower mid midlung zone zones region regions area areas field fields central peripheral perihilar hilar hilum hila
	suprahilar infrahilar retrocardiac retrosternal subpleural medial lateral anterior posterior superior inferior adjacent overlying projecting over
	throughout involving mediastinal mediastinum paratracheal chest thoracic thorax hemithorax rib ribs clavicle vertebral vertebra vertebrae body bodies
	spine bony bone bones osseous heart cardiac size silhouette contour contours shadow cardiomediastinal vascular vasculature markings changes change
	disease process finding findings appearance features signs sign evidence pattern opacity volume volumes low increased increase enlarged enlargement
	acute chronic old healed healing age-indeterminate subacute early stable unchanged persistent residual new improved displaced nondisplaced compression
	compressive dependent asymmetric degenerative senile bullous centrilobular congestive cardiogenic noncardiogenic non hiatal hiatus sliding tension
	apicolateral subpulmonic fissure fissures sulcus angle angles costophrenic lingula lingular frontal view views infectious inflammatory infection
	inflammation etiology aetiology clinical setting correct appropriate differential includes include including considerations consideration diagnosis
	given possibility appreciated side sides amount density densities lesion deformity thickening widening widened blunting blunted obscured obscuration
	crowding`) {
		out[word] = true
	}
	return out
}()

// level is a vertebra, or which of the ribs.
var level = regexp.MustCompile(`^(?:[tlc]\d{1,2}|\d{1,2}(?:st|nd|rd|th))$`)

// affirms reports whether a text that names findings holds nothing beside them but such words.
func affirms(text string) bool {
	for _, word := range strings.FieldsFunc(cut(text), func(r rune) bool { return strings.ContainsRune(" ,./:\x00", r) }) {
		if !affirming[word] && !level.MatchString(word) && !affirming[strings.Trim(word, "-")] {
			return false
		}
	}
	return true
}

// cut puts a zero in the place of each finding that a text names, whole words.
func cut(text string) string {
	for _, r := range everyClaim() {
		for _, at := range slices.Backward(r.find(text)) {
			end := at[1]
			for end < len(text) && isWord(text[end]) {
				end++
			}
			text = text[:at[0]] + "\x00" + text[end:]
		}
	}
	return text
}

// claimed are the findings that a text names, whatever it says of them.
func claimed(text string) map[study.Finding]bool {
	out := map[study.Finding]bool{}
	for _, r := range everyClaim() {
		for _, at := range r.find(text) {
			if !excluded(r.finding, text, at) {
				out[r.finding] = true
			}
		}
	}
	return out
}

// speaks reports whether a text has a word of findings, or one that is almost one.
func speaks(text string) bool { return len(claimed(text)) > 0 || misspelt(text) }

// list reports whether a text is a list of findings and of words that take nothing away, its last after a conjunction.
func list(text string) bool {
	text = cut(text)
	at := split.FindAllStringIndex(text, -1)
	start := 0
	for i := 0; i <= len(at); i++ {
		end := len(text)
		if i < len(at) {
			end = at[i][0]
			if i == len(at)-1 && text[at[i][0]:at[i][1]] == ", " {
				return false
			}
		}
		if one := strings.TrimSpace(text[start:end]); !item.MatchString(one) || strings.Count(one, "\x00") > 1 {
			return false
		}
		if i < len(at) {
			start = at[i][1]
		}
	}
	return true
}

// words of the findings that a slip may hide from the rules.
var keywords = strings.Fields(`pneumothorax effusion cardiomegaly atelectasis consolidation emphysema infiltrate fibrosis fracture pneumonia opacity nodule hernia edema`)

// misspelt reports whether a text has a word that is a finding's but for a slip, or holds one inside: "pnuemothorax", "noeffusion".
func misspelt(text string) bool {
	for _, word := range strings.FieldsFunc(text, func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') }) {
		near := func(key string) bool { return strings.Contains(word, key) || distance(word, key) <= 1+len(key)/10 }
		if len(word) >= 5 && slices.ContainsFunc(keywords, near) && !names(word) {
			return true
		}
	}
	return false
}

// distance is how many letters must be put in, left out, changed or exchanged with their neighbour.
func distance(a, b string) int {
	if d := len(a) - len(b); d > 2 || d < -2 {
		return 3
	}
	before, last, row := []int(nil), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, make([]int, len(b)+1)
	}
	return last[len(b)]
}
