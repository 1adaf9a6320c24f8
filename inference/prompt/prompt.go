// Package prompt fills the prompt templates: "paper", figure 4 of LLaMA-XR (arXiv 2506.03178) word for word, and "grounded", ours,
// because 36 bare floats are a poor input (the paper's recipe, reproduced independently, wrote nearly the same report whatever the scores
// were). grounded/1 is the Alpaca form with each finding named beside its two scores; grounded/2 is short and names what is to be said, in
// the order in which it is to be said, so that a model of 135 million parameters follows and a step costs a fifth. An adapter's manifest
// names the template it was trained on.
package prompt

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math"
	"strconv"
	"strings"

	"llamaxr/study"
)

const alpaca = "Below is an instruction that describes a task, paired with an input that provides further context. " +
	"Write a response that appropriately completes the request.\n\n### Instruction:\n%s\n\n### Input:\n"

const paperInstruction = "Generate a medical report based on the given classification scores from a patient's X-ray, which includes " +
	"two views: Frontal and Lateral. The classification scores consist of 18 values for each view, representing the confidence scores " +
	"for 18 different medical conditions. For both the Frontal and Lateral views, these conditions are as follows: Atelectasis, " +
	"Cardiomegaly, Consolidation, Edema, Effusion, Emphysema, Enlarged Cardiomediastinum, Fibrosis, Fracture, Hernia, Infiltration, " +
	"Lung Lesion, Lung Opacity, Mass, Nodule, Pleural Thickening, Pneumonia, and Pneumothorax. The first 18 values correspond to the " +
	"Frontal view, while the remaining 18 values correspond to the Lateral view."

const groundedInstruction = "Generate a medical report based on the given classification scores from a patient's X-ray, which includes " +
	"two views: Frontal and Lateral. Each line names a condition and gives its confidence scores on the Frontal and the Lateral view; " +
	"0.50 and above is positive, n/a was not acquired. Say what is positive on either view and nothing else."

const plannedInstruction = "Report a chest X-ray. Scores in percent, frontal/lateral.\n"

// Template is one way to put 36 scores into words.
type Template struct {
	Name string // with its version: "paper/1", "grounded/2"
	Head string // constant, so that a model's state after it can be kept
	Tail string // constant, before the response
	body func(study.PairScores) string
}

// Templates by name.
var (
	Paper    = Template{"paper/1", fmt.Sprintf(alpaca, paperInstruction), "\n\n### Response:\n", paperBody}
	Grounded = Template{"grounded/1", fmt.Sprintf(alpaca, groundedInstruction), "\n\n### Response:\n", groundedBody}
	Planned  = Template{"grounded/2", plannedInstruction, "\nReport:\n", plannedBody}
)

// ByName returns the template an adapter's manifest names.
func ByName(name string) (Template, error) {
	for _, t := range []Template{Paper, Grounded, Planned} {
		if t.Name == name {
			return t, nil
		}
	}
	return Template{}, fmt.Errorf("prompt: unknown template %q", name)
}

// Fill returns the whole prompt.
func (t Template) Fill(scores study.PairScores) string { return t.Head + t.body(scores) + t.Tail }

// Digest is the SHA-256 of the prompt without scores, hexadecimal: it changes with every word of the template.
func (t Template) Digest() string {
	sum := sha256.Sum256([]byte(t.Fill(study.PairScores{})))
	return hex.EncodeToString(sum[:])
}

// Headings that begin another prompt, which models that were not trained to end write after a report.
var otherPrompt = []string{"###", "\nReport:", "\nPresent:"}

const findings = "FINDINGS:"

// End is where a text ceases to be one report: where it begins another prompt or another report. It is -1 while it does neither.
func (Template) End(text string) int {
	end := -1
	earlier := func(at int) {
		if at >= 0 && (end < 0 || at < end) {
			end = at
		}
	}
	for _, heading := range otherPrompt {
		earlier(strings.Index(text, heading))
	}
	if first := strings.Index(text, findings); first >= 0 {
		if second := strings.Index(text[first+len(findings):], findings); second >= 0 {
			earlier(first + len(findings) + second)
		}
	}
	return end
}

// paperBody is a Python list of the 36 scores rounded to 3 decimals, frontal first; a view that was not acquired, and a
// finding that the classifier does not score, is None.
func paperBody(scores study.PairScores) string {
	var parts []string
	for _, view := range []study.Projection{study.Frontal, study.Lateral} {
		s := scores.Of(view)
		for _, f := range study.Findings() {
			if !s.Scored(f) {
				parts = append(parts, "None")
				continue
			}
			text := strconv.FormatFloat(math.Round(float64(s[f])*1000)/1000, 'f', -1, 64)
			if !strings.Contains(text, ".") {
				text += ".0"
			}
			parts = append(parts, text)
		}
	}
	return "[" + strings.Join(parts, ", ") + "]"
}

// groundedBody is a line a finding.
func groundedBody(scores study.PairScores) string {
	var lines []string
	for _, f := range study.Findings() {
		lines = append(lines, fmt.Sprintf("%s: %s %s", f, cut(scores.Frontal, f), cut(scores.Lateral, f)))
	}
	return strings.Join(lines, "\n")
}

func cut(s *study.Scores, f study.Finding) string {
	if !s.Scored(f) {
		return "n/a"
	}
	return study.ShownScore(s[f])
}

// plannedBody names what is present, then what is possible, each with both scores in whole percent, - where a view was not acquired or the
// finding is not scored on it; then, where there are any, the findings that no view scores. What is not named is absent.
func plannedBody(scores study.PairScores) string {
	var present, possible, unknown []string
	for _, f := range study.Findings() {
		named := fmt.Sprintf("%s %s/%s", f, percent(scores.Frontal, f), percent(scores.Lateral, f))
		switch {
		case !scores.Scored(f):
			unknown = append(unknown, f.String())
		case scores.Sure(f):
			present = append(present, named)
		case scores.Present(f):
			possible = append(possible, named)
		}
	}
	list := func(name string, findings []string) string {
		if len(findings) == 0 {
			findings = []string{"none"}
		}
		return name + ": " + strings.Join(findings, ", ")
	}
	text := list("Present", present) + "\n" + list("Possible", possible)
	if len(unknown) > 0 {
		text += "\n" + list("Not scored", unknown)
	}
	return text
}

func percent(s *study.Scores, f study.Finding) string {
	if !s.Scored(f) {
		return "-"
	}
	return strconv.Itoa(study.Hundredths(s[f]))
}
