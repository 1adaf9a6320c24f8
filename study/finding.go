package study

import (
	"fmt"
	"strings"
)

// Finding is one of the 18 conditions that the classifier scores, numbered in the alphabetical order of the paper's prompt.
type Finding int

// The 18 findings in the order of the paper's prompt (arXiv 2506.03178, figure 4).
const (
	Atelectasis Finding = iota
	Cardiomegaly
	Consolidation
	Edema
	Effusion
	Emphysema
	EnlargedCardiomediastinum
	Fibrosis
	Fracture
	Hernia
	Infiltration
	LungLesion
	LungOpacity
	Mass
	Nodule
	PleuralThickening
	Pneumonia
	Pneumothorax
)

// NumFindings is the number of findings scored on each view.
const NumFindings = 18

var findingNames = [NumFindings]string{
	"Atelectasis", "Cardiomegaly", "Consolidation", "Edema", "Effusion", "Emphysema", "Enlarged Cardiomediastinum",
	"Fibrosis", "Fracture", "Hernia", "Infiltration", "Lung Lesion", "Lung Opacity", "Mass", "Nodule",
	"Pleural Thickening", "Pneumonia", "Pneumothorax",
}

// Findings returns all findings in the paper's order.
func Findings() []Finding {
	all := make([]Finding, NumFindings)
	for i := range all {
		all[i] = Finding(i)
	}
	return all
}

// String returns the finding's name as the paper's prompt spells it.
func (f Finding) String() string {
	if f < 0 || int(f) >= NumFindings {
		return fmt.Sprintf("Finding(%d)", int(f))
	}
	return findingNames[f]
}

// ParseFinding returns the finding of that name. Letter case is ignored and an underscore counts as a space, as in
// torchxrayvision's "Pleural_Thickening".
func ParseFinding(name string) (Finding, error) {
	want := strings.ReplaceAll(strings.TrimSpace(name), "_", " ")
	for i, have := range findingNames {
		if strings.EqualFold(have, want) {
			return Finding(i), nil
		}
	}
	return 0, fmt.Errorf("study: unknown finding %q", name)
}

// MarshalText writes the finding's name.
func (f Finding) MarshalText() ([]byte, error) {
	if f < 0 || int(f) >= NumFindings {
		return nil, fmt.Errorf("study: finding %d out of range", int(f))
	}
	return []byte(f.String()), nil
}

// UnmarshalText reads the finding's name.
func (f *Finding) UnmarshalText(text []byte) error {
	parsed, err := ParseFinding(string(text))
	if err != nil {
		return err
	}
	*f = parsed
	return nil
}
