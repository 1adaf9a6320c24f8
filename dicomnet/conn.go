package dicomnet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"llamaxr/dicomnet/dimse"
	"llamaxr/dicomnet/pdu"
)

// Who we say we are (PS3.7, annex D.3.3.2). The version name is at most 16 characters (VR SH).
const (
	ImplementationClassUID    = "2.25.281934651037529834520194873651029384"
	ImplementationVersionName = "LLAMAXR_0.1"
)

// Abort sources and reasons (PS3.8, section 9.3.8).
const (
	AbortServiceUser     byte = 0
	AbortServiceProvider byte = 2

	reasonNotSpecified    byte = 0
	reasonUnrecognisedPDU byte = 1
	reasonUnexpectedPDU   byte = 2
	reasonUnexpectedParam byte = 5
	reasonInvalidParam    byte = 6
)

// AbortError is an association that ended by A-ABORT, sent by the peer.
type AbortError struct{ Source, Reason byte }

// Error implements error.
func (e *AbortError) Error() string {
	return fmt.Sprintf("dicomnet: association aborted by the peer (source %d, reason %d)", e.Source, e.Reason)
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
	rejectLocalLimit         = RejectError{rejectTransient, sourcePresentation, 2}
)

// Permanent reports whether asking again the same way is of no use.
func (e *RejectError) Permanent() bool { return e.Result == rejectPermanent }

// Error implements error.
func (e *RejectError) Error() string {
	reasons := map[[2]byte]string{
		{sourceUser, 1}: "no reason given", {sourceUser, 2}: "application context not supported",
		{sourceUser, 3}: "calling AE title not recognised", {sourceUser, 7}: "called AE title not recognised",
		{sourceACSE, 1}: "no reason given", {sourceACSE, 2}: "protocol version not supported",
		{sourcePresentation, 1}: "temporary congestion", {sourcePresentation, 2}: "local limit exceeded",
	}
	kind := "permanently"
	if !e.Permanent() {
		kind = "for now"
	}
	reason, ok := reasons[[2]byte{e.Source, e.Reason}]
	if !ok {
		reason = fmt.Sprintf("source %d, reason %d", e.Source, e.Reason)
	}
	return fmt.Sprintf("dicomnet: association rejected %s: %s", kind, reason)
}

// ErrClosed is returned when the peer closes the connection without a word.
var ErrClosed = errors.New("dicomnet: connection closed by the peer")

// protocolError is something the peer did against PS3.8, with the reason for A-ABORT.
type protocolError struct {
	reason byte
	err    error
}

func (e *protocolError) Error() string { return "dicomnet: " + e.err.Error() }
func (e *protocolError) Unwrap() error { return e.err }

// conn is one end of an association: the connection, its place in the state machine and its limits.
type conn struct {
	net.Conn
	state     state
	requestor bool
	maxRead   uint32        // of a P-DATA-TF that we take
	maxWrite  uint32        // of a P-DATA-TF that the peer takes
	timeout   time.Duration // for one PDU to be read or written once begun
	artim     time.Duration
	buf       []byte
	out       []byte
	queue     []pdu.DataValue // of the last P-DATA-TF, not yet taken
}

// on moves the state machine. An event that its state does not allow is a protocol error.
func (c *conn) on(e event) (action, error) {
	t, ok := next(c.state, e, c.requestor)
	if !ok {
		return "", fmt.Errorf("dicomnet: event %d cannot happen in state %d", e, c.state)
	}
	c.state = t.next
	return t.action, nil
}

