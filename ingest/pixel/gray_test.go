package pixel

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/suyashkumar/dicom/pkg/tag"

	"llamaxr/ingest/dicomfile"
	"llamaxr/internal/dicomwrite"
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

// TestVOILUTBeyondItsBits: a table with entries above what its descriptor says is refused: they would all be white, and wrap round in a presentation state.
func TestVOILUTBeyondItsBits(t *testing.T) {
	for bits, fits := range map[int]bool{16: true, 12: true, 11: false, 8: false} {
		var data []byte
		for i := range 4096 {
			data = append(data, byte(i), byte(i>>8))
		}
		var object bytes.Buffer
		err := dicomwrite.New().Text(tag.SOPClassUID, "1.2.840.10008.5.1.4.1.1.1").Text(tag.SOPInstanceUID, "1.2.3").
			Ints(tag.Rows, 2).Ints(tag.Columns, 2).Text(tag.PhotometricInterpretation, "MONOCHROME2").
			Ints(tag.BitsAllocated, 16).Ints(tag.BitsStored, 12).Ints(tag.HighBit, 11).Ints(tag.PixelRepresentation, 0).
			Items(tag.VOILUTSequence, dicomwrite.New().Ints(tag.LUTDescriptor, 4096, 0, bits).Words(tag.LUTData, data)).
			Pixels(make([]byte, 8)).Write(&object, "1.2.3", "TEST")
		if err != nil {
			t.Fatal(err)
		}
		f, err := dicomfile.Read(bytes.NewReader(object.Bytes()), int64(object.Len()))
		if err != nil {
			t.Fatal(err)
		}
		frame, err := Decode(t.Context(), f)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Gray(f, frame); (err == nil) != fits || err != nil && !errors.Is(err, ErrMalformed) {
			t.Errorf("entries of 12 bits in a table of %d: %v", bits, err)
		}
	}
}
