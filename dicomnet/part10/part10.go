// Package part10 reads and writes the head of a DICOM file: preamble, prefix and file meta information (PS3.10, section 7.1). The
// data set that follows is the receiver's and the sender's business.
package part10

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
)

const (
	preambleLength = 128
	// MaxMeta bounds the file meta information; real ones are under 1 KiB.
	MaxMeta = 64 << 10
	// maxValue bounds one value of it.
	maxValue = 16 << 10
)

// Meta is what the file meta information says.
type Meta struct {
	SOPClassUID       string
	SOPInstanceUID    string
	TransferSyntaxUID string
	SourceAETitle     string
	// Length is where the data set begins, in bytes from the file's start.
	Length int64
}

// ErrNotDICOM is returned for a file without the DICM prefix.
var ErrNotDICOM = errors.New("part10: no DICM prefix after 128 bytes: not a DICOM file")

// Encode returns preamble, prefix and file meta information for an object written by us.
func Encode(m Meta, implementationClassUID, implementationVersion string) []byte {
	var body []byte
	element := func(number uint16, vr, value string, pad byte) {
		if value == "" {
			return
		}
		if len(value)%2 == 1 {
			value += string(rune(pad))
		}
		body = binary.LittleEndian.AppendUint16(body, 2)
		body = binary.LittleEndian.AppendUint16(body, number)
		body = append(body, vr...)
		body = binary.LittleEndian.AppendUint16(body, uint16(len(value)))
		body = append(body, value...)
	}
	body = append(body, 2, 0, 1, 0, 'O', 'B', 0, 0, 2, 0, 0, 0, 0, 1) // File Meta Information Version
	element(0x0002, "UI", m.SOPClassUID, 0)
	element(0x0003, "UI", m.SOPInstanceUID, 0)
	element(0x0010, "UI", m.TransferSyntaxUID, 0)
	element(0x0012, "UI", implementationClassUID, 0)
	element(0x0013, "SH", implementationVersion, ' ')
	element(0x0016, "AE", m.SourceAETitle, ' ')
	head := append(make([]byte, preambleLength), "DICM"...)
	head = append(head, 2, 0, 0, 0, 'U', 'L', 4, 0)
	head = binary.LittleEndian.AppendUint32(head, uint32(len(body)))
	return append(head, body...)
}

// Decode reads the head of a file. The group ends where an element of another group begins, whatever the group length says. A reader that is
// a *bufio.Reader of MaxMeta bytes is left where the data set begins; others are read ahead.
func Decode(r io.Reader) (*Meta, error) {
	in := bufio.NewReaderSize(r, MaxMeta)
	head, err := in.Peek(preambleLength + 4)
	if err != nil || string(head[preambleLength:]) != "DICM" {
		return nil, ErrNotDICOM
	}
	m := &Meta{Length: preambleLength + 4}
	_, _ = in.Discard(preambleLength + 4)
	for m.Length < MaxMeta {
		head, err := in.Peek(8)
		if err != nil || binary.LittleEndian.Uint16(head) != 2 {
			return m, m.check()
		}
		number, vr := binary.LittleEndian.Uint16(head[2:]), string(head[4:6])
		header, length := 8, uint32(binary.LittleEndian.Uint16(head[6:]))
		switch vr {
		case "OB", "OW", "OD", "OF", "OL", "OV", "UN", "UC", "UR", "UT", "SV", "UV", "SQ": // PS3.5, table 7.1-1
			long, err := in.Peek(12)
			if err != nil {
				return nil, fmt.Errorf("part10: element (0002,%04x) ends early", number)
			}
			header, length = 12, binary.LittleEndian.Uint32(long[8:])
		case "UI", "UL", "SH", "AE", "US", "LO", "ST", "CS":
		default:
			return nil, fmt.Errorf("part10: element (0002,%04x) has VR %q", number, vr)
		}
		if length > maxValue {
			return nil, fmt.Errorf("part10: element (0002,%04x) of %d bytes, at most %d are taken", number, length, maxValue)
		}
		element, err := in.Peek(header + int(length))
		if err != nil {
			return nil, fmt.Errorf("part10: element (0002,%04x) of %d bytes ends early", number, length)
		}
		text := strings.TrimRight(string(element[header:]), "\x00 ")
		switch number {
		case 0x0002:
			m.SOPClassUID = text
		case 0x0003:
			m.SOPInstanceUID = text
		case 0x0010:
			m.TransferSyntaxUID = text
		case 0x0016:
			m.SourceAETitle = text
		}
		_, _ = in.Discard(header + int(length))
		m.Length += int64(header) + int64(length)
	}
	return nil, fmt.Errorf("part10: file meta information of more than %d bytes", MaxMeta)
}

func (m *Meta) check() error {
	for name, uid := range map[string]string{
		"Media Storage SOP Class UID (0002,0002)": m.SOPClassUID, "Media Storage SOP Instance UID (0002,0003)": m.SOPInstanceUID,
		"Transfer Syntax UID (0002,0010)": m.TransferSyntaxUID,
	} {
		if !ValidUID(uid) {
			return fmt.Errorf("part10: %s is %q, not a UID", name, uid)
		}
	}
	return nil
}

// ValidUID reports whether text has the form of a UID (PS3.5, section 9.1), leading zeros of components forgiven as real systems
// write them.
func ValidUID(text string) bool {
	if text == "" || len(text) > 64 || text[0] == '.' || text[len(text)-1] == '.' || strings.Contains(text, "..") {
		return false
	}
	return strings.Trim(text, "0123456789.") == ""
}
