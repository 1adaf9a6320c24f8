package pixel

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"llamaxr/ingest/dicomfile"
	"llamaxr/internal/peertest"
)

func openGray(t testing.TB, path string) *Image {
	t.Helper()
	f, err := dicomfile.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	frame, err := Decode(context.Background(), f)
	if err != nil {
		t.Fatal(err)
	}
	img, err := Gray(f, frame)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// Grey levels are those of pydicom's apply_modality_lut and apply_voi_lut, turned over for MONOCHROME1 and INVERSE: on
// synthetic objects of 8 to 16 bits, signed and not, with windows and look-up tables, and on the real radiographs.
func TestGrayAgainstPydicom(t *testing.T) {
	arguments := []string{filepath.Join("testdata", "greys.py"), t.TempDir()}
	for _, name := range []string{"6154.dcm", "6247.dcm", "6278.dcm", "RG2_JPLL.dcm"} {
		arguments = append(arguments, peertest.SharedData(t, "dicom/radiographs/"+name))
	}
	for _, name := range []string{"MR_small.dcm", "MR2_UNCR.dcm", "mlut_18.dcm", "vlut_04.dcm", "ct_image.dcm", "693_UNCR.dcm", "3.dcm"} {
		arguments = append(arguments, peertest.SharedData(t, "dicom/transfer_syntaxes/"+name))
	}
	command := exec.Command(peertest.Python(t), arguments...)
	var complaint bytes.Buffer
	command.Stderr = &complaint
	output, err := command.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, complaint.String())
	}
	lines := strings.Split(strings.TrimSpace(string(output)), "\n")
	for _, line := range lines {
		var want struct {
			File, Expected string
			Rows, Columns  int
		}
		if err := json.Unmarshal([]byte(line), &want); err != nil {
			t.Fatal(err)
		}
		raw, err := os.ReadFile(want.Expected)
		if err != nil {
			t.Fatal(err)
		}
		img := openGray(t, want.File)
		if img.Rows != want.Rows || img.Columns != want.Columns || len(raw) != 4*len(img.Pixels) {
			t.Fatalf("%s: %d x %d", want.File, img.Rows, img.Columns)
		}
		for i, got := range img.Pixels {
			x := math.Float32frombits(binary.LittleEndian.Uint32(raw[4*i:]))
			if math.Abs(float64(got-x)) > 2e-7 {
				t.Errorf("%s pixel %d: %v, pydicom has %v; %v", filepath.Base(want.File), i, got, x, img.Steps)
				break
			}
		}
	}
	t.Logf("%d images equal", len(lines))
	if len(lines) < 100 {
		t.Errorf("only %d images compared", len(lines))
	}
}
