package dicomnet

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"llamaxr/dicomnet/dimse"
	"llamaxr/dicomnet/part10"
	"llamaxr/internal/peertest"
)

// memory is a session that keeps what it receives.
type memory struct {
	mu       *sync.Mutex
	objects  map[string][]byte
	released *int
}

func (m memory) Echo(context.Context) error { return nil }

func (m memory) Store(_ context.Context, req *StoreRequest, data io.Reader) error {
	all, err := io.ReadAll(data)
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.objects[req.SOPInstanceUID] = all
	return nil
}

func (m memory) Close(released bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if released {
		*m.released++
	}
}

// start runs a server until the test ends and returns its port and what it stores.
func start(t testing.TB, change func(*Server)) (string, memory) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	m := memory{new(sync.Mutex), map[string][]byte{}, new(int)}
	s := &Server{AETitle: "LLAMAXR", NewSession: func(context.Context, *AssociationInfo) (Session, error) { return m, nil }}
	if change != nil {
		change(s)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, listener, time.Second) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	return port, m
}

func run(t testing.TB, name string, args ...string) {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), "TCP_NODELAY=1")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s %v: %v\n%s", filepath.Base(name), args, err, out)
	}
}

// dataSetOf returns meta information and data set of a file.
func dataSetOf(t testing.TB, path string) (*part10.Meta, []byte) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	meta, err := part10.Decode(bytes.NewReader(data))
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return meta, data[meta.Length:]
}

// rewritten is the data set of a file as DCMTK writes it, sequences with explicit lengths.
func rewritten(t testing.TB, file string) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "rewritten.dcm")
	run(t, peertest.Program(t, "dcmconv"), file, path)
	_, data := dataSetOf(t, path)
	return data
}

func TestDCMTKSendsToUs(t *testing.T) {
	storescu, echoscu := peertest.Program(t, "storescu"), peertest.Program(t, "echoscu")
	for name, option := range map[string]string{"6154.dcm": "-xe", "RG2_JPLY_fixed.dcm": "-xx", "RG2_JPLL.dcm": "-xs", "RG3_J2KR.dcm": "-xv"} {
		file := peertest.SharedData(t, "dicom/radiographs/"+name)
		meta, _ := dataSetOf(t, file)
		want := rewritten(t, file)
		for _, pdu := range []int{4096, 16384, 131072} {
			port, got := start(t, func(s *Server) { s.MaxPDULength = uint32(pdu) })
			run(t, echoscu, "-aec", "LLAMAXR", "127.0.0.1", port)
			run(t, storescu, option, "--max-pdu", strconv.Itoa(pdu), "-aec", "LLAMAXR", "127.0.0.1", port, file)
			got.mu.Lock()
			if len(got.objects) != 1 || !bytes.Equal(got.objects[meta.SOPInstanceUID], want) {
				t.Errorf("%s, PDU %d: %d objects, %d bytes of %d", name, pdu, len(got.objects), len(got.objects[meta.SOPInstanceUID]), len(want))
			}
			got.mu.Unlock()
		}
	}
}

func TestPynetdicomSendsToUs(t *testing.T) {
	python := peertest.Python(t)
	file := peertest.SharedData(t, "dicom/radiographs/6154.dcm")
	meta, want := dataSetOf(t, file)
	port, got := start(t, nil)
	run(t, python, "-m", "pynetdicom", "echoscu", "-aec", "LLAMAXR", "127.0.0.1", port)
	run(t, python, "-m", "pynetdicom", "storescu", "-aec", "LLAMAXR", "127.0.0.1", port, file)
	if !bytes.Equal(got.objects[meta.SOPInstanceUID], want) {
		t.Errorf("pynetdicom's object arrives with %d bytes, it has %d", len(got.objects[meta.SOPInstanceUID]), len(want))
	}
}

