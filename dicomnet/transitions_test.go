package dicomnet

import (
	"errors"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"llamaxr/dicomnet/pdu"
)

// pdus are one of each kind, by the event that receiving it is; nothing is wrong with them.
var pdus = map[event]pdu.PDU{
	evtAssociateAC: &pdu.Associate{Accept: true, Contexts: []pdu.Context{{ID: 1, TransferSyntaxes: []string{ImplicitVRLittleEndian}}}},
	evtAssociateRJ: &pdu.AssociateRJ{Result: 1, Source: 1, Reason: 1},
	evtAssociateRQ: &pdu.Associate{
		Called: "A", Calling: "B", Contexts: []pdu.Context{{ID: 1, AbstractSyntax: Verification, TransferSyntaxes: []string{ImplicitVRLittleEndian}}},
	},
	evtDataTF:    &pdu.DataTF{Values: []pdu.DataValue{{ContextID: 1, Last: true, Data: []byte{0, 0}}}},
	evtReleaseRQ: &pdu.ReleaseRQ{},
	evtReleaseRP: &pdu.ReleaseRP{},
	evtAbort:     &pdu.Abort{Source: 2, Reason: 1},
}

// invalidPDUs are Evt19, by the reason that an A-ABORT of the provider gives for them (PS3.8, 9.3.8).
var invalidPDUs = map[byte][]byte{
	reasonUnrecognisedPDU: {0x99, 0, 0, 0, 0, 0},
	reasonInvalidParam:    {5, 0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0},
}

// local are the PDUs that the local user's requests and answers send.
var local = map[event]pdu.PDU{
	evtConnected: pdus[evtAssociateRQ], evtAccept: pdus[evtAssociateAC], evtReject: pdus[evtAssociateRJ],
	evtDataRequest: pdus[evtDataTF], evtReleaseRequest: &pdu.ReleaseRQ{}, evtReleaseResponse: &pdu.ReleaseRP{},
}

// ends is a connection, our end and the peer's.
type ends struct {
	t    *testing.T
	c    *conn
	peer net.Conn
}

// connect opens a TCP connection.
func connect(t *testing.T, requestor bool, artim time.Duration) *ends {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	peer, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	nc, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { peer.Close(); nc.Close() })
	return &ends{t, &conn{
		Conn: nc, state: sta1, requestor: requestor, maxRead: DefaultMaxPDULength, maxWrite: DefaultMaxPDULength,
		timeout: 5 * time.Second, artim: artim,
	}, peer}
}

// from has the peer send a PDU and reads it.
func (e *ends) from(evt event) {
	e.t.Helper()
	if _, err := e.peer.Write(pdus[evt].AppendTo(nil)); err != nil {
		e.t.Fatal(err)
	}
	if _, err := e.c.read(5 * time.Second); err != nil {
		e.t.Fatal(err)
	}
}

// to sends a PDU and has the peer read it.
func (e *ends) to(evt event) {
	e.t.Helper()
	if err := e.c.do(evt, local[evt]); err != nil {
		e.t.Fatal(err)
	}
	if _, _, err := pdu.Read(e.peer, DefaultMaxPDULength, nil); err != nil {
		e.t.Fatal(err)
	}
}

// bring takes a connection to a state the way a real association goes there.
func (e *ends) bring(s state) {
	e.t.Helper()
	switch s {
	case sta1:
	case sta2:
		_, _ = e.c.on(evtConnection)
	case sta3:
		e.bring(sta2)
		e.from(evtAssociateRQ)
	case sta4:
		_, _ = e.c.on(evtAssociateRequest)
	case sta5:
		e.bring(sta4)
		e.to(evtConnected)
	case sta6:
		if e.c.requestor {
			e.bring(sta5)
			e.from(evtAssociateAC)
		} else {
			e.bring(sta3)
			e.to(evtAccept)
		}
	case sta7:
		e.bring(sta6)
		e.to(evtReleaseRequest)
	case sta8:
		e.bring(sta6)
		e.from(evtReleaseRQ)
	case sta9, sta10:
		e.bring(sta7)
		e.from(evtReleaseRQ)
	case sta11:
		e.bring(sta9)
		e.to(evtReleaseResponse)
	case sta12:
		e.bring(sta10)
		e.from(evtReleaseRP)
	case sta13:
		if e.c.requestor {
			e.bring(sta6)
			e.c.abort()
			_, _, _ = pdu.Read(e.peer, DefaultMaxPDULength, nil)
		} else {
			e.bring(sta8)
			e.to(evtReleaseResponse)
		}
	}
	if e.c.state != s {
		e.t.Fatalf("brought to Sta%d, want Sta%d", e.c.state, s)
	}
}

// roles are those in which an association comes to a state.
func roles(s state) []bool {
	switch s {
	case sta4, sta5, sta9, sta11:
		return []bool{true}
	case sta1, sta2, sta3, sta10, sta12:
		return []bool{false}
	}
	return []bool{false, true}
}

