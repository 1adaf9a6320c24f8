package dicomnet

import (
	"bytes"
	"context"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"llamaxr/dicomnet/dimse"
	"llamaxr/dicomnet/pdu"

	"llamaxr/internal/peertest"
)

// attack keeps 200 connections busy with nothing good, new ones for those that are closed, until ctx ends.
func attack(t *testing.T, ctx context.Context, port string) (attempts *atomic.Int64, wait func()) {
	request := pdus[evtAssociateRQ].(*pdu.Associate)
	full := (&pdu.Associate{Called: "LLAMAXR", Calling: "EVIL", Contexts: []pdu.Context{
		{ID: 1, AbstractSyntax: Verification, TransferSyntaxes: []string{ExplicitVRLittleEndian}},
	}}).AppendTo(nil)
	echoCommand := command(&dimse.Command{Field: dimse.EchoRQ, MessageID: 1, DataSetType: dimse.NoDataSet, AffectedSOPClassUID: Verification})
	var wg sync.WaitGroup
	attempts = new(atomic.Int64)
	trickle := func(nc net.Conn, data []byte) {
		for i := range data {
			if _, err := nc.Write(data[i : i+1]); err != nil || ctx.Err() != nil {
				return
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
	// pour writes without end, with a pause as a network has it: the attackers are on the same two cores as those they attack.
	pour := func(nc net.Conn, data []byte) {
		for err := error(nil); err == nil; time.Sleep(20 * time.Millisecond) {
			_, err = nc.Write(data)
		}
	}
	kinds := []func(nc net.Conn){
		func(net.Conn) {}, // silent
		func(nc net.Conn) { trickle(nc, request.AppendTo(nil)) },                // slow loris
		func(nc net.Conn) { _, _ = nc.Write(request.AppendTo(nil)[:50]) },       // half a request
		func(nc net.Conn) { _ = nc.(*net.TCPConn).CloseWrite() },                // half open
		func(nc net.Conn) { _, _ = nc.Write(bytes.Repeat([]byte{0xff}, 4096)) }, // noise
		func(nc net.Conn) { _, _ = nc.Write(full) },                             // an association that lies idle
		func(nc net.Conn) { _, _ = nc.Write(full); trickle(nc, make([]byte, 500)) },
		func(nc net.Conn) { pour(nc, bytes.Repeat(full, 100)) }, // noise without end
		func(nc net.Conn) { // black hole: asks and asks, and reads no answer
			_, _ = nc.Write(full)
			pour(nc, bytes.Repeat(echoCommand, 100))
		},
	}
	for i := range 200 {
		wg.Go(func() {
			for ctx.Err() == nil {
				attempts.Add(1)
				nc, err := net.Dial("tcp", "127.0.0.1:"+port)
				if err != nil {
					time.Sleep(10 * time.Millisecond)
					continue
				}
				stop := context.AfterFunc(ctx, func() { nc.Close() })
				kinds[i%len(kinds)](nc)
				_, _ = io.Copy(io.Discard, nc)
				stop()
				nc.Close()
				time.Sleep(10 * time.Millisecond)
			}
		})
	}
	return attempts, wg.Wait
}

// TestAttackDoesNotStopTheOthers: 200 idle, slow, half open, black-hole and noisy peers at once, and a normal sender is served in
// about its normal time, every time.
func TestAttackDoesNotStopTheOthers(t *testing.T) {
	peertest.NotRaced(t, "times")
	got := newSink()
	port, _ := start(t, func(s *Server) {
		s.MaxAssociations, s.NewSession = 16, got.open
		s.ARTIM, s.PDUTimeout, s.IdleTimeout = time.Second, 2*time.Second, time.Minute
		s.Peers = []Peer{{AETitle: "EVIL", MaxAssociations: 12}, {AETitle: "B", MaxAssociations: 2}, {AETitle: "X"}}
	})
	const size = 2 << 20
	measure := func(n int) (worst time.Duration) {
		for range n {
			begun := time.Now()
			if err := store(t.Context(), port, size); err != nil {
				t.Errorf("a normal sender: %v", err)
			}
			worst = max(worst, time.Since(begun))
		}
		return worst
	}
	calm := measure(20)
	ctx, cancel := context.WithCancel(t.Context())
	attempts, wait := attack(t, ctx, port)
	time.Sleep(2 * time.Second)
	storm := measure(50)
	cancel()
	wait()
	t.Logf("worst of a normal sender: %v alone, %v among %d connections of attackers", calm, storm, attempts.Load())
	if limit := 20*calm + time.Second; storm > limit { // the attackers are on the same two cores
		t.Errorf("a normal sender takes %v, alone %v", storm, calm)
	}
}

// TestFloodCrowdsOutItself: of a flood of silent connections only so many are held, the newest, and a quiet one from elsewhere stays; who
// means it is served.
func TestFloodCrowdsOutItself(t *testing.T) {
	var server *Server
	got := newSink()
	port, _ := start(t, func(s *Server) { server, s.NewSession, s.ARTIM = s, got.open, time.Minute })
	dial := func(from net.IP) net.Conn {
		t.Helper()
		dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: from}}
		nc, err := dialer.Dial("tcp", "127.0.0.1:"+port)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { nc.Close() })
		return nc
	}
	quiet := dial(net.IPv4(127, 0, 0, 2))
	flood := make([]net.Conn, 3*maxPending)
	for i := range flood {
		flood[i] = dial(net.IPv4(127, 0, 0, 1))
	}
	if err := store(t.Context(), port, 1<<20); err != nil {
		t.Errorf("a normal sender: %v", err)
	}
	open := func(nc net.Conn) bool {
		_ = nc.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
		_, err := nc.Read(make([]byte, 1))
		return isTimeout(err)
	}
	stats := server.Stats() // where those that give way are slow to leave, as on a loaded machine, newcomers are refused
	if !open(quiet) || !open(flood[len(flood)-1]) && stats.Refused == 0 || open(flood[0]) {
		t.Errorf("open: the quiet one %t, the flood's last %t and first %t; %+v", open(quiet), open(flood[len(flood)-1]), open(flood[0]), stats)
	}
	if stats.Connections > 2*maxPending+1 {
		t.Errorf("%+v", stats)
	}
	for until := time.Now().Add(10 * time.Second); stats.Connections > maxPending+1 && time.Now().Before(until); stats = server.Stats() {
		time.Sleep(time.Millisecond) // those that gave way leave
	}
	if stats.CrowdedOut+stats.Refused < 2*maxPending || stats.Connections > maxPending+1 {
		t.Errorf("%+v", stats)
	}
}

