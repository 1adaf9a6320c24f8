package study

// Region is where a heat map is strongest: a rectangle in the full image's columns and rows.
type Region struct {
	Left, Top, Right, Bottom float64
}

// HeatMap is a class-activation map of one finding on one view over the classifier's input.
type HeatMap struct {
	View    Projection
	Finding Finding
	// Size is the side of Values, a square row by row of values in [0, 1].
	Size   int
	Values []float32
	// Region encloses the strongest part in the full image; nil when nothing stands out.
	Region *Region
}

// RegionOf is where a finding's heat map on a view is strongest; nil when nothing stands out, or there is no such map.
func RegionOf(maps []HeatMap, view Projection, f Finding) *Region {
	for _, m := range maps {
		if m.View == view && m.Finding == f {
			return m.Region
		}
	}
	return nil
}

// Section is a part of a report.
type Section string

// Sections of a draft.
const (
	SectionFindings   Section = "findings"
	SectionImpression Section = "impression"
)

// Polarity is what a sentence says of a finding.
type Polarity string

// Polarities.
const (
	Present   Polarity = "present"
	Absent    Polarity = "absent"
	Uncertain Polarity = "uncertain"
)

// Evidence ties a sentence to a score.
type Evidence struct {
	Finding  Finding    `json:"finding"`
	Polarity Polarity   `json:"polarity"` // what the sentence says
	View     Projection `json:"view"`     // the view with the higher score
	Score    float32    `json:"score"`
	Region   *Region    `json:"region,omitempty"`
}

// Verdict is what the guard made of a sentence.
type Verdict string

// Verdicts.
const (
	VerdictKept      Verdict = "kept"      // the sentence agrees with the scores, or speaks of none
	VerdictRewritten Verdict = "rewritten" // the model's sentence contradicted the scores; the one that it wrote then does not
	VerdictReplaced  Verdict = "replaced"  // the model's sentence contradicted the scores; a template sentence stands instead
	VerdictAdded     Verdict = "added"     // a template sentence for what the model left out
	VerdictRemoved   Verdict = "removed"   // the sentence claims what cannot be known (a prior, a measurement, a side never scored)
)

// Sentence is one sentence of a draft with what it rests on.
type Sentence struct {
	Section  Section    `json:"section"`
	Text     string     `json:"text"`
	Evidence []Evidence `json:"evidence,omitempty"`
	Verdict  Verdict    `json:"verdict"`
	Original string     `json:"original,omitempty"` // the model's own first sentence when rewritten, replaced or removed
	Reason   string     `json:"reason,omitempty"`   // why the verdict is not kept
}

// ModelCard names a model that took part in a draft.
type ModelCard struct {
	Role    string `json:"role"` // "classifier", "language model", "adapter", "view classifier"
	Name    string `json:"name"`
	Version string `json:"version"`
	Digest  string `json:"digest"`  // SHA-256 of the weights, hex
	Starter bool   `json:"starter"` // part of the starter bundle: not for clinical use
}

// Draft is a report written for one revision of a study.
type Draft struct {
	StudyInstanceUID string      `json:"study_instance_uid"`
	Revision         int         `json:"revision"` // from 1
	Pair             Pair        `json:"pair"`
	Scores           PairScores  `json:"scores"`
	Template         string      `json:"template"` // name and version of the prompt template
	Prompt           string      `json:"prompt"`
	Raw              string      `json:"raw"` // the language model's text, untouched
	Sentences        []Sentence  `json:"sentences"`
	Models           []ModelCard `json:"models"`
	Engine           string      `json:"engine"`            // what computed it, for example "xla:cpu"
	Partial          string      `json:"partial,omitempty"` // why the draft is not complete, for example "lateral not received"
}

// Text returns the sentences of one section joined by spaces, without those removed.
func (d Draft) Text(section Section) string {
	text := ""
	for _, s := range d.Sentences {
		if s.Section != section || s.Verdict == VerdictRemoved {
			continue
		}
		if text != "" {
			text += " "
		}
		text += s.Text
	}
	return text
}

// Starter reports whether any model of the draft is of the starter bundle.
func (d Draft) Starter() bool {
	for _, m := range d.Models {
		if m.Starter {
			return true
		}
	}
	return false
}

// StarterWarning stands on everything that a starter model had a part in.
const StarterWarning = "STARTER MODELS - NOT FOR CLINICAL USE"

// DraftWarning leads findings and impression of every draft.
const DraftWarning = "AI draft, not reviewed by a physician"
