package conformance

import (
	"bytes"
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"llamaxr/internal/dicomwrite"
	"llamaxr/reporting/sr"
	"llamaxr/study"

	"github.com/suyashkumar/dicom"
	"github.com/suyashkumar/dicom/pkg/tag"
)

// attribute is a row of a table of a created object (PS3.2 annex A.A).
type attribute struct {
	Name, Tag, VR string
	Value         string // where it is always the same
	Presence      string // ALWAYS, VNAP, ANAP or EMPTY
	Source        string // AUTO, IMAGE or CONFIG
}

// seen is what became of an attribute in the objects that were looked at.
type seen struct {
	element            *dicom.Element
	depth              int
	present, withValue int // in how many objects, or items
	values             []string
}

// attributes are those of an object outside its content tree, in the order of the data set.
func (o object) attributes() ([]attribute, error) {
	found, counted := map[string]*seen{}, map[string]int{}
	inputs := inputs()
	for _, in := range inputs {
		set, err := o.dataSet(in)
		if err != nil {
			return nil, err
		}
		look(set.Elements, "", 0, found, counted)
	}
	origin := origins(inputs)
	var paths []string
	for path := range found {
		paths = append(paths, path)
	}
	slices.Sort(paths)
	var out []attribute
	for _, path := range paths {
		f := found[path]
		a := attribute{Tag: strings.ToUpper(f.element.Tag.String()), VR: f.element.RawValueRepresentation, Presence: f.presence(counted[path[:strings.LastIndex(path, "/")+1]]), Source: f.source(origin)}
		a.Name = strings.Repeat(">", f.depth) + nameOf(f.element.Tag)
		if len(f.values) == 1 && f.withValue > 0 && a.Source == "AUTO" {
			a.Value = f.values[0]
		}
		out = append(out, a)
	}
	return out, nil
}

func (o object) dataSet(in sr.Input) (dicom.Dataset, error) {
	b, err := o.encoded(in)
	if err != nil {
		return dicom.Dataset{}, err
	}
	set, err := dicom.Parse(bytes.NewReader(b), int64(len(b)), nil, dicom.SkipPixelData())
	if err != nil {
		return set, fmt.Errorf("conformance: %s: %w", o.Title, err)
	}
	return set, nil
}

// look notes the elements of one data set or item; path is where it stands, and counted how many stand there. The content tree is left to
// annex A.B.
func look(elements []*dicom.Element, path string, depth int, found map[string]*seen, counted map[string]int) {
	for _, e := range elements {
		if e.Tag.Group == 2 {
			continue
		}
		key := fmt.Sprintf("%s%04X%04X", path, e.Tag.Group, e.Tag.Element)
		f := found[key]
		if f == nil {
			f = &seen{element: e, depth: depth}
			found[key] = f
		}
		f.present++
		items, isSequence := e.Value.GetValue().([]*dicom.SequenceItemValue)
		text := textOf(e)
		if text != "" || len(items) > 0 || e.Tag == tag.PixelData {
			f.withValue++
		}
		if !isSequence && text != "" && !slices.Contains(f.values, text) {
			f.values = append(f.values, text)
		}
		if e.Tag == tag.ContentSequence {
			continue
		}
		for _, item := range items {
			inside := item.GetValue().([]*dicom.Element)
			look(inside, key+"/", depth+1, found, counted)
		}
	}
	counted[path]++
}

// presence, in so many objects or items in which the attribute could be, is by the words of PS3.2: ALWAYS with a value; VNAP, value not always present; ANAP, attribute not always present; EMPTY.
func (f *seen) presence(possible int) string {
	switch {
	case f.withValue == 0:
		return "EMPTY"
	case f.withValue == possible:
		return "ALWAYS"
	case f.present == possible:
		return "VNAP"
	}
	return "ANAP"
}

// source tells what was copied by its value, which no other attribute of the images and of the device has.
func (f *seen) source(origin map[string]string) string {
	if f.element.RawValueRepresentation == "SQ" || f.withValue == 0 {
		return ""
	}
	for _, v := range f.values {
		if from := origin[v]; from != "" {
			return from
		}
	}
	return "AUTO"
}

// origins are the values of the images and of the device, by value.
func origins(inputs []sr.Input) map[string]string {
	out := map[string]string{}
	var walk func(reflect.Value, string)
	walk = func(v reflect.Value, from string) {
		switch v.Kind() {
		case reflect.String:
			if len(v.String()) > 0 {
				out[v.String()] = from
			}
		case reflect.Struct:
			for i := range v.NumField() {
				walk(v.Field(i), from)
			}
		case reflect.Slice:
			for i := range v.Len() {
				walk(v.Index(i), from)
			}
		}
	}
	for _, in := range inputs {
		walk(reflect.ValueOf(in.Device), "CONFIG")
		for _, h := range in.Images() {
			walk(reflect.ValueOf(*h), "IMAGE")
		}
	}
	for _, number := range []float64{fullDisplay.Rescale.Slope, fullDisplay.Rescale.Intercept, fullDisplay.Window.Center, fullDisplay.Window.Width} {
		out[dicomwrite.Decimal(number)] = "IMAGE"
	}
	out[fullDisplay.Rescale.Type], out[fullDisplay.Window.Function] = "IMAGE", "IMAGE"
	for value, from := range map[string]string{"Signer^Physician": "USER", "organization": "CONFIG"} {
		out[value] = from
	}
	return out
}

func textOf(e *dicom.Element) string {
	if e.Value == nil {
		return ""
	}
	switch values := e.Value.GetValue().(type) {
	case []string:
		return strings.Join(values, `\`)
	case []int:
		return strings.Trim(fmt.Sprint(values), "[]")
	case []float64:
		return strings.Trim(fmt.Sprint(values), "[]")
	}
	return ""
}

func nameOf(t tag.Tag) string {
	if info, err := tag.Find(t); err == nil {
		return info.Name
	}
	return "Private"
}

// codes are the coded concepts that objects are made with, by scheme and value.
func codes() ([]study.Code, error) {
	all := map[study.Code]bool{}
	var walk func([]*dicom.Element)
	walk = func(elements []*dicom.Element) {
		var c study.Code
		for _, e := range elements {
			switch e.Tag {
			case tag.CodeValue:
				c.Value = textOf(e)
			case tag.CodingSchemeDesignator:
				c.Scheme = textOf(e)
			case tag.CodeMeaning:
				c.Meaning = textOf(e)
			}
			if items, ok := e.Value.GetValue().([]*dicom.SequenceItemValue); ok {
				for _, item := range items {
					walk(item.GetValue().([]*dicom.Element))
				}
			}
		}
		if c.Value != "" && c.Scheme != "99IMAGE" {
			all[c] = true
		}
	}
	for _, o := range objects {
		for _, in := range inputs() {
			set, err := o.dataSet(in)
			if err != nil {
				return nil, err
			}
			walk(set.Elements)
		}
	}
	var out []study.Code
	for c := range all {
		out = append(out, c)
	}
	slices.SortFunc(out, func(a, b study.Code) int {
		return cmp.Or(cmp.Compare(a.Scheme, b.Scheme), cmp.Compare(a.Value, b.Value))
	})
	return out, nil
}
