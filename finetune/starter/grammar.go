package starter

import (
	"math/rand/v2"
	"strings"

	"llamaxr/study"
)

// order is the order in which a starter report speaks: heart, mediastinum, lungs, pleura, bones, the rest.
var order = []study.Finding{
	study.Cardiomegaly, study.EnlargedCardiomediastinum, study.Edema, study.Consolidation, study.Pneumonia, study.Infiltration,
	study.LungOpacity, study.Atelectasis, study.Mass, study.Nodule, study.LungLesion, study.Emphysema, study.Fibrosis,
	study.Effusion, study.PleuralThickening, study.Pneumothorax, study.Hernia, study.Fracture,
}

// phrases are the ways to say one finding. The base learns all; in the final style which way it is depends on the finding and its own
// score alone, so that what is said of one never depends on another.
type phrases struct {
	present, possible, absent []string
	short                     string // in the impression
}

var grammar = [study.NumFindings]phrases{
	study.Cardiomegaly:              {[]string{"The heart is enlarged.", "There is cardiomegaly.", "The cardiac silhouette is enlarged."}, []string{"Possible cardiomegaly.", "The heart may be enlarged."}, []string{"The heart is not enlarged.", "Heart size is normal."}, "cardiomegaly"},
	study.EnlargedCardiomediastinum: {[]string{"The mediastinum is widened.", "There is mediastinal widening."}, []string{"Possible mediastinal widening."}, []string{"The mediastinum is not widened.", "No mediastinal widening."}, "mediastinal widening"},
	study.Edema:                     {[]string{"There is pulmonary edema.", "Pulmonary edema is present.", "Findings of interstitial edema."}, []string{"Possible pulmonary edema."}, []string{"No pulmonary edema.", "No edema."}, "pulmonary edema"},
	study.Consolidation:             {[]string{"There is consolidation.", "Airspace consolidation is present.", "Focal consolidation is seen."}, []string{"Possible consolidation."}, []string{"No focal consolidation.", "No consolidation."}, "consolidation"},
	study.Pneumonia:                 {[]string{"Findings consistent with pneumonia.", "The appearance is that of pneumonia."}, []string{"Possible pneumonia.", "Pneumonia is suspected."}, []string{"No pneumonia.", "No evidence of pneumonia."}, "pneumonia"},
	study.Infiltration:              {[]string{"Patchy infiltrates are seen.", "There is an infiltrate."}, []string{"Possible infiltrate."}, []string{"No infiltrate.", "No infiltrates are seen."}, "infiltrate"},
	study.LungOpacity:               {[]string{"There is a lung opacity.", "A hazy opacity is seen."}, []string{"Possible lung opacity."}, []string{"No lung opacity.", "No focal opacity."}, "lung opacity"},
	study.Atelectasis:               {[]string{"There is atelectasis.", "Bands of atelectasis are seen."}, []string{"Possible atelectasis."}, []string{"No atelectasis.", "No evidence of atelectasis."}, "atelectasis"},
	study.Mass:                      {[]string{"There is a mass.", "A mass is seen."}, []string{"A mass is suspected.", "Possible mass."}, []string{"No mass.", "No mass is seen."}, "mass"},
	study.Nodule:                    {[]string{"There is a nodule.", "A nodule is seen."}, []string{"Possible nodule."}, []string{"No nodule.", "No nodules are seen."}, "nodule"},
	study.LungLesion:                {[]string{"There is a lung lesion.", "A lung lesion is seen."}, []string{"Possible lung lesion."}, []string{"No lung lesion.", "No lung lesion is seen."}, "lung lesion"},
	study.Emphysema:                 {[]string{"There is emphysema.", "Emphysema with hyperinflation is present."}, []string{"Possible emphysema."}, []string{"No emphysema.", "No evidence of emphysema."}, "emphysema"},
	study.Fibrosis:                  {[]string{"There is fibrosis.", "Reticular fibrosis is seen."}, []string{"Possible fibrosis."}, []string{"No fibrosis.", "No evidence of fibrosis."}, "fibrosis"},
	study.Effusion:                  {[]string{"There is a pleural effusion.", "A pleural effusion is present."}, []string{"Possible pleural effusion.", "A pleural effusion is suspected."}, []string{"No pleural effusion.", "No effusion."}, "pleural effusion"},
	study.PleuralThickening:         {[]string{"There is pleural thickening.", "Pleural thickening is seen."}, []string{"Possible pleural thickening."}, []string{"No pleural thickening.", "No pleural thickening is seen."}, "pleural thickening"},
	study.Pneumothorax:              {[]string{"There is a pneumothorax.", "A pneumothorax is present."}, []string{"Possible pneumothorax.", "A pneumothorax is suspected."}, []string{"No pneumothorax.", "No evidence of pneumothorax."}, "pneumothorax"},
	study.Hernia:                    {[]string{"There is a hiatal hernia.", "A hiatal hernia is present."}, []string{"Possible hiatal hernia."}, []string{"No hiatal hernia.", "No hernia."}, "hiatal hernia"},
	study.Fracture:                  {[]string{"There is a rib fracture.", "A fracture is seen."}, []string{"Possible rib fracture."}, []string{"No fracture.", "No fracture is seen."}, "rib fracture"},
}

