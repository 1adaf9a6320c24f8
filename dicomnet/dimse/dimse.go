// Package dimse encodes and decodes DIMSE command sets (PS3.7, sections 6.3 and 9.3, annex E): implicit little endian elements of
// group 0000.
package dimse

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// MaxCommandLength bounds a command set; the largest real one is under 1 KiB.
const MaxCommandLength = 64 << 10

// Command fields (PS3.7, annex E.1).
const (
	StoreRQ        = 0x0001
	StoreRSP       = 0x8001
	GetRQ          = 0x0010
	GetRSP         = 0x8010
	FindRQ         = 0x0020
	FindRSP        = 0x8020
	MoveRQ         = 0x0021
	MoveRSP        = 0x8021
	EchoRQ         = 0x0030
	EchoRSP        = 0x8030
	EventReportRQ  = 0x0100
	EventReportRSP = 0x8100
	ActionRQ       = 0x0130
	ActionRSP      = 0x8130
	CancelRQ       = 0x0FFF
	response       = 0x8000
)

// Command Data Set Types (PS3.7, annex E.1): NoDataSet says that no data set follows, any other value that one does.
const (
	WithDataSet = 0x0001
	NoDataSet   = 0x0101
)

// maxErrorComment is the length of Error Comment (VR LO).
const maxErrorComment = 64

// Command is a command set, with the elements that the services use which this node provides or asks for.
type Command struct {
	Field                   uint16
	MessageID               uint16
	RespondedTo             uint16
	Priority                uint16 // of C-STORE, C-FIND, C-MOVE and C-GET
	DataSetType             uint16
	Status                  uint16
	ErrorComment            string
	AffectedSOPClassUID     string
	AffectedSOPInstanceUID  string
	RequestedSOPClassUID    string // of N-ACTION
	RequestedSOPInstanceUID string
	EventTypeID             uint16 // of N-EVENT-REPORT
	ActionTypeID            uint16 // of N-ACTION
	MoveDestination         string // AE title, of C-MOVE
	MoveOriginatorAETitle   string
	MoveOriginatorMessageID uint16
	SubOperations           SubOperations
}

// SubOperations count the C-STOREs of a C-MOVE or C-GET (PS3.7, section 9.1.4.1).
type SubOperations struct{ Remaining, Completed, Failed, Warning uint16 }

// HasDataSet reports whether a data set follows the command.
func (c *Command) HasDataSet() bool { return c.DataSetType != NoDataSet }

// IsResponse reports whether this is a response.
func (c *Command) IsResponse() bool { return c.Field&response != 0 }

// Element numbers of group 0000.
const (
	tagGroupLength       = 0x0000
	tagSOPClass          = 0x0002
	tagRequestedClass    = 0x0003
	tagField             = 0x0100
	tagMessageID         = 0x0110
	tagRespondedTo       = 0x0120
	tagMoveDestination   = 0x0600
	tagPriority          = 0x0700
	tagDataSetType       = 0x0800
	tagStatus            = 0x0900
	tagErrorComment      = 0x0902
	tagSOPInstance       = 0x1000
	tagRequestedInstance = 0x1001
	tagEventType         = 0x1002
	tagActionType        = 0x1008
	tagRemaining         = 0x1020
	tagCompleted         = 0x1021
	tagFailed            = 0x1022
	tagWarning           = 0x1023
	tagMoveOriginator    = 0x1030
	tagMoveOriginatorID  = 0x1031
)

// number is where an element of VR US is kept, nil for others.
func (c *Command) number(element uint16) *uint16 {
	switch element {
	case tagField:
		return &c.Field
	case tagMessageID:
		return &c.MessageID
	case tagRespondedTo:
		return &c.RespondedTo
	case tagPriority:
		return &c.Priority
	case tagDataSetType:
		return &c.DataSetType
	case tagStatus:
		return &c.Status
	case tagEventType:
		return &c.EventTypeID
	case tagActionType:
		return &c.ActionTypeID
	case tagRemaining:
		return &c.SubOperations.Remaining
	case tagCompleted:
		return &c.SubOperations.Completed
	case tagFailed:
		return &c.SubOperations.Failed
	case tagWarning:
		return &c.SubOperations.Warning
	case tagMoveOriginatorID:
		return &c.MoveOriginatorMessageID
	}
	return nil
}

