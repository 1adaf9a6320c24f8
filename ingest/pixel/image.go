package pixel

import (
	"fmt"

	"github.com/suyashkumar/dicom/pkg/tag"

	"llamaxr/ingest/dicomfile"
)

// Image is a picture in grey levels.
type Image struct {
	Rows, Columns int
	// Pixels are grey levels in [0, 1] row by row; bright is dense, as MONOCHROME2 shows a radiograph.
	Pixels []float32
	// Steps says what was done to the stored values, for people.
	Steps []string
}

func (img *Image) step(format string, args ...any) {
	img.Steps = append(img.Steps, fmt.Sprintf(format, args...))
}

// Gray applies what the data set asks for to the stored values of a frame.
func Gray(f *dicomfile.File, fr *Frame) (*Image, error) {
	img := &Image{Rows: fr.Rows, Columns: fr.Columns}
	render, samples := img.monochrome, 1
	switch fr.Photometric {
	case "MONOCHROME1", "MONOCHROME2":
	case "PALETTE COLOR":
		render = img.palette
	case "RGB", "YBR_FULL", "YBR_RCT", "YBR_ICT":
		render, samples = img.colour, 3
	default:
		return nil, fail(ErrUnsupported, "photometric interpretation %q", fr.Photometric)
	}
	if fr.Samples != samples {
		return nil, fail(ErrMalformed, "%s with %d samples", fr.Photometric, fr.Samples)
	}
	if err := render(f, fr); err != nil {
		return nil, err
	}
	return img, nil
}

// colour takes the luminance of a colour picture (ITU-R BT.601, as YBR_FULL has it).
func (img *Image) colour(_ *dicomfile.File, fr *Frame) error {
	full := float64(uint64(1)<<fr.BitsStored - 1)
	img.Pixels = make([]float32, fr.Rows*fr.Columns)
	for i := range img.Pixels {
		value := float64(fr.word(3 * i))
		if fr.Photometric == "RGB" {
			value = luma(value, float64(fr.word(3*i+1)), float64(fr.word(3*i+2)))
		}
		img.Pixels[i] = level(value / full)
	}
	img.step("luminance of %s", fr.Photometric)
	return nil
}

func luma(r, g, b float64) float64 { return 0.299*r + 0.587*g + 0.114*b }

// level rounds to float32 within [0, 1].
func level(x float64) float32 {
	if !(x > 0) { // NaN too
		return 0
	}
	return float32(min(x, 1))
}

// palette looks values up in the palette (PS3.3 C.7.6.3.1.5) and takes the luminance.
func (img *Image) palette(f *dicomfile.File, fr *Frame) error {
	tables := make([]table, 3)
	for i, tags := range [3][2]tag.Tag{
		{tag.RedPaletteColorLookupTableDescriptor, tag.RedPaletteColorLookupTableData},
		{tag.GreenPaletteColorLookupTableDescriptor, tag.GreenPaletteColorLookupTableData},
		{tag.BluePaletteColorLookupTableDescriptor, tag.BluePaletteColorLookupTableData},
	} {
		if !f.Has(tags[1]) {
			return fail(ErrUnsupported, "palette without tables (segmented palettes are not read)")
		}
		var err error
		if tables[i], err = readTable(f.Dataset, tags[0], tags[1], fr.Signed); err != nil {
			return err
		}
	}
	img.Pixels = make([]float32, fr.Rows*fr.Columns)
	for i := range img.Pixels {
		value := float64(fr.stored(fr.word(i)))
		img.Pixels[i] = level(luma(tables[0].at(value)/tables[0].full(), tables[1].at(value)/tables[1].full(), tables[2].at(value)/tables[2].full()))
	}
	img.step("luminance of the colour palette")
	return nil
}

