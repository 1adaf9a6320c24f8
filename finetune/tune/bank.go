package tune

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"strings"

	"llamaxr/finetune/corrections"
	"llamaxr/reporting/guard"
	"llamaxr/reporting/labeler"
	"llamaxr/study"
)

// Bank is how a site says each thing: its sentences for each finding, present and absent, and the order in which it speaks of them.
type Bank struct {
	said  [study.NumFindings]map[bool]map[string]int // by presence, sentences that name this finding alone, and how often
	order []study.Finding
	// spelling are the site's own spellings of words, lower case.
	spelling map[string]string
}

// spellings are pairs of American and British words; a site that uses one of a pair more often gets it in composed reports.
var spellings = [][2]string{
	{"edema", "oedema"},
	{"hemothorax", "haemothorax"},
	{"esophag", "oesophag"},
	{"hemorrhage", "haemorrhage"},
	{"tumor", "tumour"},
	{"color", "colour"},
	{"center", "centre"},
	{"caliber", "calibre"},
	{"aging", "ageing"},
	{"gray", "grey"},
	{"fiber", "fibre"},
	{"anemia", "anaemia"},
}

// NewBank collects the sentences of training texts.
func NewBank(texts []string) *Bank {
	b := &Bank{spelling: map[string]string{}}
	var place [study.NumFindings]float64
	var count [study.NumFindings]int
	for f := range b.said {
		b.said[f] = map[bool]map[string]int{true: {}, false: {}}
	}
	all := strings.ToLower(strings.Join(texts, "\n"))
	for _, pair := range spellings {
		british := strings.Count(all, pair[1])
		if american := strings.Count(strings.ReplaceAll(all, pair[1], ""), pair[0]); british > american {
			b.spelling[pair[0]] = pair[1]
		}
	}
	for _, text := range texts {
		report, err := corrections.ParseReport(text)
		if err != nil {
			continue
		}
		sentences := labeler.Sentences(report.Findings)
		for i, s := range sentences {
			labels := labeler.LabelSentence(s)
			for f, p := range labels {
				place[f] += float64(i) / float64(len(sentences))
				count[f]++
				if len(labels) == 1 && p != study.Uncertain {
					b.said[f][p == study.Present][s]++
				}
			}
		}
	}
	for _, f := range study.Findings() {
		if count[f] > 0 {
			b.order = append(b.order, f)
		}
	}
	slices.SortStableFunc(b.order, func(x, y study.Finding) int {
		return cmp.Compare(place[x]/float64(count[x]), place[y]/float64(count[y]))
	})
	return b
}

// Compose writes the report that the site would write for scores: of every finding that the site speaks of, its own sentence, and of what
// is present and the site has no sentence for, or what is only possible, a plain one.
func (b *Bank) Compose(scores study.PairScores, rng *rand.Rand) string {
	order := slices.Clone(b.order)
	for _, f := range study.Findings() {
		if !slices.Contains(order, f) {
			order = append(order, f)
		}
	}
	var findings []string
	for _, f := range order {
		score, _ := scores.Combined(f)
		present := scores.Present(f)
		if s := b.sentence(f, present, rng); s != "" && (!present || score >= sure) {
			findings = append(findings, s)
		} else if present {
			findings = append(findings, b.spell(guard.Statement(f, scores)))
		}
	}
	return corrections.Report{Findings: strings.Join(findings, " "), Impression: b.spell(guard.Conclusion(scores))}.String()
}

// sure is the score below which a present finding is only possible.
const sure = 0.6

// sentence draws one of the site's sentences as often as the site uses it.
func (b *Bank) sentence(f study.Finding, present bool, rng *rand.Rand) string {
	total := 0
	list := b.said[f][present]
	for _, n := range list {
		total += n
	}
	if total == 0 {
		return ""
	}
	at := rng.IntN(total)
	keys := make([]string, 0, len(list))
	for s := range list {
		keys = append(keys, s)
	}
	slices.Sort(keys)
	for _, s := range keys {
		if at -= list[s]; at < 0 {
			return s
		}
	}
	return ""
}

// spell writes a sentence in the site's spelling.
func (b *Bank) spell(text string) string {
	for american, british := range b.spelling {
		text = strings.ReplaceAll(text, british, american) // never twice
		text = strings.ReplaceAll(text, american, british)
		capital := func(s string) string { return strings.ToUpper(s[:1]) + s[1:] }
		text = strings.ReplaceAll(text, capital(american), capital(british))
	}
	return text
}
