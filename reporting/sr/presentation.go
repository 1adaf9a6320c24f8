package sr

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"llamaxr/internal/dicomwrite"
	"llamaxr/study"

	"github.com/suyashkumar/dicom/pkg/tag"
)

// GrayscaleSoftcopyPresentationState is the SOP class of a heat map's outlines, drawn over the image by the viewer.
const GrayscaleSoftcopyPresentationState = "1.2.840.10008.5.1.4.1.1.11.1"

// Presentable reports whether an image can have a presentation state: it is grey, and of the draft's own study, for a state refers to
// images of the study that it is in (PS3.3 C.11.11).
func Presentable(h *study.Header, studyUID string) bool {
	return strings.HasPrefix(h.PhotometricInterpretation, "MONOCHROME") && h.Rows > 0 && h.Columns > 0 && h.StudyInstanceUID == studyUID
}

// Colours of the outlines for viewers that have any (CIE L*a*b* as PS3.3 C.10.7.1.1 encodes it), and their grey for those that have none.
var outlineColour = []int{0xD6D6, 0x8C00, 0xB4B4} // amber, as in the reading room

const (
	outlineGrey = 0xFFFF
	noticeLayer = "AI NOTICE"
	// labelHeight is the share of the image's rows that a label takes.
	labelHeight = 1.0 / 40
	// labelGlyph is the width of a character to its height, on the generous side.
	labelGlyph = 0.7
)

// Presentation makes the presentation state of one view (PS3.3 A.33.1): the image as it asks to be shown itself, and for each finding at or
// above its operating point there a graphic layer with the outline of the heat map's region and the finding's score.
func Presentation(in Input, view study.Projection, display study.Display) (*Document, error) {
	h := in.Of(view)
	if h == nil {
		return nil, fmt.Errorf("sr: presentation state: no %s view", view)
	}
	if !Presentable(h, in.Draft.StudyInstanceUID) {
		return nil, fmt.Errorf("sr: presentation state: image %s is not grey or of another study", h.SOPInstanceUID)
	}
	d, err := Begin(in, GrayscaleSoftcopyPresentationState, "presentation", "PR", "AI heat map - unverified", HeatMapSeries)
	if err != nil {
		return nil, err
	}
	d.Kind, d.SOPInstanceUID = d.Kind+"-"+view.String(), DeriveUID(d.SOPInstanceUID, view.String()) // of one series
	d.remain(in)
	image := reference(h.SOPClassUID, h.SOPInstanceUID)
	if h.NumberOfFrames > 1 {
		image.Text(tag.ReferencedFrameNumber, "1") // the one that was read
	}
	d.set.Remove(tag.ContentDate, tag.ContentTime) // which are of documents and images
	d.set.
		Text(tag.SOPInstanceUID, d.SOPInstanceUID).Text(tag.SeriesInstanceUID, d.SeriesInstanceUID).Text(tag.InstanceNumber, fmt.Sprint(2*in.Draft.Revision-1+int(view-study.Frontal))).
		Text(tag.PresentationCreationDate, in.Time.Format("20060102")).Text(tag.PresentationCreationTime, in.Time.Format("150405")).
		Text(tag.ContentLabel, "AI_DRAFT").Text(tag.ContentDescription, warning(in.Draft)).Text(tag.ContentCreatorName).Text(tag.Laterality).
		Items(tag.ReferencedSeriesSequence, dicomwrite.New().
			Text(tag.SeriesInstanceUID, h.SeriesInstanceUID).Items(tag.ReferencedImageSequence, image)).
		Items(tag.DisplayedAreaSelectionSequence, displayedArea(h, display))
	greyscale(d.set, display)
	annotate(d.set, in, view, h)
	return d, nil
}

// warning is what must be said of a draft in the 64 characters of a description.
func warning(d study.Draft) string {
	if d.Starter() {
		return "AI draft. " + study.StarterWarning
	}
	return study.DraftWarning
}

