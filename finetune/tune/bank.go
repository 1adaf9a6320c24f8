package tune

import (
	"cmp"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"

	"llamaxr/finetune/corrections"
	"llamaxr/reporting/guard"
	"llamaxr/reporting/labeler"
	"llamaxr/study"
)

// Bank is how a site says each thing: its sentences for each finding, present, possible and absent, and the order in which it speaks of
// them.
type Bank struct {
	said, own sentences
	order     []study.Finding
	// spelling are the site's own spellings of words, lower case.
	spelling map[string]string
}

// sentences are those that name one finding alone, by finding and polarity, and how often each is written.
type sentences [study.NumFindings]map[study.Polarity]map[string]int

func newSentences() (s sentences) {
	for f := range s {
		s[f] = map[study.Polarity]map[string]int{study.Present: {}, study.Uncertain: {}, study.Absent: {}}
	}
	return s
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

// NewBank collects the sentences of the site's reports, and of reports that the adapter in use writes: what the site never said to be
// present or possible is said as before.
func NewBank(texts, own []string) *Bank {
	b := &Bank{spelling: map[string]string{}, said: newSentences(), own: newSentences()}
	all := strings.ToLower(strings.Join(texts, "\n"))
	for _, pair := range spellings {
		british := strings.Count(all, pair[1])
		if american := strings.Count(strings.ReplaceAll(all, pair[1], ""), pair[0]); british > american {
			b.spelling[pair[0]] = pair[1]
		}
	}
	var place [study.NumFindings]float64
	var count [study.NumFindings]int
	for _, text := range texts {
		b.said.collect(text, func(f study.Finding, at float64) { place[f] += at; count[f]++ })
	}
	for _, text := range own {
		b.own.collect(text, func(study.Finding, float64) {})
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

// collect adds the sentences of a report's findings; named hears of each finding and where in the text, 0 to 1, it is spoken of.
func (s sentences) collect(text string, named func(f study.Finding, at float64)) {
	report, err := corrections.ParseReport(text)
	if err != nil {
		return
	}
	list := labeler.Sentences(report.Findings)
	for i, sentence := range list {
		labels := labeler.LabelSentence(sentence)
		for f, p := range labels {
			named(f, float64(i)/float64(len(list)))
			if len(labels) == 1 {
				s[f][p][sentence]++
			}
		}
	}
}

// Findings are what the site would write of scores: of every finding that the site speaks of, its own sentence, and of what is present or
// possible and the site has no sentence for, one of the adapter in use or a plain one.
func (b *Bank) Findings(scores study.PairScores, rng *rand.Rand) string {
	order := slices.Clone(b.order)
	for _, f := range study.Findings() {
		if !slices.Contains(order, f) {
			order = append(order, f)
		}
	}
	var findings []string
	for _, f := range order {
		polarity := study.Absent
		switch {
		case scores.Sure(f):
			polarity = study.Present
		case scores.Present(f):
			polarity = study.Uncertain
		}
		if s := draw(b.said[f][polarity], rng); s != "" {
			findings = append(findings, s)
		} else if polarity == study.Absent {
			continue // the site does not speak of it
		} else if s := draw(b.own[f][polarity], rng); s != "" {
			findings = append(findings, b.spell(s))
		} else {
			findings = append(findings, b.spell(guard.Statement(f, scores)))
		}
	}
	return strings.Join(findings, " ")
}

// draw picks a sentence as often as it is written; none of none.
func draw(list map[string]int, rng *rand.Rand) string {
	keys := slices.Sorted(maps.Keys(list))
	total := 0
	for _, n := range list {
		total += n
	}
	at := rng.IntN(max(total, 1))
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
