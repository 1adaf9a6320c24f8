package experiment

import (
	"fmt"
	"math/rand/v2"
	"strings"

	"llamaxr/finetune/corrections"
	"llamaxr/finetune/qlora"
	"llamaxr/finetune/rows"
	"llamaxr/finetune/starter"
	"llamaxr/finetune/tune"
	"llamaxr/finetune/wording"
	"llamaxr/inference/llama"
	"llamaxr/inference/prompt"
	"llamaxr/study"
)

// Condition is one recipe under trial.
type Condition struct {
	Name     string          `json:"name"`
	Says     string          `json:"says"` // what it is, for the table
	Template prompt.Template `json:"-"`
	Preset   tune.Preset     `json:"preset"`
	Steps    int             `json:"steps"`
	// Studies is how many test studies are written about, 0 all.
	Studies int `json:"studies"`
	// Levers make what is learnt follow the scores.
	Levers Levers `json:"levers"`
}

// Levers are what can be done to what is learnt, each alone.
type Levers struct {
	Composed bool `json:"composed"` // reports composed of the training reports' sentences, one a finding, for the row's scores
	First    bool `json:"first"`    // composed reports begin with what is present and possible
	Single   bool `json:"single"`   // composed reports have a sentence for each finding, not one for all
	Balanced bool `json:"balanced"` // three draws of four have a finding
	Paired   bool `json:"paired"`   // each row comes with one in which one finding's scores, and its sentence, changed sides
}

var every = Levers{Composed: true, First: true, Single: true, Balanced: true, Paired: true}

// leverNames are the levers that Without knows, the most telling first, and what takes each out.
var leverNames = []struct {
	name, says string
	out        func(*Condition)
}{
	{"plan", "template grounded/1, which names every score and singles out none", func(c *Condition) { c.Template, c.Preset.MaxTokens = prompt.Grounded, 640 }},
	{"composed", "human reports", func(c *Condition) { c.Levers.Composed, c.Preset.MaxTokens = false, 256 }},
	{"weights", "all tokens weigh the same", func(c *Condition) { c.Preset.Weights = rows.Plain }},
	{"pairs", "each row has a report of its own", func(c *Condition) { c.Levers.Paired = false }},
	{"balance", "reports are drawn as they come", func(c *Condition) { c.Levers.Balanced = false }},
	{"first", "what is present and possible is said last", func(c *Condition) { c.Levers.First = false }},
	{"steps", "half of them", func(c *Condition) { c.Steps /= 2 }},
	{"single", "one sentence names all findings", func(c *Condition) { c.Levers.Single = false }},
}

// Without is the condition with one lever taken out.
func (c Condition) Without(lever string) (Condition, error) {
	var names []string
	for _, l := range leverNames {
		if l.name == lever {
			c.Name, c.Says = withoutName(c.Name, lever), c.Says+", without "+lever+": "+l.says
			l.out(&c)
			return c, nil
		}
		names = append(names, l.name)
	}
	return c, fmt.Errorf("experiment: unknown lever %q: %s", lever, strings.Join(names, ", "))
}

func withoutName(condition, lever string) string { return condition + "-without-" + lever }

// paper is the preset in the arithmetic of the other conditions.
func paper() tune.Preset {
	p := tune.Paper
	p.Checkpointing, p.Mixed = false, false
	return p
}

// site are the values of the preset, for a new adapter; what is composed is the conditions' own matter. longest is in tokens.
func site(longest int) tune.Preset {
	p := tune.Site
	p.Continue, p.Composed, p.MaxTokens = false, 0, longest
	return p
}

// Conditions are those of the table, the one with the goals first: a run that is stopped early has it.
func Conditions() []Condition {
	return []Condition{
		{Name: "grounded", Says: "template grounded/2, `site` values, all levers", Template: prompt.Planned, Preset: site(192), Steps: 240, Levers: every},
		{Name: "paper-site", Says: "template paper/1, `site` values, all levers", Template: prompt.Paper, Preset: site(640), Steps: 240, Levers: every},
		{Name: "paper", Says: "template paper/1, preset `paper`", Template: prompt.Paper, Preset: paper(), Steps: 200},
	}
}

