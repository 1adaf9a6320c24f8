package pdf

import (
	"bytes"
	"fmt"
	"image"
	"image/jpeg"
	"strings"
	"time"

	"llamaxr/study"

	"codeberg.org/go-pdf/fpdf"
	"golang.org/x/image/font/gofont/gobold"
	"golang.org/x/image/font/gofont/goregular"
	"golang.org/x/image/font/sfnt"
)

// Measures in millimetres on A4, and text sizes in points: a long text is set smaller until it fits one page.
const (
	margin      = 14.0
	textWidth   = 210 - 2*margin
	pictureMost = 104.0 // height of the heat map
	largest     = 10.0
	smallest    = 6.0
	jpegQuality = 90
)

// Page typesets a draft; heat is its heat map. A text that would not fit one page at a size that can be read goes on to a second.
func Page(d study.Draft, patient *study.Header, heat image.Image, made time.Time) ([]byte, error) {
	var picture bytes.Buffer
	if err := jpeg.Encode(&picture, heat, &jpeg.Options{Quality: jpegQuality}); err != nil {
		return nil, fmt.Errorf("pdf: heat map: %w", err)
	}
	known, err := sfnt.Parse(goregular.TTF)
	if err != nil {
		return nil, fmt.Errorf("pdf: font: %w", err)
	}
	for size := largest; ; size-- {
		p := &page{Fpdf: fpdf.New("P", "mm", "A4", ""), size: size, known: known}
		p.set(d, patient, picture.Bytes(), heat.Bounds().Size(), made)
		if p.Error() == nil && p.PageCount() > 1 && size > smallest {
			continue
		}
		var out bytes.Buffer
		if err := p.Output(&out); err != nil {
			return nil, fmt.Errorf("pdf: %w", err)
		}
		return out.Bytes(), nil
	}
}

type page struct {
	*fpdf.Fpdf
	size  float64 // of the running text
	known *sfnt.Font
}

// set writes the page from its head to its foot.
func (p *page) set(d study.Draft, patient *study.Header, picture []byte, size image.Point, made time.Time) {
	p.SetCatalogSort(true)
	p.SetCreationDate(made.UTC())
	p.SetModificationDate(made.UTC())
	p.SetProducer("llamaxr", true)
	p.SetTitle("AI draft, not reviewed by a physician", true)
	p.SetMargins(margin, margin, margin)
	p.SetAutoPageBreak(true, margin)
	p.AddUTF8FontFromBytes("go", "", goregular.TTF)
	p.AddUTF8FontFromBytes("go", "B", gobold.TTF)
	p.AddPage()
	p.warnings(d)
	p.patient(patient, d, made)
	height := textWidth * float64(size.Y) / float64(max(size.X, 1))
	width := textWidth
	if height > pictureMost {
		width, height = width*pictureMost/height, pictureMost
	}
	p.RegisterImageOptionsReader("heat", fpdf.ImageOptions{ImageType: "JPG"}, bytes.NewReader(picture))
	p.ImageOptions("heat", (210-width)/2, p.GetY(), width, height, true, fpdf.ImageOptions{ImageType: "JPG"}, 0, "")
	p.Ln(2)
	for _, s := range []study.Section{study.SectionFindings, study.SectionImpression} {
		p.line("B", p.size+1, strings.ToUpper(string(s[:1]))+string(s[1:]))
		p.line("", p.size, d.Text(s))
		p.Ln(1.5)
	}
	p.scores(d.Scores)
	for _, m := range d.Models {
		p.line("", 6, fmt.Sprintf("%s: %s, version %s, SHA-256 %.16s", m.Role, m.Name, m.Version, m.Digest))
	}
}

// line writes a paragraph.
func (p *page) line(style string, size float64, text string) {
	p.SetFont("go", style, size)
	p.MultiCell(textWidth, size*0.47, p.shown(text), "", "L", false)
}

// warnings stand on top in a bar: what is no report must not look like one.
func (p *page) warnings(d study.Draft) {
	text := strings.ToUpper(study.DraftWarning)
	if d.Starter() {
		text += "\n" + study.StarterWarning
	}
	if d.Partial != "" {
		text += "\n" + d.Partial
	}
	p.SetFillColor(255, 224, 171)
	p.SetFont("go", "B", 11)
	p.MultiCell(textWidth, 6, p.shown(text), "1", "C", true)
	p.Ln(2)
}

func (p *page) patient(h *study.Header, d study.Draft, made time.Time) {
	name, _, _ := strings.Cut(h.PatientName, "=")
	name = strings.Join(strings.FieldsFunc(name, func(r rune) bool { return r == '^' }), " ")
	known := []string{name, h.PatientID, h.PatientSex}
	if h.PatientBirthDate != "" {
		known = append(known, "born "+study.PlainDate(h.PatientBirthDate))
	}
	p.line("B", 11, strings.Join(known, "   "))
	p.line("", 8, fmt.Sprintf("Study of %s, accession number %s, revision %d of the draft, made %s", study.PlainDate(h.StudyDate), h.AccessionNumber, d.Revision, made.Format("2006-01-02 15:04")))
	p.Ln(1.5)
}

// scores are set in three columns of six findings.
func (p *page) scores(s study.PairScores) {
	p.line("B", 8, "Scores, frontal / lateral (0.50 is the operating point)")
	const columns, rows = 3, 6
	for row := range rows {
		for column := range columns {
			f := study.Findings()[column*rows+row]
			style := ""
			if s.Present(f) {
				style = "B"
			}
			p.SetFont("go", style, 7)
			p.CellFormat(textWidth/columns, 3.4, fmt.Sprintf("%s  %s / %s", f, score(s.Frontal, f), score(s.Lateral, f)), "", 0, "L", false, 0, "")
		}
		p.Ln(3.4)
	}
	p.Ln(1.5)
}

func score(s *study.Scores, f study.Finding) string {
	if !s.Scored(f) {
		return "-"
	}
	return study.ShownScore(s[f])
}

// shown puts a question mark where the font has no sign: nothing is left out without a trace.
func (p *page) shown(text string) string {
	var buf sfnt.Buffer
	return strings.Map(func(r rune) rune {
		if r == '\n' {
			return r
		}
		if i, err := p.known.GlyphIndex(&buf, r); err != nil || i == 0 || r > 0xffff {
			return '?'
		}
		return r
	}, strings.ToValidUTF8(text, "?"))
}