// text is where an element of VR UI, AE or LO is kept, nil for others.
func (c *Command) text(element uint16) *string {
	switch element {
	case tagSOPClass:
		return &c.AffectedSOPClassUID
	case tagRequestedClass:
		return &c.RequestedSOPClassUID
	case tagMoveDestination:
		return &c.MoveDestination
	case tagErrorComment:
		return &c.ErrorComment
	case tagSOPInstance:
		return &c.AffectedSOPInstanceUID
	case tagRequestedInstance:
		return &c.RequestedSOPInstanceUID
	case tagMoveOriginator:
		return &c.MoveOriginatorAETitle
	}
	return nil
}

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
		if number := c.number(element); number != nil {
			if len(value) != 2 {
				return nil, fmt.Errorf("dimse: element (0000,%04x) has %d bytes, want 2", element, len(value))
			}
			*number = binary.LittleEndian.Uint16(value)
		}
		if text := c.text(element); text != nil {
			*text = strings.Trim(string(value), "\x00 ")
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

// elements are those that a command has besides the ones that all have, in ascending order (PS3.7, sections 9.3 and 10.3).
func (c *Command) elements() []uint16 {
	switch c.Field {
	case StoreRQ:
		if c.MoveOriginatorAETitle == "" {
			return []uint16{tagMessageID, tagPriority}
		}
		return []uint16{tagMessageID, tagPriority, tagMoveOriginator, tagMoveOriginatorID}
	case FindRQ, GetRQ:
		return []uint16{tagMessageID, tagPriority}
	case MoveRQ:
		return []uint16{tagMessageID, tagMoveDestination, tagPriority}
	case CancelRQ:
		return []uint16{tagRespondedTo}
	case EventReportRQ:
		return []uint16{tagMessageID, tagEventType}
	case ActionRQ:
		return []uint16{tagMessageID, tagActionType}
	case MoveRSP, GetRSP:
		return []uint16{tagRespondedTo, tagStatus, tagRemaining, tagCompleted, tagFailed, tagWarning}
	case EventReportRSP:
		return []uint16{tagRespondedTo, tagStatus, tagEventType}
	case ActionRSP:
		return []uint16{tagRespondedTo, tagStatus, tagActionType}
	}
	if c.IsResponse() {
		return []uint16{tagRespondedTo, tagStatus}
	}
	return []uint16{tagMessageID}
}

// Encode writes the command set with its group length, elements in ascending order; a text without a value is left out.
func (c *Command) Encode() []byte {
	elements := append(c.elements(), tagField, tagDataSetType)
	for _, t := range []uint16{tagSOPClass, tagRequestedClass, tagErrorComment, tagSOPInstance, tagRequestedInstance} {
		if t != tagErrorComment || c.IsResponse() {
			elements = append(elements, t)
		}
	}
	slices.Sort(elements)
	b := element(nil, tagGroupLength, []byte{0, 0, 0, 0})
	for _, t := range elements {
		if number := c.number(t); number != nil {
			b = element(b, t, binary.LittleEndian.AppendUint16(nil, *number))
			continue
		}
		text := *c.text(t)
		if t == tagErrorComment {
			text = clip(text)
		}
		if text == "" {
			continue
		}
		pad := byte(0) // of a UID; the other texts are padded with a space
		if t == tagErrorComment || t == tagMoveOriginator || t == tagMoveDestination {
			pad = ' '
		}
		if len(text)%2 == 1 {
			text += string(rune(pad))
		}
		b = element(b, t, []byte(text))
	}
	binary.LittleEndian.PutUint32(b[8:], uint32(len(b)-12))
	return b
}

// element appends an implicit little endian element of group 0000.
func element(b []byte, number uint16, value []byte) []byte {
	b = binary.LittleEndian.AppendUint16(b, 0)
	b = binary.LittleEndian.AppendUint16(b, number)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(value)))
	return append(b, value...)
}

// clip keeps a comment printable ASCII and short enough for its VR.
func clip(comment string) string {
	clean := Printable(comment)
	return clean[:min(len(clean), maxErrorComment)]
}

// Printable is what a peer says with a question mark for each character that is not printable ASCII, and for the backslash, which divides values:
// it may stand in logs, on terminals and in objects.
func Printable(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' || r == '\\' {
			return '?'
		}
		return r
	}, text)
}