// read takes one PDU, waiting for its first byte until wait has passed, and moves the state machine. What is not allowed is answered
// with the right A-ABORT before the error is returned.
func (c *conn) read(wait time.Duration) (pdu.PDU, error) {
	if err := c.SetReadDeadline(time.Now().Add(wait)); err != nil {
		return nil, fmt.Errorf("dicomnet: %w", err)
	}
	p, buf, err := pdu.Read(&pacedReader{c.Conn, c.timeout, false}, c.maxRead, c.buf)
	c.buf = buf
	if err != nil {
		return nil, c.readFailed(err)
	}
	e := evtInvalid
	switch p := p.(type) {
	case *pdu.Associate:
		e = evtAssociateRQ
		if p.Accept {
			e = evtAssociateAC
		}
	case *pdu.AssociateRJ:
		e = evtAssociateRJ
	case *pdu.DataTF:
		e = evtDataTF
	case *pdu.ReleaseRQ:
		e = evtReleaseRQ
	case *pdu.ReleaseRP:
		e = evtReleaseRP
	case *pdu.Abort:
		e = evtAbort
	}
	act, err := c.on(e)
	if err != nil {
		return nil, err
	}
	switch act {
	case "AA-1": // a PDU before any association
		c.sendAbort(AbortServiceUser, reasonNotSpecified)
		return nil, &protocolError{reasonUnexpectedPDU, fmt.Errorf("%T before A-ASSOCIATE-RQ", p)}
	case "AA-8":
		c.sendAbort(AbortServiceProvider, reasonUnexpectedPDU)
		return nil, &protocolError{reasonUnexpectedPDU, fmt.Errorf("unexpected %T", p)}
	}
	if a, ok := p.(*pdu.Abort); ok {
		return nil, &AbortError{a.Source, a.Reason}
	}
	return p, nil
}

// readFailed turns a read error into the event it is.
func (c *conn) readFailed(err error) error {
	var format *pdu.FormatError
	reason := reasonInvalidParam
	switch {
	case errors.Is(err, pdu.ErrUnrecognised):
		reason = reasonUnrecognisedPDU
	case errors.As(err, &format):
	case errors.Is(err, os.ErrDeadlineExceeded):
		if c.state != sta2 {
			c.sendAbort(AbortServiceProvider, reasonNotSpecified)
		}
		return fmt.Errorf("dicomnet: the peer was silent for too long: %w", err)
	default:
		_, _ = c.on(evtClosed)
		if errors.Is(err, io.EOF) {
			return ErrClosed
		}
		return fmt.Errorf("dicomnet: reading: %w", err)
	}
	source := AbortServiceProvider
	if act, _ := c.on(evtInvalid); act == "AA-1" {
		source, reason = AbortServiceUser, reasonNotSpecified
	}
	c.sendAbort(source, reason)
	return &protocolError{reason, err}
}

// pacedReader gives the rest of a PDU its own deadline once its first byte is there.
type pacedReader struct {
	net.Conn
	timeout time.Duration
	begun   bool
}

func (r *pacedReader) Read(b []byte) (int, error) {
	n, err := r.Conn.Read(b)
	if n > 0 && !r.begun {
		r.begun = true
		if deadline := r.SetReadDeadline(time.Now().Add(r.timeout)); err == nil {
			err = deadline
		}
	}
	return n, err
}

// write sends PDUs whole or not at all; after a part was sent the association is of no use and is closed.
func (c *conn) write(p pdu.PDU) error {
	c.out = p.AppendTo(c.out[:0])
	if err := c.SetWriteDeadline(time.Now().Add(c.timeout)); err != nil {
		return fmt.Errorf("dicomnet: %w", err)
	}
	if _, err := c.Conn.Write(c.out); err != nil {
		c.Conn.Close()
		return fmt.Errorf("dicomnet: writing: %w", err)
	}
	return nil
}

// sendAbort sends A-ABORT as best it can.
func (c *conn) sendAbort(source, reason byte) {
	_ = c.write(&pdu.Abort{Source: source, Reason: reason}) // the association is over either way
	c.state = sta13
}

// linger waits for the peer to close, at most ARTIM, so that the last PDU is not lost to a reset (PS3.8, Sta13).
func (c *conn) linger() {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
	_ = c.SetReadDeadline(time.Now().Add(min(c.artim, maxLinger)))
	_, _ = io.CopyN(io.Discard, c.Conn, lingerBytes)
	c.Conn.Close()
}

// How long and for how much we wait for a peer to close after our last word.
const (
	maxLinger   = 2 * time.Second
	lingerBytes = 1 << 20
)

