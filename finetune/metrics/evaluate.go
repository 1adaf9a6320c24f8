package metrics

import (
	"context"
	"errors"
	"slices"
	"strings"

	"llamaxr/study"
)

// Group is a set of figures made in one way.
type Group string

// Groups of figures.
const (
	Paper     Group = "paper"
	Coco      Group = "coco"
	Clinical  Group = "clinical"
	Grounding Group = "grounding"
)

// Options of an evaluation.
type Options struct {
	Seed   uint64 // of the resamples
	Meteor string // folder of METEOR 1.5, "" for none
}

// Case is what one pair scores.
type Case struct {
	ID      string                       `json:"id"`
	Figures map[Group]map[string]float64 `json:"figures"`
}

// FindingCount is how one finding fared: said rightly, said for nothing, left out.
type FindingCount struct {
	Finding study.Finding `json:"finding"`
	Right   int           `json:"right"`
	Extra   int           `json:"extra"`
	Missed  int           `json:"missed"`
	F1      float64       `json:"f1"`
}

// Report is an evaluation: figures by name, their intervals, and the single pairs.
type Report struct {
	Pairs      int                           `json:"pairs"`
	Seed       uint64                        `json:"seed"`
	Resamples  int                           `json:"resamples"`
	Confidence float64                       `json:"confidence"`
	Paper      map[string]float64            `json:"paper"`
	Coco       map[string]float64            `json:"coco"`
	Clinical   map[string]float64            `json:"clinical"`
	Grounding  map[string]float64            `json:"grounding,omitempty"`
	Intervals  map[Group]map[string]Interval `json:"intervals"`
	Findings   map[Group][]FindingCount      `json:"findings"`
	LeftOut    map[Group]map[string]string   `json:"left_out,omitempty"` // why a figure is not there
	Cases      []Case                        `json:"cases"`
	texts      []Pair
}

// Figures are those of one group.
func (r *Report) Figures(g Group) map[string]float64 {
	return map[Group]map[string]float64{Paper: r.Paper, Coco: r.Coco, Clinical: r.Clinical, Grounding: r.Grounding}[g]
}

// bleuNames and names are the figures in the order in which they are shown.
var (
	bleuNames = []string{"BLEU-1", "BLEU-2", "BLEU-3", "BLEU-4"}
	names     = append(slices.Clone(bleuNames), "ROUGE-L", "METEOR", "CIDEr", "micro-F1", "macro-F1", "sensitivity", "specificity")
)

// Evaluate compares every pair in every way.
func Evaluate(ctx context.Context, pairs []Pair, opts Options) (*Report, error) {
	r := &Report{
		Pairs: len(pairs), Seed: opts.Seed, Resamples: Resamples, Confidence: Confidence,
		Intervals: map[Group]map[string]Interval{}, Findings: map[Group][]FindingCount{}, texts: pairs,
		LeftOut: map[Group]map[string]string{Paper: {"CIDEr": "the paper's recipe has none"}},
	}
	paper, coco, err := textTables(pairs)
	if err != nil {
		return nil, err
	}
	tables := slices.Concat(paper, coco)
	rows, err := jarRows(ctx, opts.Meteor, pairs)
	switch {
	case errors.Is(err, ErrNoMeteor):
		r.LeftOut[Coco] = map[string]string{"METEOR": err.Error()}
	case err != nil:
		return nil, err
	default:
		tables = append(tables, meteorTable(rows))
	}
	tables = append(tables, clinicalTable(pairs))
	if slices.ContainsFunc(pairs, func(p Pair) bool { return p.Scores != nil }) {
		tables = append(tables, groundingTables(pairs)...)
	}
	r.fill(tables)
	return r, nil
}

// fill computes figures, intervals and cases.
func (r *Report) fill(tables []*table) {
	everything := make([]int, r.Pairs)
	r.Cases = make([]Case, r.Pairs)
	for i, p := range r.texts {
		everything[i] = i
		r.Cases[i] = Case{ID: p.ID, Figures: map[Group]map[string]float64{}}
	}
	figures := map[Group]map[string]float64{}
	within := intervals(tables, r.Pairs, r.Seed)
	for _, t := range tables {
		if figures[t.group] == nil {
			figures[t.group], r.Intervals[t.group] = map[string]float64{}, map[string]Interval{}
			for i := range r.Cases {
				r.Cases[i].Figures[t.group] = map[string]float64{}
			}
		}
		sums := t.total(everything)
		for k, v := range t.values(sums) {
			figures[t.group][t.names[k]], r.Intervals[t.group][t.names[k]] = v, within[t][k]
		}
		for i := range r.Cases {
			for k, v := range t.values(t.rows[i]) {
				r.Cases[i].Figures[t.group][t.names[k]] = v
			}
		}
		if slices.Contains(t.names, "macro-F1") {
			for f, c := range countsOf(sums) {
				r.Findings[t.group] = append(r.Findings[t.group], FindingCount{study.Finding(f), int(c.Right), int(c.Extra), int(c.Missed), c.F1()})
			}
		}
	}
	r.Paper, r.Coco, r.Clinical, r.Grounding = figures[Paper], figures[Coco], figures[Clinical], figures[Grounding]
}

