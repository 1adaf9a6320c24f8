package jpeg2000

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"testing"
)

// emptyPasses is an image of 16 bits, a square of n x n code-blocks in one precinct, each of which asks for as many passes as there can be
// and holds no byte.
func emptyPasses(n int) []byte {
	var b bytes.Buffer
	put := func(values ...any) {
		for _, v := range values {
			_ = binary.Write(&b, binary.BigEndian, v)
		}
	}
	side := uint32(64 * n)
	put(uint16(markerSOC), uint16(markerSIZ), uint16(41), uint16(0), side, side, uint32(0), uint32(0), side, side, uint32(0), uint32(0), uint16(1), []byte{15, 1, 1})
	put(uint16(markerCOD), uint16(12), []byte{0, 0, 0, 1, 0, 0, 4, 4, 0, 1})
	put(uint16(markerQCD), uint16(4), []byte{7 << 5, (maxPlanes - 6) << 3})
	var w bitWriter
	w.put(1, 1) // not empty
	for k := range n * n {
		for range 2 { // included, and no empty bit-plane: a one for each node of the tag trees that was not seen yet
			for level, x, y, width := 0, k%n, k/n, n; ; level++ {
				if x&(1<<level-1) != 0 || y&(1<<level-1) != 0 {
					break
				}
				w.put(1, 1)
				if width == 1 {
					break
				}
				width = (width + 1) / 2
			}
		}
		const passes = 3*maxPlanes - 2
		w.put(0x1FF, 9)
		w.put(passes-37, 7)
		w.put(0, 1)   // Lblock stays 3
		w.put(0, 3+6) // bytes
	}
	header := w.bytes()
	put(uint16(markerSOT), uint16(10), uint16(0), uint32(14+len(header)), []byte{0, 1}, uint16(markerSOD), header, uint16(markerEOC))
	return b.Bytes()
}

// askedOften is a context that is done when it was asked often enough.
type askedOften struct {
	context.Context
	left int
}

// Err implements context.Context.
func (c *askedOften) Err() error {
	if c.left--; c.left < 0 {
		return context.Canceled
	}
	return nil
}

// TestStopsInsideAPrecinct: a precinct may be the whole image, so a decoder that is to stop stops between its code-blocks.
func TestStopsInsideAPrecinct(t *testing.T) {
	const n = 4
	code := emptyPasses(n)
	all := &askedOften{t.Context(), 1 << 20}
	if err := Decode(all, code, func(int, int, int, []int32) {}); err != nil {
		t.Fatal(err)
	}
	if asked := 1<<20 - all.left; asked < n*n {
		t.Errorf("asked %d times in %d code-blocks", asked, n*n)
	}
	if err := Decode(&askedOften{t.Context(), n}, code, func(int, int, int, []int32) { t.Error("delivered") }); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}
