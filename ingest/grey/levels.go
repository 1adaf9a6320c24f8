package grey

import (
	"fmt"
	"image"
	"math"
	"slices"

	"llamaxr/ingest/dicomscan"
	"llamaxr/study"
)

// Image is a radiograph as grey levels in [0, 1], dense tissue bright, with the steps that led there.
type Image struct {
	Rows, Columns int
	Levels        []float32
	Steps         []string
}

// Levels applies the grey-scale pipeline of PS3.3 to a frame: modality transformation, then VOI LUT or window (the first), then
// polarity. Without a window the levels run from the least to the greatest value that is not padding.
func Levels(f *dicomscan.File, fr *Frame) (*Image, error) {
	img := &Image{Rows: fr.Rows, Columns: fr.Columns, Levels: make([]float32, fr.Rows*fr.Columns)}
	if fr.Samples == 3 {
		img.luminance(f, fr)
		return img, nil
	}
	values := make([]float64, len(fr.Values))
	padding, hasPadding := paddingOf(f)
	padded := make([]bool, len(values))
	for i, v := range fr.Values {
		values[i] = float64(v)
		padded[i] = hasPadding && float64(v) >= padding[0] && float64(v) <= padding[1]
	}
	if hasPadding {
		img.step("pixel padding %g to %g", padding[0], padding[1])
	}
	if err := img.modality(f, values); err != nil {
		return nil, err
	}
	if err := img.voi(f, values, padded); err != nil {
		return nil, err
	}
	invert := f.Header.PhotometricInterpretation == "MONOCHROME1"
	if shape := f.Text(dicomscan.PresentationLUTShape); shape == "INVERSE" && !invert {
		// IDENTITY is for MONOCHROME2 and INVERSE for MONOCHROME1 (PS3.3, C.8.11.3.1.2): a MONOCHROME2 image with INVERSE contradicts itself.
		img.step("Presentation LUT Shape INVERSE on MONOCHROME2 is ignored")
	}
	if invert {
		img.step("MONOCHROME1: inverted")
	}
	for i, v := range values {
		if padded[i] {
			v = 0
		} else if invert {
			v = 1 - v
		}
		img.Levels[i] = float32(v)
	}
	return img, nil
}

func (img *Image) step(format string, args ...any) {
	img.Steps = append(img.Steps, fmt.Sprintf(format, args...))
}

func paddingOf(f *dicomscan.File) ([2]float64, bool) {
	value := f.Floats(dicomscan.PixelPaddingValue)
	if len(value) == 0 {
		return [2]float64{}, false
	}
	low, high := value[0], value[0]
	if limit := f.Floats(dicomscan.PixelPaddingLimit); len(limit) > 0 {
		low, high = min(low, limit[0]), max(high, limit[0])
	}
	return [2]float64{low, high}, true
}

// luminance reads colour as grey.
func (img *Image) luminance(f *dicomscan.File, fr *Frame) {
	top := math.Pow(2, float64(fr.BitsStored)) - 1
	ybr := len(f.Header.PhotometricInterpretation) > 3 && f.Header.PhotometricInterpretation[:3] == "YBR" && !fr.FromYBR
	for i := range img.Levels {
		r, g, b := float64(fr.Values[3*i]), float64(fr.Values[3*i+1]), float64(fr.Values[3*i+2])
		y := 0.299*r + 0.587*g + 0.114*b
		if ybr {
			y = r
		}
		img.Levels[i] = float32(min(max(y/top, 0), 1))
	}
	img.step("colour to luminance")
}

// modality applies the modality LUT or rescale slope and intercept (PS3.3, C.11.1).
func (img *Image) modality(f *dicomscan.File, values []float64) error {
	if items := f.Items(dicomscan.ModalityLUTSequence); len(items) > 0 {
		lut, err := readLUT(items[0])
		if err != nil {
			return fmt.Errorf("grey: modality LUT: %w", err)
		}
		lut.apply(values)
		img.step("modality LUT of %d entries", len(lut.data))
		return nil
	}
	slope, intercept := 1.0, 0.0
	if v := f.Floats(dicomscan.RescaleSlope); len(v) > 0 && v[0] != 0 {
		slope = v[0]
	}
	if v := f.Floats(dicomscan.RescaleIntercept); len(v) > 0 {
		intercept = v[0]
	}
	if slope != 1 || intercept != 0 {
		for i, v := range values {
			values[i] = v*slope + intercept
		}
		img.step("rescale: %g x + %g", slope, intercept)
	}
	return nil
}