// ConditionByName finds a condition.
func ConditionByName(name string) (Condition, error) {
	for _, c := range Conditions() {
		if c.Name == name {
			return c, nil
		}
	}
	return Condition{}, fmt.Errorf("experiment: unknown condition %q: grounded, paper-site or paper", name)
}

// Lesson is one row before it is tokens: scores and the report that is learnt of them.
type Lesson struct {
	Scores study.PairScores
	Text   string
}

// Taught are the lessons of `grounded`, as they come, of the reports that train and of those that test.
func Taught(all []Report, opts Options) (train, test []Lesson, err error) {
	reports := split(all, toTrain)
	simulator := NewSimulator(reports, opts.Seed)
	words, err := opts.wording(reports, simulator)
	if err != nil {
		return nil, nil, err
	}
	of := func(reports []Report) (out []Lesson) {
		for _, r := range reports {
			scores := simulator.Scores(r)
			out = append(out, Lesson{scores, words.Compose(scores).String()})
		}
		return out
	}
	return of(reports), of(TestStudies(all, 0)), nil
}

// lessons makes a condition's rows.
type lessons struct {
	condition Condition
	seed      uint64
	simulator *Simulator
	wording   *wording.Wording
	reports   []Report
	abnormal  []Report // those with a finding that is scored present
	tokens    *llama.Tokenizer
}

func newLessons(c Condition, seed uint64, s *Simulator, w *wording.Wording, reports []Report, tokens *llama.Tokenizer) *lessons {
	l := &lessons{condition: c, seed: seed, simulator: s, wording: w, reports: reports, tokens: tokens}
	for _, r := range reports {
		if present(s.Scores(r)) > 0 {
			l.abnormal = append(l.abnormal, r)
		}
	}
	return l
}

func present(scores study.PairScores) (n int) {
	for _, yes := range study.Findings() {
		if scores.Present(yes) {
			n++
		}
	}
	return n
}

// drawn are the rows of a batch, the same for the same number.
func (l *lessons) drawn(number int) (out []Lesson) {
	rng := rand.New(rand.NewPCG(l.seed<<32|uint64(number), streamBatch))
	for len(out) < l.condition.Preset.Batch {
		from := l.reports
		if l.condition.Levers.Balanced && len(l.abnormal) > 0 && rng.IntN(4) < 3 {
			from = l.abnormal
		}
		r := from[rng.IntN(len(from))]
		scores := l.simulator.Scores(r)
		if !l.condition.Levers.Composed {
			out = append(out, Lesson{scores, r.Text.String()})
			continue
		}
		out = append(out, Lesson{scores, l.compose(scores)})
		if l.condition.Levers.Paired && len(out) < l.condition.Preset.Batch {
			scores = starter.Flip(scores, study.Finding(rng.IntN(study.NumFindings)), rng)
			out = append(out, Lesson{scores, l.compose(scores)})
		}
	}
	return out
}

// compose is the wording's report, or what is left of it without a lever.
func (l *lessons) compose(scores study.PairScores) string {
	said, normal := l.wording.Statements(scores), l.wording.Normals(scores)
	if !l.condition.Levers.Single && len(said) > 0 {
		said = []string{l.wording.Impression(scores)}
	}
	if !l.condition.Levers.First {
		said, normal = normal, said
	}
	return corrections.Report{Findings: strings.Join(append(said, normal...), " "), Impression: l.wording.Impression(scores)}.String()
}

func (l *lessons) batch(list []Lesson) qlora.Batch {
	var made []rows.Row
	for _, one := range list {
		made = append(made, rows.Make(l.tokens, l.condition.Template.Fill(one.Scores), one.Text, l.condition.Preset.Weights))
	}
	return rows.Batch(made, l.condition.Preset.MaxTokens, l.tokens.EOS)
}

// validationBatches are how many batches measure the loss of reports that never train.
const validationBatches = 3

// validate are batches of other reports.
func (l *lessons) validate(reports []Report) (out []qlora.Batch) {
	other := *l
	other.seed++
	other.reports, other.abnormal = reports, nil
	for number := range validationBatches {
		out = append(out, other.batch(other.drawn(number)))
	}
	return out
}
