package dimse

import "fmt"

// Statuses (PS3.7 annex C, PS3.4 table B.2-1).
const (
	Success               uint16 = 0x0000
	ProcessingFailure     uint16 = 0x0110
	DuplicateSOPInstance  uint16 = 0x0111
	NoSuchInstance        uint16 = 0x0112
	NoSuchEventType       uint16 = 0x0113
	InvalidArgument       uint16 = 0x0115
	InvalidSOPInstance    uint16 = 0x0117
	ClassInstanceConflict uint16 = 0x0119
	SOPClassNotSupported  uint16 = 0x0122
	NotAuthorised         uint16 = 0x0124
	UnrecognisedOperation uint16 = 0x0211
	ResourceLimitation    uint16 = 0x0213
	NoSuchActionType      uint16 = 0x0123
	OutOfResources        uint16 = 0xA700
	DataSetMismatch       uint16 = 0xA900
	CannotUnderstand      uint16 = 0xC000
	Cancelled             uint16 = 0xFE00
	Pending               uint16 = 0xFF00 // a match or a sub-operation count follows and is not the last
	PendingWarning        uint16 = 0xFF01 // as Pending, but some optional keys were not supported
	SubOperationsFailed   uint16 = 0xB000 // C-MOVE and C-GET: done, but some sub-operations failed

	attributeListError  uint16 = 0x0107
	attributeOutOfRange uint16 = 0x0116
)

// StatusError is a DIMSE status other than success, with the comment that goes with it.
type StatusError struct {
	Status  uint16
	Comment string
}

// Error implements error.
func (e *StatusError) Error() string {
	if e.Comment == "" {
		return fmt.Sprintf("dimse: status %#04x", e.Status)
	}
	return fmt.Sprintf("dimse: status %#04x: %s", e.Status, e.Comment)
}

// Warning reports whether the peer did what was asked all the same, with a remark (PS3.7 annex C; PS3.4 table B.2-1).
func (e *StatusError) Warning() bool {
	return e.Status == 0x0001 || e.Status == attributeListError || e.Status == attributeOutOfRange || e.Status&0xF000 == 0xB000
}

// Transient reports whether sending again later can help: the peer is out of resources or failed to process.
func (e *StatusError) Transient() bool {
	return e.Status&0xFF00 == OutOfResources || e.Status == ProcessingFailure || e.Status == ResourceLimitation
}

// Stored reports whether the peer has the object: with a remark, or from an earlier time.
func (e *StatusError) Stored() bool { return e.Warning() || e.Status == DuplicateSOPInstance }
