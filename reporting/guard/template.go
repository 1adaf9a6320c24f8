package guard

import (
	"strings"

	"llamaxr/study"
)

// Sentences used when there is nothing to name.
const (
	nothingScored = "No scored finding reaches its operating point."
	nothingAcute  = "No acute cardiopulmonary abnormality is scored."
)

// terms are the plain words for each finding, as they stand in a sentence.
var terms = [study.NumFindings]string{
	study.Atelectasis:               "atelectasis",
	study.Cardiomegaly:              "cardiomegaly",
	study.Consolidation:             "consolidation",
	study.Edema:                     "pulmonary edema",
	study.Effusion:                  "pleural effusion",
	study.Emphysema:                 "emphysema",
	study.EnlargedCardiomediastinum: "mediastinal widening",
	study.Fibrosis:                  "fibrosis",
	study.Fracture:                  "fracture",
	study.Hernia:                    "hiatal hernia",
	study.Infiltration:              "infiltrate",
	study.LungLesion:                "lung lesion",
	study.LungOpacity:               "lung opacity",
	study.Mass:                      "mass",
	study.Nodule:                    "nodule",
	study.PleuralThickening:         "pleural thickening",
	study.Pneumonia:                 "pneumonia",
	study.Pneumothorax:              "pneumothorax",
}

// Statement is the plain sentence that says what the scores say of f, which must be scored.
func Statement(f study.Finding, scores study.PairScores) string {
	phrases := Phrases(f)
	if !scores.Present(f) {
		return phrases[0]
	}
	if scores.Sure(f) {
		return phrases[2]
	}
	return phrases[1]
}

// Conclusion is the plain impression: the findings scored present, or that there is none.
func Conclusion(scores study.PairScores) string {
	var present []study.Finding
	for _, f := range study.Findings() {
		if scores.Present(f) {
			present = append(present, f)
		}
	}
	if len(present) == 0 && len(scores.NotScored()) > 0 {
		return nothingScored // what was not scored may be acute
	}
	if len(present) == 0 {
		return nothingAcute
	}
	return named(present, scores)
}

// named are findings that are scored present, as an impression names them.
func named(present []study.Finding, scores study.PairScores) string {
	var sure, possible []string
	for _, f := range present {
		if scores.Sure(f) {
			sure = append(sure, terms[f])
		} else {
			possible = append(possible, terms[f])
		}
	}
	var parts []string
	if len(sure) > 0 {
		text := strings.Join(sure, ", ")
		parts = append(parts, strings.ToUpper(text[:1])+text[1:]+".")
	}
	if len(possible) > 0 {
		parts = append(parts, "Possible "+strings.Join(possible, ", ")+".")
	}
	return strings.Join(parts, " ")
}

// Phrases are plain sentences about f for a reader to pick: that it is absent, possible, present.
func Phrases(f study.Finding) []string {
	return []string{"No " + terms[f] + ".", "Possible " + terms[f] + ".", strings.ToUpper(terms[f][:1]) + terms[f][1:] + " is present."}
}
