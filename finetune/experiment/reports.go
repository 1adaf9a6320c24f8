package experiment

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"

	"llamaxr/finetune/corrections"
	"llamaxr/reporting/labeler"
	"llamaxr/study"
)

// Report is a public report with both sections, the views it was written about and what people indexed it by.
type Report struct {
	UID              int
	Text             corrections.Report
	Frontal, Lateral bool
	Present          [study.NumFindings]bool
}

// Plain is the report without headings, as it is compared.
func (r Report) Plain() string { return r.Text.Findings + " " + r.Text.Impression }

// maxLine bounds a line of the reports; the longest has 4 KiB.
const maxLine = 1 << 20

// ReadReports reads the IU reports, JSON line by line. Those that lack a section are left out. What is present is what the MeSH terms say, and
// of the two findings that they have no term for what the text says.
func ReadReports(in io.Reader) ([]Report, error) {
	var out []Report
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, maxLine)
	for n := 1; lines.Scan(); n++ {
		var raw struct {
			UID                  int
			Findings, Impression string
			Terms                []string `json:"mesh_major"`
			Images               []struct{ Projection string }
		}
		if err := json.Unmarshal(lines.Bytes(), &raw); err != nil {
			return nil, fmt.Errorf("experiment: reports, line %d: %w", n, err)
		}
		if raw.Findings == "" || raw.Impression == "" {
			continue
		}
		r := Report{UID: raw.UID, Text: corrections.Report{Findings: raw.Findings, Impression: raw.Impression}}
		for _, image := range raw.Images {
			r.Frontal = r.Frontal || image.Projection == "frontal"
			r.Lateral = r.Lateral || image.Projection == "lateral"
		}
		r.Frontal = r.Frontal || !r.Lateral // one whose views are not told
		if !slices.Contains(raw.Terms, "normal") {
			for f, said := range labeler.Label(r.Plain()) {
				r.Present[f] = said == study.Present
			}
		}
		terms := labeler.FromMeSH(raw.Terms)
		for _, f := range labeler.InMeSH() {
			r.Present[f] = terms[f]
		}
		out = append(out, r)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("experiment: reports: %w", err)
	}
	if len(out) == 0 {
		return nil, errors.New("experiment: reports: none has findings and an impression")
	}
	return out, nil
}

// part is the side of the split that a report falls on.
type part int

const (
	toTrain part = iota
	toValidate
	toTest
)

// partOf divides by the report's uid, which is one patient's: eight tenths, one, one.
func partOf(uid int) part {
	switch rand.New(rand.NewPCG(uint64(uid), streamSplit)).IntN(10) {
	case 0:
		return toTest
	case 1:
		return toValidate
	}
	return toTrain
}

// split returns the reports of one part.
func split(all []Report, want part) (out []Report) {
	for _, r := range all {
		if partOf(r.UID) == want {
			out = append(out, r)
		}
	}
	return out
}

// Streams of random numbers: what is drawn for one thing never hangs on another.
const (
	streamSplit = iota + 101
	streamScores
	streamOrder
	streamBatch
	streamChange
)
