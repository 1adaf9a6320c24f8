package grey

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/csv"
	"encoding/hex"
	"encoding/json"
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"llamaxr/ingest/dicomscan"
	"llamaxr/internal/peertest"
	"llamaxr/study"
)

// TestFramesAgainstManifest compares the first frame's raw values with the digests that pydicom's decoders agree on.
func TestFramesAgainstManifest(t *testing.T) {
	root := peertest.SharedData(t, "dicom")
	file, err := os.Open(filepath.Join(root, "manifest.csv"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	rows, err := csv.NewReader(file).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	equal, unsupported := 0, 0
	for _, row := range rows[1:] {
		name, dtype, want := row[0], row[13], row[14]
		if want == "" || row[1] == "malformed" {
			continue
		}
		f, err := dicomscan.Open(filepath.Join(root, name))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		frame, err := Decode(f)
		f.Close()
		if errors.Is(err, ErrUnsupported) || errors.Is(err, ErrNoImage) {
			unsupported++
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if frame.FromYBR || dtype != "uint8" && dtype != "uint16" && dtype != "int16" && dtype != "int8" && dtype != "uint32" && dtype != "int32" {
			continue // colour JPEG: decoders differ in rounding
		}
		var raw []byte
		for _, v := range frame.Values {
			switch frame.BitsAllocated {
			case 8:
				raw = append(raw, byte(v))
			case 16:
				raw = binary.LittleEndian.AppendUint16(raw, uint16(v))
			default:
				raw = binary.LittleEndian.AppendUint32(raw, uint32(v))
			}
		}
		sum := sha256.Sum256(raw)
		if hex.EncodeToString(sum[:]) != want {
			t.Errorf("%s (%s, %s): values differ from the manifest", name, f.TransferSyntax, row[11])
			continue
		}
		equal++
	}
	t.Logf("%d first frames equal the manifest, %d are in encodings not decoded here", equal, unsupported)
	if equal < 60 {
		t.Errorf("only %d first frames were compared", equal)
	}
}

// TestLevelsAgainstPydicom compares grey levels after window, LUT, rescale and polarity with pydicom's on the real radiographs.
func TestLevelsAgainstPydicom(t *testing.T) {
	python := peertest.Python(t)
	found, _ := filepath.Glob(filepath.Join(peertest.SharedData(t, "dicom/radiographs"), "*"))
	luts, _ := filepath.Glob(filepath.Join(peertest.SharedData(t, "dicom/transfer_syntaxes"), "?lut_*.dcm"))
	var files []string
	levels, bound := map[string][]float64{}, map[string]float64{}
	for _, path := range append(found, luts...) {
		f, err := dicomscan.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		frame, err := Decode(f)
		if errors.Is(err, ErrUnsupported) {
			f.Close()
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		img, err := Levels(f, frame)
		f.Close()
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, path)
		if bound[path] = 2e-4; f.TransferSyntax == "1.2.840.10008.1.2.4.50" {
			bound[path] = 1.01 / 255 // two lossy decoders may differ by one level
		}
		n := len(img.Levels)
		for i := 0; i < n && len(levels[path]) < 64; i += max(n/64, 1) {
			levels[path] = append(levels[path], float64(img.Levels[i]))
		}
	}
	out, err := exec.Command(python, append([]string{"testdata/levels.py"}, files...)...).Output()
	if err != nil {
		t.Fatalf("pydicom: %v", err)
	}
	var want map[string][]float64
	if err := json.Unmarshal(out, &want); err != nil {
		t.Fatal(err)
	}
	for _, path := range files {
		for i, v := range levels[path] {
			if math.Abs(v-want[path][i]) > bound[path] {
				t.Errorf("%s: level %d is %.5f, pydicom says %.5f", filepath.Base(path), i, v, want[path][i])
				break
			}
		}
	}
	t.Logf("%d files compared", len(files))
}

// TestBrokenPixelsAreSurvived decodes every malformed and odd file.
func TestBrokenPixelsAreSurvived(t *testing.T) {
	for _, folder := range []string{"malformed", "odd"} {
		files, _ := filepath.Glob(filepath.Join(peertest.SharedData(t, "dicom/"+folder), "*"))
		for _, path := range files {
			started := time.Now()
			if f, err := dicomscan.Open(path); err == nil {
				if frame, err := Decode(f); err == nil {
					_, _ = Levels(f, frame)
				}
				f.Close()
			}
			if took := time.Since(started); took > 2*time.Second {
				t.Errorf("%s took %s", filepath.Base(path), took)
			}
		}
	}
}

// TestBordersAreCropped puts a blank frame about a picture and finds it again; the geometry leads back to the full image.
func TestBordersAreCropped(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for range 50 {
		left, top, side := rng.IntN(60), rng.IntN(60), 200+rng.IntN(80)
		img := &Image{Rows: side + top + rng.IntN(60), Columns: side + left + rng.IntN(60)}
		img.Levels = make([]float32, img.Rows*img.Columns)
		for y := range side {
			for x := range side {
				img.Levels[(y+top)*img.Columns+x+left] = 0.2 + 0.6*rng.Float32()
			}
		}
		n := Normalise(img)
		x, y := n.Geometry.ToFull(0, 0)
		if math.Abs(x-float64(left)) > 1 || math.Abs(y-float64(top)) > 1 || math.Abs(n.Geometry.Scale*study.InputSize-float64(side)) > 1.5 {
			t.Errorf("frame at %d,%d of side %d: found at %.0f,%.0f of side %.0f", left, top, side, x, y, n.Geometry.Scale*study.InputSize)
		}
		for _, v := range n.Pixels {
			if v < -1024 || v > 1024 {
				t.Fatalf("a level of %g is outside [-1024, 1024]", v)
			}
		}
	}
}

func FuzzLossless(f *testing.F) {
	f.Add([]byte{0xff, 0xd8, 0xff, 0xc3, 0, 11, 8, 0, 2, 0, 2, 1, 1, 0x11, 0, 0xff, 0xda, 0, 8, 1, 1, 0, 1, 0, 0, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		frame := &Frame{Rows: 2, Columns: 2, Samples: 1, BitsAllocated: 16}
		_ = frame.lossless(data)
		_ = frame.rle(data)
		_ = frame.baseline(data)
	})
}