// TestMutatedAssociations: real associations with bytes changed, cut, doubled and swapped leave the server serving, with the memory
// and the goroutines that it had. LLAMAXR_TORTURE=1 sends a million.
func TestMutatedAssociations(t *testing.T) {
	many := 3000
	if os.Getenv("LLAMAXR_TORTURE") != "" {
		many = 1_000_000
	}
	seeds := [][]byte{seed(t, "FuzzServer", "storescu-cr"), seed(t, "FuzzServer", "storescu-sr"), seed(t, "FuzzServer", "echoscu")}
	got := newSink()
	port, _ := start(t, func(s *Server) {
		s.AnyCalled, s.NewSession = true, got.open
		s.ARTIM, s.PDUTimeout, s.IdleTimeout = time.Second, time.Second, time.Second
	})
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	goroutines := runtime.NumGoroutine()
	var wg sync.WaitGroup
	var sent atomic.Int64
	for worker := range 8 {
		random := rand.New(rand.NewPCG(1, uint64(worker)))
		wg.Go(func() {
			for sent.Add(1) <= int64(many) {
				if !peertest.Throw(t, "127.0.0.1:"+port, peertest.Mutate(random, seeds)) {
					return
				}
			}
		})
	}
	wg.Wait()
	if got.objects.Load() == 0 || got.objects.Load() >= int64(many) {
		t.Errorf("%d of %d mutated associations stored an object: the mutations do nothing, or kill all at once", got.objects.Load(), many)
	}
	if err := store(t.Context(), port, 1<<20); err != nil {
		t.Errorf("a normal sender afterwards: %v", err)
	}
	for until := time.Now().Add(5 * time.Second); runtime.NumGoroutine() > goroutines && time.Now().Before(until); {
		time.Sleep(10 * time.Millisecond)
	}
	if now := runtime.NumGoroutine(); now > goroutines {
		t.Errorf("%d goroutines, %d before", now, goroutines)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	const most = 2 << 20
	grown := int64(after.HeapAlloc) - int64(before.HeapAlloc)
	t.Logf("%d associations, %d objects, heap %+d KiB", many, got.objects.Load(), grown>>10)
	if grown > most {
		t.Errorf("the heap grew by %d bytes, at most %d were expected", grown, most)
	}
}