// displayedArea shows all of the image (PS3.3 C.10.4).
func displayedArea(h *study.Header, display study.Display) *dicomwrite.Set {
	area := dicomwrite.New().
		Ints(tag.DisplayedAreaTopLeftHandCorner, 1, 1).Ints(tag.DisplayedAreaBottomRightHandCorner, h.Columns, h.Rows).
		Text(tag.PresentationSizeMode, "SCALE TO FIT")
	vertical, horizontal := display.Aspect[0], display.Aspect[1]
	if vertical == horizontal {
		return area.Text(tag.PresentationPixelAspectRatio, "1", "1")
	}
	const parts = 1000
	return area.Text(tag.PresentationPixelAspectRatio, strconv.Itoa(max(int(math.Round(parts*vertical/horizontal)), 1)), strconv.Itoa(parts))
}

// greyscale writes the transformations from stored values to P-Values (PS3.3 C.11.1, C.11.8, C.11.6) and the shutter (C.11.12).
func greyscale(s *dicomwrite.Set, d study.Display) {
	switch {
	case d.ModalityLUT != nil:
		s.Items(tag.ModalityLUTSequence, modalityLUT(*d.ModalityLUT).Text(tag.ModalityLUTType, "US"))
	case d.Rescale != nil:
		s.Text(tag.RescaleIntercept, dicomwrite.Decimal(d.Rescale.Intercept)).Text(tag.RescaleSlope, dicomwrite.Decimal(d.Rescale.Slope)).
			Text(tag.RescaleType, clip(plain(d.Rescale.Type), 64))
	}
	switch {
	case d.VOILUT != nil:
		s.Items(tag.SoftcopyVOILUTSequence, dicomwrite.New().Items(tag.VOILUTSequence, voiLUT(*d.VOILUT)))
	case d.Window != nil:
		voi := dicomwrite.New().Text(tag.WindowCenter, dicomwrite.Decimal(d.Window.Center)).Text(tag.WindowWidth, dicomwrite.Decimal(d.Window.Width))
		if d.Window.Function != "LINEAR" {
			voi.Text(tag.VOILUTFunction, d.Window.Function)
		}
		s.Items(tag.SoftcopyVOILUTSequence, voi)
	}
	shape := "IDENTITY"
	if d.Inverse {
		shape = "INVERSE"
	}
	s.Text(tag.PresentationLUTShape, shape)
	if c := d.Shutter; c != nil {
		s.Text(tag.ShutterShape, strings.Split(c.Shape, `\`)...).Ints(tag.ShutterPresentationValue, c.Presentation).
			Optional(tag.ShutterLeftVerticalEdge, c.Left).Optional(tag.ShutterRightVerticalEdge, c.Right).
			Optional(tag.ShutterUpperHorizontalEdge, c.Upper).Optional(tag.ShutterLowerHorizontalEdge, c.Down).
			Optional(tag.CenterOfCircularShutter, c.Center).Optional(tag.RadiusOfCircularShutter, c.Radius).
			Optional(tag.VerticesOfThePolygonalShutter, c.Vertices)
	}
}

// modalityLUT writes a Modality LUT, whose entries are values: of 8 bits two to a word, else one (PS3.3 C.11.1.1.1). Some have more bits than they
// say.
func modalityLUT(t study.LUT) *dicomwrite.Set {
	if t.Bits > 8 || slices.Max(t.Entries) > math.MaxUint8 {
		return lut(t.First, t.Entries, 16)
	}
	if n := len(t.Entries); n%2 == 1 {
		t.Entries = append(t.Entries[:n:n], t.Entries[n-1]) // what lies beyond takes the last one in any case
	}
	return lut(t.First, t.Entries, 8)
}

// voiLUT writes a VOI LUT with its entries spread over 16 bits: what counts is their share of the highest (PS3.3 C.11.2.1.1).
func voiLUT(t study.LUT) *dicomwrite.Set {
	const most = 1<<16 - 1
	spread := make([]int, len(t.Entries))
	for i, e := range t.Entries {
		spread[i] = e * most / (1<<t.Bits - 1)
	}
	return lut(t.First, spread, 16)
}

func lut(first int, entries []int, bits int) *dicomwrite.Set {
	var data []byte
	for _, e := range entries {
		data = append(data, byte(e))
		if bits > 8 {
			data = append(data, byte(e>>8))
		}
	}
	// A length of 65536 is said as 0.
	return dicomwrite.New().ShortInts(tag.LUTDescriptor, first < 0, len(entries)&0xFFFF, first, bits).Words(tag.LUTData, data)
}

// annotate draws the layers of a view (PS3.3 C.10.5 and C.10.7).
func annotate(s *dicomwrite.Set, in Input, view study.Projection, h *study.Header) {
	layer := func(name, description string, order int) *dicomwrite.Set {
		return dicomwrite.New().Text(tag.GraphicLayer, name).Text(tag.GraphicLayerOrder, fmt.Sprint(order)).
			Text(tag.GraphicLayerDescription, clip(description, 64)).
			Ints(tag.GraphicLayerRecommendedDisplayGrayscaleValue, outlineGrey).Ints(tag.GraphicLayerRecommendedDisplayCIELabValue, outlineColour...)
	}
	said, scores := notice(in.Draft), in.Draft.Scores.Of(view)
	layers, annotations, labels := []*dicomwrite.Set(nil), []*dicomwrite.Set(nil), labels{rows: float64(h.Rows), columns: float64(h.Columns)}
	for _, f := range study.Findings() {
		if !scores.Scored(f) || scores[f] < study.OperatingPoint {
			continue
		}
		region := study.RegionOf(in.Maps, view, f)
		text := fmt.Sprintf("%s %s", f, study.ShownScore(scores[f]))
		if region == nil {
			said += "\r\n" + text + ", no region stands out."
			continue
		}
		name := layerName(f)
		layers = append(layers, layer(name, text, len(layers)+1))
		left, top, right, bottom := labels.place(*region, text)
		annotations = append(annotations, dicomwrite.New().Text(tag.GraphicLayer, name).
			Items(tag.TextObjectSequence, dicomwrite.New().
				Text(tag.BoundingBoxAnnotationUnits, "PIXEL").Text(tag.UnformattedTextValue, text).
				Floats(tag.BoundingBoxTopLeftHandCorner, left, top).Floats(tag.BoundingBoxBottomRightHandCorner, right, bottom).
				Text(tag.BoundingBoxTextHorizontalJustification, "LEFT")).
			Items(tag.GraphicObjectSequence, dicomwrite.New().
				Text(tag.GraphicAnnotationUnits, "PIXEL").Ints(tag.GraphicDimensions, 2).Ints(tag.NumberOfGraphicPoints, 5).
				Floats(tag.GraphicData, corners(*region)...).Text(tag.GraphicType, "POLYLINE").Text(tag.GraphicFilled, "N")))
	}
	if len(annotations) == 0 {
		said += fmt.Sprintf("\r\nNothing is outlined on the %s view.", view)
	}
	const noticeRight, noticeBottom = 1.0, 0.06 // of the display
	annotations = append(annotations, dicomwrite.New().Text(tag.GraphicLayer, noticeLayer).
		Items(tag.TextObjectSequence, dicomwrite.New().
			Text(tag.BoundingBoxAnnotationUnits, "DISPLAY").Text(tag.UnformattedTextValue, clip(said, 1024)).
			Floats(tag.BoundingBoxTopLeftHandCorner, 0, 0).Floats(tag.BoundingBoxBottomRightHandCorner, noticeRight, noticeBottom).
			Text(tag.BoundingBoxTextHorizontalJustification, "LEFT")))
	layers = append(layers, layer(noticeLayer, "not reviewed by a physician", len(layers)+1))
	s.Items(tag.GraphicAnnotationSequence, annotations...).Items(tag.GraphicLayerSequence, layers...)
}

// layerName is a finding as a CS value: capitals, digits, spaces and at most 16 characters.
func layerName(f study.Finding) string {
	if f == study.EnlargedCardiomediastinum {
		return "ENLARGED CM"
	}
	return clip(strings.ToUpper(f.String()), 16)
}

// labels are the places of a view's labels: above its region each, below one that is already there.
type labels struct {
	rows, columns float64
	taken         [][4]float64
}

func (l *labels) place(r study.Region, text string) (left, top, right, bottom float64) {
	high := math.Round(l.rows * labelHeight)
	wide := min(labelGlyph*high*float64(len(text)), l.columns)
	left, top = min(max(r.Left, 0), l.columns-wide), max(r.Top-high, 0)
	for i := 0; i < len(l.taken); i++ {
		if t := l.taken[i]; left < t[2] && t[0] < left+wide && top < t[3] && t[1] < top+high && t[3]+high <= l.rows {
			top, i = t[3], -1 // against all of them again
		}
	}
	l.taken = append(l.taken, [4]float64{left, top, left + wide, top + high})
	return left, top, left + wide, top + high
}
