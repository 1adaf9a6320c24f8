package sr

import (
	"slices"

	"llamaxr/internal/dicomwrite"
	"llamaxr/study"

	"github.com/suyashkumar/dicom/pkg/tag"
)

// Series numbers of our objects: high, so that they sort behind what the modality made.
const (
	NarrativeSeries = 9001
	ScoresSeries    = 9002
	HeatMapSeries   = 9003
	ChartSeries     = 9004
	SignedSeries    = 9006
	PageSeries      = 9007
)

// standing is how far a document may be trusted: its flags, its author and who vouches for it (PS3.3, section C.17.2).
type standing struct {
	preliminary, completion, why, verification string
	author                                     *dicomwrite.Set
	verifying                                  []*dicomwrite.Set
}

// draftStanding is that of everything the machine writes alone.
func draftStanding(in Input) standing {
	s := standing{
		preliminary: "PRELIMINARY", completion: "COMPLETE", why: "Machine-generated draft, not read by a physician", verification: "UNVERIFIED",
		author: dicomwrite.New().
			Text(tag.Manufacturer, clip(in.Device.Manufacturer, 64)).
			Text(tag.InstitutionName).Items(tag.InstitutionCodeSequence).
			Optional(tag.StationName, clip(in.Device.StationName, 16)).
			Text(tag.ManufacturerModelName, clip(in.Device.Model, 64)).
			Text(tag.DeviceUID, in.Device.UID).Text(tag.ObserverType, "DEV"),
	}
	if in.Draft.Partial != "" {
		s.completion, s.why = "PARTIAL", plain(in.Draft.Partial)
	}
	return s
}

// document fills in the SR document modules (PS3.3, sections C.17.1 to C.17.3) around a content tree.
func document(in Input, sopClass, kind, template, description string, seriesNumber int, status standing, root *item) (*Document, error) {
	if err := root.validate(sopClass == BasicTextSR); err != nil {
		return nil, err
	}
	d, err := Begin(in, sopClass, kind, "SR", description, seriesNumber)
	if err != nil {
		return nil, err
	}
	h := in.source()
	d.set.
		Items(tag.ReferencedPerformedProcedureStepSequence).
		Text(tag.PreliminaryFlag, status.preliminary).
		Text(tag.CompletionFlag, status.completion).Text(tag.CompletionFlagDescription, clip(status.why, 64)).
		Text(tag.VerificationFlag, status.verification).
		Items(tag.AuthorObserverSequence, status.author).
		Items(tag.PerformedProcedureCodeSequence, codes(h.ProcedureCodes)...)
	d.evidence(in)
	if requests := requests(in); len(requests) > 0 {
		d.set.Items(tag.ReferencedRequestSequence, requests...)
	}
	if len(status.verifying) > 0 {
		d.set.Items(tag.VerifyingObserverSequence, status.verifying...)
	}
	if p := in.Predecessor; p != nil {
		purpose := replacedReport
		if p.Preliminary {
			purpose = preliminaryReport
		}
		d.set.Items(tag.PredecessorDocumentsSequence, dicomwrite.New().
			Text(tag.StudyInstanceUID, in.Draft.StudyInstanceUID).
			Items(tag.ReferencedSeriesSequence, dicomwrite.New().
				Text(tag.SeriesInstanceUID, p.SeriesInstanceUID).
				Items(tag.ReferencedSOPSequence, reference(p.SOPClassUID, p.SOPInstanceUID).
					Items(tag.PurposeOfReferenceCodeSequence, code(purpose)))))
	}
	if usesLocalCodes(root) {
		d.set.Items(tag.CodingSchemeIdentificationSequence, dicomwrite.New().
			Text(tag.CodingSchemeDesignator, localScheme).Text(tag.CodingSchemeUID, localSchemeUID).
			Text(tag.CodingSchemeName, "llamaxr finding codes"))
	}
	d.content(root, template)
	return d, nil
}

