package dicomnet

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"llamaxr/dicomnet/dimse"
	"llamaxr/dicomnet/pdu"
)

// crClass is Computed Radiography Image Storage.
const crClass = "1.2.840.10008.5.1.4.1.1.1"

var crContexts = []ProposedContext{{AbstractSyntax: crClass, TransferSyntaxes: []string{ExplicitVRLittleEndian}}}

// sink is a session that throws objects away and counts them.
type sink struct{ objects, bytes *atomic.Int64 }

func newSink() sink { return sink{new(atomic.Int64), new(atomic.Int64)} }

func (s sink) Echo(context.Context) error { return nil }
func (s sink) Close(bool)                 {}
func (s sink) Store(_ context.Context, _ *StoreRequest, data io.Reader) error {
	n, err := io.Copy(io.Discard, data)
	s.bytes.Add(n)
	if err == nil {
		s.objects.Add(1)
	}
	return err
}

func (s sink) open(context.Context, *AssociationInfo) (Session, error) { return s, nil }

// zeros is a data set of n bytes that nobody holds.
func zeros(n int64) io.Reader { return io.LimitReader(zero{}, n) }

type zero struct{}

func (zero) Read(b []byte) (int, error) { clear(b); return len(b), nil }

// store sends one object on its own association.
func store(ctx context.Context, port string, size int64) error {
	a, err := Client{CallingAETitle: "X", CalledAETitle: "LLAMAXR"}.Dial(ctx, "127.0.0.1:"+port, crContexts)
	if err != nil {
		return err
	}
	if err := a.Store(ctx, StoreRequest{SOPClassUID: crClass, SOPInstanceUID: "1.2.3"}, zeros(size)); err != nil {
		return err
	}
	return a.Release()
}

