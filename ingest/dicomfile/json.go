package dicomfile

import (
	"math"

	"github.com/suyashkumar/dicom/pkg/tag"

	"llamaxr/dicomnet/dicomjson"
)

// JSON returns the data set in the DICOM JSON model (PS3.18, annex F), in UTF-8 and without the File Meta group. Pixel data and values
// above MaxBulk are not in it: they are not in memory either.
func (d *Dataset) JSON() dicomjson.Object {
	o := dicomjson.Object{}
	d.addTo(o)
	o.Text(tag.SpecificCharacterSet, "CS", "ISO_IR 192")
	return o
}

func (d *Dataset) addTo(o dicomjson.Object) {
	for t, e := range d.elements {
		if t.Group == 0x0002 || t == tag.SpecificCharacterSet || e.Value == nil {
			continue
		}
		vr := e.RawValueRepresentation
		switch value := e.Value.GetValue().(type) {
		case []byte:
			if known := dictionaryVR(t, false); vr == "UN" && known[0] == 'O' && !vrForms[known].plain {
				vr = known // only the library's reading made it UN
			}
			o[dicomjson.Key(t)] = dicomjson.Element{VR: vr, InlineBinary: value}
		case []int:
			if vr == "AT" {
				o.Text(t, vr, tagTexts(value)...)
			} else {
				o.Numbers(t, vr, value...)
			}
		case []float64:
			e := dicomjson.Element{VR: vr}
			for _, x := range value {
				e.Value = append(e.Value, floatValue(x))
			}
			o[dicomjson.Key(t)] = e
		case []string:
			o.Text(t, vr, d.Strings(t)...)
		default:
			var items []dicomjson.Object
			for _, item := range d.Sequence(t) {
				inner := dicomjson.Object{}
				item.addTo(inner)
				items = append(items, inner)
			}
			o.Sequence(t, items...)
		}
	}
}

// tagTexts are the values of an element of VR AT, which come as pairs of group and element.
func tagTexts(words []int) (texts []string) {
	for ; len(words) >= 2; words = words[2:] {
		texts = append(texts, dicomjson.Key(tag.Tag{Group: uint16(words[0]), Element: uint16(words[1])}))
	}
	return texts
}

// floatValue is a number, or the word that stands for one that JSON has not (PS3.18, table F.2.3-1).
func floatValue(x float64) any {
	switch {
	case math.IsNaN(x):
		return "NaN"
	case math.IsInf(x, 1):
		return "inf"
	case math.IsInf(x, -1):
		return "-inf"
	}
	return x
}
