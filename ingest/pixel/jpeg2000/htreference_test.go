package jpeg2000

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"llamaxr/internal/peertest"
)

// openJPH encodes a picture with OpenJPH.
func openJPH(t *testing.T, p picture, options string) []byte {
	t.Helper()
	extension := "pgm"
	if p.components == 3 {
		extension = "ppm"
	}
	folder := t.TempDir()
	in, out := filepath.Join(folder, "in."+extension), filepath.Join(folder, "out.j2c")
	if err := os.WriteFile(in, p.netpbm(), 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, peertest.Program(t, "ojph_compress"), append([]string{"-i", in, "-o", out}, strings.Fields(options)...)...)
	code, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return code
}

// HTJ2K codestreams of OpenJPH decode to the very values of OpenJPEG's decoder, and without loss to the picture: depth, odd
// sizes, levels, code-blocks, tiles and offsets, precincts, progressions, both wavelets and component transformations.
func TestOpenJPH(t *testing.T) {
	type setting struct {
		picture
		options string
	}
	var all []setting
	add := func(width, height, components, precision int, options string) {
		all = append(all, setting{newPicture(uint64(len(all)), width, height, components, precision, false), options})
	}
	for _, precision := range []int{8, 10, 12, 14, 16} {
		add(131, 97, 1, precision, "-reversible true")
		add(67, 45, 3, precision, "-reversible true")
		add(67, 45, 3, precision, "-reversible true -colour_trans false")
		for _, step := range []string{"0.0001", "0.004", "0.05"} {
			add(131, 97, 1, precision, "-qstep "+step)
			add(67, 45, 3, precision, "-qstep "+step)
		}
	}
	for _, side := range [][2]int{{1, 1}, {1, 9}, {9, 1}, {2, 2}, {3, 5}, {64, 64}, {65, 129}, {200, 7}} {
		for _, levels := range []int{0, 1, 3} {
			add(side[0], side[1], 1, 12, fmt.Sprintf("-reversible true -num_decomps %d", levels))
			add(side[0], side[1], 1, 12, fmt.Sprintf("-qstep 0.002 -num_decomps %d", levels))
		}
	}
	for _, blocks := range []string{"4,4", "64,4", "4,64", "32,16", "1024,4", "4,1024"} {
		add(150, 70, 1, 12, "-reversible true -block_size {"+blocks+"}")
	}
	for _, order := range []string{"LRCP", "RLCP", "RPCL", "PCRL", "CPRL"} {
		add(133, 90, 3, 8, "-reversible true -prog_order "+order+" -precincts {32,32},{64,32} -block_size {16,16} -num_decomps 3")
		add(133, 90, 3, 10, "-reversible true -prog_order "+order+" -tile_size {50,41} -tile_offset {3,2} -image_offset {5,9}")
		add(133, 90, 1, 16, "-qstep 0.001 -prog_order "+order+" -image_offset {37,21} -num_decomps 6")
	}
	for _, s := range all {
		t.Run(fmt.Sprintf("%dx%dx%d %d bits %s", s.width, s.height, s.components, s.precision, s.options), func(t *testing.T) {
			code := openJPH(t, s.picture, s.options)
			got, err := decoded(t, code)
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(s.options, "-reversible true") {
				got.same(t, s.bits())
			} else {
				got.same(t, openJPEG(t, code))
			}
			cutShort(t, code)
		})
	}
}

// The significance propagation and magnitude refinement passes, which OpenJPH does not write, take any bits. Behind the
// cleanup pass of a block of OpenJPH's, moved up by two bit-planes, random ones decode to OpenJPEG's values.
func TestHTRefinement(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for n := range 60 {
		width, height, passes, causal := 1+random.IntN(64), 1+random.IntN(64), 2+n%2, n%3 == 0
		source := newPicture(uint64(n), width, height, 1, 8, false)
		cleanup, zeros := onlyBlock(t, openJPH(t, source, "-reversible true -num_decomps 0"))
		more := make([]byte, 1+random.IntN(width*height))
		for i := range more {
			more[i] = byte(random.Uint32())
			if i > 0 && more[i-1] == 0xFF {
				more[i] &= 0x7F
			}
		}
		if more[len(more)-1] == 0xFF {
			more[len(more)-1] = 0
		}
		code := oneBlock(width, height, zeros, passes, causal, cleanup, more)
		got, err := decoded(t, code)
		if err != nil {
			t.Fatalf("%d x %d, %d passes: %v", width, height, passes, err)
		}
		got.same(t, openJPEG(t, code))
	}
}

