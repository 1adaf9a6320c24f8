package dicomnet

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"sync/atomic"
	"time"

	"llamaxr/dicomnet/pdu"
)

// Who we say we are (PS3.7, annex D.3.3.2). The version name is at most 16 characters (VR SH).
const (
	ImplementationClassUID    = "2.25.281934651037529834520194873651029384"
	ImplementationVersionName = "LLAMAXR_0.1"
)

// abortTimeout is how long a peer that takes nothing any more keeps us from closing.
const abortTimeout = time.Second

// maxDrained is how much is read and thrown away, in bytes, while the peer is waited for to close: what was under way when the association
// ended fits, a peer that goes on and on is cut off. After the first freelyDrained it is read slowly: junk must not cost the processor
// that others need.
const (
	maxDrained    = 16 << 20
	freelyDrained = 1 << 20
	drainPause    = time.Millisecond
)

// conn is one end of an association: the transport, its place in the state machine and its limits. One goroutine uses it; only
// interrupt is for others.
type conn struct {
	net.Conn
	// acknowledge, where there is one, has the system acknowledge at once: a peer that writes a PDU in two pieces and leaves Nagle's algorithm on
	// (RFC 896), as storescp does, keeps the second until the first is acknowledged, which takes 40 ms by itself.
	acknowledge func()
	address     netip.Addr // of the other side, where a Server has it
	state       state
	requestor   bool
	maxRead     uint32        // of a P-DATA-TF that we take
	maxWrite    uint32        // of a P-DATA-TF that the peer takes
	maxObject   int64         // of a data set that we take, in bytes
	pace        *pace         // of the peer's data sets; nil for none
	timeout     time.Duration // for one PDU, once begun
	artim       time.Duration
	artimUntil  time.Time // when the ARTIM timer expires, in the states in which it runs
	lost        bool      // where the next PDU begins is not known any more
	drained     int64
	first       [1]byte // of the next PDU, when arrives took it
	peeked      bool
	// interrupted makes whatever is waited for fail.
	interrupted atomic.Bool

	in    []byte          // the last PDU read
	out   []byte          // the PDU being written
	queue []pdu.DataValue // of the last P-DATA-TF, not yet taken
	// fragments are PDUs of a data set being sent: maxWrite is settled before the first.
	fragments [2][]byte
}

// interrupt makes what conn's goroutine waits for fail, now and later. What it waits for next is its own affair: it sends A-ABORT.
func (c *conn) interrupt() {
	c.interrupted.Store(true)
	_ = c.SetDeadline(time.Unix(1, 0))
}

// readBy and writeBy set deadlines that an interruption outlasts.
func (c *conn) readBy(t time.Time) {
	_ = c.SetReadDeadline(t) // a connection that takes no deadline is closed, and its next read says so
	if c.interrupted.Load() {
		_ = c.SetReadDeadline(time.Unix(1, 0))
	}
}

func (c *conn) writeBy(t time.Time) {
	_ = c.SetWriteDeadline(t)
	if c.interrupted.Load() {
		_ = c.SetWriteDeadline(time.Unix(1, 0))
	}
}

// handshake makes a TLS connection one, within ARTIM: until it is, PS3.8 has no transport.
func (c *conn) handshake(ctx context.Context) error {
	t, ok := c.Conn.(*tls.Conn)
	if !ok {
		return nil
	}
	until := time.Now().Add(c.artim)
	c.readBy(until)
	c.writeBy(until)
	if err := t.HandshakeContext(ctx); err != nil {
		return fmt.Errorf("dicomnet: TLS handshake: %w", err)
	}
	return nil
}

// on moves the state machine. An event that its state does not know means that the association is over, for this side at least.
func (c *conn) on(e event) (action, error) {
	t, ok := next(c.state, e, c.requestor)
	if !ok {
		return "", ErrEnded
	}
	c.state = t.next
	switch t.action {
	case ae5, ae8, ar4, aa1, aa8:
		c.artimUntil = time.Now().Add(c.artim)
	case aa2, aa3, aa4, ae4, ar3:
		c.Close()
	}
	return t.action, nil
}

// do is a request or an answer of the local user: it moves the state machine and sends the PDU that the action sends.
func (c *conn) do(e event, p pdu.PDU) error {
	if _, err := c.on(e); err != nil {
		return err
	}
	c.out = p.AppendTo(c.out[:0])
	return c.write(c.out)
}

// write sends a PDU. After a part of it was sent nothing that follows would be understood, A-ABORT neither: the transport is closed.
func (c *conn) write(b []byte) error {
	c.writeBy(time.Now().Add(c.timeout))
	_, err := c.Conn.Write(b)
	switch {
	case err == nil:
		return nil
	case c.interrupted.Load():
		err = errInterrupted
	case errors.Is(err, os.ErrDeadlineExceeded):
		err = ErrSilent
	default:
		err = c.lastWord(err)
	}
	c.Close()
	_, _ = c.on(evtClosed)
	return fmt.Errorf("writing a PDU: %w", err)
}

// lastWord looks for the A-ABORT of a peer that has closed its side: it says more than a broken pipe does.
func (c *conn) lastWord(err error) error {
	c.readBy(time.Now().Add(abortTimeout))
	for {
		p, _, readErr := pdu.Read(c.Conn, c.maxRead, nil)
		if readErr != nil {
			return err
		}
		if a, ok := p.(*pdu.Abort); ok {
			return &AbortError{a.Source, a.Reason}
		}
	}
}

