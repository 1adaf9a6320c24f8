package hl7

import (
	"cmp"
	"fmt"
	"strings"
	"time"
)

// Acknowledgement codes (table 0008). A receiver of the enhanced mode answers with the three that begin with C.
const (
	Accepted = "AA"
	Failed   = "AE" // an error of the receiver: the message may be sent again
	Rejected = "AR" // the message itself is at fault
)

// Error codes of ERR-3 (table 0357).
const (
	codeSequence       = "100"
	codeValue          = "103"
	codeType           = "200"
	codeProcessing     = "202"
	codeUnknownKey     = "204"
	codeInternal       = "207"
	severityError      = "E"
	severityWarning    = "W"
	maxAcknowledgement = 64 << 10 // of an acknowledgement, in bytes
)

// AckError is an acknowledgement other than an acceptance. What the peer says in words is no part of it: it may quote the message.
type AckError struct {
	Code      string
	Condition string // of ERR-3 (table 0357), empty when the peer gave none
}

// Error implements error.
func (e *AckError) Error() string {
	text := "hl7: the receiver answered " + e.Code
	if e.Condition != "" {
		text += ", error " + e.Condition
	}
	return text
}

// Permanent reports whether the same message would be refused again.
func (e *AckError) Permanent() bool { return e.Code == Rejected || e.Code == "CR" }

// readAck holds an answer against the message that it must be of.
func readAck(answer *Message, controlID string) error {
	msa := answer.Segment("MSA")
	code := strings.ToUpper(msa.Text(1, 1))
	switch {
	case code == "":
		return fmt.Errorf("%w: an answer without MSA-1", ErrMessage)
	case msa.Text(2, 1) != controlID:
		return fmt.Errorf("%w: an answer to another message", ErrMessage)
	case code == Accepted, code == "CA":
		return nil
	}
	condition := answer.Segment("ERR").Text(3, 1)
	if strings.Trim(condition, "0123456789") != "" || len(condition) > 8 {
		condition = ""
	}
	return &AckError{code, condition}
}

// Reply is what a received message is answered with.
type Reply struct {
	Code string // Accepted, Failed or Rejected
	// Error is of table 0357, with Text for people; both empty when all is well. An accepted message may have a warning.
	Error, Text string
}

// Accept accepts a message; a warning may be empty.
func Accept(warning string) Reply {
	if warning == "" {
		return Reply{Code: Accepted}
	}
	return Reply{Accepted, codeUnknownKey, warning}
}

// Fail asks the sender to send the message again later.
func Fail(text string) Reply { return Reply{Failed, codeInternal, text} }

// Reject refuses a message for good.
func Reject(condition, text string) Reply { return Reply{Rejected, condition, text} }

// acknowledge makes the answer to a message, which is nil when it could not be read.
func acknowledge(to *Message, reply Reply, now time.Time, id string) *Message {
	if to == nil {
		to = new(Message)
	}
	msh := to.Segment("MSH")
	header := segment("MSH", msh.copyOf(5), msh.copyOf(6), msh.copyOf(3), msh.copyOf(4), stamp(now), "",
		join("ACK", escape(msh.Text(9, 2)), "ACK"), id, cmp.Or(escape(msh.Text(11, 1)), "P"), "2.5.1", "", "", "", "", "", "UNICODE UTF-8")
	out := &Message{[]Segment{header, segment("MSA", reply.Code, escape(msh.Text(10, 1)))}}
	if reply.Error != "" {
		severity := severityError
		if reply.Code == Accepted {
			severity = severityWarning
		}
		out.Segments = append(out.Segments, segment("ERR", "", "", join(reply.Error, "", "HL70357"), severity, "", "", "", escape(reply.Text)))
	}
	return out
}

// copyOf is a field's first components, encoded as we encode.
func (s Segment) copyOf(field int) string {
	return join(escape(s.Text(field, 1)), escape(s.Text(field, 2)), escape(s.Text(field, 3)))
}