// TestTwoHundredAssociations hold together, all store, and the next is told to come later.
func TestTwoHundredAssociations(t *testing.T) {
	const many = 200
	got := newSink()
	port, _ := start(t, func(s *Server) { s.MaxAssociations, s.NewSession = many, got.open })
	client := Client{CallingAETitle: "X", CalledAETitle: "LLAMAXR"}
	var open []*Association
	for range many {
		a, err := client.Dial(t.Context(), "127.0.0.1:"+port, crContexts)
		if err != nil {
			t.Fatal(err)
		}
		open = append(open, a)
	}
	_, err := client.Dial(t.Context(), "127.0.0.1:"+port, crContexts)
	var rejected *RejectError
	if !errors.As(err, &rejected) || *rejected != rejectLocalLimit {
		t.Errorf("association %d: %v, want %v", many+1, err, &rejectLocalLimit)
	}
	var wg sync.WaitGroup
	for _, a := range open {
		wg.Go(func() {
			for range 3 {
				if err := a.Store(t.Context(), StoreRequest{SOPClassUID: crClass, SOPInstanceUID: "1.2.3"}, zeros(300_000)); err != nil {
					t.Error(err)
				}
			}
			if err := a.Release(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if got.objects.Load() != 3*many {
		t.Errorf("%d objects, %d were sent", got.objects.Load(), 3*many)
	}
	if err := store(t.Context(), port, 1000); err != nil { // the places are free again
		t.Error(err)
	}
}

// TestPeerLimit: one peer's limit does not touch another's.
func TestPeerLimit(t *testing.T) {
	port, _ := start(t, func(s *Server) { s.Peers = []Peer{{AETitle: "CT", MaxAssociations: 1}, {AETitle: "DX"}} })
	client := Client{CallingAETitle: "CT", CalledAETitle: "LLAMAXR"}
	a, err := client.Dial(t.Context(), "127.0.0.1:"+port, verification)
	if err != nil {
		t.Fatal(err)
	}
	var rejected *RejectError
	if err := echo(t, port, client); !errors.As(err, &rejected) || *rejected != rejectLocalLimit {
		t.Errorf("a second association: %v, want %v", err, &rejectLocalLimit)
	}
	if err := echo(t, port, Client{CallingAETitle: "DX"}); err != nil {
		t.Errorf("the other peer: %v", err)
	}
	if err := a.Release(); err != nil {
		t.Error(err)
	}
	if err := echo(t, port, client); err != nil {
		t.Errorf("after the first was released: %v", err)
	}
}

// TestIdleAssociationsGiveWay: who opens associations and leaves them lying does not keep others out of a full house.
func TestIdleAssociationsGiveWay(t *testing.T) {
	got := newSink()
	var server *Server
	port, _ := start(t, func(s *Server) {
		server = s
		s.MaxAssociations, s.ARTIM, s.NewSession = 2, 300*time.Millisecond, got.open
	})
	client := Client{CallingAETitle: "X", CalledAETitle: "LLAMAXR"}
	for range 2 {
		if _, err := client.Dial(t.Context(), "127.0.0.1:"+port, crContexts); err != nil {
			t.Fatal(err)
		}
	}
	var rejected *RejectError
	if err := store(t.Context(), port, 10); !errors.As(err, &rejected) || *rejected != rejectLocalLimit {
		t.Errorf("at once: %v, want %v", err, &rejectLocalLimit)
	}
	time.Sleep(400 * time.Millisecond)
	for range 3 {
		if err := store(t.Context(), port, 10); err != nil {
			t.Errorf("after ARTIM: %v", err)
		}
	}
	if stats := server.Stats(); stats.Reclaimed != 1 || stats.Rejected[rejectLocalLimit] != 1 || stats.Accepted != 5 || stats.Associations > 2 {
		t.Errorf("%+v: one place was reclaimed, one association rejected, five accepted", stats)
	}
}

// TestSignsOfLifeHoldNoPlace: associations that only say C-ECHO give way like idle ones; one that is receiving an object does not.
func TestSignsOfLifeHoldNoPlace(t *testing.T) {
	got := newSink()
	var server *Server
	port, _ := start(t, func(s *Server) {
		server = s
		s.MaxAssociations, s.ARTIM, s.NewSession = 2, 300*time.Millisecond, got.open
	})
	client := Client{CallingAETitle: "X", CalledAETitle: "LLAMAXR"}
	at := "127.0.0.1:" + port
	pinger, err := client.Dial(t.Context(), at, slices.Concat(verification, crContexts))
	if err != nil {
		t.Fatal(err)
	}
	sender, err := client.Dial(t.Context(), at, crContexts)
	if err != nil {
		t.Fatal(err)
	}
	slow, filled := io.Pipe()
	sent := make(chan error, 1)
	go func() {
		sent <- sender.Store(t.Context(), StoreRequest{SOPClassUID: crClass, SOPInstanceUID: "1.2.3"}, slow)
	}()
	if _, err := filled.Write(make([]byte, DefaultMaxPDULength)); err != nil {
		t.Fatal(err)
	}
	for until := time.Now().Add(500 * time.Millisecond); time.Now().Before(until); time.Sleep(20 * time.Millisecond) {
		if err := pinger.Echo(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for range 3 {
		if err := store(t.Context(), port, 10); err != nil {
			t.Errorf("while one association pings and one receives: %v", err)
		}
	}
	if err := pinger.Echo(t.Context()); err == nil {
		t.Error("the association that only pings is still there")
	}
	filled.Close()
	if err := <-sent; err != nil {
		t.Errorf("the object that was under way: %v", err)
	}
	if stats := server.Stats(); stats.Reclaimed != 1 {
		t.Errorf("%+v: one place was reclaimed", stats)
	}
	_ = sender.Release()
}

// TestOneAddressDoesNotHoldAllPlaces: associations of one address that are all busy, and slow, leave others an eighth on top, one each.
func TestOneAddressDoesNotHoldAllPlaces(t *testing.T) {
	const many = 16
	got := newSink()
	var server *Server
	port, _ := start(t, func(s *Server) { server, s.MaxAssociations, s.NewSession = s, many, got.open })
	at := "127.0.0.1:" + port
	from := func(last byte) Client {
		return Client{CallingAETitle: "X", CalledAETitle: "LLAMAXR", Dialer: &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, last)}}}
	}
	for range many {
		nc := raw(t, port)
		if _, err := nc.Write(storeCommand()); err != nil { // and no data set
			t.Fatal(err)
		}
	}
	var rejected *RejectError
	if _, err := from(1).Dial(t.Context(), at, crContexts); !errors.As(err, &rejected) || *rejected != rejectLocalLimit {
		t.Errorf("one more of the same address: %v, want %v", err, &rejectLocalLimit)
	}
	var others []*Association
	for i := range byte(many / spareShare) {
		a, err := from(2+i).Dial(t.Context(), at, crContexts)
		if err != nil {
			t.Fatalf("of another address: %v", err)
		}
		others = append(others, a)
		if _, err := from(2+i).Dial(t.Context(), at, crContexts); !errors.As(err, &rejected) {
			t.Errorf("a second of that address: %v", err)
		}
	}
	if _, err := from(100).Dial(t.Context(), at, crContexts); !errors.As(err, &rejected) {
		t.Errorf("beyond the eighth: %v", err)
	}
	for _, a := range others {
		if err := a.Store(t.Context(), StoreRequest{SOPClassUID: crClass, SOPInstanceUID: "1.2.3"}, zeros(1<<20)); err != nil {
			t.Error(err)
		}
		if err := a.Release(); err != nil {
			t.Error(err)
		}
	}
	if stats := server.Stats(); stats.Spared != many/spareShare {
		t.Errorf("%+v: %d associations beyond the limit", stats, many/spareShare)
	}
}

// raw opens an association and returns its connection, to say what no client of ours would.
func raw(t *testing.T, port string) net.Conn {
	t.Helper()
	nc, err := net.Dial("tcp", "127.0.0.1:"+port)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	request := &pdu.Associate{Called: "LLAMAXR", Calling: "X", Contexts: []pdu.Context{
		{ID: 1, AbstractSyntax: crClass, TransferSyntaxes: []string{ExplicitVRLittleEndian}},
	}}
	if _, err := nc.Write(request.AppendTo(nil)); err != nil {
		t.Fatal(err)
	}
	_ = nc.SetReadDeadline(time.Now().Add(10 * time.Second))
	p, _, err := pdu.Read(nc, 1<<20, nil)
	if a, ok := p.(*pdu.Associate); !ok || !a.Accept {
		t.Fatalf("got %#v, %v", p, err)
	}
	return nc
}

// aborted reads the A-ABORT that must come.
func aborted(t *testing.T, nc net.Conn, source, reason byte) {
	t.Helper()
	p, _, err := pdu.Read(nc, 1<<20, nil)
	if a, ok := p.(*pdu.Abort); !ok || *a != (pdu.Abort{Source: source, Reason: reason}) {
		t.Errorf("got %#v, %v, want A-ABORT source %d, reason %d", p, err, source, reason)
	}
}

// TestBeyondTheLimitsIsAborted: a P-DATA-TF longer than was agreed, silence, and a trickle.
func TestBeyondTheLimitsIsAborted(t *testing.T) {
	got := newSink()
	port, _ := start(t, func(s *Server) {
		s.MaxPDULength, s.IdleTimeout, s.PDUTimeout, s.NewSession = 4096, 300*time.Millisecond, 300*time.Millisecond, got.open
	})
	fragment := func(n int, command, last bool) []byte {
		return (&pdu.DataTF{Values: []pdu.DataValue{{ContextID: 1, Command: command, Last: last, Data: make([]byte, n)}}}).AppendTo(nil)
	}
	t.Run("PDU length", func(t *testing.T) {
		nc := raw(t, port)
		_, _ = nc.Write(fragment(4096-pdu.DataHeaderLength+1, true, true))
		aborted(t, nc, abortServiceProvider, reasonInvalidParam)
	})
	t.Run("idle", func(t *testing.T) { aborted(t, raw(t, port), abortServiceUser, 0) })
	t.Run("half a PDU", func(t *testing.T) {
		nc := raw(t, port)
		_, _ = nc.Write(fragment(1000, true, true)[:500])
		aborted(t, nc, abortServiceUser, 0)
	})
	t.Run("a command in crumbs", func(t *testing.T) {
		nc := raw(t, port)
		go func() {
			for err := error(nil); err == nil; time.Sleep(50 * time.Millisecond) {
				_, err = nc.Write(fragment(2, true, false))
			}
		}()
		aborted(t, nc, abortServiceUser, 0)
	})
	t.Run("a data set in crumbs", func(t *testing.T) {
		nc := raw(t, port)
		_, _ = nc.Write(storeCommand())
		go func() {
			for err := error(nil); err == nil; time.Sleep(50 * time.Millisecond) {
				_, err = nc.Write(fragment(2, false, false))
			}
		}()
		aborted(t, nc, abortServiceUser, 0)
	})
	if got.objects.Load() != 0 {
		t.Errorf("%d objects were received", got.objects.Load())
	}
}

// TestPDULengths: objects of every awkward length go through every PDU length, and arrive whole.
func TestPDULengths(t *testing.T) {
	for _, limit := range []uint32{minPDULength, 4096, 4097, 16384, 65536, DefaultMaxPDULength, 1 << 20} {
		port, got := start(t, func(s *Server) { s.MaxPDULength = limit })
		a, err := Client{CallingAETitle: "X", CalledAETitle: "LLAMAXR", MaxPDULength: 1 << 20}.Dial(t.Context(), "127.0.0.1:"+port, crContexts)
		if err != nil {
			t.Fatal(err)
		}
		room := int(limit-pdu.DataHeaderLength) &^ 1
		for _, n := range []int{0, 2, room - 2, room, room + 2, 2 * room, 3*room + 2} {
			want := make([]byte, n)
			for i := range want {
				want[i] = byte(i * 7)
			}
			uid := "1.2." + strconv.Itoa(n)
			if err := a.Store(t.Context(), StoreRequest{SOPClassUID: crClass, SOPInstanceUID: uid}, bytes.NewReader(want)); err != nil {
				t.Fatalf("PDU length %d, object of %d: %v", limit, n, err)
			}
			got.mu.Lock()
			if !bytes.Equal(got.objects[uid], want) {
				t.Errorf("PDU length %d, object of %d bytes arrives with %d", limit, n, len(got.objects[uid]))
			}
			got.mu.Unlock()
		}
		if err := a.Release(); err != nil {
			t.Error(err)
		}
	}
}

// TestLargeObjectsAreNotHeld: 300 MB go through, and to disk, with a heap that does not know it.
func TestLargeObjectsAreNotHeld(t *testing.T) {
	const size, most = 300 << 20, 8 << 20
	file, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	port, _ := start(t, func(s *Server) {
		s.NewSession = func(context.Context, *AssociationInfo) (Session, error) { return toFile{file}, nil }
	})
	runtime.GC()
	var before, now runtime.MemStats
	runtime.ReadMemStats(&before)
	peak, done := uint64(0), make(chan error, 1)
	go func() { done <- store(t.Context(), port, size) }()
	for running := true; running; {
		select {
		case err := <-done:
			if err != nil {
				t.Fatal(err)
			}
			running = false
		case <-time.After(5 * time.Millisecond):
		}
		runtime.ReadMemStats(&now)
		peak = max(peak, now.HeapAlloc-min(now.HeapAlloc, before.HeapAlloc))
	}
	if info, err := file.Stat(); err != nil || info.Size() != size {
		t.Errorf("%d bytes on disk, %v", info.Size(), err)
	}
	t.Logf("heap grew by %d KiB at most, %d KiB were allocated in all", peak>>10, (now.TotalAlloc-before.TotalAlloc)>>10)
	if peak > most {
		t.Errorf("the heap grew by %d bytes for an object of %d, at most %d were expected", peak, size, most)
	}
}

// TestObjectLength: an object over the limit gets its status and no more of it is handed on; the association goes on.
func TestObjectLength(t *testing.T) {
	const limit = 200_000
	got := newSink()
	port, _ := start(t, func(s *Server) { s.MaxObjectLength, s.NewSession = limit, got.open })
	a, err := Client{CallingAETitle: "X", CalledAETitle: "LLAMAXR"}.Dial(t.Context(), "127.0.0.1:"+port, crContexts)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		size int64
		ok   bool
	}{{limit, true}, {limit + 2, false}, {50 * limit, false}, {limit, true}} {
		err := a.Store(t.Context(), StoreRequest{SOPClassUID: crClass, SOPInstanceUID: "1.2.3"}, zeros(test.size))
		var status *dimse.StatusError
		if test.ok && err != nil || !test.ok && (!errors.As(err, &status) || status.Status != dimse.OutOfResources) {
			t.Errorf("object of %d bytes: %v", test.size, err)
		}
	}
	if got.bytes.Load() > 4*limit {
		t.Errorf("the session was handed %d bytes", got.bytes.Load())
	}
	if err := a.Release(); err != nil {
		t.Error(err)
	}
}

// toFile is a session that writes to a file.
type toFile struct{ *os.File }

func (f toFile) Echo(context.Context) error { return nil }
func (f toFile) Close(bool)                 {}
func (f toFile) Store(_ context.Context, _ *StoreRequest, data io.Reader) error {
	_, err := io.Copy(f.File, data)
	return err
}

// storeCommand is a C-STORE-RQ with a data set to follow.
func storeCommand() []byte {
	return command(&dimse.Command{
		Field: dimse.StoreRQ, MessageID: 1, DataSetType: dimse.WithDataSet, AffectedSOPClassUID: crClass, AffectedSOPInstanceUID: "1.2.3",
	})
}

func command(cmd *dimse.Command) []byte {
	return (&pdu.DataTF{Values: []pdu.DataValue{{ContextID: 1, Command: true, Last: true, Data: cmd.Encode()}}}).AppendTo(nil)
}
