package dicomnet

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"llamaxr/dicomnet/dimse"
	"llamaxr/dicomnet/pdu"
)

// scripted is an acceptor that answers A-ASSOCIATE-RQ with accept and then does what script says. It returns the address, and a channel of
// what script returns.
func scripted(t *testing.T, accept *pdu.Associate, script func(nc net.Conn) error) (address string, done chan error) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	done = make(chan error, 1)
	go func() {
		nc, err := listener.Accept()
		if err != nil {
			done <- err
			return
		}
		defer nc.Close()
		_ = nc.SetReadDeadline(time.Now().Add(10 * time.Second))
		if _, _, err := pdu.Read(nc, DefaultMaxPDULength, nil); err != nil {
			done <- err
			return
		}
		if accept != nil {
			_, _ = nc.Write(accept.AppendTo(nil))
		}
		done <- script(nc)
	}()
	return listener.Addr().String(), done
}

// hears reads until an A-ABORT of that source and reason comes.
func hears(source, reason byte) func(nc net.Conn) error {
	return func(nc net.Conn) error {
		for {
			p, _, err := pdu.Read(nc, DefaultMaxPDULength, nil)
			if err != nil {
				return err
			}
			if a, ok := p.(*pdu.Abort); ok {
				if *a != (pdu.Abort{Source: source, Reason: reason}) {
					return errors.New("another A-ABORT than was expected")
				}
				return nil
			}
		}
	}
}

func acceptCR(limit uint32) *pdu.Associate {
	return &pdu.Associate{
		Accept: true, Contexts: []pdu.Context{{ID: 1, TransferSyntaxes: []string{ExplicitVRLittleEndian}}}, User: pdu.UserInformation{MaximumLength: limit},
	}
}

var (
	someObject = StoreRequest{SOPClassUID: crClass, SOPInstanceUID: "1.2.3"}
	someClient = Client{CallingAETitle: "X", CalledAETitle: "Y"}
)

// TestBadAnswersToAssociate: an answer that breaks what was proposed is aborted and told.
func TestBadAnswersToAssociate(t *testing.T) {
	offered := acceptCR(0)
	offered.Contexts[0].TransferSyntaxes = []string{ImplicitVRLittleEndian}
	for name, test := range map[string]struct {
		answer         *pdu.Associate
		source, reason byte
	}{
		"a transfer syntax that was not offered": {offered, abortServiceProvider, reasonInvalidParam},
		"a maximum length of 16":                 {acceptCR(16), abortServiceUser, 0},
	} {
		address, done := scripted(t, test.answer, hears(test.source, test.reason))
		if _, err := someClient.Dial(t.Context(), address, crContexts); err == nil {
			t.Errorf("%s was taken", name)
		}
		if err := <-done; err != nil {
			t.Errorf("%s: the peer sees %v", name, err)
		}
	}
}