// TestEveryTransitionOnTheWire brings a TCP connection to every state, lets every event happen that can happen there, and looks at what
// the peer sees: the PDU, the source and reason of an A-ABORT, the transport closed or not; and at ARTIM.
func TestEveryTransitionOnTheWire(t *testing.T) {
	cases := 0
	for e, row := range standard(t) {
		for s, act := range row {
			if e == evtAssociateRequest || e == evtConnection {
				continue // these two open the transport: bring does them
			}
			for _, requestor := range roles(s) {
				variants := []byte{reasonUnexpectedPDU}
				if e == evtInvalid {
					variants = []byte{reasonUnrecognisedPDU, reasonInvalidParam}
				}
				for _, reason := range variants {
					cases++
					t.Run(fmt.Sprintf("Evt%d/Sta%d/requestor=%t/reason=%d", e, s, requestor, reason), func(t *testing.T) {
						t.Parallel()
						checkTransition(t, e, s, requestor, act, reason)
					})
				}
			}
		}
	}
	if cases < 150 {
		t.Errorf("only %d transitions tried", cases)
	}
}

func checkTransition(t *testing.T, e event, s state, requestor bool, act action, reason byte) {
	artim := time.Minute
	if e == evtARTIM {
		artim = 100 * time.Millisecond
	}
	both := connect(t, requestor, artim)
	both.bring(s)
	c, peer := both.c, both.peer
	before := c.artimUntil
	want := effects[act]
	if act == ar8 && !requestor {
		want.next = sta10
	}
	var err error
	read := make(chan struct{})
	switch {
	case local[e] != nil:
		err = c.do(e, local[e])
		close(read)
	case e == evtAbortRequest:
		c.abort()
		close(read)
	default:
		switch e {
		case evtClosed:
			if s == sta4 { // no transport that could close: dialling failed
				_, _ = c.on(e)
			}
			peer.(*net.TCPConn).CloseWrite()
		case evtInvalid:
			_, _ = peer.Write(invalidPDUs[reason])
		case evtARTIM:
		default:
			_, _ = peer.Write(pdus[e].AppendTo(nil))
		}
		go func() {
			defer close(read)
			if s != sta4 {
				_, err = c.read(5 * time.Second)
			}
		}()
	}
	if act != aa6 { // which goes on reading
		<-read
		if c.state != want.next {
			t.Errorf("%s goes to Sta%d, want Sta%d (%v)", act, c.state, want.next, err)
		}
		if started := c.artimUntil != before; started != want.artim {
			t.Errorf("%s starts ARTIM: %t, want %t", act, started, want.artim)
		}
	}
	sent, closed := seen(t, peer, want.sends != "" || want.closes)
	if closed != want.closes && act != ar5 && act != aa5 { // these two find it closed: finish does the rest
		t.Errorf("%s closes the transport: %t, want %t", act, closed, want.closes)
	}
	if got := name(sent); got != want.sends {
		t.Errorf("%s sends %q, want %q", act, got, want.sends)
	}
	if a, ok := sent.(*pdu.Abort); ok && a.Source == abortServiceProvider && a.Reason != reason || ok && a.Source == abortServiceUser && a.Reason != 0 {
		t.Errorf("%s aborts with source %d, reason %d, want reason %d", act, a.Source, a.Reason, reason)
	}
	if act == aa6 { // nothing was said; now the peer closes
		peer.Close()
		<-read
		if !errors.Is(err, ErrClosed) || c.state != sta1 {
			t.Errorf("%s, then the peer closes: %v in Sta%d", act, err, c.state)
		}
	}
	c.state = sta1
	c.finish()
}

// seen is the PDU that the peer receives, if any, and whether the transport is closed after it.
func seen(t *testing.T, peer net.Conn, expect bool) (p pdu.PDU, closed bool) {
	t.Helper()
	wait := 30 * time.Millisecond
	if expect {
		wait = 5 * time.Second
	}
	_ = peer.SetReadDeadline(time.Now().Add(wait))
	p, _, err := pdu.Read(peer, DefaultMaxPDULength, nil)
	if err != nil {
		return nil, errors.Is(err, io.EOF) || !isTimeout(err)
	}
	_ = peer.SetReadDeadline(time.Now().Add(30 * time.Millisecond))
	_, err = peer.Read(make([]byte, 1))
	return p, !isTimeout(err)
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

func name(p pdu.PDU) string {
	switch p := p.(type) {
	case nil:
		return ""
	case *pdu.Associate:
		if p.Accept {
			return "A-ASSOCIATE-AC"
		}
		return "A-ASSOCIATE-RQ"
	case *pdu.Abort:
		if p.Source == abortServiceProvider {
			return "provider abort"
		}
		return "user abort"
	}
	return map[event]string{
		evtAssociateRJ: "A-ASSOCIATE-RJ", evtDataTF: "P-DATA-TF", evtReleaseRQ: "A-RELEASE-RQ", evtReleaseRP: "A-RELEASE-RP",
	}[eventOf(p)]
}
