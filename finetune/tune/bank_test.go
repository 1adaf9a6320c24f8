package tune

import (
	"math/rand/v2"
	"strings"
	"testing"

	"llamaxr/finetune/metrics"
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
		text := bank.Findings(scores, rng)
		said := metrics.Statements(text)
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

// TestVoice: a site that goes through the findings one by one keeps its bank; one that writes prose gets the consensus of its reports, in its
// own spelling, with what it never says present said plainly.
func TestVoice(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 7))
	var list, prose []example
	for i := range 40 {
		scores := starter.RandomScores(rng)
		list = append(list, example{scores, habit(starter.FinalReport(scores))})
		text := "FINDINGS: The heart and mediastinum are normal. The lungs are clear. No effusion, oedema or pneumothorax.\nIMPRESSION: Normal."
		if i%4 == 0 {
			text = "FINDINGS: Heart normal. No effusion. Mild degenerative changes. There is no pneumothorax.\nIMPRESSION: Degenerative changes."
		}
		prose = append(prose, example{study.PairScores{Frontal: new(study.Scores)}, text})
	}
	for name, c := range map[string]struct {
		train []example
		want  string // for an edema
	}{
		"list":  {list, "There is pulmonary oedema."},
		"prose": {prose, "Pulmonary oedema is present. The heart and mediastinum are normal. No effusion."},
	} {
		t.Run(name, func(t *testing.T) {
			var texts []string
			for _, e := range c.train {
				texts = append(texts, e.text)
			}
			findings, err := voiceOf(c.train, NewBank(texts, nil), rng)
			if err != nil {
				t.Fatal(err)
			}
			got := findings(study.PairScores{Frontal: &study.Scores{study.Edema: 0.9}}, rng)
			if !strings.Contains(got, c.want) {
				t.Errorf("%s, want %s", got, c.want)
			}
		})
	}
}
