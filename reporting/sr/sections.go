package sr

import (
	"fmt"

	"llamaxr/study"
)

// organs are the headings of the findings in RSNA's templates of chest radiographs, in their order, with what belongs under each. What
// belongs under none, or speaks of no finding, stands under the last.
var organs = []struct {
	heading  study.Code
	findings []study.Finding
}{
	{local("LUNGS", "Lungs"), []study.Finding{
		study.Atelectasis, study.Consolidation, study.Edema, study.Emphysema, study.Fibrosis, study.Infiltration, study.LungLesion, study.LungOpacity,
		study.Mass, study.Nodule, study.Pneumonia,
	}},
	{local("PLEURA", "Pleura"), []study.Finding{study.Effusion, study.PleuralThickening, study.Pneumothorax}},
	{local("HEART", "Heart"), []study.Finding{study.Cardiomegaly}},
	{local("MEDIASTINUM", "Mediastinum"), []study.Finding{study.EnlargedCardiomediastinum, study.Hernia}},
	{local("BONES", "Bones"), []study.Finding{study.Fracture}},
	{local("OTHER", "Other"), nil},
}

// organOf is the heading of a sentence: that of the finding which it speaks of first.
func organOf(s study.Sentence) int {
	for i, o := range organs {
		for _, f := range o.findings {
			if len(s.Evidence) > 0 && s.Evidence[0].Finding == f {
				return i
			}
		}
	}
	return len(organs) - 1
}

// byOrgan puts sentences under their headings; a heading with nothing under it is left out, for nothing was said of it.
func byOrgan(sentences []study.Sentence, item func(study.Sentence) *item) (out []*item) {
	for i, o := range organs {
		c := container(contains, o.heading)
		for _, s := range sentences {
			if organOf(s) == i {
				c.children = append(c.children, item(s))
			}
		}
		if len(c.children) > 0 {
			out = append(out, c)
		}
	}
	return out
}

// before are the sections that stand before the findings in RSNA's templates, as far as the appliance knows them: it is told no history.
func before(in Input) []*item {
	views := map[bool]string{true: "frontal and lateral views", false: "one view"}[in.Frontal != nil && in.Lateral != nil]
	return []*item{
		container(contains, ln("55111-9", "Current Procedure Descriptions"),
			text(contains, dcm("121065", "Procedure Description"), fmt.Sprintf("%s, %s.", procedure(in).Meaning, views))),
		container(contains, ln("18834-2", "Previous Findings"),
			text(contains, dcm("121069", "Previous Finding"), "The draft was compared with no earlier study.")),
	}
}
