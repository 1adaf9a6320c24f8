package dicomnet

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"llamaxr/internal/peertest"
)

// credentials are those of a new node.
func credentials(a *peertest.Authority, name string) *Credentials {
	certificate, key, _ := a.Node(name, minRSA, time.Hour)
	return &Credentials{CertificateFile: certificate, KeyFile: key, AuthoritiesFile: a.File, Mutual: true}
}

var verification = []ProposedContext{{AbstractSyntax: Verification, TransferSyntaxes: []string{ImplicitVRLittleEndian}}}

// echo opens an association, echoes and releases.
func echo(t *testing.T, port string, client Client) error {
	t.Helper()
	if client.CallingAETitle == "" {
		client.CallingAETitle = "X"
	}
	client.CalledAETitle = "LLAMAXR"
	a, err := client.Dial(t.Context(), "127.0.0.1:"+port, verification)
	if err != nil {
		return err
	}
	if err := a.Echo(t.Context()); err != nil {
		return err
	}
	return a.Release()
}

func TestDCMTKSendsOverTLS(t *testing.T) {
	storescu, echoscu := peertest.Program(t, "storescu"), peertest.Program(t, "echoscu")
	file := peertest.SharedData(t, "dicom/radiographs/6154.dcm")
	meta, _ := dataSetOf(t, file)
	authority := peertest.NewAuthority(t)
	certificate, key, _ := authority.Node("modality", minRSA, time.Hour)
	for _, mutual := range []bool{true, false} {
		for _, profile := range []string{"--profile-bcp195", "--profile-bcp195-nd", "--profile-bcp195-ex"} {
			server := credentials(authority, "llamaxr")
			server.Mutual = mutual
			port, got := start(t, func(s *Server) { s.TLS = server })
			secure := []string{"+tls", key, certificate, "+cf", authority.File, profile, "-aec", "LLAMAXR", "127.0.0.1", port}
			run(t, echoscu, secure...)
			run(t, storescu, append(secure, file)...)
			got.mu.Lock()
			if len(got.objects[meta.SOPInstanceUID]) == 0 {
				t.Errorf("%s, mutual %t: nothing was received", profile, mutual)
			}
			got.mu.Unlock()
		}
	}
	// Mutual TLS means it: a certificate is asked for.
	port, _ := start(t, func(s *Server) { s.TLS = credentials(authority, "llamaxr") })
	if err := exec.Command(echoscu, "+tla", "+cf", authority.File, "-aec", "LLAMAXR", "127.0.0.1", port).Run(); err == nil {
		t.Error("a client without a certificate was let in")
	}
}

func TestWeSendToDCMTKOverTLS(t *testing.T) {
	storescp := peertest.Program(t, "storescp")
	file := peertest.SharedData(t, "dicom/radiographs/6154.dcm")
	meta, data := dataSetOf(t, file)
	authority := peertest.NewAuthority(t)
	certificate, key, _ := authority.Node("pacs", minRSA, time.Hour)
	port, folder := freePort(t), t.TempDir()
	cmd := exec.Command(storescp, "+tls", key, certificate, "+cf", authority.File, "-od", folder, port)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	client := Client{CallingAETitle: "LLAMAXR", CalledAETitle: "PACS", TLS: credentials(authority, "llamaxr")}
	a := dialUntil(t, client, port, []ProposedContext{{AbstractSyntax: meta.SOPClassUID, TransferSyntaxes: []string{meta.TransferSyntaxUID}}})
	if err := a.Store(t.Context(), requestOf(meta), bytes.NewReader(data)); err != nil {
		t.Error(err)
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
	// A server that another authority vouches for is not believed.
	client.TLS = credentials(peertest.NewAuthority(t), "llamaxr")
	if _, err := client.Dial(t.Context(), "127.0.0.1:"+port, verification); err == nil {
		t.Error("a server of an unknown authority was believed")
	}
}

// TestTLSVersions: 1.2 and 1.3 are spoken, nothing older and nothing without forward secrecy (PS3.15, annexes B.12 and B.13).
func TestTLSVersions(t *testing.T) {
	authority := peertest.NewAuthority(t)
	server := credentials(authority, "llamaxr")
	server.Mutual = false
	port, _ := start(t, func(s *Server) { s.TLS = server })
	roots := x509.NewCertPool()
	roots.AddCert(authority.Root)
	for _, test := range []struct {
		cfg *tls.Config
		ok  bool
	}{
		{&tls.Config{MinVersion: tls.VersionTLS12, MaxVersion: tls.VersionTLS12}, true},
		{&tls.Config{MinVersion: tls.VersionTLS13}, true},
		{&tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}, false},
		{&tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_RSA_WITH_AES_128_GCM_SHA256}}, false},
		{&tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA}}, false},
	} {
		test.cfg.RootCAs = roots
		nc, err := tls.Dial("tcp", "127.0.0.1:"+port, test.cfg)
		if (err == nil) != test.ok {
			t.Errorf("TLS %x to %x, suites %x: %v", test.cfg.MinVersion, test.cfg.MaxVersion, test.cfg.CipherSuites, err)
		}
		if err == nil {
			nc.Close()
		}
	}
	if err := echo(t, port, Client{TLS: &Credentials{AuthoritiesFile: authority.File}}); err != nil {
		t.Errorf("one-sided TLS: %v", err)
	}
	certificate, key, _ := authority.Node("weak", 1024, time.Hour)
	if err := (&Credentials{CertificateFile: certificate, KeyFile: key}).Check(); err == nil {
		t.Error("a key of 1024 bits was taken")
	}
}

