// Package picture draws what a radiologist looks at beside a draft: the heat map over each view, and the chart of the 18 scores of
// both views. Every picture carries the words that it is a draft; those of starter models that they are not for clinical use.
package picture

import (
	"cmp"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"math"
	"slices"

	"llamaxr/study"

	"golang.org/x/image/font"
	"golang.org/x/image/font/gofont/gobold"
	"golang.org/x/image/font/gofont/goregular"
	"golang.org/x/image/font/opentype"
	"golang.org/x/image/math/fixed"
)

// View is one view as it is drawn: 8-bit grey levels, and how they lie in the full image.
type View struct {
	Projection study.Projection
	Image      *image.Gray
	// Factor is full image pixels per pixel of Image.
	Factor   float64
	Geometry study.Geometry
}

// Colours of the pictures: dark, as reading rooms are.
var (
	background = color.RGBA{14, 16, 19, 255}
	ink        = color.RGBA{232, 232, 234, 255}
	dim        = color.RGBA{166, 171, 181, 255}
	line       = color.RGBA{49, 53, 61, 255}
	warning    = color.RGBA{255, 198, 107, 255}
	frontalBar = color.RGBA{108, 166, 255, 255}
	lateralBar = color.RGBA{127, 209, 160, 255}
	weak       = 0.45 // of a bar below the operating point
)

// writer draws text in one face.
type writer struct {
	on   *image.RGBA
	face font.Face
}

func newWriter(on *image.RGBA, data []byte, size float64) (writer, error) {
	parsed, err := opentype.Parse(data)
	if err != nil {
		return writer{}, fmt.Errorf("picture: font: %w", err)
	}
	face, err := opentype.NewFace(parsed, &opentype.FaceOptions{Size: size, DPI: 72, Hinting: font.HintingFull})
	if err != nil {
		return writer{}, fmt.Errorf("picture: font: %w", err)
	}
	return writer{on, face}, nil
}

func (w writer) text(x, y int, c color.Color, text string) {
	d := font.Drawer{Dst: w.on, Src: image.NewUniform(c), Face: w.face, Dot: fixed.P(x, y)}
	d.DrawString(text)
}

func (w writer) width(text string) int { return font.MeasureString(w.face, text).Ceil() }

func fill(on *image.RGBA, r image.Rectangle, c color.Color) {
	draw.Draw(on, r, image.NewUniform(c), image.Point{}, draw.Src)
}

func notices(d study.Draft) string {
	if d.Starter() {
		return "AI DRAFT - NOT FOR DIAGNOSIS      " + study.StarterWarning
	}
	return "AI DRAFT - NOT FOR DIAGNOSIS"
}

// Sizes of the chart in pixels.
const (
	chartWidth = 1000
	rowHeight  = 46
	nameWidth  = 330
	chartTop   = 132
	barHeight  = 15
)

