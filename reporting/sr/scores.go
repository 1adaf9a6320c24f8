package sr

import (
	"fmt"

	"llamaxr/internal/dicomwrite"
	"llamaxr/study"
)

// findingCodes are SNOMED CT or DICOM codes where one was checked against pydicom's dictionaries, else our own scheme: a wrong code
// is worse than a local one.
var findingCodes = [study.NumFindings]study.Code{
	study.Atelectasis:               local("ATELECTASIS", "Atelectasis"),
	study.Cardiomegaly:              local("CARDIOMEGALY", "Cardiomegaly"),
	study.Consolidation:             local("CONSOLIDATION", "Consolidation of lung"),
	study.Edema:                     sct("19242006", "Pulmonary edema"),
	study.Effusion:                  sct("60046008", "Pleural effusion"),
	study.Emphysema:                 local("EMPHYSEMA", "Emphysema"),
	study.EnlargedCardiomediastinum: local("ENLARGED_CM", "Enlarged cardiomediastinum"),
	study.Fibrosis:                  local("FIBROSIS", "Fibrosis of lung"),
	study.Fracture:                  local("FRACTURE", "Fracture"),
	study.Hernia:                    local("HERNIA", "Hernia"),
	study.Infiltration:              dcm("112121", "Infiltrate"),
	study.LungLesion:                local("LUNG_LESION", "Lung lesion"),
	study.LungOpacity:               dcm("112001", "Opacity"),
	study.Mass:                      sct("4147007", "Mass"),
	study.Nodule:                    sct("27925004", "Nodule"),
	study.PleuralThickening:         local("PLEURAL_THICK", "Pleural thickening"),
	study.Pneumonia:                 local("PNEUMONIA", "Pneumonia"),
	study.Pneumothorax:              sct("36118008", "Pneumothorax"),
}

// FindingCode is the code of a finding in all that leaves; one of scheme 99LLXR is our own.
func FindingCode(f study.Finding) study.Code { return findingCodes[f] }

var (
	chest       = sct("816094009", "Thorax")
	probability = dcm("122157", "Probability")
	unity       = study.Code{Value: "1", Scheme: "UCUM", Meaning: "no units"}
)

// algorithm is TID 4019.
func algorithm(in Input) []*item {
	c := study.ModelCard{Name: "classifier", Version: "-"}
	for _, m := range in.Draft.Models {
		if m.Role == "classifier" {
			c = m
		}
	}
	out := []*item{
		coded(hasConceptMod, dcm("111000", "Algorithm Family"), dcm("123110", "Artificial Intelligence")),
		text(hasConceptMod, dcm("111001", "Algorithm Name"), c.Name),
		text(hasConceptMod, dcm("122405", "Algorithm Manufacturer"), in.Device.Manufacturer),
		text(hasConceptMod, dcm("111003", "Algorithm Version"), c.Version),
		text(hasConceptMod, dcm("111002", "Algorithm Parameters"), "weights SHA-256 "+c.Digest),
	}
	return append(out, text(hasConceptMod, dcm("111002", "Algorithm Parameters"), "score 0.5 is the operating point; "+notice(in.Draft)))
}

// ScoresReport is the 18 scores of each view as coded probabilities, with the heat map's region of what is present: Comprehensive 3D
// SR by TID 1500, a measurement group a finding and view.
func ScoresReport(in Input) (*Document, error) {
	children := append(observer(in), coded(hasConceptMod, dcm("121058", "Procedure reported"), procedure(in)))
	library := container(contains, dcm("111028", "Image Library"))
	group := container(contains, dcm("126200", "Image Library Group"))
	for _, h := range in.Images() {
		group.children = append(group.children, in.image(contains, study.Code{}, h))
	}
	library.children = append(library.children, group)
	measurements := container(contains, dcm("126010", "Imaging Measurements"))
	for _, view := range []study.Projection{study.Frontal, study.Lateral} {
		scores, h := in.Draft.Scores.Of(view), in.Of(view)
		if scores == nil || h == nil {
			continue
		}
		for _, f := range study.Findings() {
			if !scores.Scored(f) { // the draft says that it is not complete, and why
				continue
			}
			measurements.children = append(measurements.children, group1501(in, view, f, scores[f], h))
		}
	}
	children = append(children, library, measurements)
	root := container("", dcm("126000", "Imaging Measurement Report"), children...)
	return document(in, Comprehensive3DSR, "scores", "1500", "AI scores - unverified", ScoresSeries, draftStanding(in), root)
}

// group1501 is the measurement group of one finding on one view: planar (TID 1410) when it is present and has a region, else of the
// whole image (TID 1501).
func group1501(in Input, view study.Projection, f study.Finding, score float32, h *study.Header) *item {
	g := container(contains, dcm("125007", "Measurement Group"),
		text(hasObsContext, dcm("112039", "Tracking Identifier"), fmt.Sprintf("%s, %s view", f, view)),
		uidref(hasObsContext, dcm("112040", "Tracking Unique Identifier"),
			DeriveUID(in.Draft.StudyInstanceUID, h.SOPInstanceUID, f.String(), "tracking")),
		coded(contains, dcm("121071", "Finding"), findingCodes[f]),
		coded(hasConceptMod, sct("363698007", "Finding Site"), chest),
	)
	var region *study.Region
	if score >= study.OperatingPoint {
		region = study.RegionOf(in.Maps, view, f)
	}
	if region != nil {
		g.children = append(g.children, in.polyline(contains, dcm("111030", "Image Region"), *region, h))
	} else {
		g.children = append(g.children, in.image(contains, dcm("121112", "Source of Measurement"), h))
	}
	g.children = append(g.children, number(contains, probability, dicomwrite.Decimal(study.Cut(score, 1e6)), unity, algorithm(in)...))
	return g
}