// TestServerName: a client wants the host's name in the certificate, unless it is told that the authority is enough.
func TestServerName(t *testing.T) {
	authority := peertest.NewAuthority(t)
	port, _ := start(t, func(s *Server) { s.TLS = credentials(authority, "llamaxr") })
	client := Client{CallingAETitle: "X", CalledAETitle: "LLAMAXR", TLS: credentials(authority, "x")}
	if _, err := client.Dial(t.Context(), "localhost:"+port, verification); err == nil {
		t.Error("a certificate for 127.0.0.1 was taken for localhost")
	}
	client.TLS.AnyServerName = true
	a, err := client.Dial(t.Context(), "localhost:"+port, verification)
	if err != nil {
		t.Fatal(err)
	}
	_ = a.Release()
	client.TLS = credentials(peertest.NewAuthority(t), "y")
	client.TLS.AnyServerName = true
	if _, err := client.Dial(t.Context(), "localhost:"+port, verification); err == nil {
		t.Error("any name, but not any authority")
	}
}

// TestCertificatesAreReloaded: new files serve the next connection; broken ones do not stop the service.
func TestCertificatesAreReloaded(t *testing.T) {
	authority := peertest.NewAuthority(t)
	server := credentials(authority, "llamaxr")
	port, _ := start(t, func(s *Server) { s.TLS = server })
	client := credentials(authority, "x")
	served := func() *big.Int {
		t.Helper()
		cfg, err := client.client("127.0.0.1")
		if err != nil {
			t.Fatal(err)
		}
		nc, err := tls.Dial("tcp", "127.0.0.1:"+port, cfg)
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		return nc.ConnectionState().PeerCertificates[0].SerialNumber
	}
	first := served()
	authority.Node("llamaxr", minRSA, time.Hour) // over the files of the first
	second := served()
	if first.Cmp(second) == 0 {
		t.Error("the old certificate is still served")
	}
	if err := os.WriteFile(server.CertificateFile, []byte("half a fi"), 0o600); err != nil {
		t.Fatal(err)
	}
	if third := served(); third.Cmp(second) != 0 {
		t.Error("a broken file changed what is served")
	}
	// A new authority is believed, and the old one no more.
	authority.Node("llamaxr", minRSA, time.Hour)
	other := peertest.NewAuthority(t)
	data, _ := os.ReadFile(other.File)
	if err := os.WriteFile(authority.File, data, 0o600); err != nil {
		t.Fatal(err)
	}
	visitor := credentials(other, "x")
	visitor.AuthoritiesFile = filepath.Join(t.TempDir(), "old.pem")
	old := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: authority.Root.Raw})
	if err := os.WriteFile(visitor.AuthoritiesFile, old, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := echo(t, port, Client{TLS: visitor}); err != nil {
		t.Errorf("a client of the new authority: %v", err)
	}
	if err := echo(t, port, Client{TLS: &Credentials{
		CertificateFile: client.CertificateFile, KeyFile: client.KeyFile, AuthoritiesFile: visitor.AuthoritiesFile,
	}}); err == nil {
		t.Error("a client of the old authority is still let in")
	}
}

