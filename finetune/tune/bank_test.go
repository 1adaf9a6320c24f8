package tune

import (
	"math/rand/v2"
	"strings"
	"testing"

	"llamaxr/finetune/starter"
	"llamaxr/study"
)

// TestComposedReportsSayTheScores: a report composed of a site's sentences says of every finding what the scores say, also of what the site
// never had to say.
func TestComposedReportsSayTheScores(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 7))
	var texts, own []string
	for range 40 {
		texts = append(texts, habit(starter.FinalReport(starter.RandomScores(rng))))
		own = append(own, starter.FinalReport(starter.RandomScores(rng)))
	}
	bank := NewBank(texts, own)
	for range 200 {
		scores := starter.RandomScores(rng)
		text := bank.Compose(scores, "", rng)
		said := starter.Statements(text)
		for _, f := range study.Findings() {
			if said[f] != scores.Present(f) {
				t.Fatalf("%s is present: %t; the report says %t: %s", f, scores.Present(f), said[f], text)
			}
		}
	}
}

// habit puts the pneumothorax first and spells in British.
func habit(text string) string {
	body, impression, _ := strings.Cut(strings.TrimPrefix(text, "FINDINGS: "), "\nIMPRESSION:")
	var first, rest []string
	for _, s := range strings.SplitAfter(body, ".") {
		switch s = strings.TrimSpace(s); {
		case s == "":
		case strings.Contains(s, "pneumothorax"):
			first = append(first, s)
		default:
			rest = append(rest, s)
		}
	}
	return strings.ReplaceAll("FINDINGS: "+strings.Join(append(first, rest...), " ")+"\nIMPRESSION:"+impression, "edema", "oedema")
}