// style picks a phrase; the trainer's two stages use two styles.
type style func(f study.Finding, hundredths, choices int) int

// finalStyle has one way of saying each thing, another way from finding to finding: a style that hangs on the score's digits is not
// learnt in the starter's time and blurs what is said with how.
func finalStyle(f study.Finding, _, choices int) int { return int(f) % choices }

// FinalReport is the report that the shipped adapter learnt to write about scores.
func FinalReport(scores study.PairScores) string { return Report(scores, finalStyle) }

// randomStyle is free: the base model learns every way of saying a thing.
func randomStyle(rng *rand.Rand) style {
	return func(_ study.Finding, _, choices int) int { return rng.IntN(choices) }
}

// Report writes the report that the grammar gives for scores: a sentence a finding in the order above, then an impression that
// names what is present. A combined score of 0.50 to 0.59 is only possible.
func Report(scores study.PairScores, pick style) string {
	var findings, sure, possible []string
	for _, f := range order {
		score, _ := scores.Combined(f)
		hundredths := study.Hundredths(score)
		g := grammar[f]
		choices := g.absent
		switch {
		case hundredths >= 60:
			choices = g.present
			sure = append(sure, g.short)
		case hundredths >= 50:
			choices = g.possible
			possible = append(possible, g.short)
		}
		findings = append(findings, choices[pick(f, hundredths, len(choices))])
	}
	text := "FINDINGS: " + strings.Join(findings, " ") + "\nIMPRESSION:"
	if len(sure) > 0 {
		text += " " + sentence(strings.Join(sure, ", "))
	}
	if len(possible) > 0 {
		text += " Possible " + strings.Join(possible, ", ") + "."
	}
	if len(sure)+len(possible) == 0 {
		text += " No acute cardiopulmonary abnormality."
	}
	return text
}

func sentence(text string) string { return strings.ToUpper(text[:1]) + text[1:] + "." }

// RandomScores draws score vectors of every kind a classifier gives: clear, unsure, near the operating point, one view only.
func RandomScores(rng *rand.Rand) study.PairScores {
	kind := rng.IntN(6)
	level := func() float64 {
		switch kind {
		case 0: // anything
			return rng.Float64()
		case 1: // near the operating point
			return 0.5 + 0.12*rng.NormFloat64()
		case 2: // normal but for a few
			if rng.IntN(12) == 0 {
				return 0.5 + 0.5*rng.Float64()
			}
			return 0.45 * rng.Float64()
		case 3: // sure
			if rng.IntN(5) == 0 {
				return 0.8 + 0.2*rng.Float64()
			}
			return 0.15 * rng.Float64()
		case 4: // normal
			return 0.5 * rng.Float64() * rng.Float64()
		default:
			if rng.IntN(4) == 0 {
				return 0.5 + 0.5*rng.Float64()
			}
			return 0.5 * rng.Float64()
		}
	}
	frontal, lateral := new(study.Scores), new(study.Scores)
	for f := range frontal {
		a := clampf(level(), 0, 1)
		b := a
		switch rng.IntN(3) {
		case 0:
			b = clampf(level(), 0, 1)
		case 1:
			b = clampf(a*rng.Float64(), 0, 1)
		}
		if rng.IntN(2) == 0 {
			a, b = b, a
		}
		frontal[f], lateral[f] = float32(a), float32(b)
	}
	switch rng.IntN(10) {
	case 0, 1:
		return study.PairScores{Frontal: frontal}
	case 2:
		return study.PairScores{Lateral: lateral}
	}
	return study.PairScores{Frontal: frontal, Lateral: lateral}
}
