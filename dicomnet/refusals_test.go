package dicomnet

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"llamaxr/dicomnet/pdu"
)

// TestRejectionsOnTheWire: each way to ask wrongly has its result, source and reason (PS3.8, table 9-21), in the bytes that are sent.
func TestRejectionsOnTheWire(t *testing.T) {
	good := func() *pdu.Associate {
		return &pdu.Associate{Called: "LLAMAXR", Calling: "X", Contexts: pdus[evtAssociateRQ].(*pdu.Associate).Contexts}
	}
	for name, test := range map[string]struct {
		server  func(*Server)
		request func() []byte
		want    [3]byte
	}{
		"called AE title": {nil, func() []byte { a := good(); a.Called = "OTHER"; return a.AppendTo(nil) }, [3]byte{1, 1, 7}},
		"calling AE title": {
			func(s *Server) { s.Peers = []Peer{{AETitle: "KNOWN"}} }, func() []byte { return good().AppendTo(nil) }, [3]byte{1, 1, 3},
		},
		"protocol version": {nil, func() []byte { b := good().AppendTo(nil); b[7] = 2; return b }, [3]byte{1, 2, 2}},
		"application context": {nil, func() []byte {
			return bytes.Replace(good().AppendTo(nil), []byte(pdu.ApplicationContext), []byte("1.2.840.10008.3.1.1.9"), 1)
		}, [3]byte{1, 1, 2}},
		"no presentation context": {nil, func() []byte { a := good(); a.Contexts = nil; return a.AppendTo(nil) }, [3]byte{1, 1, 1}},
		"a maximum length of 16":  {nil, func() []byte { a := good(); a.User.MaximumLength = 16; return a.AppendTo(nil) }, [3]byte{1, 1, 1}},
		"local limit": {
			func(s *Server) { s.MaxAssociations = -1 }, func() []byte { return good().AppendTo(nil) }, [3]byte{2, 3, 2},
		},
		"no session": {func(s *Server) { s.NewSession = noSession }, func() []byte { return good().AppendTo(nil) }, [3]byte{2, 3, 1}},
	} {
		t.Run(name, func(t *testing.T) {
			port, _ := start(t, test.server)
			nc, err := net.Dial("tcp", "127.0.0.1:"+port)
			if err != nil {
				t.Fatal(err)
			}
			defer nc.Close()
			if _, err := nc.Write(test.request()); err != nil {
				t.Fatal(err)
			}
			got := make([]byte, 10)
			_ = nc.SetReadDeadline(time.Now().Add(5 * time.Second))
			if _, err := io.ReadFull(nc, got); err != nil {
				t.Fatal(err)
			}
			if want := []byte{3, 0, 0, 0, 0, 4, 0, test.want[0], test.want[1], test.want[2]}; !bytes.Equal(got, want) {
				t.Errorf("answered % x, want % x", got, want)
			}
		})
	}
}

func noSession(context.Context, *AssociationInfo) (Session, error) {
	return nil, errors.New("no session today")
}

// TestRejectionIsTyped: the client tells why it was rejected.
func TestRejectionIsTyped(t *testing.T) {
	port, _ := start(t, nil)
	_, err := Client{CallingAETitle: "X", CalledAETitle: "OTHER"}.Dial(t.Context(), "127.0.0.1:"+port,
		[]ProposedContext{{AbstractSyntax: Verification, TransferSyntaxes: []string{ImplicitVRLittleEndian}}})
	var got *RejectError
	if !errors.As(err, &got) || *got != rejectCalledAETitle {
		t.Errorf("got %v, want %v", err, &rejectCalledAETitle)
	}
}