// TestRefusedContext: what the peer does not take is told for that object alone.
func TestRefusedContext(t *testing.T) {
	port, got := start(t, nil)
	a, err := Client{CallingAETitle: "X", CalledAETitle: "LLAMAXR"}.Dial(t.Context(), "127.0.0.1:"+port, []ProposedContext{
		{AbstractSyntax: "1.2.840.10008.5.1.4.34.7", TransferSyntaxes: []string{ExplicitVRLittleEndian}}, {AbstractSyntax: crClass, TransferSyntaxes: []string{"1.2.3.4"}}, {AbstractSyntax: crClass, TransferSyntaxes: []string{ExplicitVRLittleEndian}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if a.Accepted("1.2.840.10008.5.1.4.34.7", "") || a.Accepted(crClass, "1.2.3.4") || !a.Accepted(crClass, ExplicitVRLittleEndian) {
		t.Error("the wrong contexts were accepted")
	}
	if err := a.Echo(t.Context()); !errors.Is(err, ErrNotAccepted) {
		t.Errorf("C-ECHO without its context: %v", err)
	}
	if err := a.Store(t.Context(), StoreRequest{SOPClassUID: crClass, SOPInstanceUID: "1.2.3", TransferSyntaxUID: "1.2.3.4"}, zeros(10)); !errors.Is(err, ErrNotAccepted) {
		t.Errorf("an object in a transfer syntax that was refused: %v", err)
	}
	if err := a.Store(t.Context(), someObject, zeros(10)); err != nil || len(got.objects) != 1 {
		t.Errorf("the object that can go: %v", err)
	}
	if err := a.Release(); err != nil {
		t.Error(err)
	}
}

// TestSenderBreaksOff: when the object cannot be read, or the caller gives up, the peer hears A-ABORT and no end of the object.
func TestSenderBreaksOff(t *testing.T) {
	t.Run("source", func(t *testing.T) {
		address, done := scripted(t, acceptCR(0), hears(abortServiceUser, 0))
		a, err := someClient.Dial(t.Context(), address, crContexts)
		if err != nil {
			t.Fatal(err)
		}
		broken := errors.New("disk gone")
		source := io.MultiReader(zeros(500_000), &failingReader{broken})
		if err := a.Store(t.Context(), someObject, source); !errors.Is(err, broken) {
			t.Errorf("got %v, want %v", err, broken)
		}
		if err := <-done; err != nil {
			t.Errorf("the peer sees %v", err)
		}
		if err := a.Store(t.Context(), someObject, zeros(10)); !errors.Is(err, ErrEnded) {
			t.Errorf("on a dead association: %v, want %v", err, ErrEnded)
		}
	})
	t.Run("caller", func(t *testing.T) {
		address, done := scripted(t, acceptCR(0), hears(abortServiceUser, 0))
		a, err := someClient.Dial(t.Context(), address, crContexts)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		begun := time.Now()
		err = a.Store(ctx, someObject, zeros(10)) // and no answer comes
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(begun) > 5*time.Second {
			t.Errorf("after %v: %v", time.Since(begun), err)
		}
		if err := <-done; err != nil {
			t.Errorf("the peer sees %v", err)
		}
	})
	t.Run("dialling", func(t *testing.T) {
		address, done := scripted(t, nil, hears(abortServiceUser, 0))
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		if _, err := someClient.Dial(ctx, address, crContexts); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		if err := <-done; err != nil {
			t.Errorf("the peer sees %v", err)
		}
	})
}

type failingReader struct{ err error }

func (f *failingReader) Read([]byte) (int, error) { return 0, f.err }

// TestBadResponses: an answer to another request than was sent is no answer.
func TestBadResponses(t *testing.T) {
	for name, response := range map[string]*dimse.Command{
		"another message": {Field: dimse.StoreRSP, RespondedTo: 7, DataSetType: dimse.NoDataSet},
		"another command": {Field: dimse.EchoRSP, RespondedTo: 1, DataSetType: dimse.NoDataSet},
		"a request":       {Field: dimse.EchoRQ, MessageID: 1, DataSetType: dimse.NoDataSet},
		"a data set":      {Field: dimse.StoreRSP, RespondedTo: 1, DataSetType: dimse.WithDataSet},
	} {
		address, done := scripted(t, acceptCR(0), func(nc net.Conn) error {
			_, _ = nc.Write(command(response))
			return hears(abortServiceUser, 0)(nc)
		})
		a, err := someClient.Dial(t.Context(), address, crContexts)
		if err != nil {
			t.Fatal(err)
		}
		if err := a.Store(t.Context(), someObject, bytes.NewReader([]byte{0, 0})); err == nil {
			t.Errorf("%s was taken for the answer", name)
		}
		if err := <-done; err != nil {
			t.Errorf("%s: the peer sees %v", name, err)
		}
	}
}

// TestWhatIsNotProposed: what PS3.8 does not allow never goes on the wire.
func TestWhatIsNotProposed(t *testing.T) {
	many := make([]ProposedContext, pdu.MaxContexts+1)
	for name, test := range map[string]struct {
		client   Client
		contexts []ProposedContext
	}{
		"no context":           {someClient, nil},
		"too many contexts":    {someClient, many},
		"no transfer syntax":   {someClient, []ProposedContext{{AbstractSyntax: crClass, TransferSyntaxes: nil}}},
		"no UID":               {someClient, []ProposedContext{{AbstractSyntax: "CR", TransferSyntaxes: []string{ExplicitVRLittleEndian}}}},
		"a long AE title":      {Client{CallingAETitle: "X", CalledAETitle: "SEVENTEEN LETTERS"}, crContexts},
		"an AE title of space": {Client{CallingAETitle: " ", CalledAETitle: "Y"}, crContexts},
	} {
		test.client.Dialer = noDialer{t}
		if _, err := test.client.Dial(t.Context(), "127.0.0.1:1", test.contexts); err == nil {
			t.Errorf("%s was proposed", name)
		}
	}
}

type noDialer struct{ t *testing.T }

func (n noDialer) DialContext(context.Context, string, string) (net.Conn, error) {
	n.t.Error("dialled")
	return nil, net.ErrClosed
}

// TestDrain: when the server stops, a request under way is finished and answered, new connections find nobody, and who idles is aborted
// when the time to drain is over.
func TestDrain(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	got := newSink()
	s := &Server{AnyCalled: true, NewSession: got.open}
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx, listener, 500*time.Millisecond) }()
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	idle := raw(t, port)
	busy, err := someClient.Dial(t.Context(), "127.0.0.1:"+port, crContexts)
	if err != nil {
		t.Fatal(err)
	}
	source, feed := io.Pipe()
	stored := make(chan error, 1)
	go func() { stored <- busy.Store(t.Context(), someObject, source) }()
	_, _ = feed.Write(make([]byte, 300_000))
	cancel()
	time.Sleep(100 * time.Millisecond)
	if _, err := someClient.Dial(t.Context(), "127.0.0.1:"+port, crContexts); err == nil {
		t.Error("a new association was accepted while draining")
	}
	_, _ = feed.Write(make([]byte, 100_000))
	feed.Close()
	if err := <-stored; err != nil || got.bytes.Load() != 400_000 {
		t.Errorf("the object under way: %v, %d bytes", err, got.bytes.Load())
	}
	if err := busy.Release(); err != nil {
		t.Error(err)
	}
	aborted(t, idle, abortServiceUser, 0)
	if err := <-served; err != nil {
		t.Error(err)
	}
}
