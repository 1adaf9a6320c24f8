package metrics

import (
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
)

// WriteText writes the tables for a terminal.
func (r *Report) WriteText(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "%d pairs; intervals hold 95 %% of %d resamples\n", r.Pairs, r.Resamples)
	for _, row := range r.table() {
		if row.LeftOut != "" {
			fmt.Fprintf(w, "%s\t%s\t-\t%s\n", row.Group, row.Name, row.LeftOut)
			continue
		}
		fmt.Fprintf(w, "%s\t%s\t%.4f\t%.4f to %.4f\n", row.Group, row.Name, row.Value, row.Within[0], row.Within[1])
	}
	fmt.Fprintln(w, "\nfinding\tF1\tright\textra\tmissed")
	for _, f := range r.Findings[Clinical] {
		fmt.Fprintf(w, "%s\t%.3f\t%d\t%d\t%d\n", f.Finding, f.F1, f.Right, f.Extra, f.Missed)
	}
	return w.Flush()
}

// figure is a line of the table.
type figure struct {
	Group   Group
	Name    string
	Value   float64
	Within  Interval
	LeftOut string
}

// table lists all figures, group by group, in the order of names.
func (r *Report) table() (out []figure) {
	for _, g := range []Group{Paper, Coco, Clinical, Grounding} {
		for _, name := range names {
			if v, ok := r.Figures(g)[name]; ok {
				out = append(out, figure{g, name, v, r.Intervals[g][name], ""})
			} else if why, ok := r.LeftOut[g][name]; ok {
				out = append(out, figure{Group: g, Name: name, LeftOut: why})
			}
		}
	}
	return slices.Clip(out)
}
