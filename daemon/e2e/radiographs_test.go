package e2e

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"llamaxr/internal/peertest"
)

// TestRadiographsAsTheyCame: public CR, DX and SC objects in JPEG, JPEG-LS and JPEG 2000 go in as they are. A chest comes out as one valid pair
// of SRs, a capture of one only where the site says so; a hip, a leg and a neck get no draft, and the reason is told.
func TestRadiographsAsTheyCame(t *testing.T) {
	const captured, chest = "1.2.276.0.7230010.3.1.2.8323329.6904.1517875201.850818", "1.3.6.1.4.1.5962.1.2.9.20040826185059.5457"
	root := peertest.SharedData(t, "dicom/radiographs")
	files, err := filepath.Glob(filepath.Join(root, "*.dcm"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no radiographs in %s: %v", root, err)
	}
	for _, captures := range []bool{false, true} {
		port, folder := startStorescp(t)
		args := []string{"--destination", "PACS@127.0.0.1:" + port}
		if captures {
			config := filepath.Join(t.TempDir(), "llamaxr.yaml")
			if err := os.WriteFile(config, []byte("read_secondary_captures: true\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			args = append(args, "--config", config)
		}
		n := startNode(t, args...)
		// Two of the files are others again with changed bytes: those are refused, and the rest is taken.
		_ = exec.Command(program, append([]string{"send", "--to", "LLAMAXR@127.0.0.1:" + n.port}, files...)...).Run()
		states := n.settle(5)
		want := map[string]string{
			captured: "secondary capture", chest: "",
			"1.3.6.1.4.1.5962.1.2.10.20040826185059.5457": "HIP", "1.3.6.1.4.1.5962.1.2.11.20040826185059.5457": "EXTREMITY",
			"1.3.6.1.4.1.5962.1.1.0.0.0.1196527414.5534.0.1": "CSPINE",
		}
		if captures {
			want[captured] = ""
		}
		got := received(t, folder)
		for uid, reason := range want {
			s := states[uid]
			if drafted := s.State == "delivered"; drafted != (reason == "") || !strings.Contains(s.Reason, reason) {
				t.Errorf("captures read: %t: study %s is %s: %q, want %q", captures, uid, s.State, s.Reason, reason)
			}
			documents := append(got[uid][basicTextSR], got[uid][comprehensive3DSR]...)
			if pair := reason == ""; pair && len(documents) != 2 || !pair && len(documents) > 0 {
				t.Errorf("captures read: %t: study %s has %d SRs", captures, uid, len(documents))
			}
			for _, file := range documents {
				if out, _ := exec.Command(peertest.Program(t, "dciodvfy"), file).CombinedOutput(); bytes.Contains(out, []byte("Error")) {
					t.Errorf("%s:\n%s", filepath.Base(file), out)
				}
			}
		}
	}
}
