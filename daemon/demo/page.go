package demo

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"time"

	"llamaxr/study"
)

//go:embed page.html
var pageHTML string

// Page is what index.html shows.
type Page struct {
	Engine  string
	Version string
	Took    time.Duration
	Studies []Study
}

// Study is one study of the page: truth, draft and the files beside it, by paths relative to the page.
type Study struct {
	Title      string
	Truth      []study.Finding // drawn into the phantom
	Scored     []Scored        // at or above the operating point
	Draft      study.Draft
	Images     []Picture
	HeatMap    string
	Chart      string
	Documents  []Document
	ToDelivery time.Duration // from the last image's success to the narrative's arrival
}

// Scored is a finding at or above the operating point and the higher of its two scores.
type Scored struct {
	Finding study.Finding
	Score   string
	View    study.Projection
	True    bool
}

// Picture is an input image.
type Picture struct {
	File, Caption string
}

// Document is a DICOM object that the receiver was sent.
type Document struct {
	File, Kind, Text string
}

// Missed are the findings that the phantom has and the scores do not reach.
func (s Study) Missed() []study.Finding {
	var out []study.Finding
	for _, f := range s.Truth {
		if !s.Draft.Scores.Present(f) {
			out = append(out, f)
		}
	}
	return out
}

// Sentences returns the sentences of a section.
func (s Study) Sentences(section study.Section) []study.Sentence {
	var out []study.Sentence
	for _, sentence := range s.Draft.Sentences {
		if sentence.Section == section {
			out = append(out, sentence)
		}
	}
	return out
}

func scored(draft study.Draft, truth []study.Finding) []Scored {
	drawn := map[study.Finding]bool{}
	for _, f := range truth {
		drawn[f] = true
	}
	var out []Scored
	for _, f := range study.Findings() {
		if draft.Scores.Present(f) {
			score, view := draft.Scores.Combined(f)
			out = append(out, Scored{f, study.ShownScore(score), view, drawn[f]})
		}
	}
	return out
}

// WriteTo writes the page as one HTML document that needs nothing from elsewhere but the files it names.
func (p Page) write(w io.Writer) error {
	page, err := template.New("page").Funcs(template.FuncMap{
		"seconds": func(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) },
		"warning": func() string { return study.StarterWarning },
		"lead":    func() string { return study.DraftWarning },
	}).Parse(pageHTML)
	if err != nil {
		return fmt.Errorf("demo: page template: %w", err)
	}
	if err := page.Execute(w, p); err != nil {
		return fmt.Errorf("demo: writing the page: %w", err)
	}
	return nil
}
