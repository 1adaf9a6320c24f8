package dicomnet

import (
	"errors"
	"fmt"
)

// Sources and reasons of A-ABORT (PS3.8, section 9.3.8). A service user's abort has no reason.
const (
	abortServiceUser     byte = 0
	abortServiceProvider byte = 2

	reasonNotSpecified    byte = 0
	reasonUnrecognisedPDU byte = 1
	reasonUnexpectedPDU   byte = 2
	reasonUnexpectedParam byte = 5
	reasonInvalidParam    byte = 6
)

// AbortError is an association that the peer ended by A-ABORT.
type AbortError struct{ Source, Reason byte }

// Error implements error.
func (e *AbortError) Error() string {
	if e.Source != abortServiceProvider {
		return "dicomnet: association aborted by the peer"
	}
	reasons := map[byte]string{
		reasonNotSpecified: "no reason given", reasonUnrecognisedPDU: "unrecognised PDU", reasonUnexpectedPDU: "unexpected PDU",
		4: "unrecognised PDU parameter", reasonUnexpectedParam: "unexpected PDU parameter", reasonInvalidParam: "invalid PDU parameter value",
	}
	reason, ok := reasons[e.Reason]
	if !ok {
		reason = fmt.Sprintf("reason %d", e.Reason)
	}
	return "dicomnet: association aborted by the peer's DICOM layer: " + reason
}

// RejectError is A-ASSOCIATE-RJ (PS3.8, table 9-21).
type RejectError struct{ Result, Source, Reason byte }

// Results, sources and reasons of a rejection.
const (
	rejectPermanent byte = 1
	rejectTransient byte = 2

	sourceUser         byte = 1
	sourceACSE         byte = 2
	sourcePresentation byte = 3
)

var (
	rejectNoReason           = RejectError{rejectPermanent, sourceUser, 1}
	rejectApplicationContext = RejectError{rejectPermanent, sourceUser, 2}
	rejectCallingAETitle     = RejectError{rejectPermanent, sourceUser, 3}
	rejectCalledAETitle      = RejectError{rejectPermanent, sourceUser, 7}
	rejectProtocolVersion    = RejectError{rejectPermanent, sourceACSE, 2}
	rejectCongestion         = RejectError{rejectTransient, sourcePresentation, 1}
	rejectLocalLimit         = RejectError{rejectTransient, sourcePresentation, 2}
)

// Rejections are those that a Server gives.
func Rejections() []RejectError {
	return []RejectError{
		rejectNoReason, rejectApplicationContext, rejectCallingAETitle, rejectCalledAETitle, rejectProtocolVersion, rejectCongestion, rejectLocalLimit,
	}
}

// Permanent reports whether asking again the same way is of no use.
func (e *RejectError) Permanent() bool { return e.Result == rejectPermanent }

// Why is the reason in a few words.
func (e *RejectError) Why() string {
	reasons := map[[2]byte]string{
		{sourceUser, 1}: "no reason given", {sourceUser, 2}: "application context not supported",
		{sourceUser, 3}: "calling AE title not recognised", {sourceUser, 7}: "called AE title not recognised",
		{sourceACSE, 1}: "no reason given", {sourceACSE, 2}: "protocol version not supported",
		{sourcePresentation, 1}: "temporary congestion", {sourcePresentation, 2}: "local limit exceeded",
	}
	if reason, ok := reasons[[2]byte{e.Source, e.Reason}]; ok {
		return reason
	}
	return fmt.Sprintf("source %d, reason %d", e.Source, e.Reason)
}

// Error implements error.
func (e *RejectError) Error() string {
	kind := "permanently"
	if !e.Permanent() {
		kind = "for now"
	}
	return fmt.Sprintf("dicomnet: association rejected %s: %s", kind, e.Why())
}

var (
	// ErrClosed is returned when the peer closes the connection without a word.
	ErrClosed = errors.New("dicomnet: connection closed by the peer")
	// ErrEnded is returned for a request on an association that is over.
	ErrEnded = errors.New("dicomnet: the association is over")
	// ErrSilent is returned when the peer lets a deadline pass.
	ErrSilent = errors.New("dicomnet: the peer was silent for too long")
	// ErrNotAccepted is returned for an object whose presentation context the peer did not accept.
	ErrNotAccepted = errors.New("dicomnet: the peer does not accept this SOP class in this transfer syntax")

	// errInterrupted is what a context or a shutdown makes of whatever is being waited for.
	errInterrupted = errors.New("dicomnet: interrupted")
)

// protocolError is something the peer did against PS3.8; it was answered with A-ABORT.
type protocolError struct{ err error }

func (e *protocolError) Error() string { return "dicomnet: aborted: " + e.err.Error() }
func (e *protocolError) Unwrap() error { return e.err }
