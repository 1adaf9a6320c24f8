package pixel

import (
	"math"
	"slices"

	"github.com/suyashkumar/dicom/pkg/tag"

	"llamaxr/ingest/dicomfile"
)

// table is a look-up table (PS3.3 C.11.1.1 and C.11.2.1.1).
type table struct {
	entries []int
	first   int // input value of the first entry
	bits    int // of an entry
}

func (t table) full() float64 { return float64(int(1)<<t.bits - 1) }

// at looks a value up; values outside take the first or last entry.
func (t table) at(value float64) float64 {
	i := math.Trunc(value - float64(t.first))
	return float64(t.entries[int(min(max(i, 0), float64(len(t.entries)-1)))])
}

// readTable reads descriptor and data of a look-up table from a data set or item, whose first value is signed or says so itself.
func readTable(d *dicomfile.Dataset, descriptor, data tag.Tag, signed bool) (table, error) {
	head, err := d.Ints(descriptor)
	if err != nil {
		return table{}, err
	}
	if len(head) < 3 {
		return table{}, fail(ErrMalformed, "look-up table descriptor of %d values", len(head))
	}
	t := table{first: int(uint16(head[1])), bits: head[2]}
	if signed || head[1] < 0 {
		t.first = int(int16(head[1]))
	}
	n := int(uint16(head[0]))
	if n == 0 {
		n = 1 << 16
	}
	if t.bits < 1 || t.bits > 16 {
		return table{}, fail(ErrMalformed, "look-up table of %d bits", t.bits)
	}
	if t.entries, err = d.Ints(data); err != nil {
		return table{}, err
	}
	if t.bits <= 8 && len(t.entries) == (n+1)/2 { // two entries of 8 bits a word
		words := t.entries
		t.entries = make([]int, 0, 2*len(words))
		for _, w := range words {
			t.entries = append(t.entries, w&0xFF, w>>8&0xFF)
		}
	}
	if len(t.entries) < n {
		return table{}, fail(ErrMalformed, "look-up table of %d entries where %d are declared", len(t.entries), n)
	}
	t.entries = t.entries[:n]
	return t, nil
}

// voiTable reads a VOI LUT. Its first value has the sign of what the modality transformation makes of the stored values, however it is written.
func (f *Frame) voiTable(item *dicomfile.Dataset, modality func(int64) float64) (table, error) {
	least, most := f.limits()
	low, high := modality(least), modality(most)
	low, high = min(low, high), max(low, high)
	t, err := readTable(item, tag.LUTDescriptor, tag.LUTData, f.Signed && low < 0)
	if err == nil && low < 0 && float64(t.first) > high {
		t.first = int(int16(t.first))
	}
	return t, err
}

// voi is the VOI LUT, the window, or for want of both a stretch over the valid pixels (PS3.3 C.11.2); a LUT goes before a
// window and the first of several is taken. The result maps modality values to [0, 1].
func (img *Image) voi(f *dicomfile.File, fr *Frame, modality func(int64) float64, padded func(int64) bool) (func(float64) float64, error) {
	if items := f.Sequence(tag.VOILUTSequence); len(items) > 0 && items[0].Has(tag.LUTDescriptor) && items[0].Has(tag.LUTData) {
		t, err := fr.voiTable(items[0], modality)
		if err != nil {
			return nil, err
		}
		if highest := slices.Max(t.entries); float64(highest) > t.full() {
			return nil, fail(ErrMalformed, "VOI LUT of %d bits with an entry of %d", t.bits, highest)
		}
		img.step("VOI LUT of %d entries from %d, %d bits, first of %d", len(t.entries), t.first, t.bits, len(items))
		return func(x float64) float64 { return t.at(x) / t.full() }, nil
	}
	w, err := windowOf(f)
	if err != nil {
		return nil, err
	}
	if w == nil {
		if f.Has(tag.WindowCenter) && f.Has(tag.WindowWidth) {
			img.step("window %s/%s %s cannot be applied", f.Text(tag.WindowCenter), f.Text(tag.WindowWidth), f.Text(tag.VOILUTFunction))
		}
		return img.stretch(fr, modality, padded), nil
	}
	apply, _ := window(w.Function, w.Center, w.Width)
	img.step("window center %g, width %g, %s, first of %d", w.Center, w.Width, w.Function, len(f.Strings(tag.WindowCenter)))
	return apply, nil
}

// window is a VOI LUT function of center and width (PS3.3 C.11.2.1.2 and C.11.2.1.3); false when width or function are none.
func window(function string, center, width float64) (func(float64) float64, bool) {
	switch function {
	case "LINEAR":
		if width < 1 {
			return nil, false
		}
		return linear(center-0.5, width-1), true
	case "LINEAR_EXACT":
		if width <= 0 {
			return nil, false
		}
		return linear(center, width), true
	case "SIGMOID":
		if width <= 0 {
			return nil, false
		}
		return func(x float64) float64 { return 1 / (1 + math.Exp(-4*(x-center)/width)) }, true
	}
	return nil, false
}

func linear(center, width float64) func(float64) float64 {
	return func(x float64) float64 {
		switch {
		case x <= center-width/2:
			return 0
		case x > center+width/2:
			return 1
		}
		return (x-center)/width + 0.5
	}
}