// value returns the next presentation data value.
func (c *conn) value(wait time.Duration) (pdu.DataValue, pdu.PDU, error) {
	for len(c.queue) == 0 {
		p, err := c.read(wait)
		if err != nil {
			return pdu.DataValue{}, nil, err
		}
		data, ok := p.(*pdu.DataTF)
		if !ok {
			return pdu.DataValue{}, p, nil
		}
		c.queue = data.Values
	}
	v := c.queue[0]
	c.queue = c.queue[1:]
	return v, nil, nil
}

// command reads a whole command set; p is another PDU (a release) that came instead.
func (c *conn) command(wait time.Duration) (cmd *dimse.Command, contextID byte, p pdu.PDU, err error) {
	var data []byte
	for first := true; ; first = false {
		v, other, err := c.value(wait)
		if err != nil || other != nil {
			return nil, 0, other, err
		}
		if !v.Command || !first && v.ContextID != contextID || len(data)+len(v.Data) > dimse.MaxCommandLength {
			c.sendAbort(AbortServiceProvider, reasonUnexpectedParam)
			return nil, 0, nil, &protocolError{reasonUnexpectedParam, errors.New("a data set fragment, another context or too much where a command was due")}
		}
		contextID = v.ContextID
		data = append(data, v.Data...)
		if v.Last {
			break
		}
		wait = c.timeout
	}
	cmd, err = dimse.Decode(data)
	if err != nil {
		c.sendAbort(AbortServiceUser, reasonNotSpecified)
		return nil, 0, nil, &protocolError{reasonInvalidParam, err}
	}
	return cmd, contextID, nil, nil
}

// dataSet streams the fragments of a data set.
type dataSet struct {
	c         *conn
	contextID byte
	rest      []byte
	last      bool
	err       error
}

func (d *dataSet) Read(b []byte) (int, error) {
	for len(d.rest) == 0 {
		if d.err != nil {
			return 0, d.err
		}
		if d.last {
			return 0, io.EOF
		}
		v, other, err := d.c.value(d.c.timeout)
		switch {
		case err != nil:
			d.err = err
			return 0, err
		case other != nil || v.Command || v.ContextID != d.contextID:
			d.c.sendAbort(AbortServiceProvider, reasonUnexpectedParam)
			d.err = &protocolError{reasonUnexpectedParam, errors.New("the data set was broken off by something else")}
			return 0, d.err
		}
		d.rest, d.last = v.Data, v.Last
	}
	n := copy(b, d.rest)
	d.rest = d.rest[n:]
	return n, nil
}

// send writes a command and, when data is not nil, its data set in fragments that fit the peer's P-DATA-TF.
func (c *conn) send(ctx context.Context, contextID byte, cmd *dimse.Command, data io.Reader) error {
	if _, err := c.on(evtDataRequest); err != nil {
		return err
	}
	room := (int(c.maxWrite) - 6) &^ 1 // fragments are even (PS3.8, E.2)
	command := cmd.Encode()
	for len(command) > 0 {
		n := min(len(command), room)
		v := pdu.DataValue{ContextID: contextID, Command: true, Last: n == len(command), Data: command[:n]}
		if err := c.write(&pdu.DataTF{Values: []pdu.DataValue{v}}); err != nil {
			return err
		}
		command = command[n:]
	}
	if data == nil {
		return nil
	}
	// One fragment is read ahead, so that the last is known when it is sent.
	current, ahead := make([]byte, room), make([]byte, room)
	n, err := io.ReadFull(data, current)
	for {
		if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			c.sendAbort(AbortServiceUser, reasonNotSpecified)
			return fmt.Errorf("dicomnet: reading the data set: %w", err)
		}
		if ctx.Err() != nil {
			c.sendAbort(AbortServiceUser, reasonNotSpecified)
			return fmt.Errorf("dicomnet: sending: %w", ctx.Err())
		}
		last := err != nil
		m := 0
		if !last {
			if m, err = io.ReadFull(data, ahead); m == 0 && errors.Is(err, io.EOF) {
				last = true
			}
		}
		v := pdu.DataValue{ContextID: contextID, Last: last, Data: current[:n]}
		if werr := c.write(&pdu.DataTF{Values: []pdu.DataValue{v}}); werr != nil {
			return werr
		}
		if last {
			return nil
		}
		current, ahead, n = ahead, current, m
	}
}