// TestPeers: title, address range and certificate must all be those of one entry; a stranger is told that its title is not known.
func TestPeers(t *testing.T) {
	authority := peertest.NewAuthority(t)
	ct := credentials(authority, "ct")
	_, _, fingerprint := authority.Node("dx", minRSA, time.Hour)
	dx := &Credentials{
		CertificateFile: filepath.Join(authority.Folder, "dx.pem"), KeyFile: filepath.Join(authority.Folder, "dx.key"), AuthoritiesFile: authority.File,
	}
	here, there := []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
	spaced := ""
	for i := 0; i < len(fingerprint); i += 2 {
		spaced += ":" + strings.ToUpper(fingerprint[i:i+2])
	}
	for name, test := range map[string]struct {
		peers []Peer
		shows *Credentials
		ok    bool
	}{
		"anybody":                 {nil, ct, true},
		"title":                   {[]Peer{{AETitle: "OTHER"}, {AETitle: "X"}}, ct, true},
		"another title":           {[]Peer{{AETitle: "OTHER"}}, ct, false},
		"address":                 {[]Peer{{Addresses: here}}, ct, true},
		"another address":         {[]Peer{{AETitle: "X", Addresses: there}}, ct, false},
		"either address":          {[]Peer{{AETitle: "X", Addresses: there}, {AETitle: "X", Addresses: here}}, ct, true},
		"common name":             {[]Peer{{AETitle: "X", Certificates: []string{"ct"}}}, ct, true},
		"another's name":          {[]Peer{{AETitle: "X", Certificates: []string{"ct"}}}, dx, false},
		"fingerprint":             {[]Peer{{Certificates: []string{"ct", fingerprint}}}, dx, true},
		"fingerprint with colons": {[]Peer{{Certificates: []string{spaced[1:]}}}, dx, true},
		"another's fingerprint":   {[]Peer{{Certificates: []string{fingerprint}}}, ct, false},
		"half of one peer, half of another": {
			[]Peer{{AETitle: "X", Certificates: []string{"ct"}}, {AETitle: "Y", Certificates: []string{"dx"}}}, dx, false,
		},
	} {
		t.Run(name, func(t *testing.T) {
			var strangers atomic.Int64
			port, _ := start(t, func(s *Server) {
				s.Peers, s.TLS = test.peers, credentials(authority, "llamaxr")
				s.Stranger = func(string, string) { strangers.Add(1) }
			})
			err := echo(t, port, Client{TLS: test.shows})
			if told := strangers.Load() == 1; told == test.ok {
				t.Errorf("told of %d strangers", strangers.Load())
			}
			var rejected *RejectError
			switch {
			case test.ok && err != nil:
				t.Errorf("refused: %v", err)
			case !test.ok && (!errors.As(err, &rejected) || *rejected != rejectCallingAETitle):
				t.Errorf("got %v, want %v", err, &rejectCallingAETitle)
			}
		})
	}
	s := &Server{Peers: []Peer{{Certificates: []string{"ct"}}}}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Serve(t.Context(), listener, 0); err == nil {
		t.Error("a peer known by certificate on a server that asks for none")
	}
}

// TestHandshakeHasADeadline: who says nothing, or something else than TLS, is left after ARTIM.
func TestHandshakeHasADeadline(t *testing.T) {
	authority := peertest.NewAuthority(t)
	port, _ := start(t, func(s *Server) { s.TLS, s.ARTIM = credentials(authority, "llamaxr"), 200*time.Millisecond })
	for name, said := range map[string][]byte{"silent": nil, "half a record": {22, 3, 1, 2, 0, 1}, "plain DICOM": {1, 0, 0, 0, 0, 205, 0, 1}} {
		nc, err := net.Dial("tcp", "127.0.0.1:"+port)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := nc.Write(said); err != nil {
			t.Fatal(err)
		}
		_ = nc.SetReadDeadline(time.Now().Add(5 * time.Second))
		for err == nil { // an alert may come first
			_, err = nc.Read(make([]byte, 64))
		}
		if isTimeout(err) {
			t.Errorf("%s: the connection is still open", name)
		}
		nc.Close()
	}
}
