package tune

import (
	"math/rand/v2"
	"strings"

	"llamaxr/finetune/corrections"
	"llamaxr/finetune/metrics"
	"llamaxr/finetune/wording"
	"llamaxr/study"
)

// voice writes the findings of scores as a site would.
type voice func(scores study.PairScores, rng *rand.Rand) string

// voiceOf is the one of two voices that is more like the site's own reports: the bank's, which goes through the findings one by one as some
// sites do, or the consensus of the reports, which is prose.
func voiceOf(train []example, bank *Bank, rng *rand.Rand) (voice, error) {
	var examples []wording.Example
	for _, e := range train {
		if report, err := corrections.ParseReport(e.text); err == nil {
			examples = append(examples, wording.Example{Report: report, Scores: e.scores})
		}
	}
	consensus, err := wording.New(examples)
	if err != nil {
		return nil, err
	}
	prose := func(scores study.PairScores, _ *rand.Rand) string {
		return bank.spell(strings.Join(append(consensus.Statements(scores), consensus.Normals(scores)...), " "))
	}
	lexicon := metrics.NewLexicon()
	var alike [2]float64
	for _, e := range examples {
		own, err := lexicon.Text(e.Report.Findings)
		if err != nil {
			return nil, err
		}
		for k, v := range []voice{bank.Findings, prose} {
			text, err := lexicon.Text(v(e.Scores, rng))
			if err != nil {
				return nil, err
			}
			rouge, meteor := lexicon.Likeness(own, text)
			alike[k] += rouge + meteor
		}
	}
	if alike[1] > alike[0] {
		return prose, nil
	}
	return bank.Findings, nil
}

// report is the text of composed findings; without an impression it ends after them.
func report(findings, impression string) string {
	if impression == "" {
		return "FINDINGS: " + findings + "\n"
	}
	return corrections.Report{Findings: findings, Impression: impression}.String()
}
