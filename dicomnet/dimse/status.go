package dimse

import "fmt"

// Statuses (PS3.7 annex C, PS3.4 table B.2-1).
const (
	Success               uint16 = 0x0000
	ProcessingFailure     uint16 = 0x0110
	DuplicateSOPInstance  uint16 = 0x0111
	InvalidSOPInstance    uint16 = 0x0117
	SOPClassNotSupported  uint16 = 0x0122
	NotAuthorised         uint16 = 0x0124
	UnrecognisedOperation uint16 = 0x0211
	OutOfResources        uint16 = 0xA700
	DataSetMismatch       uint16 = 0xA900
	CannotUnderstand      uint16 = 0xC000
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

// Warning reports whether the object was stored all the same (PS3.4 table B.2-1).
func (e *StatusError) Warning() bool { return e.Status&0xF000 == 0xB000 }

// Transient reports whether sending again later can help: the peer is out of resources or failed to process.
func (e *StatusError) Transient() bool {
	return e.Status&0xFF00 == 0xA700 || e.Status == ProcessingFailure
}
