package pixel

import (
	"math"

	"github.com/suyashkumar/dicom/pkg/tag"

	"llamaxr/ingest/dicomfile"
)

// Values are a picture's values before window and VOI LUT, for a viewer that windows at full depth itself.
type Values struct {
	Rows, Columns int
	// Pixels are places on a scale: the modality value (PS3.3 C.11.1) of pixel p is Intercept + Slope*p. Frames of up to 16 bits keep
	// every value apart.
	Pixels           []uint16
	Slope, Intercept float64
	// Curve is the grey, 0 to 255, that the object's own VOI LUT or window gives each place, before inversion; it ends at the highest.
	Curve []uint8
	// Low and High are the modality values between which Curve rises from black to white: where a viewer's window begins.
	Low, High float64
	Inverted  bool // low values are bright
	Steps     []string
}

// FrameValues returns the values of a frame. Colour becomes luminance.
func FrameValues(f *dicomfile.File, fr *Frame) (*Values, error) {
	switch fr.Photometric {
	case "MONOCHROME1", "MONOCHROME2":
	default:
		return colourValues(f, fr)
	}
	img := &Image{Rows: fr.Rows, Columns: fr.Columns}
	modality, err := img.modality(f, fr)
	if err != nil {
		return nil, err
	}
	padded, err := img.padding(f, fr)
	if err != nil {
		return nil, err
	}
	tone, err := img.voi(f, fr, modality, padded)
	if err != nil {
		return nil, err
	}
	v := &Values{Rows: fr.Rows, Columns: fr.Columns, Inverted: img.inverted(f, fr)}
	v.Steps = img.Steps
	// A rescale is a line, so the stored values are the scale; a Modality LUT is not, so what it gives is.
	position, value := func(stored int64) float64 { return float64(stored) }, func(p float64) float64 { return modality(int64(p)) }
	if len(f.Sequence(tag.ModalityLUTSequence)) > 0 {
		position, value = modality, func(p float64) float64 { return p }
	}
	low, high := math.Inf(1), math.Inf(-1)
	for i := range fr.Rows * fr.Columns {
		if stored := fr.stored(fr.word(i)); !padded(stored) {
			p := position(stored)
			low, high = min(low, p), max(high, p)
		}
	}
	if low > high {
		low, high = 0, 0 // all padding
	}
	step := max(1, math.Ceil((high-low)/math.MaxUint16))
	last := uint16((high - low) / step)
	v.Intercept, v.Slope = value(low), value(low+step)-value(low)
	black := uint16(0)
	if v.Inverted {
		black = last
	}
	v.Pixels = make([]uint16, fr.Rows*fr.Columns)
	for i := range v.Pixels {
		if stored := fr.stored(fr.word(i)); padded(stored) {
			v.Pixels[i] = black
		} else {
			v.Pixels[i] = uint16((position(stored) - low) / step)
		}
	}
	v.curve(int(last)+1, tone)
	return v, nil
}

// curve samples the tone curve and finds where it rises.
func (v *Values) curve(n int, tone func(float64) float64) {
	v.Curve = make([]uint8, n)
	first, last := -1, -1
	for i := range v.Curve {
		v.Curve[i] = uint8(math.Round(255 * float64(level(tone(v.Intercept+v.Slope*float64(i))))))
		if first < 0 && v.Curve[i] > 0 {
			first = i
		}
		if last < 0 && v.Curve[i] == 255 {
			last = i
		}
	}
	if last < 0 {
		last = n - 1
	}
	first = min(max(first-1, 0), last)
	v.Low, v.High = v.Intercept+v.Slope*float64(first), v.Intercept+v.Slope*float64(last)
}

func colourValues(f *dicomfile.File, fr *Frame) (*Values, error) {
	img, err := Gray(f, fr)
	if err != nil {
		return nil, err
	}
	v := &Values{Rows: img.Rows, Columns: img.Columns, Slope: 1.0 / math.MaxUint16, Steps: img.Steps, Pixels: make([]uint16, len(img.Pixels))}
	for i, p := range img.Pixels {
		v.Pixels[i] = uint16(math.Round(float64(p) * math.MaxUint16))
	}
	v.curve(1<<16, func(x float64) float64 { return x })
	return v, nil
}
