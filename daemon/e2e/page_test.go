package e2e

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"llamaxr/internal/peertest"
)

// TestPageArrives: a site that asks for pages receives one valid Encapsulated PDF a draft beside the other documents, and dcm2pdf gives the PDF.
func TestPageArrives(t *testing.T) {
	port, folder := startStorescp(t)
	settings := filepath.Join(t.TempDir(), "llamaxr.yaml")
	if err := os.WriteFile(settings, []byte("pdf: true\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	n := startNode(t, "--config", settings, "--destination", "PACS@127.0.0.1:"+port)
	storescu(t, n.port, chestFiles(t, "2024", "Cardiomegaly")...)
	for uid := range n.settle(1) {
		got := received(t, folder)[uid]
		pages := got["1.2.840.10008.5.1.4.1.1.104.1"]
		if len(pages) != 1 || len(got[basicTextSR]) != 1 || len(got[comprehensive3DSR]) != 1 || len(got[secondaryCapture]) != 2 {
			t.Fatalf("received %v", got)
		}
		if out, _ := exec.Command(peertest.Program(t, "dciodvfy"), pages[0]).CombinedOutput(); bytes.Contains(append([]byte("\n"), out...), []byte("\nError")) {
			t.Errorf("the page:\n%s", out)
		}
		page := filepath.Join(t.TempDir(), "page.pdf")
		if out, err := exec.Command(peertest.Program(t, "dcm2pdf"), pages[0], page).CombinedOutput(); err != nil {
			t.Fatalf("dcm2pdf: %v\n%s", err, out)
		}
		text, err := exec.Command(peertest.Python(t), "-c", "import sys, pypdf; print(pypdf.PdfReader(sys.argv[1]).pages[0].extract_text())", page).Output()
		if err != nil || !bytes.Contains(text, []byte("AI DRAFT, NOT REVIEWED BY A PHYSICIAN")) || !bytes.Contains(text, []byte("Impression")) {
			t.Errorf("%v, the page says %s", err, text)
		}
	}
}
