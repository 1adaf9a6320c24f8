package dicomnet

import (
	"bytes"
	"context"
	"io"
	"net"
	"os"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"llamaxr/dicomnet/dimse"
	"llamaxr/dicomnet/pdu"
	"llamaxr/internal/peertest"
)

// TestNothingLeaksPerAssociation: after 1,000 associations that were refused or aborted, on either side and at any point, there are as many
// goroutines and open files as before, and no more memory (the class of CVE-2026-50254, CVE-2026-35505 and CVE-2021-41687).
func TestNothingLeaksPerAssociation(t *testing.T) {
	const each, most = 125, 1 << 20
	got := newSink()
	var server *Server
	port, _ := start(t, func(s *Server) {
		server, s.NewSession, s.ARTIM = s, got.open, time.Second
		s.Peers = []Peer{{AETitle: "X"}, {AETitle: "BUSY", MaxAssociations: -1}}
	})
	good := &pdu.Associate{Called: "LLAMAXR", Calling: "X", Contexts: []pdu.Context{
		{ID: 1, AbstractSyntax: crClass, TransferSyntaxes: []string{ExplicitVRLittleEndian}},
	}}
	accepted := good.AppendTo(nil)
	request := func(called, calling string) []byte {
		a := *good
		a.Called, a.Calling = called, calling
		return a.AppendTo(nil)
	}
	object := (&pdu.DataTF{Values: []pdu.DataValue{{ContextID: 1, Data: make([]byte, 64<<10)}}}).AppendTo(nil)
	endings := [][]byte{
		request("NOBODY", "X"), request("LLAMAXR", "STRANGER"), // rejected
		accepted[:60],                                   // closed inside the request
		bytes.Repeat([]byte{0xFF}, 200),                 // no PDU
		slices.Concat(accepted, object[:9]),             // closed inside a PDU
		slices.Concat(accepted, storeCommand(), object), // closed inside an object
		slices.Concat(accepted, storeCommand(), object, (&pdu.Abort{}).AppendTo(nil)), // aborted inside an object
		slices.Concat(accepted, object),                                               // an object without a command
	}
	state := func() (goroutines, files int, heap uint64) {
		for until := time.Now().Add(10 * time.Second); time.Now().Before(until); time.Sleep(10 * time.Millisecond) {
			if server.Stats().Connections == 0 {
				break
			}
		}
		runtime.GC()
		var memory runtime.MemStats
		runtime.ReadMemStats(&memory)
		return runtime.NumGoroutine(), openFiles(t), memory.HeapAlloc
	}
	run := func(times int) {
		var wg sync.WaitGroup
		for _, ending := range endings {
			wg.Go(func() {
				for range times {
					if !peertest.Throw(t, "127.0.0.1:"+port, ending) {
						return
					}
				}
			})
		}
		wg.Wait()
	}
	run(2) // what is made once
	goroutines, files, heap := state()
	run(each)
	goroutinesAfter, filesAfter, heapAfter := state()
	stats := server.Stats()
	t.Logf("%d accepted, %v rejected; goroutines %d to %d, files %d to %d, heap %d to %d KiB", stats.Accepted, stats.Rejected, goroutines, goroutinesAfter,
		files, filesAfter, heap>>10, heapAfter>>10)
	if goroutinesAfter > goroutines || filesAfter > files || heapAfter > heap+most {
		t.Errorf("left behind: %d goroutines, %d files, %d bytes", goroutinesAfter-goroutines, filesAfter-files, int64(heapAfter)-int64(heap))
	}
	if stats.Accepted != 4*(each+2) || stats.Rejected[rejectCalledAETitle] != each+2 || stats.Rejected[rejectCallingAETitle] != each+2 || got.objects.Load() != 0 {
		t.Errorf("%+v, %d objects: the associations did not end as they were meant to", stats, got.objects.Load())
	}
}

// openFiles is the number of this process's file descriptors.
func openFiles(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip("no /proc/self/fd to count open files in")
	}
	return len(entries)
}

// namesThatAreNoUIDs are what a peer would call an object to have it written somewhere else.
var namesThatAreNoUIDs = []string{
	"../../x", "/etc/passwd", "..", "1.2/../../3", `..\..\x`, "1.2.3;id", "$(id)", "1.2.3 | id", "", "1..2", ".1", "1.", "1.2.\xff", "1.2\n3",
}

