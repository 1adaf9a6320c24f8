package metrics

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"image/color"
	"io"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"

	"llamaxr/study"
)

//go:embed page.html
var pageText string

// shownWorst is the number of pairs shown side by side.
const shownWorst = 12

var barColour = color.RGBA{0x2b, 0x6c, 0xb0, 0xff}

// WritePage writes one HTML page with the tables, two plots and the worst pairs side by side. It refers to nothing outside itself.
func (r *Report) WritePage(out io.Writer) error {
	page, err := template.New("evaluation").Funcs(template.FuncMap{
		"number": func(v float64) string { return fmt.Sprintf("%.4f", v) },
	}).Parse(pageText)
	if err != nil {
		return fmt.Errorf("metrics: page: %w", err)
	}
	byFinding, err := r.plotFindings()
	if err != nil {
		return fmt.Errorf("metrics: page: %w", err)
	}
	byCase, err := r.plotCases()
	if err != nil {
		return fmt.Errorf("metrics: page: %w", err)
	}
	type worst struct {
		Pair
		Case
		References, Candidates string
	}
	var cases []worst
	for _, i := range r.Worst(shownWorst) {
		cases = append(cases, worst{r.texts[i], r.Cases[i], said(r.texts[i].Reference), said(r.texts[i].Candidate)})
	}
	err = page.Execute(out, struct {
		*Report
		Table             []figure
		ByFinding, ByCase template.HTML
		Worst             []worst
	}{r, r.table(), byFinding, byCase, cases})
	if err != nil {
		return fmt.Errorf("metrics: page: %w", err)
	}
	return nil
}

// said lists the findings that a text calls present or possible.
func said(text string) string {
	var out []string
	for f, yes := range Statements(text) {
		if yes {
			out = append(out, study.Finding(f).String())
		}
	}
	if len(out) == 0 {
		return "no finding"
	}
	return strings.Join(out, ", ")
}

// plotFindings draws clinical F1 by finding.
func (r *Report) plotFindings() (template.HTML, error) {
	var values plotter.Values
	var labels []string
	for i := len(r.Findings[Clinical]) - 1; i >= 0; i-- {
		f := r.Findings[Clinical][i]
		values, labels = append(values, f.F1), append(labels, fmt.Sprintf("%s (%d)", f.Finding, f.Right+f.Missed))
	}
	bars, err := plotter.NewBarChart(values, vg.Points(9))
	if err != nil {
		return "", err
	}
	bars.Horizontal, bars.Color, bars.LineStyle.Width = true, barColour, 0
	p := plot.New()
	p.Title.Text, p.X.Label.Text = "Clinical F1 by finding (times in the references)", "F1"
	p.X.Min, p.X.Max = 0, 1
	p.Add(bars)
	p.NominalY(labels...)
	return drawn(p, 4.5*vg.Inch)
}

// plotCases draws how ROUGE-L is spread over the pairs.
func (r *Report) plotCases() (template.HTML, error) {
	const bins = 20
	var values plotter.Values
	for _, c := range r.Cases {
		values = append(values, c.Figures[Paper]["ROUGE-L"])
	}
	histogram, err := plotter.NewHist(values, bins)
	if err != nil {
		return "", err
	}
	histogram.FillColor, histogram.LineStyle.Width = barColour, vg.Points(0.3)
	p := plot.New()
	p.Title.Text, p.X.Label.Text, p.Y.Label.Text = "ROUGE-L (paper) of single pairs", "F", "pairs"
	p.Add(histogram)
	return drawn(p, 2.5*vg.Inch)
}

func drawn(p *plot.Plot, height vg.Length) (template.HTML, error) {
	picture, err := p.WriterTo(7*vg.Inch, height, "svg")
	if err != nil {
		return "", err
	}
	var text bytes.Buffer
	if _, err := picture.WriteTo(&text); err != nil {
		return "", err
	}
	svg := text.String()
	return template.HTML(svg[max(strings.Index(svg, "<svg"), 0):]), nil // the XML head has no place within a page
}