// read takes one PDU and moves the state machine. Its first byte must come within wait, the rest of it within the PDU's own time; while
// the ARTIM timer runs, the whole within that. What the state does not allow is answered as the standard says before the error is
// returned.
func (c *conn) read(wait time.Duration) (pdu.PDU, error) {
	for {
		paced := &pacedReader{c: c}
		if c.state == sta2 || c.state == sta13 {
			paced.begun = true // ARTIM is for all of it: a peer cannot win time byte by byte
			c.readBy(c.artimUntil)
		} else {
			c.readBy(time.Now().Add(wait))
		}
		p, buf, err := pdu.Read(paced, c.maxRead, c.in)
		c.in = buf
		if err != nil {
			return nil, c.readFailed(err)
		}
		act, err := c.on(eventOf(p))
		if err != nil {
			return nil, err
		}
		switch act {
		case aa6:
			continue
		case aa1, aa7, aa8:
			c.lost = c.lost || act == aa7 // one A-ABORT for somebody who does not listen, not one for each thing said
			c.sendAbort(act, reasonUnexpectedPDU)
			return nil, &protocolError{fmt.Errorf("unexpected %T", p)}
		}
		if a, ok := p.(*pdu.Abort); ok {
			return nil, &AbortError{a.Source, a.Reason}
		}
		return p, nil
	}
}

func eventOf(p pdu.PDU) event {
	switch p := p.(type) {
	case *pdu.Associate:
		if p.Accept {
			return evtAssociateAC
		}
		return evtAssociateRQ
	case *pdu.AssociateRJ:
		return evtAssociateRJ
	case *pdu.DataTF:
		return evtDataTF
	case *pdu.ReleaseRQ:
		return evtReleaseRQ
	case *pdu.ReleaseRP:
		return evtReleaseRP
	case *pdu.Abort:
		return evtAbort
	}
	return evtInvalid
}

// readFailed turns a read error into the event it is.
func (c *conn) readFailed(err error) error {
	var format *pdu.FormatError
	switch {
	case errors.Is(err, pdu.ErrUnrecognised):
		return c.invalid(reasonUnrecognisedPDU, err)
	case errors.As(err, &format):
		return c.invalid(reasonInvalidParam, err)
	case !errors.Is(err, os.ErrDeadlineExceeded):
		_, _ = c.on(evtClosed)
		if errors.Is(err, io.EOF) {
			return ErrClosed
		}
		return fmt.Errorf("reading a PDU: %w", err)
	case c.state == sta2 || c.state == sta13:
		_, _ = c.on(evtARTIM)
	default:
		c.abort()
	}
	if c.interrupted.Load() {
		return errInterrupted
	}
	return ErrSilent
}

// invalid answers a PDU that breaks the standard (Evt19).
func (c *conn) invalid(reason byte, err error) error {
	c.lost = true
	if act, stateErr := c.on(evtInvalid); stateErr == nil {
		c.sendAbort(act, reason)
	}
	return &protocolError{err}
}

// abort is the local user's A-ABORT request.
func (c *conn) abort() {
	if act, err := c.on(evtAbortRequest); err == nil && act == aa1 {
		c.sendAbort(act, reasonNotSpecified)
	}
}

// sendAbort sends A-ABORT as best it can: the association is over either way.
func (c *conn) sendAbort(act action, reason byte) {
	a := &pdu.Abort{Source: abortServiceProvider, Reason: reason}
	if act == aa1 {
		a = &pdu.Abort{Source: abortServiceUser}
	}
	_ = c.SetWriteDeadline(time.Now().Add(abortTimeout))
	_, _ = c.Conn.Write(a.AppendTo(nil))
}

// finish waits in Sta13 for the peer to close, until ARTIM expires, so that our last PDU is not lost to a reset; then it closes.
func (c *conn) finish() {
	if c.state == sta13 && c.interrupted.Load() {
		c.lost, c.artimUntil = true, time.Now().Add(abortTimeout) // in a hurry, but what we sent should arrive
		c.interrupted.Store(false)
	}
	for c.state == sta13 && !c.lost {
		_, _ = c.read(0)
	}
	if c.state == sta13 {
		c.readBy(c.artimUntil)
		_, _ = io.Copy(io.Discard, &pacedReader{c, true})
	}
	c.state = sta1
	c.Close()
}

// pacedReader gives the rest of a PDU its own deadline once its first byte is there.
type pacedReader struct {
	c     *conn
	begun bool
}

func (r *pacedReader) Read(b []byte) (int, error) {
	if r.c.peeked && len(b) > 0 {
		b[0], r.c.peeked = r.c.first[0], false
		return 1, nil
	}
	n, err := r.c.Conn.Read(b)
	if err == nil && n < len(b) && r.c.acknowledge != nil {
		r.c.acknowledge()
	}
	if r.c.state == sta13 {
		switch r.c.drained += int64(n); {
		case r.c.drained > maxDrained:
			r.c.Close()
		case r.c.drained > freelyDrained:
			time.Sleep(drainPause)
		}
	}
	if n > 0 && !r.begun {
		r.begun = true
		r.c.readBy(time.Now().Add(r.c.timeout))
	}
	return n, err
}