// onlyBlock takes the cleanup segment and the number of empty bit-planes of an image of one code-block.
func onlyBlock(t *testing.T, code []byte) (cleanup []byte, zeros int) {
	t.Helper()
	s, b, err := readSize(code)
	if err != nil {
		t.Fatal(err)
	}
	main, b, err := readMainHeader(&s, b)
	if err != nil {
		t.Fatal(err)
	}
	tiles, err := readTileParts(&s, main, b)
	if err != nil {
		t.Fatal(err)
	}
	most := len(tiles[0].data)
	c, err := newTileComponent(tiles[0], s.image, 0, s.Precision, &most)
	if err != nil {
		t.Fatal(err)
	}
	p := &packets{tilePart: tiles[0], data: tiles[0].data, components: []*tileComponent{c}, budget: 1}
	if err := sequence(tiles[0], p.components, p.read); err != nil {
		t.Fatal(err)
	}
	block := c.resolutions[0].precincts[0].bands[0].blocks[0]
	return block.segments[0].data, block.zeros
}

// oneBlock writes an image of 16 bits in one HT code-block whose cleanup pass is of the third bit-plane from below.
func oneBlock(width, height, zeros, passes int, causal bool, cleanup, more []byte) []byte {
	var b bytes.Buffer
	put := func(values ...any) {
		for _, v := range values {
			_ = binary.Write(&b, binary.BigEndian, v)
		}
	}
	style := byte(styleHT)
	if causal {
		style |= styleCausal
	}
	planes := zeros + 3
	put(uint16(markerSOC), uint16(markerSIZ), uint16(41), uint16(0x4000), uint32(width), uint32(height), uint32(0), uint32(0),
		uint32(width), uint32(height), uint32(0), uint32(0), uint16(1), []byte{15, 1, 1})
	put(uint16(markerCAP), uint16(8), uint32(0x00020000), uint16(0))
	put(uint16(markerCOD), uint16(12), []byte{0, 0, 0, 1, 0, 0, 4, 4, style, 1})
	put(uint16(markerQCD), uint16(4), []byte{1 << 5, byte(planes << 3)})
	var w bitWriter
	w.put(1, 1) // not empty
	w.put(1, 1) // included in the first layer
	w.put(1, zeros+1)
	w.put(0b1100|passes-3, 4)
	if passes == 2 {
		w = bitWriter{bits: w.bits[:len(w.bits)-4]}
		w.put(0b10, 2)
	}
	const lengths = 14 // Lblock
	for range lengths - 3 {
		w.put(1, 1)
	}
	w.put(0, 1)
	w.put(len(cleanup), lengths)
	w.put(len(more), lengths+(passes-1)/2)
	header := w.bytes()
	put(uint16(markerSOT), uint16(10), uint16(0), uint32(14+len(header)+len(cleanup)+len(more)), []byte{0, 1}, uint16(markerSOD))
	put(header, cleanup, more, uint16(markerEOC))
	return b.Bytes()
}

// bitWriter writes a packet header.
type bitWriter struct{ bits []byte }

func (w *bitWriter) put(value, width int) {
	for i := width - 1; i >= 0; i-- {
		w.bits = append(w.bits, byte(value>>i&1))
	}
}

// bytes packs the bits, stuffing one behind each FF.
func (w *bitWriter) bytes() []byte {
	var b []byte
	for rest := w.bits; len(rest) > 0; {
		width, v := 8, byte(0)
		if len(b) > 0 && b[len(b)-1] == 0xFF {
			width = 7
		}
		for i := range width {
			v <<= 1
			if i < len(rest) {
				v |= rest[i]
			}
		}
		b, rest = append(b, v), rest[min(width, len(rest)):]
	}
	if b[len(b)-1] == 0xFF {
		b = append(b, 0)
	}
	return b
}
