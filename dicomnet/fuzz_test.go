package dicomnet

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"llamaxr/dicomnet/dimse"
	"llamaxr/dicomnet/part10"
	"llamaxr/dicomnet/pdu"
)

// pipes is a listener of one connection.
type pipes struct {
	conn chan net.Conn
	done chan struct{}
	once sync.Once
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conn:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { p.once.Do(func() { close(p.done) }); return nil }
func (p *pipes) Addr() net.Addr { return pipeAddr{} }

type pipeAddr struct{}

func (pipeAddr) Network() string { return "pipe" }
func (pipeAddr) String() string  { return "pipe" }

// strict is a session that fails the test for what Serve promises never to hand it.
type strict struct{ t *testing.T }

func (s strict) Echo(context.Context) error { return nil }
func (s strict) Close(bool)                 {}
func (s strict) Store(_ context.Context, req *StoreRequest, data io.Reader) error {
	if !part10.ValidUID(req.SOPInstanceUID) || !part10.ValidUID(req.SOPClassUID) || !part10.ValidUID(req.TransferSyntaxUID) {
		s.t.Errorf("a session is given %+v", req)
	}
	_, err := io.Copy(io.Discard, data)
	return err
}

// panicked is a log that fails the test for a panic: Serve survives one, but there should be none.
type panicked struct {
	slog.Handler
	t *testing.T
}

func (p panicked) Enabled(context.Context, slog.Level) bool { return true }
func (p panicked) WithAttrs([]slog.Attr) slog.Handler       { return p }
func (p panicked) Handle(_ context.Context, r slog.Record) error {
	if r.Message == "association panicked" {
		r.Attrs(func(a slog.Attr) bool { p.t.Errorf("panic: %v", a.Value); return true })
	}
	return nil
}

// patience is every deadline of a fuzzed connection, and overdue when it is taken for stuck.
const (
	patience = 20 * time.Millisecond
	overdue  = 10 * time.Second
)

// bounded runs what serves the input, on a clock that leaps over its waits, and fails the test when it takes longer than its deadlines allow, leaves
// a goroutine, or allocates more than its limits and its input explain.
func bounded(t *testing.T, input int, serve func(*testing.T)) {
	t.Helper()
	defer time.AfterFunc(overdue, func() { panic("the connection did not end") }).Stop() // by the real clock
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		serve(t)
		runtime.ReadMemStats(&after)
		if grown, most := after.TotalAlloc-before.TotalAlloc, uint64(2<<20+400*input); grown > most {
			t.Errorf("%d bytes allocated for %d received, at most %d were expected", grown, input, most)
		}
		if waited := time.Since(began); waited > overdue {
			t.Errorf("the connection ended after %v", waited)
		}
	})
}

// throw is the peer: it writes data, and then closes or, when it hangs, says nothing more until the other side closes.
func throw(peer net.Conn, data []byte, hang bool) {
	var wg sync.WaitGroup
	wg.Go(func() { _, _ = io.Copy(io.Discard, peer) })
	_, _ = peer.Write(data)
	if !hang {
		peer.Close()
	}
	wg.Wait()
	peer.Close()
}

// FuzzServer sends whatever comes to a server.
func FuzzServer(f *testing.F) {
	f.Fuzz(func(t *testing.T, data []byte, hang bool) {
		bounded(t, len(data), func(t *testing.T) {
			ours, peer := net.Pipe()
			listener := &pipes{conn: make(chan net.Conn, 1), done: make(chan struct{})}
			listener.conn <- ours
			s := &Server{
				AnyCalled: true, MaxPDULength: 16 << 10, ARTIM: patience, PDUTimeout: patience, IdleTimeout: patience,
				NewSession: func(context.Context, *AssociationInfo) (Session, error) { return strict{t}, nil },
				Log:        slog.New(panicked{slog.DiscardHandler, t}),
			}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			go func() { throw(peer, data, hang); cancel() }()
			if err := s.Serve(ctx, listener, time.Second); err != nil {
				t.Errorf("Serve: %v", err)
			}
		})
	})
}

// once dials a connection that is there already.
type once struct{ net.Conn }

func (o once) DialContext(context.Context, string, string) (net.Conn, error) { return o.Conn, nil }

