package labeler

import (
	"strings"

	"llamaxr/study"
)

// InMeSH lists the findings for which the MeSH terms of the IU collection have a counterpart: all but two.
func InMeSH() (out []study.Finding) {
	for _, f := range study.Findings() {
		if f != study.EnlargedCardiomediastinum && f != study.LungLesion {
			out = append(out, f)
		}
	}
	return out
}

// FromMeSH maps the MeSH terms that people gave a report of the IU collection ("Opacity/lung/base/left") to the findings that they call
// present.
func FromMeSH(terms []string) map[study.Finding]bool {
	out := map[study.Finding]bool{}
	for _, term := range terms {
		head, rest, _ := strings.Cut(term, "/")
		switch head {
		case "Pulmonary Atelectasis":
			out[study.Atelectasis] = true
		case "Cardiomegaly":
			out[study.Cardiomegaly] = true
		case "Cardiac Shadow":
			if strings.Contains(rest, "enlarged") {
				out[study.Cardiomegaly] = true
			}
		case "Consolidation":
			out[study.Consolidation] = true
		case "Pulmonary Edema":
			out[study.Edema] = true
		case "Pleural Effusion":
			out[study.Effusion] = true
		case "Hydropneumothorax", "Hemopneumothorax":
			out[study.Effusion], out[study.Pneumothorax] = true, true
		case "Hemothorax":
			out[study.Effusion] = true
		case "Emphysema", "Pulmonary Emphysema", "Bullous Emphysema":
			out[study.Emphysema] = true
		case "Pulmonary Fibrosis", "Fibrosis", "Lung Diseases, Interstitial":
			out[study.Fibrosis] = true
		case "Fractures, Bone":
			out[study.Fracture] = true
		case "Hernia, Hiatal", "Hernia, Diaphragmatic":
			out[study.Hernia] = true
		case "Infiltrate":
			out[study.Infiltration] = true
		case "Opacity", "Airspace Disease":
			out[study.LungOpacity] = true
		case "Mass":
			out[study.Mass] = true
		case "Nodule":
			out[study.Nodule] = true
		case "Thickening":
			if strings.Contains(rest, "pleura") {
				out[study.PleuralThickening] = true
			}
		case "Pneumonia":
			out[study.Pneumonia] = true
		case "Pneumothorax":
			out[study.Pneumothorax] = true
		}
	}
	return out
}
