package wording

import (
	"cmp"
	"math/bits"
	"regexp"
	"slices"
	"strings"

	"llamaxr/finetune/metrics"
	"llamaxr/reporting/guard"
	"llamaxr/study"
)

// consensus searches the normal sentences with which composed reports are most like the training reports in the mean, by ROUGE-L and METEOR
// together: minimum Bayes risk (Kumar and Byrne 2004) with each training report as what may be true of its scores.
type consensus struct {
	lexicon *metrics.Lexicon
	denials []denial // most frequent first
	reports []situation
}

// denial is a sentence of what is as it should be.
type denial struct {
	sentence string
	text     metrics.Text
	about    uint32 // topics
	forbid   uint32 // findings beside which it may not stand
	ways     []int  // it and what says less of the same, to stand where it may not
}

// situation is a training report, and what is certain of the report that is composed for its scores.
type situation struct {
	report, statements, conclusion metrics.Text
	present                        uint32 // findings
}

const (
	// mostDenials bounds the search, sampled the reports that its steps are held against; the whole is held against all.
	mostDenials, sampled = 220, 800
	// mostStarts are how many beginnings are followed, mostTries how many exchanges of a round.
	mostStarts, mostTries = 15, 40
	// worthIt is the least that a further sentence must add to the mean likeness.
	worthIt = 5e-4
)

// about are the things that a chest report speaks of. No two normal sentences are about the same.
var about = []*regexp.Regexp{
	regexp.MustCompile(`(?i)\bheart|\bcardi(?:ac|om)`),
	regexp.MustCompile(`(?i)mediastin`),
	regexp.MustCompile(`(?i)\blungs?\b|inflat|expan`),
	regexp.MustCompile(`(?i)vascul|vessel`),
	regexp.MustCompile(`(?i)pleural? (?:effusion|fluid)|effusion|\bpleural? (?:space|surface)`),
	regexp.MustCompile(`(?i)pneumothora`),
	regexp.MustCompile(`(?i)consolid|air ?space|infiltrat|opaci|pneumonia`),
	regexp.MustCompile(`(?i)edema|failure`),
	regexp.MustCompile(`(?i)\bbon[ey]|osse|skelet|fractur|spine|\bthora(?:x|cic)|vertebra`),
	regexp.MustCompile(`(?i)diaphragm`),
	regexp.MustCompile(`(?i)trache`),
	regexp.MustCompile(`(?i)\bhil`),
	regexp.MustCompile(`(?i)nodul|\bmass|lesion`),
	regexp.MustCompile(`(?i)soft tissue`),
	regexp.MustCompile(`(?i)aort`),
}

// topics are the numbers of the things that a sentence is about, a bit each.
func topics(sentence string) (set uint32) {
	for i, what := range about {
		if what.MatchString(sentence) {
			set |= 1 << i
		}
	}
	return set
}

// topicsOf are what a finding is about; edema is in the vessels too.
func topicsOf(f study.Finding) uint32 {
	set := topics(guard.Phrases(f)[0])
	if f == study.Edema {
		set |= topics("vascularity")
	}
	return set
}

// agree sets the conclusion and the normal sentences.
func (w *Wording) agree(train []Example, denials, conclusions []string) error {
	c := &consensus{lexicon: metrics.NewLexicon()}
	if err := c.read(w, train, denials); err != nil {
		return err
	}
	var few []situation
	for i := 0; i < len(c.reports); i += max(len(c.reports)/sampled, 1) {
		few = append(few, c.reports[i])
	}
	if err := c.conclude(w, conclusions); err != nil {
		return err
	}
	for _, i := range c.polish(c.climb(few)) {
		var ways []string
		for _, k := range c.denials[i].ways {
			ways = append(ways, c.denials[k].sentence)
		}
		w.Normal = append(w.Normal, ways)
	}
	return nil
}

// read takes apart what is compared.
func (c *consensus) read(w *Wording, train []Example, denials []string) (err error) {
	text := func(s string) (t metrics.Text) {
		if err == nil {
			t, err = c.lexicon.Text(s)
		}
		return t
	}
	for _, s := range denials[:min(mostDenials, len(denials))] {
		d := denial{sentence: s, text: text(s), about: topics(s)}
		for _, f := range study.Findings() {
			if !supported(s, onlyPresent(f)) {
				d.forbid |= 1 << f
			}
		}
		c.denials = append(c.denials, d)
	}
	for i := range c.denials {
		c.denials[i].ways = c.ways(i)
	}
	for _, r := range train {
		one := situation{report: text(r.Report.Findings + " " + r.Report.Impression), statements: text(strings.Join(w.Statements(r.Scores), " "))}
		for _, f := range study.Findings() {
			if r.Scores.Present(f) {
				one.present |= 1 << f
			}
		}
		if one.present != 0 {
			one.conclusion = text(w.Impression(r.Scores))
		}
		c.reports = append(c.reports, one)
	}
	return err
}

