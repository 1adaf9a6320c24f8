package pixel

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"math/bits"
	"testing"
)

// losslessCase is an image and how to code it. The encoder is written from T.81 annex H for the tests; the files of
// TestManifest, made by other programs, hold the decoder to the outside world.
type losslessCase struct {
	components, precision, predictor, transform, interval int
	interleaved                                           bool
	rows, columns                                         int
	planes                                                [][]int
}

func losslessCases() []losslessCase {
	var all []losslessCase
	for predictor := 1; predictor <= 7; predictor++ {
		for _, precision := range []int{2, 8, 12, 16} {
			for _, components := range []int{1, 3} {
				for _, interval := range []int{0, 2} {
					c := losslessCase{
						components: components, precision: precision, predictor: predictor, interval: interval * 13,
						transform: predictor % 2 * (precision / 8), interleaved: interval == 0, rows: 11, columns: 13,
					}
					for k := range components {
						plane := make([]int, c.rows*c.columns)
						for i := range plane {
							plane[i] = (i*i*2654435761>>7 + k*977 + i*(1<<precision)/150) & (1<<precision - 1) >> c.transform << c.transform
						}
						c.planes = append(c.planes, plane)
					}
					all = append(all, c)
				}
			}
		}
	}
	return all
}

// encode writes the image with a Huffman table that gives each category its five-bit number.
func (c losslessCase) encode() []byte {
	var b bytes.Buffer
	segment := func(marker byte, body ...byte) {
		b.Write([]byte{0xFF, marker})
		_ = binary.Write(&b, binary.BigEndian, uint16(len(body)+2))
		b.Write(body)
	}
	b.Write([]byte{0xFF, markerSOI})
	table := append([]byte{0, 0, 0, 0, 0, 17}, make([]byte, 11)...)
	for v := range 17 {
		table = append(table, byte(v))
	}
	segment(markerDHT, table...)
	if c.interval > 0 {
		segment(markerDRI, byte(c.interval>>8), byte(c.interval))
	}
	frame := []byte{byte(c.precision), 0, byte(c.rows), 0, byte(c.columns), byte(c.components)}
	for k := range c.components {
		frame = append(frame, byte(k+1), 0x11, 0)
	}
	segment(markerSOF3, frame...)
	var scans [][]int
	for k := range c.components {
		if c.interleaved && k > 0 {
			scans[0] = append(scans[0], k)
		} else {
			scans = append(scans, []int{k})
		}
	}
	for _, scan := range scans {
		head := []byte{byte(len(scan))}
		for _, k := range scan {
			head = append(head, byte(k+1), 0)
		}
		segment(markerSOS, append(head, byte(c.predictor), 0, byte(c.transform))...)
		c.entropy(&b, scan)
	}
	b.Write([]byte{0xFF, markerEOI})
	return b.Bytes()
}

func (c losslessCase) entropy(b *bytes.Buffer, scan []int) {
	var held, count uint
	put := func(value, n uint) {
		for i := int(n) - 1; i >= 0; i-- {
			held, count = held<<1|value>>i&1, count+1
			if count == 8 {
				b.WriteByte(byte(held))
				if byte(held) == 0xFF {
					b.WriteByte(0)
				}
				held, count = 0, 0
			}
		}
	}
	flush := func() {
		for count != 0 {
			put(1, 1)
		}
	}
	restarts := 0
	for y := range c.rows {
		fresh := y == 0
		if c.interval > 0 && y > 0 && y*c.columns%c.interval == 0 {
			flush()
			b.Write([]byte{0xFF, byte(0xD0 + restarts%8)})
			restarts++
			fresh = true
		}
		for x := range c.columns {
			for _, k := range scan {
				at := func(i int) int { return c.planes[k][i] >> c.transform }
				i := y*c.columns + x
				var p int
				switch {
				case x == 0 && fresh:
					p = 1 << (c.precision - c.transform - 1)
				case fresh:
					p = at(i - 1)
				case x == 0:
					p = at(i - c.columns)
				default:
					ra, rb, rc := at(i-1), at(i-c.columns), at(i-c.columns-1)
					p = [...]int{1: ra, rb, rc, ra + rb - rc, ra + (rb-rc)>>1, rb + (ra-rc)>>1, (ra + rb) >> 1}[c.predictor]
				}
				d := int(int16(at(i) - p))
				if d == -32768 {
					put(16, 5)
					continue
				}
				size := bits.Len(uint(max(d, -d)))
				put(uint(size), 5)
				if d < 0 {
					d += 1<<size - 1
				}
				put(uint(d), uint(size))
			}
		}
	}
	flush()
}

// Every predictor, 2 to 16 bits, point transform, restart intervals, one and three components, interleaved and in scans of
// their own give back what went in; cut short anywhere they give an error.
func TestJPEGLossless(t *testing.T) {
	for _, c := range losslessCases() {
		name := fmt.Sprintf("predictor %d, %d bits, %d components, transform %d, interval %d", c.predictor, c.precision, c.components, c.transform, c.interval)
		frame := func() *Frame {
			allocated := 8
			if c.precision > 8 {
				allocated = 16
			}
			return &Frame{Rows: c.rows, Columns: c.columns, Samples: c.components, BitsAllocated: allocated, BitsStored: c.precision}
		}
		code := c.encode()
		fr := frame()
		if err := fr.jpegLossless(context.Background(), code); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for k, plane := range c.planes {
			for i, want := range plane {
				if got := int(fr.word(i*c.components + k)); got != want {
					t.Fatalf("%s: component %d pixel %d is %d, want %d", name, k, i, got, want)
				}
			}
		}
		for cut := 0; cut < len(code)-6; cut += 7 {
			if err := frame().jpegLossless(context.Background(), code[:cut]); err == nil {
				t.Fatalf("%s: decoded from %d of %d bytes", name, cut, len(code))
			}
		}
	}
}
