// Package dimse encodes and decodes DIMSE command sets (PS3.7, sections 6.3 and 9.3, annex E): implicit little endian elements of
// group 0000.
package dimse

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
)

// MaxCommandLength bounds a command set; the largest real one is under 1 KiB.
const MaxCommandLength = 64 << 10

// Command fields (PS3.7, annex E.1).
const (
	StoreRQ  = 0x0001
	StoreRSP = 0x8001
	EchoRQ   = 0x0030
	EchoRSP  = 0x8030
	CancelRQ = 0x0FFF
	response = 0x8000
)

// Command Data Set Types (PS3.7, annex E.1): NoDataSet says that no data set follows, any other value that one does.
const (
	WithDataSet = 0x0001
	NoDataSet   = 0x0101
)

// maxErrorComment is the length of Error Comment (VR LO).
const maxErrorComment = 64

// Command is a command set, with the elements that C-ECHO and C-STORE use.
type Command struct {
	Field                   uint16
	MessageID               uint16
	RespondedTo             uint16
	Priority                uint16
	DataSetType             uint16
	Status                  uint16
	ErrorComment            string
	AffectedSOPClassUID     string
	AffectedSOPInstanceUID  string
	MoveOriginatorAETitle   string
	MoveOriginatorMessageID uint16
}

// HasDataSet reports whether a data set follows the command.
func (c *Command) HasDataSet() bool { return c.DataSetType != NoDataSet }

// IsResponse reports whether this is a response.
func (c *Command) IsResponse() bool { return c.Field&response != 0 }

// Element numbers of group 0000.
const (
	tagGroupLength      = 0x0000
	tagSOPClass         = 0x0002
	tagField            = 0x0100
	tagMessageID        = 0x0110
	tagRespondedTo      = 0x0120
	tagPriority         = 0x0700
	tagDataSetType      = 0x0800
	tagStatus           = 0x0900
	tagErrorComment     = 0x0902
	tagSOPInstance      = 0x1000
	tagMoveOriginator   = 0x1030
	tagMoveOriginatorID = 0x1031
)

// Decode reads a command set.
func Decode(data []byte) (*Command, error) {
	c := new(Command)
	has := map[uint16]bool{}
	for rest := data; len(rest) > 0; {
		if len(rest) < 8 {
			return nil, fmt.Errorf("dimse: command set ends inside an element header at byte %d", len(data)-len(rest))
		}
		group, element := binary.LittleEndian.Uint16(rest), binary.LittleEndian.Uint16(rest[2:])
		length := binary.LittleEndian.Uint32(rest[4:])
		if uint64(length) > uint64(len(rest)-8) {
			return nil, fmt.Errorf("dimse: element (%04x,%04x) of %d bytes with %d left", group, element, length, len(rest)-8)
		}
		value := rest[8 : 8+length]
		rest = rest[8+length:]
		if group != 0 {
			return nil, fmt.Errorf("dimse: element (%04x,%04x) in a command set", group, element)
		}
		if has[element] {
			return nil, fmt.Errorf("dimse: element (0000,%04x) twice", element)
		}
		has[element] = true
		number := func(into *uint16) error {
			if len(value) != 2 {
				return fmt.Errorf("dimse: element (0000,%04x) has %d bytes, want 2", element, len(value))
			}
			*into = binary.LittleEndian.Uint16(value)
			return nil
		}
		text := strings.Trim(string(value), "\x00 ")
		var err error
		switch element {
		case tagSOPClass:
			c.AffectedSOPClassUID = text
		case tagField:
			err = number(&c.Field)
		case tagMessageID:
			err = number(&c.MessageID)
		case tagRespondedTo:
			err = number(&c.RespondedTo)
		case tagPriority:
			err = number(&c.Priority)
		case tagDataSetType:
			err = number(&c.DataSetType)
		case tagStatus:
			err = number(&c.Status)
		case tagErrorComment:
			c.ErrorComment = text
		case tagSOPInstance:
			c.AffectedSOPInstanceUID = text
		case tagMoveOriginator:
			c.MoveOriginatorAETitle = text
		case tagMoveOriginatorID:
			err = number(&c.MoveOriginatorMessageID)
		}
		if err != nil {
			return nil, err
		}
	}
	return c, c.complete(has)
}

// complete reports what every command must have (PS3.7, section 9.3) and this one lacks.
func (c *Command) complete(has map[uint16]bool) error {
	switch {
	case !has[tagField]:
		return errors.New("dimse: command set without Command Field (0000,0100)")
	case !has[tagDataSetType]:
		return errors.New("dimse: command set without Command Data Set Type (0000,0800)")
	case c.IsResponse() && !has[tagStatus]:
		return errors.New("dimse: response without Status (0000,0900)")
	case (c.IsResponse() || c.Field == CancelRQ) && !has[tagRespondedTo]:
		return fmt.Errorf("dimse: command %#04x without Message ID Being Responded To (0000,0120)", c.Field)
	case !c.IsResponse() && c.Field != CancelRQ && !has[tagMessageID]:
		return fmt.Errorf("dimse: request %#04x without Message ID (0000,0110)", c.Field)
	}
	return nil
}

// Encode writes the command set with its group length, elements in ascending order.
func (c *Command) Encode() []byte {
	var b []byte
	element := func(number uint16, value []byte) {
		b = binary.LittleEndian.AppendUint16(b, 0)
		b = binary.LittleEndian.AppendUint16(b, number)
		b = binary.LittleEndian.AppendUint32(b, uint32(len(value)))
		b = append(b, value...)
	}
	number := func(tag, v uint16) { element(tag, binary.LittleEndian.AppendUint16(nil, v)) }
	text := func(tag uint16, v string, pad byte) {
		if v == "" {
			return
		}
		value := []byte(v)
		if len(value)%2 == 1 {
			value = append(value, pad)
		}
		element(tag, value)
	}
	element(tagGroupLength, []byte{0, 0, 0, 0})
	text(tagSOPClass, c.AffectedSOPClassUID, 0)
	number(tagField, c.Field)
	if c.IsResponse() {
		number(tagRespondedTo, c.RespondedTo)
	} else {
		number(tagMessageID, c.MessageID)
	}
	if c.Field == StoreRQ {
		number(tagPriority, c.Priority)
	}
	number(tagDataSetType, c.DataSetType)
	if c.IsResponse() {
		number(tagStatus, c.Status)
		text(tagErrorComment, clip(c.ErrorComment), ' ')
	}
	text(tagSOPInstance, c.AffectedSOPInstanceUID, 0)
	if c.Field == StoreRQ && c.MoveOriginatorAETitle != "" {
		text(tagMoveOriginator, c.MoveOriginatorAETitle, ' ')
		number(tagMoveOriginatorID, c.MoveOriginatorMessageID)
	}
	binary.LittleEndian.PutUint32(b[8:], uint32(len(b)-12))
	return b
}

// clip keeps a comment printable ASCII and short enough for its VR.
func clip(comment string) string {
	clean := strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' || r == '\\' {
			return '?'
		}
		return r
	}, comment)
	return clean[:min(len(clean), maxErrorComment)]
}