// ways are a denial and those that say less of the same, each of use beside a finding that forbids all before it.
func (c *consensus) ways(i int) []int {
	d := c.denials[i]
	var less []int
	for k, other := range c.denials {
		if k != i && other.about&^d.about == 0 {
			less = append(less, k)
		}
	}
	slices.SortStableFunc(less, func(a, b int) int { return bits.OnesCount32(c.denials[b].about) - bits.OnesCount32(c.denials[a].about) })
	ways, forbidden := []int{i}, d.forbid
	for _, k := range less {
		if forbidden&^c.denials[k].forbid != 0 {
			ways, forbidden = append(ways, k), forbidden&c.denials[k].forbid
		}
	}
	return ways
}

// conclude sets the conclusion of reports in which nothing is scored present: the one most like them.
func (c *consensus) conclude(w *Wording, conclusions []string) error {
	most := 0.0
	var best metrics.Text
	for _, s := range conclusions {
		text, err := c.lexicon.Text(s)
		if err != nil {
			return err
		}
		sum := 0.0
		for _, r := range c.reports {
			if r.present == 0 {
				rouge, meteor := c.lexicon.Likeness(r.report, text)
				sum += rouge + meteor
			}
		}
		if sum > most {
			w.Conclusion, best, most = s, text, sum
		}
	}
	for i := range c.reports {
		if c.reports[i].present == 0 {
			c.reports[i].conclusion = best
		}
	}
	return nil
}

// value is the mean likeness of reports and what is composed for them with the denials in their order.
func (c *consensus) value(order []int, reports []situation) float64 {
	normal := map[uint32]metrics.Text{}
	sum := 0.0
	for _, r := range reports {
		said, ok := normal[r.present]
		if !ok {
			for _, i := range order {
				for _, k := range c.denials[i].ways {
					if c.denials[k].forbid&r.present == 0 {
						said = metrics.Join(said, c.denials[k].text)
						break
					}
				}
			}
			normal[r.present] = said
		}
		rouge, meteor := c.lexicon.Likeness(r.report, metrics.Join(r.statements, said, r.conclusion))
		sum += rouge + meteor
	}
	return sum / float64(max(len(reports), 1))
}

// candidate is an order of denials and its value.
type candidate struct {
	order []int
	value float64
}

// weigh values orders, the best first.
func (c *consensus) weigh(orders [][]int, reports []situation) (out []candidate) {
	for _, order := range orders {
		out = append(out, candidate{order, c.value(order, reports)})
	}
	slices.SortStableFunc(out, func(a, b candidate) int { return cmp.Compare(b.value, a.value) })
	return out
}

// climb grows several beginnings and exchanges sentences of the best until nothing gains.
func (c *consensus) climb(reports []situation) []int {
	var single [][]int
	for i := range c.denials {
		single = append(single, []int{i})
	}
	best := candidate{nil, c.value(nil, reports)}
	begun := map[uint32]bool{}
	for _, start := range c.weigh(single, reports) {
		if about := c.denials[start.order[0]].about; !begun[about] && len(begun) < mostStarts {
			begun[about] = true
			if grown := c.grow(start, reports); grown.value > best.value+worthIt {
				best = grown
			}
		}
	}
	for gained := true; gained; {
		gained = false
		near := c.weigh(c.exchanges(best.order), reports)
		for _, one := range near[:min(mostTries, len(near))] {
			if grown := c.grow(one, reports); grown.value > best.value+worthIt {
				best, gained = grown, true
				break
			}
		}
	}
	return best.order
}

// grow adds the sentence that gains most, where it gains most, until none is worth it.
func (c *consensus) grow(from candidate, reports []situation) candidate {
	for {
		var longer [][]int
		for i, d := range c.denials {
			if len(c.without(from.order, d.about)) < len(from.order) {
				continue
			}
			for at := range len(from.order) + 1 {
				longer = append(longer, slices.Insert(slices.Clone(from.order), at, i))
			}
		}
		best := c.weigh(longer, reports)
		if len(best) == 0 || best[0].value <= from.value+worthIt {
			return from
		}
		from = best[0]
	}
}

// exchanges are the orders with one sentence put in and those taken out that are about the same, with one moved, and with one less.
func (c *consensus) exchanges(order []int) (out [][]int) {
	for at := range len(order) + 1 {
		for i, d := range c.denials {
			out = append(out, slices.Concat(c.without(order[:at], d.about), []int{i}, c.without(order[at:], d.about)))
		}
		if at == len(order) {
			continue
		}
		rest := slices.Delete(slices.Clone(order), at, at+1)
		out = append(out, rest)
		for to := range len(order) {
			if to != at {
				out = append(out, slices.Insert(slices.Clone(rest), to, order[at]))
			}
		}
	}
	return out
}

// without are the sentences that are about other things.
func (c *consensus) without(order []int, about uint32) []int {
	return slices.DeleteFunc(slices.Clone(order), func(i int) bool { return c.denials[i].about&about != 0 })
}

// polish holds each sentence against all others about the same, over all reports.
func (c *consensus) polish(order []int) []int {
	for at := range order {
		var others [][]int
		for i, d := range c.denials {
			if d.about == c.denials[order[at]].about {
				other := slices.Clone(order)
				other[at] = i
				others = append(others, other)
			}
		}
		order = c.weigh(others, c.reports)[0].order
	}
	return order
}
