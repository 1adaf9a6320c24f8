package dicomwrite

import (
	"encoding/binary"

	"github.com/suyashkumar/dicom/pkg/tag"
)

// Elements is a data set as it goes over the wire without a file around it, in little endian (PS3.5, section 7.1): a query, a notification.
// Elements are added in the order of their tags.
type Elements struct {
	Implicit bool // VRs are not written
	bytes    []byte
}

// Bytes returns the data set.
func (e *Elements) Bytes() []byte { return e.bytes }

// Text adds an element of text of at most 65534 bytes, padded to even length (PS3.5 6.2).
func (e *Elements) Text(t tag.Tag, vr, value string) *Elements {
	if len(value)%2 != 0 {
		padding := " "
		if vr == "UI" {
			padding = "\x00"
		}
		value += padding
	}
	return e.add(t, vr, []byte(value))
}

// Uint16 adds a number of VR US.
func (e *Elements) Uint16(t tag.Tag, value uint16) *Elements {
	return e.add(t, "US", binary.LittleEndian.AppendUint16(nil, value))
}

// Items adds a sequence, of the same kind of VR as e.
func (e *Elements) Items(t tag.Tag, items ...*Elements) *Elements {
	var all []byte
	for _, item := range items {
		all = append(all, 0xFE, 0xFF, 0x00, 0xE0)
		all = append(binary.LittleEndian.AppendUint32(all, uint32(len(item.bytes))), item.bytes...)
	}
	return e.add(t, "SQ", all)
}

func (e *Elements) add(t tag.Tag, vr string, value []byte) *Elements {
	e.bytes = binary.LittleEndian.AppendUint16(binary.LittleEndian.AppendUint16(e.bytes, t.Group), t.Element)
	switch {
	case e.Implicit:
		e.bytes = binary.LittleEndian.AppendUint32(e.bytes, uint32(len(value)))
	case vr == "SQ":
		e.bytes = binary.LittleEndian.AppendUint32(append(e.bytes, 'S', 'Q', 0, 0), uint32(len(value)))
	default:
		e.bytes = binary.LittleEndian.AppendUint16(append(e.bytes, vr...), uint16(len(value)))
	}
	e.bytes = append(e.bytes, value...)
	return e
}