// TestNamesOfRetrievedObjects: an archive that answers C-GET with objects that are named by a path is told 0x0117 for each; no session
// is given such a name, and the retrieval goes on (the class of CVE-2026-50003).
func TestNamesOfRetrievedObjects(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	statuses := make(chan []uint16, 1)
	go func() {
		defer close(statuses)
		nc, err := listener.Accept()
		if err != nil {
			return
		}
		defer nc.Close()
		statuses <- answerGet(nc, append(slices.Clone(namesThatAreNoUIDs), "1.2.3"))
	}()
	got := &names{sink: newSink()}
	a, err := Client{CallingAETitle: "X", CalledAETitle: "ARCHIVE"}.Dial(t.Context(), listener.Addr().String(), []ProposedContext{
		ProposeHeaders(StudyRootGet, false), {AbstractSyntax: crClass, TransferSyntaxes: []string{ExplicitVRLittleEndian}, Provide: true},
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Get(t.Context(), StudyRootGet, []byte{8, 0, 0x52, 0, 'C', 'S', 0, 0}, got, nil); err != nil {
		t.Error(err)
	}
	a.Abort()
	want := append(slices.Repeat([]uint16{dimse.InvalidSOPInstance}, len(namesThatAreNoUIDs)), dimse.Success)
	if answered := <-statuses; !slices.Equal(answered, want) {
		t.Errorf("the archive heard %#04x, want %#04x", answered, want)
	}
	if !slices.Equal(got.given, []string{"1.2.3"}) {
		t.Errorf("the session was given %q", got.given)
	}
}

// names is a session that notes what objects are called.
type names struct {
	sink
	given []string
}

func (n *names) Store(ctx context.Context, req *StoreRequest, data io.Reader) error {
	n.given = append(n.given, req.SOPInstanceUID)
	return n.sink.Store(ctx, req, data)
}

// answerGet is an archive that accepts all, sends an object for each name in answer to C-GET, and returns the statuses that it heard.
func answerGet(nc net.Conn, objects []string) (statuses []uint16) {
	_ = nc.SetDeadline(time.Now().Add(20 * time.Second))
	hear := func() pdu.PDU { p, _, _ := pdu.Read(nc, DefaultMaxPDULength, nil); return p }
	request, ok := hear().(*pdu.Associate)
	if !ok {
		return nil
	}
	answer := &pdu.Associate{Accept: true, Called: request.Called, Calling: request.Calling, User: request.User}
	for _, c := range request.Contexts {
		answer.Contexts = append(answer.Contexts, pdu.Context{ID: c.ID, TransferSyntaxes: []string{ExplicitVRLittleEndian}})
	}
	_, _ = nc.Write(answer.AppendTo(nil))
	send := func(contextID byte, cmd *dimse.Command, data []byte) {
		values := []pdu.DataValue{{ContextID: contextID, Command: true, Last: true, Data: cmd.Encode()}}
		if cmd.HasDataSet() {
			values = append(values, pdu.DataValue{ContextID: contextID, Last: true, Data: data})
		}
		_, _ = nc.Write((&pdu.DataTF{Values: values}).AppendTo(nil))
	}
	hear() // the command
	hear() // its identifier
	for i, name := range objects {
		send(3, &dimse.Command{
			Field: dimse.StoreRQ, MessageID: uint16(i + 1), DataSetType: dimse.WithDataSet, AffectedSOPClassUID: crClass, AffectedSOPInstanceUID: name,
		}, make([]byte, 100))
		data, ok := hear().(*pdu.DataTF)
		if !ok {
			return statuses
		}
		response, err := dimse.Decode(data.Values[0].Data)
		if err != nil {
			return statuses
		}
		statuses = append(statuses, response.Status)
	}
	send(1, &dimse.Command{Field: dimse.GetRSP, RespondedTo: 1, DataSetType: dimse.NoDataSet, AffectedSOPClassUID: StudyRootGet}, nil)
	return statuses
}

// TestNamesOfStoredObjects: the same by C-STORE from a peer.
func TestNamesOfStoredObjects(t *testing.T) {
	var calls atomic.Int64
	port, _ := start(t, func(s *Server) {
		s.NewSession = func(context.Context, *AssociationInfo) (Session, error) { return counting{&calls}, nil }
	})
	nc := raw(t, port)
	for i, name := range namesThatAreNoUIDs {
		_, _ = nc.Write(command(&dimse.Command{
			Field: dimse.StoreRQ, MessageID: uint16(i), DataSetType: dimse.WithDataSet, AffectedSOPClassUID: crClass, AffectedSOPInstanceUID: name,
		}))
		_, _ = nc.Write((&pdu.DataTF{Values: []pdu.DataValue{{ContextID: 1, Last: true, Data: make([]byte, 100)}}}).AppendTo(nil))
		p, _, err := pdu.Read(nc, DefaultMaxPDULength, nil)
		data, ok := p.(*pdu.DataTF)
		if !ok {
			t.Fatalf("%q is answered by %#v, %v", name, p, err)
		}
		if response, err := dimse.Decode(data.Values[0].Data); err != nil || response.Status != dimse.InvalidSOPInstance {
			t.Errorf("%q is answered by %+v, %v", name, response, err)
		}
	}
	if calls.Load() != 0 {
		t.Errorf("the session was given %d objects", calls.Load())
	}
}

// counting is a session that counts what it is given.
type counting struct{ calls *atomic.Int64 }

func (c counting) Echo(context.Context) error { return nil }
func (c counting) Close(bool)                 {}
func (c counting) Store(context.Context, *StoreRequest, io.Reader) error {
	c.calls.Add(1)
	return nil
}
