package dicomfile

import (
	"encoding/binary"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/suyashkumar/dicom"
	"github.com/suyashkumar/dicom/pkg/tag"
)

var tagExtendedOffsetTable = tag.Tag{Group: 0x7FE0, Element: 0x0001}

// Dataset is a data set or an item of a sequence, with typed access to its elements. An element that is absent or empty
// gives no values and no error.
type Dataset struct {
	elements map[tag.Tag]*dicom.Element
	charset  charset
	notes    []string
}

func newDataset(elements []*dicom.Element, charset charset, notes []string) *Dataset {
	d := &Dataset{elements: make(map[tag.Tag]*dicom.Element, len(elements)), charset: charset, notes: notes}
	for _, e := range elements {
		d.elements[e.Tag] = e
	}
	return d
}

// Has reports whether an element is there, with or without a value.
func (d *Dataset) Has(t tag.Tag) bool { return d.elements[t] != nil }

// raw returns the text of an element as it was sent.
func (d *Dataset) raw(t tag.Tag) string {
	e := d.elements[t]
	if e == nil || e.Value == nil {
		return ""
	}
	switch value := e.Value.GetValue().(type) {
	case []string:
		return strings.Join(value, `\`)
	case []byte:
		return string(value)
	}
	return ""
}

// Strings returns the values of a text element in UTF-8, without padding. Numbers of binary VRs come as decimal text.
func (d *Dataset) Strings(t tag.Tag) []string {
	e := d.elements[t]
	if e == nil || e.Value == nil {
		return nil
	}
	switch value := e.Value.GetValue().(type) {
	case []int:
		var texts []string
		for _, n := range value {
			texts = append(texts, strconv.Itoa(n))
		}
		return texts
	case []float64:
		var texts []string
		for _, x := range value {
			texts = append(texts, strconv.FormatFloat(x, 'g', -1, 64))
		}
		return texts
	}
	raw := d.raw(t)
	if strings.Trim(raw, " \x00") == "" {
		return nil
	}
	switch e.RawValueRepresentation {
	case "ST", "LT", "UT":
		return []string{strings.TrimRight(clean(d.charset.decode(raw, delimitersOfText), true), " ")} // one value, PS3.5 6.4
	case "PN":
		names := trimEach(clean(d.charset.decode(raw, delimitersOfName), false))
		for i := range names {
			names[i] = strings.TrimRight(names[i], "=") // empty component groups, PS3.5 6.2.1
		}
		return names
	case "SH", "LO", "UC":
		return trimEach(clean(d.charset.decode(raw, delimitersOfText), false))
	case "UR":
		return []string{strings.TrimRight(clean(charset{}.decode(raw, ""), false), " ")}
	}
	return trimEach(clean(charset{}.decode(raw, ""), false))
}

func trimEach(text string) []string {
	values := strings.Split(text, `\`)
	for i, v := range values {
		values[i] = strings.Trim(v, " ")
	}
	return values
}

// clean drops control characters: padding with NUL, and what could forge a log line. Paragraphs keep their line ends.
func clean(text string, paragraphs bool) string {
	return strings.Map(func(r rune) rune {
		if paragraphs && (r == '\n' || r == '\r' || r == '\t' || r == '\f') {
			return r
		}
		if r < ' ' || r == 0x7F || (r >= 0x80 && r < 0xA0) {
			return -1
		}
		return r
	}, text)
}

// Text returns the values of a text element joined by backslashes.
func (d *Dataset) Text(t tag.Tag) string { return strings.Join(d.Strings(t), `\`) }

// Ints returns the values of an element of a whole-number VR (US, SS, UL, SL, IS), or the 16-bit words of OW, OB or UN.
func (d *Dataset) Ints(t tag.Tag) ([]int, error) {
	e := d.elements[t]
	if e == nil || e.Value == nil {
		return nil, nil
	}
	switch value := e.Value.GetValue().(type) {
	case []int:
		return value, nil
	case []byte:
		words := make([]int, 0, len(value)/2)
		for ; len(value) >= 2; value = value[2:] {
			words = append(words, int(binary.LittleEndian.Uint16(value)))
		}
		return words, nil
	case []string:
		var numbers []int
		for _, text := range d.Strings(t) {
			n, err := strconv.ParseInt(strings.TrimPrefix(text, "+"), 10, 32)
			if x, broken := strconv.ParseFloat(text, 64); err != nil && broken == nil && x == math.Trunc(x) && math.Abs(x) < 1<<31 {
				n, err = int64(x), nil // some devices write 1.0
			}
			if err != nil {
				return nil, valueError(t, text, "a whole number of 32 bits")
			}
			numbers = append(numbers, int(n))
		}
		return numbers, nil
	}
	return nil, valueError(t, e.RawValueRepresentation, "of a VR that holds whole numbers")
}

// Floats returns the values of an element of a numeric VR (DS, FL, FD and those of Ints).
func (d *Dataset) Floats(t tag.Tag) ([]float64, error) {
	e := d.elements[t]
	if e == nil || e.Value == nil {
		return nil, nil
	}
	switch value := e.Value.GetValue().(type) {
	case []float64:
		return value, nil
	case []string:
		var numbers []float64
		for _, text := range d.Strings(t) {
			x, err := parseDecimal(text)
			if err != nil {
				return nil, valueError(t, text, "a decimal number")
			}
			numbers = append(numbers, x)
		}
		return numbers, nil
	}
	ints, err := d.Ints(t)
	if err != nil {
		return nil, err
	}
	numbers := make([]float64, len(ints))
	for i, n := range ints {
		numbers[i] = float64(n)
	}
	return numbers, nil
}

// parseDecimal reads a DS value (PS3.5 6.2): digits, sign, point and exponent, nothing that Go's parser adds to that.
func parseDecimal(text string) (float64, error) {
	if text == "" || strings.Trim(text, "0123456789+-.eE") != "" {
		return 0, strconv.ErrSyntax
	}
	return strconv.ParseFloat(text, 64)
}

// Bytes returns the value of an element of VR OB, OW or UN; words are little endian.
func (d *Dataset) Bytes(t tag.Tag) []byte {
	if e := d.elements[t]; e != nil && e.Value != nil {
		if value, ok := e.Value.GetValue().([]byte); ok {
			return value
		}
	}
	return nil
}

// Sequence returns the items of a sequence. An item without a Specific Character Set takes that of the data set around it.
func (d *Dataset) Sequence(t tag.Tag) []*Dataset {
	e := d.elements[t]
	if e == nil || e.Value == nil {
		return nil
	}
	values, ok := e.Value.GetValue().([]*dicom.SequenceItemValue)
	if !ok {
		return nil
	}
	items := make([]*Dataset, 0, len(values))
	for _, value := range values {
		elements, _ := value.GetValue().([]*dicom.Element)
		item := newDataset(elements, d.charset, nil)
		if item.Has(tag.SpecificCharacterSet) {
			item.charset, item.notes = parseCharset(item.raw(tag.SpecificCharacterSet))
		}
		items = append(items, item)
	}
	return items
}

func valueError(t tag.Tag, value, want string) error {
	const enough = 64 // of a bad value, to recognise it by
	if len(value) > enough {
		value = value[:enough] + "..."
	}
	return &Error{Offset: -1, Tag: t, What: fmt.Sprintf("is %q, not %s", value, want), Err: ErrValue}
}
