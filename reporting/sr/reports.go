package sr

import (
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
)

// document fills in the SR document modules (PS3.3, sections C.17.1 to C.17.3) around a content tree.
func document(in Input, sopClass, kind, template, description string, seriesNumber int, root *item) (*Document, error) {
	if err := root.validate(sopClass == BasicTextSR); err != nil {
		return nil, err
	}
	d, err := Begin(in, sopClass, kind, "SR", description, seriesNumber)
	if err != nil {
		return nil, err
	}
	completion, why := "COMPLETE", "Machine-generated draft, not read by a physician"
	if in.Draft.Partial != "" {
		completion, why = "PARTIAL", in.Draft.Partial
	}
	h := in.source()
	d.set.
		Items(tag.ReferencedPerformedProcedureStepSequence).
		Text(tag.PreliminaryFlag, "PRELIMINARY").
		Text(tag.CompletionFlag, completion).Text(tag.CompletionFlagDescription, clip(why, 64)).
		Text(tag.VerificationFlag, "UNVERIFIED").
		Items(tag.AuthorObserverSequence, dicomwrite.New().
			Text(tag.Manufacturer, clip(in.Device.Manufacturer, 64)).
			Text(tag.InstitutionName).Items(tag.InstitutionCodeSequence).
			Optional(tag.StationName, clip(in.Device.StationName, 16)).
			Text(tag.ManufacturerModelName, clip(in.Device.Model, 64)).
			Text(tag.DeviceUID, in.Device.UID).Text(tag.ObserverType, "DEV")).
		Items(tag.PerformedProcedureCodeSequence, codes(h.ProcedureCodes)...)
	d.evidence(in)
	if requests := requests(in); len(requests) > 0 {
		d.set.Items(tag.ReferencedRequestSequence, requests...)
	}
	if p := in.Predecessor; p != nil {
		d.set.Items(tag.PredecessorDocumentsSequence, dicomwrite.New().
			Text(tag.StudyInstanceUID, in.Draft.StudyInstanceUID).
			Items(tag.ReferencedSeriesSequence, dicomwrite.New().
				Text(tag.SeriesInstanceUID, p.SeriesInstanceUID).
				Items(tag.ReferencedSOPSequence, dicomwrite.New().
					Text(tag.ReferencedSOPClassUID, p.SOPClassUID).Text(tag.ReferencedSOPInstanceUID, p.SOPInstanceUID).
					Items(tag.PurposeOfReferenceCodeSequence, code(dcm("121360", "Replaced report"))))))
	}
	if usesLocalCodes(root) {
		d.set.Items(tag.CodingSchemeIdentificationSequence, dicomwrite.New().
			Text(tag.CodingSchemeDesignator, localScheme).Text(tag.CodingSchemeUID, localSchemeUID).
			Text(tag.CodingSchemeName, "llamaxr finding codes"))
	}
	d.content(root, template)
	return d, nil
}

// content writes the tree with the template that it follows (PS3.3, section C.17.3).
func (d *Document) content(root *item, template string) {
	d.set.
		Text(tag.ValueType, "CONTAINER").Items(tag.ConceptNameCodeSequence, code(root.name)).Text(tag.ContinuityOfContent, "SEPARATE").
		Items(tag.ContentTemplateSequence, dicomwrite.New().
			Text(tag.MappingResource, templateDCMR).Text(tag.MappingResourceUID, mappingDCMR).Text(tag.TemplateIdentifier, template))
	var children []*dicomwrite.Set
	for _, c := range root.children {
		children = append(children, c.set())
	}
	d.set.Items(tag.ContentSequence, children...)
}

func codes(list []study.Code) []*dicomwrite.Set {
	var out []*dicomwrite.Set
	for _, c := range list {
		if c.Value != "" && c.Scheme != "" && c.Meaning != "" {
			out = append(out, code(c))
		}
	}
	return out
}

// evidence lists the images of one study by series (PS3.3, section C.17.2.3).
func evidence(uid string, images []*study.Header) *dicomwrite.Set {
	var series []*dicomwrite.Set
	seen := map[string]bool{}
	for _, h := range images {
		if seen[h.SeriesInstanceUID] {
			continue
		}
		seen[h.SeriesInstanceUID] = true
		var instances []*dicomwrite.Set
		for _, other := range images {
			if other.SeriesInstanceUID == h.SeriesInstanceUID {
				instances = append(instances, dicomwrite.New().
					Text(tag.ReferencedSOPClassUID, other.SOPClassUID).Text(tag.ReferencedSOPInstanceUID, other.SOPInstanceUID))
			}
		}
		series = append(series, dicomwrite.New().Text(tag.SeriesInstanceUID, h.SeriesInstanceUID).Items(tag.ReferencedSOPSequence, instances...))
	}
	return dicomwrite.New().Text(tag.StudyInstanceUID, uid).Items(tag.ReferencedSeriesSequence, series...)
}

// evidence lists the images of the document's own study as current evidence, and one that came as another study, for the same order, as
// pertinent other evidence: an instance is in one of the two.
func (d *Document) evidence(in Input) {
	var own, other []*study.Header
	for _, h := range in.Images() {
		if h.StudyInstanceUID == in.Draft.StudyInstanceUID || h.StudyInstanceUID == "" {
			own = append(own, h)
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
			Required(tag.AccessionNumber, clip(r.AccessionNumber, 16)).
			Required(tag.PlacerOrderNumberImagingServiceRequest, clip(r.PlacerOrderNumber, 64)).
			Required(tag.FillerOrderNumberImagingServiceRequest, clip(r.FillerOrderNumber, 64)).
			Required(tag.RequestedProcedureID, clip(r.ProcedureID, 16)).
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

// observer is TID 1204 and TID 1001 for a device.
func observer(in Input) []*item {
	return append([]*item{
		coded(hasConceptMod, dcm("121049", "Language of Content Item and Descendants"), study.Code{Value: "en-US", Scheme: "RFC5646", Meaning: "English (United States)"},
			coded(hasConceptMod, dcm("121046", "Country of Language"), study.Code{Value: "US", Scheme: "ISO3166_1", Meaning: "United States"})),
	}, observerContext(in)...)
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
		if c.Value != "" && c.Scheme != "" && c.Meaning != "" {
			return c
		}
	}
	return sct("399208008", "Plain chest X-ray")
}

// Narrative is the draft's text: Basic Text SR by TID 2000, one TEXT a sentence, each inferred from the images it rests on.
func Narrative(in Input) (*Document, error) {
	sections := func(section study.Section, heading, name study.Code) *item {
		c := container(contains, heading, text(contains, name, notice(in.Draft)))
		for _, s := range in.Draft.Sentences {
			if s.Section != section || s.Verdict == study.VerdictRemoved {
				continue
			}
			var images []*item
			for _, h := range restsOn(in, s) {
				images = append(images, imageItem(inferredFrom, dcm("121112", "Source of Measurement"), h))
			}
			c.children = append(c.children, text(contains, name, s.Text, images...))
		}
		return c
	}
	children := observer(in)
	children = append(children,
		coded(hasConceptMod, dcm("121058", "Procedure reported"), procedure(in)),
		sections(study.SectionFindings, ln("59776-5", "Findings"), dcm("121071", "Finding")),
		sections(study.SectionImpression, ln("19005-8", "Impressions"), dcm("121073", "Impression")),
	)
	root := container("", ln("18748-4", "Diagnostic Imaging Report"), children...)
	return document(in, BasicTextSR, "narrative", "2000", "AI draft - unverified", NarrativeSeries, root)
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