// textTables are the figures of words.
func textTables(pairs []Pair) (paper, coco []*table, err error) {
	n := len(pairs)
	references, candidates := make([][]string, n), make([][]string, n)
	lexicon, overlaps := NewLexicon(), make([][]float64, n)
	averaged := make([][]float64, n) // BLEU-1 to 4, ROUGE-L, METEOR
	for i, p := range pairs {
		references[i], candidates[i] = fields(p.Reference), fields(p.Candidate)
		o := overlapOf(references[i], candidates[i])
		overlaps[i] = o.row()
		bleu := o.sentenceBLEU()
		var texts [2]Text
		for k, text := range []string{p.Reference, p.Candidate} {
			if texts[k], err = lexicon.Text(text); err != nil {
				return nil, nil, err
			}
		}
		rouge, meteor := lexicon.Likeness(texts[0], texts[1])
		averaged[i] = append(bleu[:], rouge, meteor)
	}
	ciders := cider(references, candidates)
	return []*table{meansTable(Paper, append(slices.Clone(bleuNames), "ROUGE-L", "METEOR"), func(i int) []float64 { return averaged[i] }, n)},
		[]*table{
			{Coco, bleuNames, overlaps, func(s []float64) []float64 { b := overlapRow(s).corpusBLEU(); return b[:] }},
			meansTable(Coco, []string{"ROUGE-L", "CIDEr"}, func(i int) []float64 {
				return []float64{cocoRougeL(pairs[i].Reference, pairs[i].Candidate), ciders[i]}
			}, n),
		}, nil
}

func f1s(sums []float64) []float64 { c := countsOf(sums); return []float64{c.Micro(), c.Macro()} }

// clinicalTable counts what candidates say against what references say.
func clinicalTable(pairs []Pair) *table {
	t := &table{group: Clinical, names: []string{"micro-F1", "macro-F1"}, values: f1s}
	for _, p := range pairs {
		var c Counts
		c.Add(Statements(p.Reference), Statements(p.Candidate))
		t.rows = append(t.rows, c.row())
	}
	return t
}

// groundingTables count what candidates say against their scores, and whether a changed score changed its own statement and no other.
func groundingTables(pairs []Pair) []*table {
	t := &table{group: Grounding, names: []string{"micro-F1", "macro-F1"}, values: f1s}
	followed := make([][]float64, len(pairs))
	changed := false
	for i, p := range pairs {
		var c Counts
		said := Statements(p.Candidate)
		if p.Scores != nil {
			c.Add(Scored(*p.Scores), said)
		}
		t.rows = append(t.rows, c.row())
		if p.Changed != nil {
			changed = true
			sensitive, specific := Followed(said, Statements(p.Changed.Candidate), p.Changed.Finding)
			followed[i] = []float64{indicator(sensitive), indicator(specific)}
		}
	}
	if !changed {
		return []*table{t}
	}
	return []*table{t, meansTable(Grounding, []string{"sensitivity", "specificity"}, func(i int) []float64 { return followed[i] }, len(pairs))}
}

// Followed says whether a change of one finding's scores changed what is said of it, and left alone what is said of every other.
func Followed(before, after [study.NumFindings]bool, f study.Finding) (sensitive, specific bool) {
	sensitive = before[f] != after[f]
	after[f] = before[f]
	return sensitive, before == after
}

func indicator(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}

// Worst are the n pairs that a reader should see first: those with the lowest clinical F1, of equals those with the lowest ROUGE-L.
func (r *Report) Worst(n int) []int {
	order := make([]int, r.Pairs)
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		x, y := r.Cases[a].Figures, r.Cases[b].Figures
		for _, key := range []struct {
			group Group
			name  string
		}{{Clinical, "micro-F1"}, {Paper, "ROUGE-L"}} {
			if d := x[key.group][key.name] - y[key.group][key.name]; d < 0 {
				return -1
			} else if d > 0 {
				return 1
			}
		}
		return strings.Compare(r.texts[a].ID, r.texts[b].ID)
	})
	return order[:min(n, len(order))]
}
