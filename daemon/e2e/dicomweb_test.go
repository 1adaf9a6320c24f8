package e2e

import (
	"os/exec"
	"strings"
	"testing"

	"llamaxr/internal/peertest"
)

// machine adds a program that may use DICOMweb and returns its token.
func (n *node) machine(name string, roles ...string) string {
	n.t.Helper()
	out, err := exec.Command(program, "user", "add", name, "--machine", "--role", strings.Join(roles, ","), "--state", n.state).Output()
	if err != nil {
		n.t.Fatalf("adding machine %s: %v", name, err)
	}
	return strings.TrimSpace(string(out))
}

// TestSTOWDestination: a draft goes to Orthanc's DICOMweb plugin as one pair of SRs and two pictures.
func TestSTOWDestination(t *testing.T) {
	archive := startOrthanc(t, peertest.OrthancDICOMweb(t))
	n := startNode(t, "--config", configured(t, "destinations:\n- {stow: 'http://127.0.0.1:"+archive.http+"/dicom-web'}\n"))
	storescu(t, n.port, phantomFiles(t, "32")...)
	s := n.waitDelivered(1)
	archived := archive.studies(t)[s.UID]
	for class, want := range map[string]int{basicTextSR: 1, comprehensive3DSR: 1, secondaryCapture: 2} {
		if archived[class] != want {
			t.Errorf("Orthanc holds %d objects of class %s, want %d", archived[class], class, want)
		}
	}
}

// TestDICOMweb: what dicomweb-client stores is drafted, found by it, and comes back as it was sent; what is wrong is refused with the status
// that says so; and every access is in the audit log.
func TestDICOMweb(t *testing.T) {
	port, folder := startStorescp(t)
	n := startNode(t, "--destination", "PACS@127.0.0.1:"+port, "--config", configured(t, "dicomweb: true\n"))
	token := n.machine("gateway", "sender", "reader")
	url := "http://127.0.0.1:" + n.http + "/dicom-web"
	out, err := exec.Command(peertest.Python(t), append([]string{"testdata/dicomweb.py", url, token}, phantomFiles(t, "31")...)...).CombinedOutput()
	if err != nil || !strings.HasSuffix(strings.TrimSpace(string(out)), "ok") {
		t.Fatalf("dicomweb-client: %v\n%s", err, out)
	}
	s := n.waitDelivered(1)
	if got := received(t, folder)[s.UID]; len(got[basicTextSR]) != 1 || len(got[comprehensive3DSR]) != 1 {
		t.Errorf("the PACS has %v", got)
	}
	audit, err := exec.Command(program, "audit", "list", "--state", n.state).Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"DICOMweb store", "DICOMweb search studies", "DICOMweb retrieve metadata", "DICOMweb retrieve rendered", "DICOMweb refused"} {
		if !strings.Contains(string(audit), want) {
			t.Errorf("no %q in the audit log", want)
		}
	}
}