// answered has a client associate with a peer that throws data at it, and use the association if there is one.
func answered(t *testing.T, data []byte, hang bool, contexts []ProposedContext, use func(*testing.T, *Association)) {
	bounded(t, len(data), func(t *testing.T) {
		ours, peer := net.Pipe()
		var wg sync.WaitGroup
		wg.Go(func() { throw(peer, data, hang) })
		defer wg.Wait()
		client := Client{
			CallingAETitle: "X", CalledAETitle: "Y", MaxPDULength: 16 << 10, ConnectTimeout: patience, PDUTimeout: patience,
			ResponseTimeout: patience, Dialer: once{ours},
		}
		if a, err := client.Dial(t.Context(), "pipe", contexts); err == nil {
			use(t, a)
		}
	})
}

// FuzzClient answers whatever comes to a client.
func FuzzClient(f *testing.F) {
	object := make([]byte, 40<<10)
	f.Fuzz(func(t *testing.T, data []byte, hang bool) {
		answered(t, data, hang, captureContexts, func(t *testing.T, a *Association) {
			if err := a.Echo(t.Context()); errors.Is(err, context.Canceled) {
				t.Errorf("Echo: %v", err)
			}
			_ = a.Store(t.Context(), StoreRequest{SOPClassUID: crClass, SOPInstanceUID: "1.2.3"}, bytes.NewReader(object))
			_ = a.Release()
		})
	})
}

// FuzzRetrieve answers C-FIND, C-MOVE and C-GET with whatever comes.
func FuzzRetrieve(f *testing.F) {
	f.Add(archiveAnswers(dimse.FindRSP), byte(0), false)
	f.Add(archiveAnswers(dimse.MoveRSP), byte(1), true)
	f.Add(archiveAnswers(dimse.GetRSP), byte(2), false)
	f.Fuzz(func(t *testing.T, data []byte, service byte, hang bool) {
		answered(t, data, hang, retrieveContexts, func(t *testing.T, a *Association) {
			identifier := []byte{8, 0, 0x52, 0, 'C', 'S', 0, 0}
			switch service % 3 {
			case 0:
				_ = a.Find(t.Context(), StudyRootFind, identifier, func([]byte) error { return nil })
			case 1:
				_, _ = a.Move(t.Context(), StudyRootMove, "X", identifier, func(dimse.SubOperations) {})
			case 2:
				_, _ = a.Get(t.Context(), StudyRootGet, identifier, strict{t}, nil)
			}
			_ = a.Release()
		})
	})
}

var retrieveContexts = []ProposedContext{
	ProposeHeaders(StudyRootFind, false), ProposeHeaders(StudyRootMove, false), ProposeHeaders(StudyRootGet, false),
	{AbstractSyntax: crClass, TransferSyntaxes: []string{ExplicitVRLittleEndian}, Provide: true},
}

// archiveAnswers is all that an archive says to a query or retrieval: it accepts, reports a match or a stored object, and is done.
func archiveAnswers(field uint16) []byte {
	accept := &pdu.Associate{
		Accept: true, Called: "Y", Calling: "X",
		User: pdu.UserInformation{MaximumLength: 16 << 10, Roles: []pdu.Role{{SOPClassUID: crClass, SCP: true}}},
	}
	contextID := byte(1)
	for i, c := range retrieveContexts {
		accept.Contexts = append(accept.Contexts, pdu.Context{ID: byte(2*i + 1), TransferSyntaxes: c.TransferSyntaxes[:1]})
		if c.AbstractSyntax == map[uint16]string{dimse.MoveRSP: StudyRootMove, dimse.GetRSP: StudyRootGet}[field] {
			contextID = byte(2*i + 1)
		}
	}
	out := accept.AppendTo(nil)
	say := func(id byte, cmd *dimse.Command, data []byte) {
		values := []pdu.DataValue{{ContextID: id, Command: true, Last: true, Data: cmd.Encode()}}
		if cmd.HasDataSet() {
			values = append(values, pdu.DataValue{ContextID: id, Last: true, Data: data})
		}
		out = (&pdu.DataTF{Values: values}).AppendTo(out)
	}
	pending := &dimse.Command{Field: field, RespondedTo: 1, DataSetType: dimse.NoDataSet, Status: dimse.Pending}
	if field == dimse.FindRSP {
		pending.DataSetType = dimse.WithDataSet
	}
	if field == dimse.GetRSP {
		say(7, &dimse.Command{
			Field: dimse.StoreRQ, MessageID: 1, DataSetType: dimse.WithDataSet, AffectedSOPClassUID: crClass, AffectedSOPInstanceUID: "1.2.3",
		}, make([]byte, 100))
	}
	say(contextID, pending, []byte("\x20\x00\x0d\x00UI\x04\x001.2\x00"))
	say(contextID, &dimse.Command{Field: field, RespondedTo: 1, DataSetType: dimse.NoDataSet}, nil)
	return (&pdu.ReleaseRP{}).AppendTo(out)
}
