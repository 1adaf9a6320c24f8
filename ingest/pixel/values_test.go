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

// TestValuesAgainstPydicom: the values that a viewer windows are those of pydicom's apply_modality_lut, and its first picture, by the
// curve, is that of apply_voi_lut to within half a grey.
func TestValuesAgainstPydicom(t *testing.T) {
	arguments := []string{filepath.Join("testdata", "greys.py"), t.TempDir()}
	for _, name := range []string{"6154.dcm", "6247.dcm", "RG2_JPLL.dcm"} {
		arguments = append(arguments, peertest.SharedData(t, "dicom/radiographs/"+name))
	}
	command := exec.Command(peertest.Python(t), arguments...)
	var complaint bytes.Buffer
	command.Stderr = &complaint
	output, err := command.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, complaint.String())
	}
	compared := 0
	for line := range strings.Lines(string(output)) {
		var want struct{ File, Expected, Modality string }
		if err := json.Unmarshal([]byte(line), &want); err != nil {
			t.Fatal(err)
		}
		grey, modality := readFloats(t, want.Expected), readFloats(t, want.Modality)
		v := openValues(t, want.File)
		compared++
		if v.Low > v.High || v.Low == v.High && v.Curve[0] != v.Curve[len(v.Curve)-1] {
			t.Errorf("%s: the curve rises from %v to %v; %v", filepath.Base(want.File), v.Low, v.High, v.Steps)
		}
		for i, p := range v.Pixels {
			got := float64(v.Curve[p]) / 255
			if v.Inverted {
				got = 1 - got
			}
			if math.IsNaN(float64(modality[i])) { // padding
				if first, last := v.Curve[0], v.Curve[len(v.Curve)-1]; got > 0.5/255 && (first == 0 && last == 255 || first == 255 && last == 0) {
					t.Errorf("%s pixel %d: padding is %v", filepath.Base(want.File), i, got)
					break
				}
				continue
			}
			if math.Abs(got-float64(grey[i])) > 0.501/255 {
				t.Errorf("%s pixel %d: grey %v, pydicom has %v; %v", filepath.Base(want.File), i, got, grey[i], v.Steps)
				break
			}
			if x := v.Intercept + v.Slope*float64(p); math.Abs(x-float64(modality[i])) > 1e-6*math.Abs(x)+1e-6 {
				t.Errorf("%s pixel %d: value %v, pydicom has %v; %v", filepath.Base(want.File), i, x, modality[i], v.Steps)
				break
			}
		}
	}
	if compared < 100 {
		t.Errorf("only %d images compared", compared)
	}
}

func openValues(t testing.TB, path string) *Values {
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
	v, err := FrameValues(f, frame)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func readFloats(t testing.TB, path string) []float32 {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	out := make([]float32, len(raw)/4)
	if _, err := binary.Decode(raw, binary.LittleEndian, out); err != nil {
		t.Fatal(err)
	}
	return out
}
