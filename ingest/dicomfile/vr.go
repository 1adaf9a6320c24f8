package dicomfile

import (
	"encoding/binary"

	"github.com/suyashkumar/dicom/pkg/tag"
)

// vrForm is what the encoding of a value representation asks for (PS3.5 6.2 and 7.1.2).
type vrForm struct {
	long bool // 32-bit length after two reserved bytes
	swap int  // size of the words that byte order turns around
	text bool
	// plain is false for VRs that suyashkumar/dicom v1.1.0 does not read: they are handed to it as UN, little endian.
	plain bool
}

var vrForms = map[string]vrForm{
	"AE": {text: true, plain: true}, "AS": {text: true, plain: true}, "CS": {text: true, plain: true},
	"DA": {text: true, plain: true}, "DS": {text: true, plain: true}, "DT": {text: true, plain: true},
	"IS": {text: true, plain: true}, "LO": {text: true, plain: true}, "LT": {text: true, plain: true},
	"PN": {text: true, plain: true}, "SH": {text: true, plain: true}, "ST": {text: true, plain: true},
	"TM": {text: true, plain: true}, "UI": {text: true, plain: true},
	"UC": {long: true, text: true, plain: true}, "UR": {long: true, text: true, plain: true},
	"UT": {long: true, text: true, plain: true},
	"AT": {swap: 2, plain: true}, "SS": {swap: 2, plain: true}, "US": {swap: 2, plain: true},
	"SL": {swap: 4, plain: true}, "UL": {swap: 4, plain: true}, "FL": {swap: 4, plain: true},
	"FD": {swap: 8, plain: true},
	"OB": {long: true, swap: 1, plain: true}, "UN": {long: true, swap: 1, plain: true},
	"OW": {long: true, swap: 2, plain: true}, "OF": {long: true, swap: 4}, "OL": {long: true, swap: 4},
	"OD": {long: true, swap: 8}, "OV": {long: true, swap: 8}, "SV": {long: true, swap: 8}, "UV": {long: true, swap: 8},
	"SQ": {long: true, plain: true},
}

// dictionaryVR is the VR of an element whose encoding does not name it (PS3.6), UN for unknown and private ones. Where the
// dictionary leaves a choice, Pixel Representation decides between US and SS (PS3.5 A.1, note), and OW holds tables.
func dictionaryVR(t tag.Tag, signed bool) string {
	if t.Element == 0 {
		return "UL"
	}
	if t.Group%2 == 1 {
		if t.Element >= 0x0010 && t.Element <= 0x00FF {
			return "LO" // private creator, PS3.5 7.8.1
		}
		return "UN"
	}
	info, err := tag.Find(t)
	if err != nil || len(info.VRs) == 0 {
		return "UN"
	}
	choice := map[string]bool{}
	for _, vr := range info.VRs {
		choice[vr] = true
	}
	switch {
	case choice["OW"]:
		return "OW"
	case choice["US"] && choice["SS"] && signed:
		return "SS"
	case choice["US"]:
		return "US"
	}
	if _, known := vrForms[info.VRs[0]]; !known {
		return "UN"
	}
	return info.VRs[0]
}

// toLittleEndian turns the words of a big endian value around, in place.
func toLittleEndian(value []byte, word int) {
	for ; word > 1 && len(value) >= word; value = value[word:] {
		for i, j := 0, word-1; i < j; i, j = i+1, j-1 {
			value[i], value[j] = value[j], value[i]
		}
	}
}

// isVR reports whether two bytes look like a VR.
func isVR(b []byte) bool {
	return len(b) >= 2 && b[0] >= 'A' && b[0] <= 'Z' && b[1] >= 'A' && b[1] <= 'Z'
}

func tagAt(b []byte, order binary.ByteOrder) tag.Tag {
	return tag.Tag{Group: order.Uint16(b), Element: order.Uint16(b[2:])}
}
