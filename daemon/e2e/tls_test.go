package e2e

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"math/big"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"llamaxr/internal/peertest"
)

// configured writes a configuration file.
func configured(t testing.TB, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "llamaxr.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// phantomFiles makes a study of two views and returns its files.
func phantomFiles(t testing.TB, seed string) []string {
	t.Helper()
	dir := t.TempDir()
	if out, err := exec.Command(program, "phantom", "--out", dir, "--seed", seed).CombinedOutput(); err != nil {
		t.Fatalf("phantom: %v\n%s", err, out)
	}
	files, _ := filepath.Glob(filepath.Join(dir, "*.dcm"))
	if len(files) != 2 {
		t.Fatalf("phantom: %v", files)
	}
	return files
}

// waitDelivered waits until the one study is delivered in a revision of at least that number.
func (n *node) waitDelivered(revision int) studyState {
	n.t.Helper()
	deadline := time.Now().Add(draftTime)
	for {
		studies := n.studies()
		for _, s := range studies {
			if s.State == "delivered" && s.Revision >= revision {
				return s
			}
			if s.State == "failed" || s.State == "refused" {
				n.t.Fatalf("study %+v", s)
			}
		}
		if time.Now().After(deadline) {
			n.t.Fatalf("no study is delivered: %+v", studies)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

const pynetdicomEcho = `
import ssl, sys
from pynetdicom import AE
port, certificate, key, authority = sys.argv[1:]
context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=authority)
context.minimum_version = ssl.TLSVersion.TLSv1_3
context.load_cert_chain(certificate, key)
ae = AE(ae_title="PYDICOM")
ae.add_requested_context("1.2.840.10008.1.1")
a = ae.associate("127.0.0.1", int(port), ae_title="LLAMAXR", tls_args=(context, "127.0.0.1"))
assert a.is_established, "not established"
assert a.send_c_echo().Status == 0
a.release()
`

// TestTLSFromEndToEnd: a modality sends by mutual TLS, the draft goes to a PACS by TLS; who is no peer, or has another's certificate, is
// refused; a certificate that ends soon is warned of, and its successor is served without a restart.
func TestTLSFromEndToEnd(t *testing.T) {
	authority := peertest.NewAuthority(t)
	const day = 24 * time.Hour
	own, ownKey, _ := authority.Node("llamaxr", 2048, 20*day+time.Hour)
	modality, modalityKey, fingerprint := authority.Node("modality", 2048, 300*day)
	pacs, pacsKey, _ := authority.Node("pacs", 2048, 300*day)
	port, folder := freePort(t), t.TempDir()
	storescp := exec.Command(peertest.Program(t, "storescp"), "+tls", pacsKey, pacs, "+cf", authority.File, "-aet", "PACS", "-od", folder, port)
	if err := storescp.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = storescp.Process.Kill(); _ = storescp.Wait() })
	n := startNode(t, "--config", configured(t, fmt.Sprintf(`
tls: {certificate: %q, key: %q, client_ca: %q}
peers:
- {ae_title: MODALITY, addresses: [127.0.0.0/8], certificates: [%q], associations: 4}
- {ae_title: ELSEWHERE, addresses: [192.0.2.0/24]}
- {ae_title: PYDICOM, certificates: [pacs]}
destinations:
- {ae_title: PACS, address: '127.0.0.1:%s', tls: {on: true, ca: %q}}
`, own, ownKey, authority.File, fingerprint, port, authority.File)))

	sender := func(calling, certificate, key string, files ...string) ([]byte, error) {
		args := []string{"-xf", "/etc/dcmtk/storescu.cfg", "Default", "+tls", key, certificate, "+cf", authority.File, "-aet", calling, "-aec", "LLAMAXR", "127.0.0.1", n.port}
		cmd := exec.Command(peertest.Program(t, "storescu"), append(args, files...)...)
		cmd.Env = append(os.Environ(), "TCP_NODELAY=1")
		return cmd.CombinedOutput()
	}
	files := phantomFiles(t, "4711")
	for _, refused := range []struct{ why, calling, certificate, key string }{
		{"no peer", "STRANGER", modality, modalityKey}, {"another's certificate", "MODALITY", pacs, pacsKey}, {"another's address", "ELSEWHERE", modality, modalityKey},
	} {
		out, err := sender(refused.calling, refused.certificate, refused.key, files[0])
		if err == nil || !strings.Contains(string(out), "Calling AE Title Not Recognized") {
			t.Errorf("%s: %v\n%s", refused.why, err, out)
		}
	}
	if out, err := exec.Command(peertest.Program(t, "echoscu"), "-aet", "MODALITY", "-aec", "LLAMAXR", "127.0.0.1", n.port).CombinedOutput(); err == nil {
		t.Errorf("plain DICOM was taken:\n%s", out)
	}
	if out, err := exec.Command(peertest.Python(t), "-c", pynetdicomEcho, n.port, pacs, pacsKey, authority.File).CombinedOutput(); err != nil {
		t.Errorf("pynetdicom: %v\n%s", err, out)
	}
	if out, err := sender("MODALITY", modality, modalityKey, files...); err != nil {
		t.Fatalf("storescu: %v\n%s", err, out)
	}
	n.waitDelivered(1)
	if got, _ := filepath.Glob(folder + "/*"); len(got) != 4 {
		t.Errorf("%d objects at the PACS, want 4", len(got))
	}

	// The tools speak it too.
	tool := []string{"--tls", "--tls-ca", authority.File, "--tls-certificate", modality, "--tls-key", modalityKey}
	send := append([]string{"send", phantomFiles(t, "4712")[0], "--calling", "MODALITY", "--to", "LLAMAXR@127.0.0.1:" + n.port}, tool...)
	if out, err := exec.Command(program, send...).CombinedOutput(); err != nil {
		t.Errorf("llamaxr send: %v\n%s", err, out)
	}
	if out, err := exec.Command(program, "echo", "PACS@127.0.0.1:"+port, "--tls", "--tls-ca", authority.File, "--tls-certificate", modality, "--tls-key", modalityKey).CombinedOutput(); err != nil {
		t.Errorf("llamaxr echo: %v\n%s", err, out)
	}

	expiry(t, n, 20)
	if log := n.log.String(); !strings.Contains(log, "a certificate expires soon") || strings.Contains(log, "use=tls.client_ca") {
		t.Error("the log does not warn of the certificate that expires in 20 days, or warns of another")
	}
	first := served(t, n.port, authority, modality, modalityKey)
	authority.Node("llamaxr", 2048, 200*day+time.Hour)
	if second := served(t, n.port, authority, modality, modalityKey); first.Cmp(second) == 0 {
		t.Error("a renewed certificate is not served")
	}
	expiry(t, n, 200)
}

// expiry checks what /healthz says of our own certificate.
func expiry(t *testing.T, n *node, days int) {
	t.Helper()
	response, err := http.Get("http://127.0.0.1:" + n.http + "/healthz")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var health struct {
		Certificates []struct {
			Use      string
			DaysLeft int `json:"days_left"`
			Alarm    bool
		}
	}
	if err := json.NewDecoder(response.Body).Decode(&health); err != nil {
		t.Fatal(err)
	}
	uses := map[string]bool{}
	for _, c := range health.Certificates {
		uses[c.Use] = true
		if c.Use == "tls.certificate" && (c.DaysLeft != days || c.Alarm != (days < 30)) {
			t.Errorf("%+v, want %d days left", c, days)
		}
	}
	if !uses["tls.certificate"] || !uses["tls.client_ca"] || !uses["destinations[0].tls.ca"] {
		t.Errorf("certificates: %+v", health.Certificates)
	}
}

// served is the serial number of the certificate that the appliance shows.
func served(t *testing.T, port string, authority *peertest.Authority, certificate, key string) *big.Int {
	t.Helper()
	pair, err := tls.LoadX509KeyPair(certificate, key)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(authority.Root)
	nc, err := tls.Dial("tcp", "127.0.0.1:"+port, &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{pair}})
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	return nc.ConnectionState().PeerCertificates[0].SerialNumber
}
