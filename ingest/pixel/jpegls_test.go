package pixel

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"testing"

	"llamaxr/internal/peertest"
)

// JPEG-LS of CharLS in many depths, sizes, losses and interleave modes decodes to the very values of CharLS; cut short it gives
// an error.
func TestJPEGLSAgainstCharLS(t *testing.T) {
	folder := t.TempDir()
	program := exec.Command(peertest.Python(t), "testdata/jpegls.py", folder)
	program.Stderr = os.Stderr
	output, err := program.Output()
	if err != nil {
		t.Fatal(err)
	}
	cases := 0
	for line := range bytes.Lines(output) {
		var c struct {
			Name                                           string
			Rows, Columns, Samples, Bits, Near, Interleave int
		}
		if err := json.Unmarshal(line, &c); err != nil {
			t.Fatal(err)
		}
		code, err := os.ReadFile(filepath.Join(folder, c.Name+".jls"))
		if err != nil {
			t.Fatal(err)
		}
		want, err := os.ReadFile(filepath.Join(folder, c.Name+".raw"))
		if err != nil {
			t.Fatal(err)
		}
		frame := func() *Frame {
			return &Frame{Rows: c.Rows, Columns: c.Columns, Samples: c.Samples, BitsAllocated: (c.Bits + 7) / 8 * 8, BitsStored: c.Bits}
		}
		f := frame()
		if err := f.jpegLS(context.Background(), code); err != nil {
			t.Errorf("%+v: %v", c, err)
		} else if !bytes.Equal(f.Data, want) {
			t.Errorf("%+v: other values than CharLS", c)
		}
		for cut := 0; cut < len(code)-4; cut += 1 + len(code)/40 {
			if err := frame().jpegLS(context.Background(), code[:cut]); err == nil {
				t.Fatalf("%+v: decoded from %d of %d bytes", c, cut, len(code))
			}
		}
		cases++
	}
	if cases < 100 {
		t.Errorf("only %d cases", cases)
	}
}

// A codestream of nothing but marker segments comes to an end, whether they stand before or behind the frame header.
func TestEndlessSegments(t *testing.T) {
	const n = 1 << 20
	sizes := []byte{0, 11, 8, 0, 4, 0, 4, 1, 1, 0x11, 0}
	comments := bytes.Repeat([]byte{0xFF, 0xFE, 0, 2}, n)
	for _, frameHeader := range []byte{markerSOF0, markerSOF3, markerSOF55} {
		for _, before := range []bool{false, true} {
			code := []byte{0xFF, markerSOI}
			if !before {
				code = append(append(code, 0xFF, frameHeader), sizes...)
			}
			code = append(code, comments...)
			f := &Frame{Rows: 4, Columns: 4, Samples: 1, BitsAllocated: 8, BitsStored: 8}
			decode := map[byte]func(context.Context, []byte) error{markerSOF0: f.jpeg, markerSOF3: f.jpegLossless, markerSOF55: f.jpegLS}
			if err := decode[frameHeader](context.Background(), code); err == nil {
				t.Errorf("FF%02X, segments before it %v: decoded", frameHeader, before)
			}
		}
	}
	code := jpeg2000Head(4, 4)
	code = append(code, bytes.Repeat([]byte{0xFF, 0x64, 0, 2}, n)...)
	f := &Frame{Rows: 4, Columns: 4, Samples: 1, BitsAllocated: 16, BitsStored: 16}
	if err := f.jpeg2000(context.Background(), code); !errors.Is(err, ErrLimit) {
		t.Errorf("JPEG 2000: %v", err)
	}
}

// jpeg2000Head is SOC and SIZ of a grey image of 16 bits in one tile.
func jpeg2000Head(rows, columns uint32) []byte {
	b := []byte{0xFF, 0x4F, 0xFF, 0x51, 0, 41, 0, 0}
	for _, v := range []uint32{columns, rows, 0, 0, columns, rows, 0, 0} {
		b = binary.BigEndian.AppendUint32(b, v)
	}
	return append(b, 0, 1, 15, 1, 1)
}