func TestWeSendToPeers(t *testing.T) {
	file := peertest.SharedData(t, "dicom/radiographs/6154.dcm")
	meta, data := dataSetOf(t, file)
	for name, command := range map[string]func(port, folder string) []string{
		"storescp": func(port, folder string) []string {
			return []string{peertest.Program(t, "storescp"), "-aet", "PACS", "-pdu", "4096", "-od", folder, port}
		},
		"pynetdicom": func(port, folder string) []string {
			return []string{peertest.Python(t), "-m", "pynetdicom", "storescp", port, "-aet", "PACS", "-od", folder}
		},
	} {
		t.Run(name, func(t *testing.T) {
			port, folder := freePort(t), t.TempDir()
			args := command(port, folder)
			cmd := exec.Command(args[0], args[1:]...)
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
			contexts := []ProposedContext{
				{AbstractSyntax: Verification, TransferSyntaxes: []string{ImplicitVRLittleEndian}}, {AbstractSyntax: meta.SOPClassUID, TransferSyntaxes: []string{meta.TransferSyntaxUID}},
			}
			client := Client{CallingAETitle: "LLAMAXR", CalledAETitle: "PACS"}
			a := dialUntil(t, client, port, contexts)
			if err := a.Echo(t.Context()); err != nil {
				t.Error(err)
			}
			for range 2 {
				if err := a.Store(t.Context(), requestOf(meta), bytes.NewReader(data)); err != nil {
					t.Error(err)
				}
			}
			if err := a.Release(); err != nil {
				t.Error(err)
			}
			files, _ := filepath.Glob(folder + "/*")
			if len(files) != 1 {
				t.Fatalf("%d files at the peer", len(files))
			}
			if _, got := dataSetOf(t, files[0]); !bytes.Equal(got, data) {
				t.Errorf("peer stored %d bytes, we sent %d", len(got), len(data))
			}
		})
	}
}

// TestNagleCostsNothing: storescp writes an answer in two pieces and leaves Nagle's algorithm on, so the second piece waits for the first to be
// acknowledged: 40 ms where nobody sees to it.
func TestNagleCostsNothing(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux acknowledges on request")
	}
	port := freePort(t)
	cmd := exec.Command(peertest.Program(t, "storescp"), "-od", t.TempDir(), port)
	cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "TCP_NODELAY=") })
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	a := dialUntil(t, Client{CallingAETitle: "LLAMAXR", CalledAETitle: "PACS"}, port, []ProposedContext{{AbstractSyntax: Verification, TransferSyntaxes: []string{ImplicitVRLittleEndian}}})
	fastest := time.Hour
	for range 25 {
		began := time.Now()
		if err := a.Echo(t.Context()); err != nil {
			t.Fatal(err)
		}
		fastest = min(fastest, time.Since(began))
	}
	if err := a.Release(); err != nil {
		t.Error(err)
	}
	if fastest > 20*time.Millisecond {
		t.Errorf("the fastest of 25 C-ECHO took %v", fastest)
	}
}

// failing is a session that refuses or panics.
type failing struct{ panics bool }

func (f failing) Echo(context.Context) error { return nil }
func (f failing) Close(bool)                 {}
func (f failing) Store(context.Context, *StoreRequest, io.Reader) error {
	if f.panics {
		panic("broken")
	}
	return &dimse.StatusError{Status: dimse.OutOfResources, Comment: "disk is full"}
}

func TestStatusReachesTheSender(t *testing.T) {
	for _, test := range []struct {
		session failing
		want    uint16
	}{{failing{}, dimse.OutOfResources}, {failing{true}, dimse.ProcessingFailure}} {
		port, _ := start(t, func(s *Server) {
			s.NewSession = func(context.Context, *AssociationInfo) (Session, error) { return test.session, nil }
		})
		const class = "1.2.840.10008.5.1.4.1.1.1"
		a, err := Client{CallingAETitle: "X", CalledAETitle: "LLAMAXR"}.Dial(t.Context(), "127.0.0.1:"+port,
			[]ProposedContext{{AbstractSyntax: class, TransferSyntaxes: []string{ExplicitVRLittleEndian}}})
		if err != nil {
			t.Fatal(err)
		}
		for range 2 { // the association goes on after a failure
			err = a.Store(t.Context(), StoreRequest{SOPClassUID: class, SOPInstanceUID: "1.2.3"}, bytes.NewReader(make([]byte, 300_000)))
			var status *dimse.StatusError
			if !errors.As(err, &status) || status.Status != test.want {
				t.Errorf("got %v, want status %#04x", err, test.want)
			}
		}
		if err := a.Release(); err != nil {
			t.Error(err)
		}
	}
}

// dialUntil dials a program that is just starting.
func dialUntil(t testing.TB, client Client, port string, contexts []ProposedContext) *Association {
	t.Helper()
	for tries := 0; ; tries++ {
		a, err := client.Dial(t.Context(), "127.0.0.1:"+port, contexts)
		if err == nil {
			return a
		}
		if tries == 200 {
			t.Fatal(err)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

func requestOf(meta *part10.Meta) StoreRequest {
	return StoreRequest{SOPClassUID: meta.SOPClassUID, SOPInstanceUID: meta.SOPInstanceUID, TransferSyntaxUID: meta.TransferSyntaxUID}
}

func freePort(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return fmt.Sprint(l.Addr().(*net.TCPAddr).Port)
}
