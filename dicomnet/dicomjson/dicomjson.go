// Package dicomjson is the DICOM JSON model (PS3.18, annex F): data sets as JSON objects, as DICOMweb carries them. Text is UTF-8.
//
//	match := dicomjson.Object{}
//	match.Text(tag.PatientName, "PN", "Doe^Jane")
//	text, err := json.Marshal(match)
package dicomjson

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/suyashkumar/dicom/pkg/tag"
)

// MediaType is that of one data set, or of an array of them.
const MediaType = "application/dicom+json"

// Object is a data set by its tags, written as eight upper-case hexadecimal digits. encoding/json writes them in order.
type Object map[string]Element

// Element is one attribute: its VR and its values, or the bytes of a binary one.
type Element struct {
	VR           string `json:"vr"`
	Value        []any  `json:"Value,omitempty"`
	InlineBinary []byte `json:"InlineBinary,omitempty"` // base64 in JSON, little endian
}

// PersonName is a value of VR PN: its component groups (PS3.18 F.2.2).
type PersonName struct {
	Alphabetic  string `json:"Alphabetic,omitempty"`
	Ideographic string `json:"Ideographic,omitempty"`
	Phonetic    string `json:"Phonetic,omitempty"`
}

// Key is the name of a tag's member.
func Key(t tag.Tag) string { return fmt.Sprintf("%04X%04X", t.Group, t.Element) }

// Text sets an attribute from its values as text, each without padding; an empty one among others is null. No values, or one that is
// empty, make the attribute empty.
func (o Object) Text(t tag.Tag, vr string, values ...string) {
	e := Element{VR: vr}
	if len(values) > 1 || len(values) == 1 && values[0] != "" {
		for _, v := range values {
			e.Value = append(e.Value, textValue(vr, v))
		}
	}
	o[Key(t)] = e
}

// Numbers sets an attribute of a binary whole-number VR.
func (o Object) Numbers(t tag.Tag, vr string, numbers ...int) {
	e := Element{VR: vr}
	for _, n := range numbers {
		e.Value = append(e.Value, n)
	}
	o[Key(t)] = e
}

// Sequence sets a sequence.
func (o Object) Sequence(t tag.Tag, items ...Object) {
	e := Element{VR: "SQ"}
	for _, item := range items {
		e.Value = append(e.Value, item)
	}
	o[Key(t)] = e
}

// textValue gives a value the JSON type of its VR (PS3.18, table F.2.3-1).
func textValue(vr, text string) any {
	if text == "" {
		return nil
	}
	switch vr {
	case "PN":
		group := append(strings.SplitN(text, "=", 3), "", "")
		return PersonName{group[0], group[1], group[2]}
	case "IS", "DS", "US", "UL", "SS", "SL", "FL", "FD":
		return number(text)
	}
	return text
}

// number is text as a JSON number. DICOM allows forms that JSON does not, such as +1 and .5; what is no number at all stays text, which
// the standard allows for IS and DS.
func number(text string) any {
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return n
	}
	x, err := strconv.ParseFloat(text, 64)
	if err != nil || strings.Trim(text, "0123456789+-.eE") != "" {
		return text
	}
	if json.Valid([]byte(text)) {
		return json.Number(text) // the digits as they were sent
	}
	return x
}