// monochrome runs the grey scale pipeline (PS3.4 N.2).
func (img *Image) monochrome(f *dicomfile.File, fr *Frame) error {
	modality, err := img.modality(f, fr)
	if err != nil {
		return err
	}
	padded, err := img.padding(f, fr)
	if err != nil {
		return err
	}
	values, err := img.voi(f, fr, modality, padded)
	if err != nil {
		return err
	}
	invert := img.inverted(f, fr)
	img.Pixels = make([]float32, fr.Rows*fr.Columns)
	shade := func(word uint32) float32 {
		stored := fr.stored(word)
		if padded(stored) {
			return 0
		}
		x := values(modality(stored))
		if invert {
			x = 1 - x
		}
		return level(x)
	}
	if fr.BytesPerSample() <= 2 { // few values: a table of all
		var table [1 << 16]float32
		for word := range 1 << (8 * fr.BytesPerSample()) {
			table[word] = shade(uint32(word))
		}
		for i := range img.Pixels {
			img.Pixels[i] = table[fr.word(i)]
		}
		return nil
	}
	for i := range img.Pixels {
		img.Pixels[i] = shade(fr.word(i))
	}
	return nil
}

// modality is the Modality LUT or the rescale (PS3.3 C.11.1).
func (img *Image) modality(f *dicomfile.File, fr *Frame) (func(int64) float64, error) {
	if items := f.Sequence(tag.ModalityLUTSequence); len(items) > 0 {
		t, err := readTable(items[0], tag.LUTDescriptor, tag.LUTData, fr.Signed)
		if err != nil {
			return nil, err
		}
		img.step("modality LUT of %d entries from %d", len(t.entries), t.first)
		return func(v int64) float64 { return t.at(float64(v)) }, nil
	}
	slope, err := f.Floats(tag.RescaleSlope)
	if err != nil {
		return nil, err
	}
	intercept, err := f.Floats(tag.RescaleIntercept)
	if err != nil {
		return nil, err
	}
	if len(slope) == 0 || len(intercept) == 0 {
		return func(v int64) float64 { return float64(v) }, nil
	}
	if slope[0] == 0 {
		return nil, fail(ErrMalformed, "rescale slope 0")
	}
	img.step("rescale with slope %g, intercept %g", slope[0], intercept[0])
	return func(v int64) float64 { return float64(v)*slope[0] + intercept[0] }, nil
}

// padding tells the pixels that are none (PS3.3 C.7.5.1.1.2): they become black and count in no range.
func (img *Image) padding(f *dicomfile.File, fr *Frame) (func(int64) bool, error) {
	value, err := f.Ints(tag.PixelPaddingValue)
	if err != nil {
		return nil, err
	}
	limit, err := f.Ints(tag.PixelPaddingRangeLimit)
	if err != nil {
		return nil, err
	}
	if len(value) == 0 {
		return func(int64) bool { return false }, nil
	}
	low := fr.as(value[0])
	high := low
	if len(limit) > 0 {
		high = fr.as(limit[0])
	}
	low, high = min(low, high), max(low, high)
	img.step("padding value %d to %d shown black", low, high)
	return func(v int64) bool { return v >= low && v <= high }, nil
}

// as reads an attribute whose VR depends on Pixel Representation with the pixels' sign.
func (f *Frame) as(value int) int64 {
	if f.Signed {
		return int64(int16(value))
	}
	return int64(uint16(value))
}

// inverted tells whether low values are bright. For DX the standard couples MONOCHROME1 with Presentation LUT Shape INVERSE
// and MONOCHROME2 with IDENTITY (PS3.3 C.8.11.3.1.2): both say the same, once. Where they disagree the Photometric
// Interpretation of MONOCHROME1 rules, and INVERSE turns MONOCHROME2 over (PS3.3 C.11.6).
func (img *Image) inverted(f *dicomfile.File, fr *Frame) bool {
	shape := f.Text(tag.PresentationLUTShape)
	switch {
	case fr.Photometric == "MONOCHROME1" && shape == "IDENTITY":
		img.step("inverted: MONOCHROME1 (Presentation LUT Shape IDENTITY contradicts it)")
		return true
	case fr.Photometric == "MONOCHROME1":
		img.step("inverted: MONOCHROME1")
		return true
	case shape == "INVERSE":
		img.step("inverted: Presentation LUT Shape INVERSE")
		return true
	}
	return false
}