// voi applies the VOI LUT or window (PS3.3, C.11.2) and leaves values in [0, 1].
func (img *Image) voi(f *dicomscan.File, values []float64, padded []bool) error {
	if items := f.Items(dicomscan.VOILUTSequence); len(items) > 0 {
		lut, err := readLUT(items[0])
		if err != nil {
			return fmt.Errorf("grey: VOI LUT: %w", err)
		}
		lut.apply(values)
		top := math.Pow(2, float64(lut.bits)) - 1
		for i, v := range values {
			values[i] = min(max(v/top, 0), 1)
		}
		img.step("VOI LUT of %d entries", len(lut.data))
		return nil
	}
	centre, width := f.Floats(dicomscan.WindowCenter), f.Floats(dicomscan.WindowWidth)
	if len(centre) > 0 && len(width) > 0 && width[0] >= 1 {
		function := f.Text(dicomscan.VOILUTFunction)
		window(values, centre[0], width[0], function)
		if function == "" {
			function = "LINEAR"
		}
		img.step("window centre %g width %g %s", centre[0], width[0], function)
		return nil
	}
	low, high := math.Inf(1), math.Inf(-1)
	for i, v := range values {
		if !padded[i] {
			low, high = min(low, v), max(high, v)
		}
	}
	if high <= low {
		img.step("every pixel has the same value")
		high = low + 1
	} else {
		img.step("no window: least %g to greatest %g", low, high)
	}
	for i, v := range values {
		values[i] = min(max((v-low)/(high-low), 0), 1)
	}
	return nil
}

// window maps values to [0, 1] by the three functions of PS3.3, C.11.2.1.2 and C.11.2.1.3.
func window(values []float64, c, w float64, function string) {
	for i, x := range values {
		switch function {
		case "SIGMOID":
			values[i] = 1 / (1 + math.Exp(-4*(x-c)/w))
		case "LINEAR_EXACT":
			values[i] = min(max((x-c)/w+0.5, 0), 1)
		default:
			switch {
			case x <= c-0.5-(w-1)/2:
				values[i] = 0
			case x > c-0.5+(w-1)/2:
				values[i] = 1
			default:
				values[i] = (x-(c-0.5))/(w-1) + 0.5
			}
		}
	}
}

// lut is a look-up table: entry 0 is for first and below, the last for what lies above.
type lut struct {
	first int
	bits  int
	data  []float64
}

func readLUT(d *dicomscan.DataSet) (*lut, error) {
	descriptor, data := d.Floats(dicomscan.LUTDescriptor), d.Floats(dicomscan.LUTData)
	if len(descriptor) < 3 || len(data) == 0 {
		return nil, fmt.Errorf("descriptor %v with %d entries", descriptor, len(data))
	}
	entries := int(descriptor[0])
	if entries == 0 {
		entries = 1 << 16
	}
	if len(data) < entries {
		return nil, fmt.Errorf("%d entries, the descriptor says %d", len(data), entries)
	}
	l := &lut{first: int(descriptor[1]), bits: int(descriptor[2]), data: data[:entries]}
	if l.bits < 1 || l.bits > 16 {
		return nil, fmt.Errorf("entries of %d bits", l.bits)
	}
	return l, nil
}

func (l *lut) apply(values []float64) {
	for i, v := range values {
		values[i] = l.data[min(max(int(v)-l.first, 0), len(l.data)-1)]
	}
}

// LooksInverted reports whether a chest radiograph has its grey levels turned round: air around the body and in the lungs is dark in
// a true one, so its corners are darker than its middle. A doubt for people, never a correction.
func (img *Image) LooksInverted() bool {
	mean := func(x0, y0, x1, y1 float64) float64 {
		sum, n := 0.0, 0
		for y := int(y0 * float64(img.Rows)); y < int(y1*float64(img.Rows)); y += 2 {
			for x := int(x0 * float64(img.Columns)); x < int(x1*float64(img.Columns)); x += 2 {
				sum, n = sum+float64(img.Levels[y*img.Columns+x]), n+1
			}
		}
		return sum / float64(max(n, 1))
	}
	sides := (mean(0, 0, 0.06, 0.25) + mean(0.94, 0, 1, 0.25)) / 2
	spine, base := mean(0.44, 0.45, 0.56, 0.75), mean(0.25, 0.88, 0.75, 1)
	return sides > spine+0.15 && sides > base+0.15
}

