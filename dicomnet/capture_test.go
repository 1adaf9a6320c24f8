package dicomnet

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"llamaxr/dicomnet/pdu"
	"llamaxr/internal/peertest"
)

var update = flag.Bool("update", false, "capture the seeds of the fuzz targets from DCMTK")

var captureContexts = []ProposedContext{{AbstractSyntax: Verification, TransferSyntaxes: []string{ImplicitVRLittleEndian}}, {AbstractSyntax: crClass, TransferSyntaxes: []string{ExplicitVRLittleEndian}}}

// tap passes one connection on and keeps what both sides say.
type tap struct {
	requestor, acceptor bytes.Buffer
	done                sync.WaitGroup
}

// open listens and passes the first connection on to address.
func (p *tap) open(t *testing.T, address string) (port string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p.done.Go(func() {
		defer listener.Close()
		from, err := listener.Accept()
		if err != nil {
			return
		}
		to, err := net.Dial("tcp", address)
		if err != nil {
			return
		}
		p.done.Go(func() { _, _ = io.Copy(io.MultiWriter(to, &p.requestor), from); to.Close() })
		_, _ = io.Copy(io.MultiWriter(from, &p.acceptor), to)
		from.Close()
	})
	_, port, _ = net.SplitHostPort(listener.Addr().String())
	return port
}

// TestSeedsAreRealAssociations: the seeds of the fuzz targets, which -update captures from DCMTK on both sides, are associations that go
// through; a fuzzer that starts from bytes refused at once would look at nothing else.
func TestSeedsAreRealAssociations(t *testing.T) {
	if *update {
		capture(t)
	}
	for _, name := range []string{"storescu-cr", "storescu-sr", "echoscu"} {
		sent := seed(t, "FuzzServer", name)
		port, got := start(t, func(s *Server) { s.AnyCalled = true })
		nc, err := net.Dial("tcp", "127.0.0.1:"+port)
		if err != nil {
			t.Fatal(err)
		}
		go func() { _, _ = nc.Write(sent) }()
		_ = nc.SetReadDeadline(time.Now().Add(5 * time.Second))
		var last pdu.PDU
		for {
			p, _, err := pdu.Read(nc, DefaultMaxPDULength, nil)
			if err != nil {
				break
			}
			last = p
			if _, ok := p.(*pdu.ReleaseRP); ok {
				break
			}
		}
		nc.Close()
		if _, ok := last.(*pdu.ReleaseRP); !ok {
			t.Errorf("%s: the last answer is %T, want A-RELEASE-RP", name, last)
		}
		got.mu.Lock()
		if (len(got.objects) == 1) != (name != "echoscu") {
			t.Errorf("%s: %d objects", name, len(got.objects))
		}
		got.mu.Unlock()
	}
}

// seed reads one argument of a file of a corpus.
func seed(t *testing.T, target, name string) []byte {
	t.Helper()
	return peertest.Seed(t, filepath.Join("testdata", "fuzz", target, name))
}

// capture writes the seeds of all targets of dicomnet.
func capture(t *testing.T) {
	cr, sr := peertest.SharedData(t, "dicom/radiographs/6154.dcm"), peertest.SharedData(t, "dicom/sr/test-SR.dcm")
	for name, args := range map[string][]string{
		"storescu-cr": {peertest.Program(t, "storescu"), "-xe", "-aec", "LLAMAXR", "127.0.0.1", "PORT", cr},
		"storescu-sr": {peertest.Program(t, "storescu"), "--max-pdu", "4096", "-aec", "LLAMAXR", "127.0.0.1", "PORT", sr},
		"echoscu":     {peertest.Program(t, "echoscu"), "-aec", "LLAMAXR", "127.0.0.1", "PORT"},
		"refused":     {peertest.Program(t, "echoscu"), "-aec", "OTHER", "127.0.0.1", "PORT"},
		"aborted":     {peertest.Program(t, "echoscu"), "--abort", "-aec", "LLAMAXR", "127.0.0.1", "PORT"},
	} {
		port, _ := start(t, nil)
		var line tap
		for i, arg := range args {
			if arg == "PORT" {
				args[i] = line.open(t, "127.0.0.1:"+port)
			}
		}
		out, err := exec.Command(args[0], args[1:]...).CombinedOutput()
		line.done.Wait()
		if err != nil && name != "refused" {
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
		keep(t, ".", "FuzzServer", name, line.requestor.Bytes(), "bool(false)")
		keep(t, "pdu", "FuzzRead", name+"-requestor", line.requestor.Bytes())
		keep(t, "pdu", "FuzzRead", name+"-acceptor", line.acceptor.Bytes())
		commands(t, name+"-requestor", line.requestor.Bytes())
		commands(t, name+"-acceptor", line.acceptor.Bytes())
	}
	answer(t)
	for name, file := range map[string]string{"cr": cr, "sr": sr} {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		meta, _ := dataSetOf(t, file)
		keep(t, "part10", "FuzzDecode", name, data[:meta.Length+8])
	}
}

// answer captures what storescp answers our client.
func answer(t *testing.T) {
	free := freePort(t)
	cmd := exec.Command(peertest.Program(t, "storescp"), "-od", t.TempDir(), free)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	for range 50 {
		time.Sleep(100 * time.Millisecond)
		if nc, err := net.Dial("tcp", "127.0.0.1:"+free); err == nil {
			nc.Close()
			break
		}
	}
	_, data := dataSetOf(t, peertest.SharedData(t, "dicom/radiographs/6154.dcm"))
	var line tap
	port := line.open(t, "127.0.0.1:"+free)
	a, err := Client{CallingAETitle: "X", CalledAETitle: "Y"}.Dial(t.Context(), "127.0.0.1:"+port, captureContexts)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Echo(t.Context()); err != nil {
		t.Error(err)
	}
	if err := a.Store(t.Context(), StoreRequest{SOPClassUID: crClass, SOPInstanceUID: "1.2.3"}, bytes.NewReader(data)); err != nil {
		t.Log(err) // storescp compares the UIDs with the data set's: a status that is not success is a good seed too
	}
	if err := a.Release(); err != nil {
		t.Error(err)
	}
	line.done.Wait()
	keep(t, ".", "FuzzClient", "storescp", line.acceptor.Bytes(), "bool(false)")
}

// commands keeps the command sets of a stream of PDUs.
func commands(t *testing.T, name string, stream []byte) {
	in, set := bytes.NewReader(stream), []byte(nil)
	for n := 0; ; {
		p, _, err := pdu.Read(in, DefaultMaxPDULength, nil)
		if err != nil {
			return
		}
		data, ok := p.(*pdu.DataTF)
		if !ok {
			continue
		}
		for _, v := range data.Values {
			if !v.Command {
				continue
			}
			if set = append(set, v.Data...); v.Last {
				keep(t, "dimse", "FuzzDecode", fmt.Sprintf("%s-%d", name, n), set)
				set, n = nil, n+1
			}
		}
	}
}

func keep(t *testing.T, folder, target, name string, data []byte, more ...string) {
	t.Helper()
	folder = filepath.Join(folder, "testdata", "fuzz", target)
	if err := os.MkdirAll(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf("go test fuzz v1\n[]byte(%q)\n", data)
	for _, m := range more {
		text += m + "\n"
	}
	if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