// content writes the tree with the template that it follows, if it follows one (PS3.3, section C.17.3).
func (d *Document) content(root *item, template string) {
	d.set.Text(tag.ValueType, "CONTAINER").Items(tag.ConceptNameCodeSequence, code(root.name)).Text(tag.ContinuityOfContent, "SEPARATE")
	if template != "" {
		d.set.Items(tag.ContentTemplateSequence, dicomwrite.New().
			Text(tag.MappingResource, templateDCMR).Text(tag.MappingResourceUID, mappingDCMR).Text(tag.TemplateIdentifier, template))
	}
	var children []*dicomwrite.Set
	for _, c := range root.children {
		children = append(children, c.set())
	}
	d.set.Items(tag.ContentSequence, children...)
}

// Purposes of a reference to a predecessor (PS3.16, CID 7009).
var (
	replacedReport    = dcm("121360", "Replaced report")
	preliminaryReport = dcm("121362", "Preliminary report")
)

// whole reports whether a code of an image has all that one of ours must have, and is not longer (PS3.3, section 8): the beginning of a code is another.
func whole(c study.Code) bool {
	const longest = 16 // of SH
	return c.Value != "" && c.Scheme != "" && c.Meaning != "" && len(c.Value) <= longest && len(c.Scheme) <= longest
}

func codes(list []study.Code) []*dicomwrite.Set {
	var out []*dicomwrite.Set
	for _, c := range list {
		if whole(c) {
			out = append(out, code(c))
		}
	}
	return out
}

// evidence lists objects of one study by series (PS3.3, section C.17.2.3).
func evidence(uid string, images []*study.Header) *dicomwrite.Set {
	var series []*dicomwrite.Set
	seen := map[string]bool{}
	for _, h := range images {
		if seen[h.SeriesInstanceUID] {
			continue
		}
		seen[h.SeriesInstanceUID] = true
		of := slices.DeleteFunc(slices.Clone(images), func(other *study.Header) bool { return other.SeriesInstanceUID != h.SeriesInstanceUID })
		series = append(series, dicomwrite.New().Text(tag.SeriesInstanceUID, h.SeriesInstanceUID).Items(tag.ReferencedSOPSequence, references(of)...))
	}
	return dicomwrite.New().Text(tag.StudyInstanceUID, uid).Items(tag.ReferencedSeriesSequence, series...)
}

// evidence lists the images of the document's own study, with their presentation states, as current evidence, and one that came as another
// study, for the same order, as pertinent other evidence: an instance is in one of the two.
func (d *Document) evidence(in Input) {
	var own, other []*study.Header
	for _, h := range in.Images() {
		if h.StudyInstanceUID == in.Draft.StudyInstanceUID || h.StudyInstanceUID == "" {
			own = append(own, h)
			if p := in.Presentations[h.SOPInstanceUID]; p != nil {
				own = append(own, &study.Header{SeriesInstanceUID: p.SeriesInstanceUID, SOPClassUID: p.SOPClassUID, SOPInstanceUID: p.SOPInstanceUID})
			}
		} else {
			other = append(other, h)
		}
	}
	if len(own) > 0 {
		d.set.Items(tag.CurrentRequestedProcedureEvidenceSequence, evidence(in.Draft.StudyInstanceUID, own))
	}
	if len(other) > 0 {
		d.set.Items(tag.PertinentOtherEvidenceSequence, evidence(other[0].StudyInstanceUID, other))
	}
}

// requests copies what the image says of its orders (PS3.3, table C.17-2).
func requests(in Input) []*dicomwrite.Set {
	var out []*dicomwrite.Set
	for _, r := range in.source().Requests {
		out = append(out, dicomwrite.New().
			Text(tag.StudyInstanceUID, in.Draft.StudyInstanceUID).Items(tag.ReferencedStudySequence).
			Required(tag.AccessionNumber, identifier(r.AccessionNumber)).
			Required(tag.PlacerOrderNumberImagingServiceRequest, identifier(r.PlacerOrderNumber)).
			Required(tag.FillerOrderNumberImagingServiceRequest, identifier(r.FillerOrderNumber)).
			Required(tag.RequestedProcedureID, identifier(r.ProcedureID)).
			Required(tag.RequestedProcedureDescription, clip(r.ProcedureDescription, 64)).
			Items(tag.RequestedProcedureCodeSequence, codes(r.ProcedureCodes)...))
	}
	return out
}