// Limits of the crop of blank borders.
const (
	// maxBorder is the share of a side that may be cut: collimation never takes more than half the film.
	maxBorder = 0.35
	// flat is the spread of grey levels under which a row or column is blank.
	flat = 0.012
)

// Normalise crops blank borders, takes the centre square and scales it to the classifier's input by averaging over the area each
// input pixel covers.
func Normalise(img *Image) study.Normalised {
	x0, y0, x1, y1 := img.content()
	side := min(x1-x0, y1-y0)
	left, top := x0+(x1-x0-side)/2, y0+(y1-y0-side)/2
	const n = study.InputSize
	scale := float64(side) / n
	out := study.Normalised{
		Pixels:   make([]float32, n*n),
		Geometry: study.Geometry{X: float64(left), Y: float64(top), Scale: scale, Columns: img.Columns, Rows: img.Rows},
	}
	for y := range n {
		for x := range n {
			level := img.area(float64(left)+float64(x)*scale, float64(top)+float64(y)*scale, scale)
			out.Pixels[y*n+x] = (2*level - 1) * 1024
		}
	}
	return out
}

// area averages the levels over a square of the image; smaller than a pixel it interpolates.
func (img *Image) area(x, y, size float64) float32 {
	at := func(x, y int) float64 {
		return float64(img.Levels[min(max(y, 0), img.Rows-1)*img.Columns+min(max(x, 0), img.Columns-1)])
	}
	if size <= 1 {
		cx, cy := x+size/2-0.5, y+size/2-0.5
		fx, fy := math.Floor(cx), math.Floor(cy)
		dx, dy := cx-fx, cy-fy
		ix, iy := int(fx), int(fy)
		return float32((at(ix, iy)*(1-dx)+at(ix+1, iy)*dx)*(1-dy) + (at(ix, iy+1)*(1-dx)+at(ix+1, iy+1)*dx)*dy)
	}
	sum, weight := 0.0, 0.0
	for iy := int(y); float64(iy) < y+size; iy++ {
		wy := min(float64(iy+1), y+size) - max(float64(iy), y)
		for ix := int(x); float64(ix) < x+size; ix++ {
			w := wy * (min(float64(ix+1), x+size) - max(float64(ix), x))
			sum, weight = sum+w*at(ix, iy), weight+w
		}
	}
	return float32(sum / max(weight, 1e-12))
}

// content returns the rectangle inside the blank borders: rows and columns from each edge whose levels hardly vary and that look
// like the edge itself.
func (img *Image) content() (x0, y0, x1, y1 int) {
	row := func(y int) (low, high float32) {
		return img.spread(func(i int) float32 { return img.Levels[y*img.Columns+i] }, img.Columns)
	}
	column := func(x int) (low, high float32) {
		return img.spread(func(i int) float32 { return img.Levels[i*img.Columns+x] }, img.Rows)
	}
	x0, x1 = trim(img.Columns, column)
	y0, y1 = trim(img.Rows, row)
	return x0, y0, x1, y1
}

// spread returns the 2nd and 98th percentile of a line, so that a lead letter in a border does not count.
func (img *Image) spread(at func(int) float32, n int) (low, high float32) {
	step := max(n/256, 1)
	var line []float32
	for i := 0; i < n; i += step {
		line = append(line, at(i))
	}
	slices.Sort(line)
	return line[len(line)*2/100], line[len(line)*98/100]
}

func trim(n int, line func(int) (float32, float32)) (from, to int) {
	blank := func(i int, edge float32) bool {
		low, high := line(i)
		return high-low < flat && high-edge < flat && edge-low < flat
	}
	limit := int(maxBorder * float64(n))
	_, first := line(0)
	for from < limit && blank(from, first) {
		from++
	}
	_, last := line(n - 1)
	to = n
	for n-to < limit && blank(to-1, last) {
		to--
	}
	// A whole image that hardly varies has no border.
	if from >= limit && n-to >= limit {
		return 0, n
	}
	return from, to
}

// Render returns the image with 8 bits, its longer side at most maxSide, and the factor by which it was made smaller.
func Render(img *Image, maxSide int) (*image.Gray, float64) {
	factor := max(float64(max(img.Rows, img.Columns))/float64(maxSide), 1)
	w, h := max(int(float64(img.Columns)/factor), 1), max(int(float64(img.Rows)/factor), 1)
	out := image.NewGray(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			out.Pix[y*out.Stride+x] = uint8(255*img.area(float64(x)*factor, float64(y)*factor, factor) + 0.5)
		}
	}
	return out, factor
}
