package sr

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"llamaxr/internal/peertest"
)

// TestEncapsulatedPageComesOutWhole: DCMTK's dcm2pdf gives back the bytes that were put in, of even and of odd length.
func TestEncapsulatedPageComesOutWhole(t *testing.T) {
	dcm2pdf := peertest.Program(t, "dcm2pdf")
	for _, page := range [][]byte{[]byte("%PDF-1.4 even%%EOF\n\n"), []byte("%PDF-1.4 odd%%EOF\n")} {
		d, err := Encapsulate(input(), "page", page)
		file, out := write(t, d, err), filepath.Join(t.TempDir(), "page.pdf")
		if text, err := exec.Command(dcm2pdf, file, out).CombinedOutput(); err != nil {
			t.Fatalf("dcm2pdf: %v\n%s", err, text)
		}
		got, err := os.ReadFile(out)
		if err != nil || !bytes.Equal(bytes.TrimRight(got, "\x00"), page) {
			t.Errorf("%v, dcm2pdf gives %q, want %q", err, got, page)
		}
	}
}
