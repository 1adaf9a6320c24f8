package dicomfile

import (
	"bytes"
	"io"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"

	"github.com/suyashkumar/dicom/pkg/tag"
)

// TestDeflatedIsNotHeld: a deflated object of 24 MiB is read, header and pixels, with a few MiB of memory, forwards and backwards.
func TestDeflatedIsNotHeld(t *testing.T) {
	const size, most = 24 << 20, 4*keptInflated + 4<<20
	pixels := make([]byte, size)
	random := rand.New(rand.NewPCG(1, 2))
	for run := pixels; len(run) > 0; run = run[64:] { // DEFLATE makes runs of 64 some 20 times smaller
		copy(run, bytes.Repeat([]byte{byte(random.Uint32())}, 64))
	}
	file := part10(DeflatedExplicitVRLittleEndian, deflated(sopClass+short(0x0010, 0x0020, "LO", "ID")+long(0x7FE0, 0x0010, "OW", size, string(pixels))))
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f, err := Read(strings.NewReader(file), int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	if f.Text(tag.PatientID) != "ID" {
		t.Errorf("Patient ID %q", f.Text(tag.PatientID))
	}
	p, _ := f.PixelData()
	if p.Length != size {
		t.Fatalf("%d bytes of pixel data, want %d", p.Length, size)
	}
	piece := make([]byte, 1<<20)
	at := func(offset int64) {
		t.Helper()
		if _, err := io.ReadFull(f.Section(p.Offset+offset, int64(len(piece))), piece); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(piece, pixels[offset:][:len(piece)]) {
			t.Errorf("at byte %d of the pixel data: other values", offset)
		}
	}
	for offset := int64(0); offset < size; offset += int64(len(piece)) {
		at(offset)
	}
	for _, offset := range []int64{size - 2<<20, size - 5<<20 + 3, 12345, 0} {
		at(offset)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > most {
		t.Errorf("%d bytes are held for an object of %d", grown, size)
	}
	runtime.KeepAlive(f)
	runtime.KeepAlive(pixels)
}