// A few bytes that declare a large frame are refused before memory is taken for it: images of JPEG-LS and JPEG 2000 may say
// in no byte at all that they are uniform, and the first component of a JPEG may be the smallest.
func TestDecompressionBomb(t *testing.T) {
	const side = 11000 // 231 MiB of 16 bits, within the limit of a frame
	coding := []byte{0xFF, 0x52, 0, 12, 0, 0, 0, 1, 0, 0, 4, 4, 0, 1, 0xFF, 0x5C, 0, 4, 1 << 5, 16 << 3}
	tile := []byte{0xFF, 0x90, 0, 10, 0, 0, 0, 0, 0, 15, 0, 1, 0xFF, 0x93, 0, 0xFF, 0xD9}
	jpegLS := []byte{0xFF, 0xD8, 0xFF, 0xF7, 0, 11, 16, side >> 8, side & 255, side >> 8, side & 255, 1, 1, 0x11, 0, 0xFF, 0xDA, 0, 8, 1, 1, 0, 0, 0, 0}
	f := &Frame{Rows: side, Columns: side, Samples: 1, BitsAllocated: 16, BitsStored: 16}
	const colourSide = 9000 // 232 MiB of three samples
	colour := &Frame{Rows: colourSide, Columns: colourSide, Samples: 3, BitsAllocated: 8, BitsStored: 8}
	jpegHead := func(marker byte, factors ...byte) []byte {
		b := []byte{0xFF, markerSOI, 0xFF, marker, 0, 8 + 3*3, 8, colourSide >> 8, colourSide & 255, colourSide >> 8, colourSide & 255, 3}
		for i, factor := range factors {
			b = append(b, byte(i+1), factor, 0)
		}
		return append(b, bytes.Repeat([]byte{0xFF, 0xFE, 0, 2}, 10_000)...)
	}
	rleBomb := make([]byte, rleHeader, rleHeader+40_000)
	rleBomb[0], rleBomb[4] = 2, rleHeader
	rleBomb = append(rleBomb, bytes.Repeat([]byte{0x81, 0}, 20_000)...)
	for name, bomb := range map[string]struct {
		decode func() error
		want   error
	}{
		"JPEG-LS": {func() error {
			return f.jpegLS(context.Background(), append(jpegLS, bytes.Repeat([]byte{0x7F}, 1000)...))
		}, ErrLimit},
		"JPEG 2000": {func() error {
			return f.jpeg2000(context.Background(), slices.Concat(jpeg2000Head(side, side), coding, tile))
		}, ErrLimit},
		"JPEG, small first component": {func() error { return colour.jpeg(context.Background(), jpegHead(markerSOF0, 0x11, 0x44, 0x44)) }, ErrTruncated},
		"JPEG, small last component":  {func() error { return colour.jpeg(context.Background(), jpegHead(markerSOF0, 0x44, 0x44, 0x11)) }, ErrTruncated},
		"JPEG lossless":               {func() error { return colour.jpegLossless(context.Background(), jpegHead(markerSOF3, 0x11, 0x11, 0x11)) }, ErrTruncated},
		"RLE":                         {func() error { return f.rle(context.Background(), rleBomb) }, ErrTruncated},
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if err := bomb.decode(); !errors.Is(err, bomb.want) {
			t.Errorf("%s: %v", name, err)
		}
		runtime.ReadMemStats(&after)
		if used := after.TotalAlloc - before.TotalAlloc; used > 1<<20 {
			t.Errorf("%s: %d bytes allocated", name, used)
		}
	}
	small := &Frame{Rows: 100, Columns: 90, Samples: 1, BitsAllocated: 16, BitsStored: 16}
	if err := small.jpeg2000(context.Background(), slices.Concat(jpeg2000Head(100, 90), coding, tile)); err != nil {
		t.Errorf("a small uniform image: %v", err)
	}
}