func usesLocalCodes(i *item) bool {
	if i.name.Scheme == localScheme {
		return true
	}
	for _, c := range i.children {
		if usesLocalCodes(c) {
			return true
		}
	}
	return i.localValue
}

// language is TID 1204.
func language() *item {
	return coded(hasConceptMod, dcm("121049", "Language of Content Item and Descendants"), study.Code{Value: "en-US", Scheme: "RFC5646", Meaning: "English (United States)"},
		coded(hasConceptMod, dcm("121046", "Country of Language"), study.Code{Value: "US", Scheme: "ISO3166_1", Meaning: "United States"}))
}

// observer is TID 1204 and TID 1001 for a device.
func observer(in Input) []*item {
	return append([]*item{language()}, observerContext(in)...)
}

// observerContext is TID 1001 for a device.
func observerContext(in Input) []*item {
	return []*item{
		coded(hasObsContext, dcm("121005", "Observer Type"), dcm("121007", "Device")),
		uidref(hasObsContext, dcm("121012", "Device Observer UID"), in.Device.UID),
		text(hasObsContext, dcm("121013", "Device Observer Name"), "llamaxr"),
		text(hasObsContext, dcm("121014", "Device Observer Manufacturer"), in.Device.Manufacturer),
		text(hasObsContext, dcm("121015", "Device Observer Model Name"), in.Device.Model),
	}
}

// procedure is what was reported on: the procedure code of the image, or a plain chest radiograph.
func procedure(in Input) study.Code {
	for _, c := range in.source().ProcedureCodes {
		if whole(c) {
			return c
		}
	}
	return sct("399208008", "Plain chest X-ray")
}

// Narrative is the draft's text: Basic Text SR by TID 2000, one TEXT a sentence, each inferred from the images it rests on.
func Narrative(in Input) (*Document, error) {
	root, template := narrative(in, observer(in), in.Draft.Sentences, notice(in.Draft)), "2000"
	if in.Sectioned {
		template = "" // which knows no sections within sections
	}
	return document(in, BasicTextSR, "narrative", template, "AI draft - unverified", NarrativeSeries, draftStanding(in), root)
}

// narrative is the tree of TID 2000, with further sections where they are asked for. Each section begins with lead, unless that is empty.
func narrative(in Input, context []*item, sentences []study.Sentence, lead string) *item {
	section := func(section study.Section, heading, name study.Code) *item {
		c := container(contains, heading)
		if lead != "" {
			c.children = append(c.children, text(contains, name, lead))
		}
		said := slices.DeleteFunc(slices.Clone(sentences), func(s study.Sentence) bool {
			return s.Section != section || s.Verdict == study.VerdictRemoved
		})
		sentence := func(s study.Sentence) *item {
			var images []*item
			for _, h := range restsOn(in, s) {
				images = append(images, in.image(inferredFrom, dcm("121112", "Source of Measurement"), h))
			}
			return text(contains, name, s.Text, images...)
		}
		if in.Sectioned && section == study.SectionFindings {
			c.children = append(c.children, byOrgan(said, sentence)...)
			return c
		}
		for _, s := range said {
			c.children = append(c.children, sentence(s))
		}
		return c
	}
	children := append(context, coded(hasConceptMod, dcm("121058", "Procedure reported"), procedure(in)))
	if in.Sectioned {
		children = append(children, before(in)...)
	}
	return container("", ln("18748-4", "Diagnostic Imaging Report"), append(children,
		section(study.SectionFindings, ln("59776-5", "Findings"), dcm("121071", "Finding")),
		section(study.SectionImpression, ln("19005-8", "Impressions"), dcm("121073", "Impression")),
	)...)
}

// restsOn returns the images of a sentence's evidence: those whose view gave a score, else all.
func restsOn(in Input, s study.Sentence) []*study.Header {
	views := map[study.Projection]bool{}
	for _, e := range s.Evidence {
		views[e.View] = true
	}
	var out []*study.Header
	for _, view := range []study.Projection{study.Frontal, study.Lateral} {
		if h := in.Of(view); h != nil && (len(views) == 0 || views[view]) {
			out = append(out, h)
		}
	}
	if len(out) == 0 {
		return in.Images()
	}
	return out
}