// Chart draws 18 rows with a bar for each view, the operating point as a line, present findings in bold.
func Chart(d study.Draft) (*image.RGBA, error) {
	on := image.NewRGBA(image.Rect(0, 0, chartWidth, chartTop+study.NumFindings*rowHeight+76))
	fill(on, on.Bounds(), background)
	plain, err := newWriter(on, goregular.TTF, 19)
	if err != nil {
		return nil, err
	}
	bold, err := newWriter(on, gobold.TTF, 19)
	if err != nil {
		return nil, err
	}
	title, err := newWriter(on, gobold.TTF, 25)
	if err != nil {
		return nil, err
	}
	title.text(28, 46, ink, "Probability of 18 findings by view")
	x := 28
	for _, view := range []struct {
		p study.Projection
		c color.RGBA
	}{{study.Frontal, frontalBar}, {study.Lateral, lateralBar}} {
		label := view.p.String()
		if d.Scores.Of(view.p) == nil {
			label += " (not acquired)"
		}
		fill(on, image.Rect(x, 70, x+18, 88), view.c)
		plain.text(x+26, 86, dim, label)
		x += 60 + plain.width(label)
	}
	plain.text(x, 86, dim, "0.50 is the operating point")
	left, right := nameWidth, chartWidth-170
	at := func(v float64) int { return left + int(v*float64(right-left)) }
	for _, tick := range []float64{0, 0.25, 0.5, 0.75, 1} {
		c := line
		if tick == 0.5 {
			c = warning
		}
		fill(on, image.Rect(at(tick), chartTop-8, at(tick)+2, chartTop+study.NumFindings*rowHeight), c)
		plain.text(at(tick)-18, chartTop-14, dim, fmt.Sprintf("%.2f", tick))
	}
	for _, f := range study.Findings() {
		y := chartTop + int(f)*rowHeight
		name := plain
		if d.Scores.Present(f) {
			name = bold
		}
		name.text(28, y+28, ink, f.String())
		values := ""
		for i, view := range []study.Projection{study.Frontal, study.Lateral} {
			s := d.Scores.Of(view)
			if !s.Scored(f) {
				values += " n/a   "
				continue
			}
			values += study.ShownScore(s[f]) + "   "
			c := []color.RGBA{frontalBar, lateralBar}[i]
			if s[f] < study.OperatingPoint {
				c = mix(background, c, weak)
			}
			top := y + 6 + i*(barHeight+2)
			fill(on, image.Rect(left, top, max(at(float64(s[f])), left+2), top+barHeight), c)
		}
		name.text(right+30, y+28, ink, values)
	}
	bottom := chartTop + study.NumFindings*rowHeight
	bold.text(28, bottom+46, warning, notices(d))
	return on, nil
}

func mix(a, b color.RGBA, t float64) color.RGBA {
	at := func(x, y uint8) uint8 { return uint8(float64(x) + (float64(y)-float64(x))*t) }
	return color.RGBA{at(a.R, b.R), at(a.G, b.G), at(a.B, b.B), 255}
}

// Sizes of the heat map in pixels.
const (
	panel     = 620
	headRoom  = 92
	footRoom  = 52
	panelEdge = 12
)

// HeatMaps draws each view with the map of its highest present finding over it, or of its highest finding, said to be below the
// operating point, and the region outlined.
func HeatMaps(d study.Draft, maps []study.HeatMap, views []View) (*image.RGBA, error) {
	width := panelEdge + len(views)*(panel+panelEdge)
	on := image.NewRGBA(image.Rect(0, 0, width, headRoom+panel+footRoom))
	fill(on, on.Bounds(), background)
	bold, err := newWriter(on, gobold.TTF, 21)
	if err != nil {
		return nil, err
	}
	plain, err := newWriter(on, goregular.TTF, 17)
	if err != nil {
		return nil, err
	}
	for i, v := range views {
		left := panelEdge + i*(panel+panelEdge)
		scores := d.Scores.Of(v.Projection)
		f, best := study.Finding(0), float32(-1)
		for _, g := range study.Findings() {
			if scores.Scored(g) && scores[g] > best {
				f, best = g, scores[g]
			}
		}
		said := "at or above the operating point"
		if best < study.OperatingPoint {
			said = "no finding reaches the operating point; the highest is shown"
		} else if others := alsoReached(scores, f, panel, plain.width); others != "" {
			said = others
		}
		bold.text(left, 34, ink, fmt.Sprintf("%s: %s %s", v.Projection, f, study.ShownScore(best)))
		plain.text(left, 66, dim, said)
		var over *study.HeatMap
		for k := range maps {
			if maps[k].View == v.Projection && maps[k].Finding == f {
				over = &maps[k]
			}
		}
		overlay(on, image.Pt(left, headRoom), v, over, best >= study.OperatingPoint)
	}
	bold.text(panelEdge, headRoom+panel+36, warning, notices(d))
	return on, nil
}

