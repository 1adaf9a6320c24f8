package pixel

import (
	"bytes"
	"context"
	"image"
	"image/color"
	"image/jpeg"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"llamaxr/ingest/dicomfile"
	"llamaxr/internal/peertest"
)

func decodeFile(path string) (*Frame, error) {
	f, err := dicomfile.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return Decode(context.Background(), f)
}

// JPEG baseline and extended of 8 and 12 bits decode to the very values of DCMTK's dcmdjpeg. Of colour the first component is
// compared: chroma of fewer samples is repeated here and smoothed there.
func TestJPEGAgainstDCMTK(t *testing.T) {
	program := peertest.Program(t, "dcmdjpeg")
	compared := 0
	for _, row := range manifest(t) {
		syntax := row["transfer_syntax_uid"]
		if row["folder"] == "malformed" || (syntax != "1.2.840.10008.1.2.4.50" && syntax != "1.2.840.10008.1.2.4.51") {
			continue
		}
		path := peertest.SharedData(t, "dicom/"+row["file"])
		plain := filepath.Join(t.TempDir(), "plain.dcm")
		if output, err := exec.Command(program, "+cn", path, plain).CombinedOutput(); err != nil {
			t.Logf("%s: dcmdjpeg: %s", row["file"], strings.TrimSpace(string(output)))
			continue
		}
		want, err := decodeFile(plain)
		if err != nil {
			t.Fatalf("%s: %v", row["file"], err)
		}
		got, err := decodeFile(path)
		if err != nil {
			t.Errorf("%s: %v", row["file"], err)
			continue
		}
		if got.values() != want.values() {
			t.Errorf("%s: %d values, DCMTK has %d", row["file"], got.values(), want.values())
			continue
		}
		different := 0
		for i := 0; i < got.values(); i += got.Samples {
			if got.word(i) != want.word(i) {
				different++
			}
		}
		if different > 0 {
			t.Errorf("%s: %d of %d values are not DCMTK's", row["file"], different, got.values()/got.Samples)
		}
		compared++
	}
	t.Logf("%d files equal", compared)
	if compared < 10 {
		t.Errorf("only %d files compared", compared)
	}
}

// image/jpeg, which knows neither 12 bits nor libjpeg's rounding, agrees within two levels on what it encodes, in every
// subsampling it writes.
func TestJPEGAgainstGo(t *testing.T) {
	gray := image.NewGray(image.Rect(0, 0, 45, 29))
	colours := image.NewRGBA(gray.Bounds())
	for y := range 29 {
		for x := range 45 {
			gray.SetGray(x, y, color.Gray{Y: uint8(x*5 + y*2)})
			colours.Set(x, y, color.RGBA{R: uint8(x * 5), G: uint8(y * 8), B: uint8(x + y), A: 255})
		}
	}
	for _, picture := range []image.Image{gray, colours} {
		var b bytes.Buffer
		if err := jpeg.Encode(&b, picture, &jpeg.Options{Quality: 90}); err != nil {
			t.Fatal(err)
		}
		decoded, err := jpeg.Decode(bytes.NewReader(b.Bytes()))
		if err != nil {
			t.Fatal(err)
		}
		fr := &Frame{Rows: 29, Columns: 45, Samples: 1, BitsAllocated: 8, BitsStored: 8, Photometric: "YBR_FULL_422"}
		ybr, isColour := decoded.(*image.YCbCr)
		if isColour {
			fr.Samples = 3
		}
		if err := fr.jpeg(context.Background(), b.Bytes()); err != nil {
			t.Fatal(err)
		}
		near := func(got uint32, want uint8) bool { return int(got)-int(want) <= 2 && int(want)-int(got) <= 2 }
		for y := range 29 {
			for x := range 45 {
				i := y*45 + x
				if !isColour {
					if want := decoded.(*image.Gray).GrayAt(x, y).Y; !near(fr.word(i), want) {
						t.Fatalf("(%d, %d) is %d, image/jpeg has %d", x, y, fr.word(i), want)
					}
					continue
				}
				if c := ybr.YCbCrAt(x, y); !near(fr.word(3*i), c.Y) || !near(fr.word(3*i+1), c.Cb) || !near(fr.word(3*i+2), c.Cr) {
					t.Fatalf("(%d, %d) is %d %d %d, image/jpeg has %v", x, y, fr.word(3*i), fr.word(3*i+1), fr.word(3*i+2), c)
				}
			}
		}
		for cut := 0; cut < b.Len()-8; cut += 5 {
			if err := fr.jpeg(context.Background(), b.Bytes()[:cut]); err == nil {
				t.Fatalf("decoded from %d of %d bytes", cut, b.Len())
			}
		}
	}
}
