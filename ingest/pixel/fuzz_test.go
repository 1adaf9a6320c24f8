package pixel

import (
	"bytes"
	"context"
	"image"
	"image/jpeg"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"llamaxr/ingest/dicomfile"
	"llamaxr/internal/peertest"
)

// seeds adds files of the shared data set that are small enough to mutate.
func seeds(f *testing.F, folders ...string) {
	f.Helper()
	for _, row := range manifest(f) {
		for _, folder := range folders {
			if row["folder"] != folder {
				continue
			}
			raw, err := os.ReadFile(peertest.SharedData(f, "dicom/"+row["file"]))
			if err != nil {
				f.Fatal(err)
			}
			if len(raw) < 12_000 {
				f.Add(raw)
			}
		}
	}
}

// No object, however broken, makes the way from bytes to input panic or run on.
func FuzzDecode(f *testing.F) {
	seeds(f, "transfer_syntaxes", "radiographs", "malformed")
	f.Fuzz(func(t *testing.T, b []byte) {
		file, err := dicomfile.Read(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			return
		}
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		frame, err := Decode(ctx, file)
		if err != nil {
			return
		}
		if len(frame.Data) != frame.size() {
			t.Fatalf("%d bytes, want %d", len(frame.Data), frame.size())
		}
		img, err := Gray(file, frame)
		if err != nil {
			return
		}
		for _, v := range img.Pixels {
			if !(v >= 0 && v <= 1) {
				t.Fatalf("grey level %v", v)
			}
		}
		Normalise(img)
		Doubts(file, img)
		LooksInverted(img)
		Render(img, 64)
	})
}

func FuzzRLE(f *testing.F) {
	header := make([]byte, rleHeader)
	header[0], header[4] = 1, rleHeader
	f.Add(append(header, 0x81, 7, 0x03, 1, 2, 3, 4), uint8(1), false)
	header2 := make([]byte, rleHeader)
	header2[0], header2[4], header2[8] = 2, rleHeader, rleHeader+2
	f.Add(append(header2, 0x81, 7, 0x81, 9), uint8(1), true)
	f.Fuzz(func(t *testing.T, b []byte, samples uint8, deep bool) {
		fr := &Frame{Rows: 8, Columns: 16, Samples: 1 + 2*int(samples%2), BitsAllocated: 8, BitsStored: 8}
		if deep {
			fr.BitsAllocated, fr.BitsStored = 16, 16
		}
		if err := fr.rle(context.Background(), b); err == nil && len(fr.Data) != fr.size() {
			t.Fatalf("%d bytes, want %d", len(fr.Data), fr.size())
		}
	})
}

func FuzzJPEGLossless(f *testing.F) {
	for _, c := range losslessCases() {
		f.Add(c.encode(), uint8(c.components), c.precision > 8)
	}
	f.Fuzz(func(t *testing.T, b []byte, components uint8, deep bool) {
		fr := &Frame{Samples: 1 + 2*int(components/2%2), BitsAllocated: 8, BitsStored: 8}
		if deep {
			fr.BitsAllocated, fr.BitsStored = 16, 16
		}
		h, err := probe(b)
		if err != nil || h.rows*h.columns > 1<<16 || h.rows*h.columns == 0 {
			return
		}
		fr.Rows, fr.Columns = h.rows, h.columns
		if err := fr.jpegLossless(context.Background(), b); err == nil && len(fr.Data) != fr.size() {
			t.Fatalf("%d bytes, want %d", len(fr.Data), fr.size())
		}
	})
}

func FuzzJPEGLS(f *testing.F) {
	paths, err := filepath.Glob("testdata/*.jls")
	if err != nil || len(paths) == 0 {
		f.Fatalf("no seeds: %v", err)
	}
	for _, path := range paths {
		code, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(code)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := probe(b)
		if err != nil || h.rows*h.columns > 1<<16 || h.rows*h.columns == 0 {
			return
		}
		fr := &Frame{Rows: h.rows, Columns: h.columns, Samples: len(h.components), BitsAllocated: 16, BitsStored: 16}
		if fr.Samples != 1 && fr.Samples != 3 {
			return
		}
		if err := fr.jpegLS(context.Background(), b); err == nil && len(fr.Data) != fr.size() {
			t.Fatalf("%d bytes, want %d", len(fr.Data), fr.size())
		}
	})
}

func FuzzJPEG(f *testing.F) {
	for _, picture := range []image.Image{image.NewGray(image.Rect(0, 0, 20, 17)), image.NewRGBA(image.Rect(0, 0, 33, 9))} {
		var b bytes.Buffer
		if err := jpeg.Encode(&b, picture, nil); err != nil {
			f.Fatal(err)
		}
		f.Add(b.Bytes())
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := probe(b)
		if err != nil || h.rows*h.columns > 1<<16 || h.rows*h.columns == 0 {
			return
		}
		fr := &Frame{Rows: h.rows, Columns: h.columns, Samples: len(h.components), BitsAllocated: 16, BitsStored: 16}
		if fr.Samples != 1 && fr.Samples != 3 {
			return
		}
		if err := fr.jpeg(context.Background(), b); err == nil && len(fr.Data) != fr.size() {
			t.Fatalf("%d bytes, want %d", len(fr.Data), fr.size())
		}
	})
}

// BenchmarkInput is the way from the file to the classifier's input for a radiograph of 3.8 million pixels in JPEG lossless.
func BenchmarkInput(b *testing.B) {
	path := peertest.SharedData(b, "dicom/radiographs/RG2_JPLL.dcm")
	for b.Loop() {
		Normalise(openGray(b, path))
	}
}

// A broken file costs memory in proportion to what it holds, not to what it declares.
func TestMemoryBounded(t *testing.T) {
	paths, err := filepath.Glob(filepath.Join(peertest.SharedData(t, "dicom/malformed"), "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if file, err := dicomfile.Open(path); err == nil {
			if frame, err := Decode(context.Background(), file); err == nil {
				_, _ = Gray(file, frame)
			}
			file.Close()
		}
		runtime.ReadMemStats(&after)
		const fixed, factor = 4 << 20, 200 // read windows and tables; an RLE byte may become 64, twice
		if used := after.TotalAlloc - before.TotalAlloc; used > fixed+factor*uint64(info.Size()) {
			t.Errorf("%s of %d bytes: %d bytes allocated", filepath.Base(path), info.Size(), used)
		}
	}
}
