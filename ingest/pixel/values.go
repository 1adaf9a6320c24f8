package pixel

import (
	"encoding/binary"
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
	fr.eachValue(func(word uint32) {
		if stored := fr.stored(word); !padded(stored) {
			p := position(stored)
			low, high = min(low, p), max(high, p)
		}
	})
	if low > high {
		low, high = 0, 0 // all padding
	}
	step := max(1, math.Ceil((high-low)/math.MaxUint16))
	last := uint16((high - low) / step)
	v.Intercept, v.Slope = value(low), value(low+step)-value(low)
	black := uint16(0)
	if falls := tone(v.Intercept) > tone(v.Intercept+v.Slope*float64(last)); falls != v.Inverted {
		black = last
	}
	v.Pixels = fr.mapped(func(word uint32) uint16 {
		stored := fr.stored(word)
		if padded(stored) {
			return black
		}
		return uint16((position(stored) - low) / step)
	})
	v.curve(int(last)+1, tone)
	return v, nil
}

// used tells which values a frame of up to 16 bits has: a picture has millions of pixels and thousands of values.
func (f *Frame) used() []bool {
	used := make([]bool, 1<<16)
	n := f.Rows * f.Columns
	if f.BytesPerSample() == 1 {
		for _, b := range f.Data[:n] {
			used[b] = true
		}
		return used
	}
	for i := range n {
		used[binary.LittleEndian.Uint16(f.Data[2*i:])] = true
	}
	return used
}

// eachValue visits the values of a grey frame, those of up to 16 bits once each.
func (f *Frame) eachValue(visit func(word uint32)) {
	if f.BytesPerSample() > 2 {
		for i := range f.Rows * f.Columns {
			visit(f.word(i))
		}
		return
	}
	for word, used := range f.used() {
		if used {
			visit(uint32(word))
		}
	}
}

// mapped is what place makes of each pixel.
func (f *Frame) mapped(place func(word uint32) uint16) []uint16 {
	out := make([]uint16, f.Rows*f.Columns)
	if f.BytesPerSample() > 2 {
		for i := range out {
			out[i] = place(f.word(i))
		}
		return out
	}
	table := make([]uint16, 1<<16)
	f.eachValue(func(word uint32) { table[word] = place(word) })
	if f.BytesPerSample() == 1 {
		for i, b := range f.Data[:len(out)] {
			out[i] = table[b]
		}
		return out
	}
	for i := range out {
		out[i] = table[binary.LittleEndian.Uint16(f.Data[2*i:])]
	}
	return out
}

// curve samples the tone curve and finds where it rises, from the lowest modality value on: a negative slope has that at the end.
func (v *Values) curve(n int, tone func(float64) float64) {
	v.Curve = make([]uint8, n)
	value := func(i int) float64 {
		if v.Slope < 0 {
			i = n - 1 - i
		}
		return v.Intercept + v.Slope*float64(i)
	}
	first, last := -1, -1
	for i := range n {
		grey := uint8(math.Round(255 * float64(level(tone(value(i))))))
		if first < 0 && grey > 0 {
			first = i
		}
		if last < 0 && grey == 255 {
			last = i
		}
		if v.Slope < 0 {
			v.Curve[n-1-i] = grey
		} else {
			v.Curve[i] = grey
		}
	}
	if last < 0 {
		last = n - 1
	}
	first = min(max(first-1, 0), last)
	v.Low, v.High = value(first), value(last)
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
