package metrics

import (
	"llamaxr/reporting/labeler"
	"llamaxr/study"
)

// Statements are what a text says is there, present and possible alike.
func Statements(text string) (out [study.NumFindings]bool) {
	for f, p := range labeler.Label(text) {
		out[f] = p != study.Absent
	}
	return out
}

// Scored are the findings that scores call present.
func Scored(scores study.PairScores) (out [study.NumFindings]bool) {
	for _, f := range study.Findings() {
		out[f] = scores.Present(f)
	}
	return out
}

// Count is of one finding: said as it should be, said for nothing, and left out.
type Count struct{ Right, Extra, Missed float64 }

// F1 is the harmonic mean of precision and recall; where there is nothing to say and nothing said it is 1.
func (c Count) F1() float64 {
	all := 2*c.Right + c.Extra + c.Missed
	if all == 0 {
		return 1
	}
	return 2 * c.Right / all
}

// Counts are those of all findings.
type Counts [study.NumFindings]Count

// Add counts what is said of one study against what should be.
func (c *Counts) Add(want, said [study.NumFindings]bool) {
	for f := range c {
		switch {
		case want[f] && said[f]:
			c[f].Right++
		case said[f]:
			c[f].Extra++
		case want[f]:
			c[f].Missed++
		}
	}
}

// Micro is F1 over all findings together.
func (c *Counts) Micro() float64 {
	var all Count
	for _, one := range c {
		all.Right, all.Extra, all.Missed = all.Right+one.Right, all.Extra+one.Extra, all.Missed+one.Missed
	}
	return all.F1()
}

// Macro is the mean F1 of the findings that occur on either side, 1 when none does.
func (c *Counts) Macro() float64 {
	sum, n := 0.0, 0.0
	for _, one := range c {
		if one != (Count{}) {
			sum, n = sum+one.F1(), n+1
		}
	}
	if n == 0 {
		return 1
	}
	return sum / n
}

// row and countsOf lay the counts out for the bootstrap.
func (c *Counts) row() []float64 {
	var row []float64
	for _, one := range c {
		row = append(row, one.Right, one.Extra, one.Missed)
	}
	return row
}

func countsOf(row []float64) *Counts {
	c := new(Counts)
	for f := range c {
		c[f] = Count{row[3*f], row[3*f+1], row[3*f+2]}
	}
	return c
}