// TestAbortsOnTheWire sends what PS3.8 does not allow and reads the bytes of the answer.
func TestAbortsOnTheWire(t *testing.T) {
	abort := func(source, reason byte) []byte { return []byte{7, 0, 0, 0, 0, 4, 0, 0, source, reason} }
	for name, test := range map[string]struct{ send, want []byte }{
		"data before an association":    {[]byte{4, 0, 0, 0, 0, 6, 0, 0, 0, 2, 1, 3}, abort(0, 0)},
		"release before an association": {[]byte{5, 0, 0, 0, 0, 4, 0, 0, 0, 0}, abort(0, 0)},
		"unknown PDU type":              {[]byte{9, 0, 0, 0, 0, 0}, abort(0, 0)},
		"a length of 4 GB":              {[]byte{1, 0, 0xff, 0xff, 0xff, 0xff}, abort(0, 0)},
	} {
		port, _ := start(t, func(s *Server) { s.ARTIM = 100 * time.Millisecond })
		nc, err := net.Dial("tcp", "127.0.0.1:"+port)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := nc.Write(test.send); err != nil {
			t.Fatal(err)
		}
		_ = nc.SetReadDeadline(time.Now().Add(5 * time.Second))
		got, _ := io.ReadAll(nc)
		nc.Close()
		if !bytes.Equal(got, test.want) {
			t.Errorf("%s: answered % x, want % x", name, got, test.want)
		}
	}
}

// TestSilentPeerIsLeft: ARTIM closes a connection on which no association is asked for.
func TestSilentPeerIsLeft(t *testing.T) {
	port, _ := start(t, func(s *Server) { s.ARTIM = 100 * time.Millisecond })
	nc, err := net.Dial("tcp", "127.0.0.1:"+port)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	_ = nc.SetReadDeadline(time.Now().Add(5 * time.Second))
	if _, err := nc.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("after ARTIM: %v, want the connection closed", err)
	}
}

// TestReleaseCollision: both sides ask for the release at once, and data of before is still under way (PS3.8, 9.2.3, AR-6, AR-8 and AR-9).
func TestReleaseCollision(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	peer := make(chan error, 1)
	go func() {
		peer <- func() error {
			nc, err := listener.Accept()
			if err != nil {
				return err
			}
			defer nc.Close()
			say := func(p pdu.PDU) { _, _ = nc.Write(p.AppendTo(nil)) }
			hear := func() (pdu.PDU, error) { p, _, err := pdu.Read(nc, DefaultMaxPDULength, nil); return p, err }
			if _, err := hear(); err != nil {
				return err
			}
			say(pdus[evtAssociateAC])
			if _, err := hear(); err != nil { // A-RELEASE-RQ
				return err
			}
			say(pdus[evtDataTF])
			say(&pdu.ReleaseRQ{})
			p, err := hear()
			if err != nil {
				return err
			}
			if _, ok := p.(*pdu.ReleaseRP); !ok {
				return errors.New("the requestor does not answer the acceptor's A-RELEASE-RQ")
			}
			say(&pdu.ReleaseRP{})
			if _, err := hear(); !errors.Is(err, io.EOF) {
				return errors.New("the requestor does not close")
			}
			return nil
		}()
	}()
	a, err := Client{CallingAETitle: "X", CalledAETitle: "Y"}.Dial(t.Context(), listener.Addr().String(), verification)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Release(); err != nil {
		t.Error(err)
	}
	if err := <-peer; err != nil {
		t.Error(err)
	}
}

// TestTitlesArePrintable: an AE title goes into logs, histories and onto terminals, so that it must not move the cursor or forge a line. The
// answer has the bytes that came (PS3.8, table 9-17).
func TestTitlesArePrintable(t *testing.T) {
	told := make(chan *AssociationInfo, 1)
	port, _ := start(t, func(s *Server) {
		s.AnyCalled = true
		s.NewSession = func(_ context.Context, info *AssociationInfo) (Session, error) {
			told <- info
			return memory{new(sync.Mutex), map[string][]byte{}, new(int)}, nil
		}
	})
	nc, err := net.Dial("tcp", "127.0.0.1:"+port)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	request := &pdu.Associate{Called: `B\C`, Calling: "A\n\x1b[2J\xff", Contexts: pdus[evtAssociateRQ].(*pdu.Associate).Contexts}
	if _, err := nc.Write(request.AppendTo(nil)); err != nil {
		t.Fatal(err)
	}
	if info := <-told; info.CallingAETitle != "A??[2J?" || info.CalledAETitle != "B?C" {
		t.Errorf("%q calls %q", info.CallingAETitle, info.CalledAETitle)
	}
	_ = nc.SetReadDeadline(time.Now().Add(5 * time.Second))
	p, _, err := pdu.Read(nc, DefaultMaxPDULength, nil)
	if answer, ok := p.(*pdu.Associate); err != nil || !ok || answer.Calling != request.Calling || answer.Called != request.Called {
		t.Errorf("answered %+v, %v", p, err)
	}
}
