package tune

import (
	_ "embed"
	"fmt"
	"html/template"
	"image/color"
	"os"
	"path/filepath"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
)

//go:embed page.html
var pageText string

// WritePage writes one page about a run to path, and its curves as PNG beside it.
func WritePage(r *Record, path string) error {
	curve := strings.TrimSuffix(path, filepath.Ext(path)) + "-loss.png"
	if err := writeCurve(r, curve); err != nil {
		return err
	}
	page, err := template.New("run").Funcs(template.FuncMap{
		"number": func(v float64) string { return fmt.Sprintf("%.3f", v) },
		"signed": func(v float64) string { return fmt.Sprintf("%+.3f", v) },
	}).Parse(pageText)
	if err != nil {
		return fmt.Errorf("tune: %w", err)
	}
	file, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("tune: %w", err)
	}
	if err := page.Execute(file, struct {
		*Record
		Curve string
	}{r, filepath.Base(curve)}); err != nil {
		file.Close()
		return fmt.Errorf("tune: %w", err)
	}
	return file.Close()
}

// writeCurve draws training and validation loss by step.
func writeCurve(r *Record, path string) error {
	p := plot.New()
	p.Title.Text = "Run " + r.ID + ": loss by step"
	p.X.Label.Text, p.Y.Label.Text = "step", "cross-entropy of a token, nats"
	add := func(name string, points []Point, paint color.Color) error {
		if len(points) == 0 {
			return nil
		}
		var xy plotter.XYs
		for _, at := range points {
			xy = append(xy, plotter.XY{X: float64(at.Step), Y: at.Loss})
		}
		line, err := plotter.NewLine(xy)
		if err != nil {
			return fmt.Errorf("tune: curve: %w", err)
		}
		line.Color, line.Width = paint, vg.Points(1.5)
		p.Add(line)
		p.Legend.Add(name, line)
		return nil
	}
	p.Add(plotter.NewGrid())
	p.Legend.Top = true
	if err := add("training", r.Losses, color.RGBA{0x2b, 0x6c, 0xb0, 0xff}); err != nil {
		return err
	}
	if err := add("held-out patients", r.Validation, color.RGBA{0xc0, 0x56, 0x21, 0xff}); err != nil {
		return err
	}
	if err := p.Save(7*vg.Inch, 3.5*vg.Inch, path); err != nil {
		return fmt.Errorf("tune: curve: %w", err)
	}
	return nil
}
