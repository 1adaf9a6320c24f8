package sr

import (
	"fmt"

	"llamaxr/internal/dicomwrite"
	"llamaxr/study"

	"github.com/suyashkumar/dicom/pkg/tag"
)

// Relationships of content items (PS3.3, table C.17.3-8).
const (
	contains       = "CONTAINS"
	hasObsContext  = "HAS OBS CONTEXT"
	hasConceptMod  = "HAS CONCEPT MOD"
	inferredFrom   = "INFERRED FROM"
	selectedFrom   = "SELECTED FROM"
	maxTextItem    = 1024 * 10 // of one UT value; a sentence is far shorter
	templateDCMR   = "DCMR"
	mappingDCMR    = "1.2.840.10008.8.1.1"
	localScheme    = "99LLXR"
	localSchemeUID = LocalSchemeUID
)

// LocalSchemeUID identifies our own coding scheme, 99LLXR.
const LocalSchemeUID = "2.25.281934651037529834520194873651029385"

// item is a content item of the tree.
type item struct {
	relation string
	kind     string // value type
	name     study.Code
	value    func(*dicomwrite.Set)
	children []*item
	// localValue marks a CODE whose value is of our own scheme, which must then be identified.
	localValue bool
}

func dcm(value, meaning string) study.Code {
	return study.Code{Value: value, Scheme: "DCM", Meaning: meaning}
}

func sct(value, meaning string) study.Code {
	return study.Code{Value: value, Scheme: "SCT", Meaning: meaning}
}

func ln(value, meaning string) study.Code {
	return study.Code{Value: value, Scheme: "LN", Meaning: meaning}
}

func local(value, meaning string) study.Code {
	return study.Code{Value: value, Scheme: localScheme, Meaning: meaning}
}

// code is an item of a code sequence (PS3.3, section 8.8).
func code(c study.Code) *dicomwrite.Set {
	return dicomwrite.New().Text(tag.CodeValue, c.Value).Text(tag.CodingSchemeDesignator, c.Scheme).
		Text(tag.CodeMeaning, clip(c.Meaning, 64))
}

func container(relation string, name study.Code, children ...*item) *item {
	return &item{relation, "CONTAINER", name, func(s *dicomwrite.Set) { s.Text(tag.ContinuityOfContent, "SEPARATE") }, children, false}
}

func text(relation string, name study.Code, value string, children ...*item) *item {
	return &item{relation, "TEXT", name, func(s *dicomwrite.Set) { s.Text(tag.TextValue, plain(value)) }, children, false}
}

func coded(relation string, name, value study.Code, children ...*item) *item {
	return &item{relation, "CODE", name, func(s *dicomwrite.Set) { s.Items(tag.ConceptCodeSequence, code(value)) }, children, value.Scheme == localScheme}
}

func personName(relation string, name study.Code, value string) *item {
	return &item{relation, "PNAME", name, func(s *dicomwrite.Set) { s.Text(tag.PersonName, value) }, nil, false}
}

func uidref(relation string, name study.Code, uid string) *item {
	return &item{relation, "UIDREF", name, func(s *dicomwrite.Set) { s.Text(tag.UID, uid) }, nil, false}
}

func number(relation string, name study.Code, value string, unit study.Code, children ...*item) *item {
	return &item{relation, "NUM", name, func(s *dicomwrite.Set) {
		s.Items(tag.MeasuredValueSequence, dicomwrite.New().Text(tag.NumericValue, value).Items(tag.MeasurementUnitsCodeSequence, code(unit)))
	}, children, false}
}

// image refers to an instance of the evidence, and to the presentation state that it is to be seen with, if there is one (PS3.3 C.18.4); the
// name is left out where the template gives none.
func (in Input) image(relation string, name study.Code, h *study.Header) *item {
	return &item{relation, "IMAGE", name, func(s *dicomwrite.Set) {
		image := reference(h.SOPClassUID, h.SOPInstanceUID)
		if p := in.Presentations[h.SOPInstanceUID]; p != nil {
			image.Items(tag.ReferencedSOPSequence, reference(p.SOPClassUID, p.SOPInstanceUID))
		}
		s.Items(tag.ReferencedSOPSequence, image)
	}, nil, false}
}

// polyline is a closed SCOORD in columns and rows of the full image (PS3.3, section C.18.6).
func (in Input) polyline(relation string, name study.Code, r study.Region, h *study.Header) *item {
	return &item{relation, "SCOORD", name, func(s *dicomwrite.Set) {
		s.Text(tag.GraphicType, "POLYLINE").Floats(tag.GraphicData, corners(r)...)
	}, []*item{in.image(selectedFrom, study.Code{}, h)}, false}
}

// corners go round a region and back to the first one.
func corners(r study.Region) []float64 {
	return []float64{r.Left, r.Top, r.Right, r.Top, r.Right, r.Bottom, r.Left, r.Bottom, r.Left, r.Top}
}

// set encodes the item; the root has no relationship.
func (i *item) set() *dicomwrite.Set {
	s := dicomwrite.New().Text(tag.ValueType, i.kind)
	if i.relation != "" {
		s.Text(tag.RelationshipType, i.relation)
	}
	if i.name.Value != "" {
		s.Items(tag.ConceptNameCodeSequence, code(i.name))
	}
	i.value(s)
	if len(i.children) > 0 {
		var children []*dicomwrite.Set
		for _, c := range i.children {
			children = append(children, c.set())
		}
		s.Items(tag.ContentSequence, children...)
	}
	return s
}

// basicText lists what a Basic Text SR may hold, and which value types a relationship may start from (PS3.3, table A.35.1-2).
var basicText = map[string]bool{"CONTAINER": true, "TEXT": true, "CODE": true, "UIDREF": true, "IMAGE": true, "PNAME": true}

// validate holds a tree against the rules that a receiver would refuse it for.
func (i *item) validate(basic bool) error {
	if basic && !basicText[i.kind] {
		return fmt.Errorf("sr: %s in a Basic Text SR", i.kind)
	}
	for _, c := range i.children {
		if c.relation == inferredFrom && i.kind != "TEXT" && basic {
			return fmt.Errorf("sr: %s %s a %s", c.kind, inferredFrom, i.kind)
		}
		if c.name.Value == "" && c.kind != "IMAGE" {
			return fmt.Errorf("sr: %s without a concept name", c.kind)
		}
		if err := c.validate(basic); err != nil {
			return err
		}
	}
	return nil
}