// alsoReached names the findings of a view that reach the operating point too, highest first, and how many of them room does not hold.
func alsoReached(scores *study.Scores, shown study.Finding, room int, width func(string) int) string {
	var others []study.Finding
	for _, f := range study.Findings() {
		if f != shown && scores.Scored(f) && scores[f] >= study.OperatingPoint {
			others = append(others, f)
		}
	}
	slices.SortStableFunc(others, func(a, b study.Finding) int { return cmp.Compare(scores[b], scores[a]) })
	text := ""
	for i, f := range others {
		next := fmt.Sprintf("also at or above the operating point: %s %s", f, study.ShownScore(scores[f]))
		if text != "" {
			next = fmt.Sprintf("%s, %s %s", text, f, study.ShownScore(scores[f]))
		}
		more := len(others) - i
		if rest := fmt.Sprintf(" and %d more", more); text != "" && width(next+rest) > room && (more > 1 || width(next) > room) {
			return text + rest
		}
		text = next
	}
	return text
}

// overlay draws one view, its heat map and region into a square panel.
func overlay(on *image.RGBA, at image.Point, v View, m *study.HeatMap, present bool) {
	size := v.Image.Bounds().Size()
	scale := min(float64(panel)/float64(size.X), float64(panel)/float64(size.Y))
	offset := image.Pt(at.X+int((panel-float64(size.X)*scale)/2), at.Y+int((panel-float64(size.Y)*scale)/2))
	for y := range int(float64(size.Y) * scale) {
		for x := range int(float64(size.X) * scale) {
			px, py := float64(x)/scale, float64(y)/scale
			g := v.Image.GrayAt(int(px), int(py)).Y
			c := color.RGBA{g, g, g, 255}
			if m != nil {
				// Where the classifier's input lies in the full image.
				ix := (px*v.Factor - v.Geometry.X) / v.Geometry.Scale
				iy := (py*v.Factor - v.Geometry.Y) / v.Geometry.Scale
				if ix >= 0 && iy >= 0 && ix < study.InputSize && iy < study.InputSize {
					c = heat(c, sample(m, ix/study.InputSize, iy/study.InputSize), present)
				}
			}
			on.SetRGBA(offset.X+x, offset.Y+y, c)
		}
	}
	if m == nil || m.Region == nil || !present {
		return
	}
	corner := func(x, y float64) image.Point {
		return image.Pt(offset.X+int(x/v.Factor*scale), offset.Y+int(y/v.Factor*scale))
	}
	outline(on, image.Rectangle{Min: corner(m.Region.Left, m.Region.Top), Max: corner(m.Region.Right, m.Region.Bottom)})
}

// sample interpolates the map at a share of its sides.
func sample(m *study.HeatMap, x, y float64) float64 {
	fx, fy := x*float64(m.Size)-0.5, y*float64(m.Size)-0.5
	at := func(x, y int) float64 {
		return float64(m.Values[min(max(y, 0), m.Size-1)*m.Size+min(max(x, 0), m.Size-1)])
	}
	x0, y0 := int(math.Floor(fx)), int(math.Floor(fy))
	dx, dy := fx-float64(x0), fy-float64(y0)
	return (at(x0, y0)*(1-dx)+at(x0+1, y0)*dx)*(1-dy) + (at(x0, y0+1)*(1-dx)+at(x0+1, y0+1)*dx)*dy
}

// heat tints a grey from blue through yellow to red; what is below a third stays grey, so that anatomy can be read.
func heat(c color.RGBA, v float64, present bool) color.RGBA {
	t := min(max((v-0.33)/0.67, 0), 1)
	opacity := 0.5 * t
	if !present {
		opacity *= 0.4
	}
	tint := color.RGBA{uint8(255 * min(1, 2*t)), uint8(255 * (1 - math.Abs(2*t-1))), uint8(255 * max(0, 1-2*t)), 255}
	return mix(c, tint, opacity)
}

func outline(on *image.RGBA, r image.Rectangle) {
	const stroke = 3
	fill(on, image.Rect(r.Min.X, r.Min.Y, r.Max.X, r.Min.Y+stroke), warning)
	fill(on, image.Rect(r.Min.X, r.Max.Y-stroke, r.Max.X, r.Max.Y), warning)
	fill(on, image.Rect(r.Min.X, r.Min.Y, r.Min.X+stroke, r.Max.Y), warning)
	fill(on, image.Rect(r.Max.X-stroke, r.Min.Y, r.Max.X, r.Max.Y), warning)
}
