package pixel

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"llamaxr/ingest/dicomfile"
	"llamaxr/internal/peertest"
	"llamaxr/study"
)

// TestContradictions: a real radiograph whose header is such that pydicom does not read the values out of it that were meant contradicts itself,
// and no other one does: Bits Stored, High Bit, sign, size and number of frames, uncompressed and in a codestream. White that a lossy codestream has a
// little too white stays white.
func TestContradictions(t *testing.T) {
	command := exec.Command(peertest.Python(t), filepath.Join("testdata", "lies.py"), t.TempDir(), peertest.SharedData(t, "dicom/radiographs/RG1_JLSN.dcm"))
	var complaint bytes.Buffer
	command.Stderr = &complaint
	output, err := command.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, complaint.String())
	}
	seen := map[bool]int{}
	for line := range strings.Lines(string(output)) {
		var object struct {
			File, Values string
			Meant        bool
		}
		if err := json.Unmarshal([]byte(line), &object); err != nil {
			t.Fatal(err)
		}
		frame, err := decodeFile(object.File)
		if err != nil {
			t.Errorf("%s: %v", filepath.Base(object.File), err)
			continue
		}
		seen[object.Meant]++
		if object.Values != "" {
			want, err := os.ReadFile(object.Values)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(frame.Data, want) {
				t.Errorf("%s: other values than pydicom, cut to Bits Stored", filepath.Base(object.File))
			}
		}
		if object.Meant != (frame.Contradiction == "") {
			t.Errorf("%s: what was meant is read: %t; contradiction %q", filepath.Base(object.File), object.Meant, frame.Contradiction)
		}
	}
	if seen[true] < 30 || seen[false] < 20 {
		t.Errorf("%d objects are right and %d wrong", seen[true], seen[false])
	}
}

// TestRadiographsContradictNothing: no header of the shared radiographs is wrong.
func TestRadiographsContradictNothing(t *testing.T) {
	paths, err := filepath.Glob(filepath.Join(peertest.SharedData(t, "dicom/radiographs"), "*.dcm"))
	if err != nil || len(paths) < 10 {
		t.Fatal(paths, err)
	}
	for _, path := range paths {
		frame, err := decodeFile(path)
		if err != nil {
			t.Errorf("%s: %v", path, err)
		} else if frame.Contradiction != "" {
			t.Errorf("%s: %s", path, frame.Contradiction)
		}
	}
}

// TestDoubts: what is wrong with a picture's size, pixels or grey scale is said, and of real chest films nothing.
func TestDoubts(t *testing.T) {
	object := func(spacing string) *dicomfile.File { // of Imager Pixel Spacing
		data := append([]byte("\x18\x00\x64\x11DS"), byte(len(spacing)), 0)
		set, err := dicomfile.ReadDataSet(append(data, spacing...), dicomfile.ExplicitVRLittleEndian)
		if err != nil {
			t.Fatal(err)
		}
		return &dicomfile.File{Dataset: set}
	}
	square := object(`0.15\0.150`)
	toned := func(img *Image, tone func(float32) float32) *Image {
		out := &Image{Rows: img.Rows, Columns: img.Columns}
		for _, v := range img.Pixels {
			out.Pixels = append(out.Pixels, min(max(tone(v), 0), 1))
		}
		return out
	}
	for _, c := range chests(t) {
		if min(c.img.Rows, c.img.Columns) < study.InputSize {
			continue
		}
		small := &Image{Rows: 64, Columns: 64}
		for i := range 64 * 64 {
			small.Pixels = append(small.Pixels, c.img.Pixels[i/64*(c.img.Rows/64)*c.img.Columns+i%64*(c.img.Columns/64)])
		}
		wide := &Image{Rows: c.img.Rows, Columns: c.img.Columns * 9 / 10} // not square beyond doubt
		for y := range wide.Rows {
			wide.Pixels = append(wide.Pixels, c.img.Pixels[y*c.img.Columns:][:wide.Columns]...)
		}
		exchanged := &Image{Rows: wide.Columns, Columns: wide.Rows, Pixels: wide.Pixels}
		for _, test := range []struct {
			name, want string
			file       *dicomfile.File
			img        *Image
		}{
			{"as it is", "", square, c.img},
			{"a thumbnail", "only 64 x 64 pixels", square, small},
			{"pixels 1 to 1.3", "not square", object(`0.15\0.1950`), c.img},
			{"pixels 1.3 to 1", "not square", object(`0.1950\0.15`), c.img},
			{"a window four times too wide", "of the grey scale", square, toned(c.img, func(v float32) float32 { return v / 4 })},
			{"rows and columns exchanged", "do not go together", square, exchanged},
			{"a window of one value", "plain white", square, toned(c.img, func(v float32) float32 { return 1000 * (v - 0.4) })},
		} {
			if said := strings.Join(Doubts(test.file, test.img), "; "); (said == "") != (test.want == "") || !strings.Contains(said, test.want) {
				t.Errorf("%s, %s: %q, want %q", c.name, test.name, said, test.want)
			}
		}
	}
}
