package pixel

import (
	"strings"

	"github.com/suyashkumar/dicom/pkg/tag"

	"llamaxr/ingest/dicomfile"
	"llamaxr/study"
)

// DisplayOf returns how a grey frame is shown: the same choice of look-up table, window or stretch that Gray makes of it.
func DisplayOf(f *dicomfile.File, fr *Frame) (*study.Display, error) {
	img := &Image{Rows: fr.Rows, Columns: fr.Columns}
	modality, err := img.modality(f, fr)
	if err != nil {
		return nil, err
	}
	d := &study.Display{Inverse: img.inverted(f, fr), Shutter: shutter(f)}
	if d.ModalityLUT, err = lutOf(f, tag.ModalityLUTSequence, func(item *dicomfile.Dataset) (table, error) {
		return readTable(item, tag.LUTDescriptor, tag.LUTData, fr.Signed)
	}); err != nil {
		return nil, err
	}
	if d.ModalityLUT == nil {
		if d.Rescale, err = rescaleOf(f); err != nil {
			return nil, err
		}
	}
	d.Aspect = aspect(f)
	if d.VOILUT, err = lutOf(f, tag.VOILUTSequence, func(item *dicomfile.Dataset) (table, error) { return fr.voiTable(item, modality) }); err != nil || d.VOILUT != nil {
		return d, err
	}
	if d.Window, err = windowOf(f); err != nil || d.Window != nil {
		return d, err
	}
	padded, err := img.padding(f, fr)
	if err != nil {
		return nil, err
	}
	if low, high, ok := img.valid(fr, modality, padded); ok && low < high {
		d.Window = &study.Window{Center: (low+high)/2 + 0.5, Width: high - low + 1, Function: "LINEAR"} // C.11.2.1.2.1
	}
	return d, nil
}

func lutOf(f *dicomfile.File, sequence tag.Tag, read func(*dicomfile.Dataset) (table, error)) (*study.LUT, error) {
	items := f.Sequence(sequence)
	if len(items) == 0 || !items[0].Has(tag.LUTDescriptor) || !items[0].Has(tag.LUTData) {
		return nil, nil
	}
	t, err := read(items[0])
	if err != nil {
		return nil, err
	}
	return &study.LUT{First: t.first, Bits: t.bits, Entries: t.entries}, nil
}

func rescaleOf(f *dicomfile.File) (*study.Rescale, error) {
	slope, err := f.Floats(tag.RescaleSlope)
	if err != nil {
		return nil, err
	}
	intercept, err := f.Floats(tag.RescaleIntercept)
	if err != nil || len(slope) == 0 || len(intercept) == 0 {
		return nil, err
	}
	r := &study.Rescale{Slope: slope[0], Intercept: intercept[0], Type: f.Text(tag.RescaleType)}
	if r.Type == "" {
		r.Type = "US"
	}
	return r, nil
}

// windowOf is the first window, nil when there is none that can be applied.
func windowOf(f *dicomfile.File) (*study.Window, error) {
	centers, err := f.Floats(tag.WindowCenter)
	if err != nil {
		return nil, err
	}
	widths, err := f.Floats(tag.WindowWidth)
	if err != nil || len(centers) == 0 || len(widths) == 0 {
		return nil, err
	}
	w := &study.Window{Center: centers[0], Width: widths[0], Function: f.Text(tag.VOILUTFunction)}
	if w.Function == "" {
		w.Function = "LINEAR"
	}
	if _, ok := window(w.Function, w.Center, w.Width); !ok {
		return nil, nil
	}
	return w, nil
}

// aspect is the shape of a pixel, from whichever attribute gives it. One that cannot be read gives none: nothing is measured with it.
func aspect(f *dicomfile.File) [2]float64 {
	for _, t := range []tag.Tag{tag.PixelSpacing, tag.ImagerPixelSpacing, tag.PixelAspectRatio} {
		values, err := f.Floats(t)
		if err == nil && len(values) == 2 && values[0] > 0 && values[1] > 0 {
			return [2]float64{values[0], values[1]}
		}
	}
	return [2]float64{1, 1}
}

func shutter(f *dicomfile.File) *study.Shutter {
	shape := f.Text(tag.ShutterShape)
	if shape == "" || strings.Contains(shape, "BITMAP") {
		return nil
	}
	s := &study.Shutter{
		Shape: shape, Left: f.Text(tag.ShutterLeftVerticalEdge), Right: f.Text(tag.ShutterRightVerticalEdge),
		Upper: f.Text(tag.ShutterUpperHorizontalEdge), Down: f.Text(tag.ShutterLowerHorizontalEdge),
		Center: f.Text(tag.CenterOfCircularShutter), Radius: f.Text(tag.RadiusOfCircularShutter), Vertices: f.Text(tag.VerticesOfThePolygonalShutter),
	}
	if value, err := f.Ints(tag.ShutterPresentationValue); err == nil && len(value) > 0 {
		s.Presentation = value[0]
	}
	return s
}
