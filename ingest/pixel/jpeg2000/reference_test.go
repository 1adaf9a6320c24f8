package jpeg2000

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"llamaxr/internal/peertest"
)

// picture is an image of slow waves, an edge and noise, made by its seed.
type picture struct {
	width, height, components, precision int
	signed                               bool
	planes                               [][]int32
}

func newPicture(seed uint64, width, height, components, precision int, signed bool) picture {
	p := picture{width: width, height: height, components: components, precision: precision, signed: signed}
	random := rand.New(rand.NewPCG(seed, uint64(width*height)))
	full, low := float64(int(1)<<precision-1), 0.0
	if signed {
		low = -float64(int(1) << (precision - 1))
	}
	for c := range components {
		plane := make([]int32, width*height)
		for i := range plane {
			x, y := float64(i%width), float64(i/width)
			v := 0.5 + 0.3*math.Sin(x/9+float64(c))*math.Cos(y/7) + 0.1*random.NormFloat64()*random.Float64()
			if x > float64(width)*0.7 && y > float64(height)*0.4 {
				v -= 0.45
			}
			plane[i] = int32(math.Round(low + full*min(max(v, 0), 1)))
		}
		p.planes = append(p.planes, plane)
	}
	return p
}

// raw is the picture as opj_compress reads it, plane by plane, little endian; opj_decompress writes only the bits of the
// precision.
func (p picture) raw(mask int32) []byte {
	var b []byte
	for _, plane := range p.planes {
		for _, v := range plane {
			v &= mask
			b = append(b, byte(v))
			if p.precision > 8 {
				b = append(b, byte(v>>8))
			}
		}
	}
	return b
}

// netpbm is the picture as ojph_compress reads it.
func (p picture) netpbm() []byte {
	kind := "P5"
	if p.components == 3 {
		kind = "P6"
	}
	b := fmt.Appendf(nil, "%s %d %d %d\n", kind, p.width, p.height, 1<<p.precision-1)
	for i := range p.planes[0] {
		for _, plane := range p.planes {
			if p.precision > 8 {
				b = binary.BigEndian.AppendUint16(b, uint16(plane[i]))
			} else {
				b = append(b, byte(plane[i]))
			}
		}
	}
	return b
}

// decoded decodes a codestream, and checks that every sample was delivered once.
func decoded(t testing.TB, code []byte) (picture, error) {
	t.Helper()
	h, err := ReadHeader(code)
	if err != nil {
		return picture{}, err
	}
	p := picture{width: h.Width, height: h.Height, components: h.Components, precision: h.Precision, signed: h.Signed}
	count := 0
	for range h.Components {
		p.planes = append(p.planes, make([]int32, h.Width*h.Height))
	}
	err = Decode(context.Background(), code, func(component, x, y int, samples []int32) {
		count += copy(p.planes[component][y*h.Width+x:(y+1)*h.Width], samples)
	})
	if err == nil && count != h.Width*h.Height*h.Components {
		t.Fatalf("%d samples of %d x %d x %d", count, h.Width, h.Height, h.Components)
	}
	return p, err
}

func run(t *testing.T, program string, arguments ...string) {
	t.Helper()
	if output, err := exec.Command(program, arguments...).CombinedOutput(); err != nil {
		t.Fatalf("%s %s: %v\n%s", filepath.Base(program), strings.Join(arguments, " "), err, output)
	}
}

// openJPEG decodes a codestream with OpenJPEG.
func openJPEG(t *testing.T, code []byte) []byte {
	t.Helper()
	folder := t.TempDir()
	in, out := filepath.Join(folder, "in.j2k"), filepath.Join(folder, "out.rawl")
	if err := os.WriteFile(in, code, 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, peertest.Program(t, "opj_decompress"), "-i", in, "-o", out)
	raw, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// bits is raw in the bits of the precision alone.
func (p picture) bits() []byte { return p.raw(1<<p.precision - 1) }

// same fails unless the bits of the picture are what the reference decoded.
func (p picture) same(t *testing.T, want []byte) {
	t.Helper()
	got := p.bits()
	if bytes.Equal(got, want) {
		return
	}
	different := 0
	for i := range min(len(got), len(want)) {
		if got[i] != want[i] {
			different++
		}
	}
	t.Errorf("%d of %d bytes differ, the reference has %d", different, len(got), len(want))
}

// Codestreams of OpenJPEG in every setting that it has decode to the very values of its own decoder, and without loss to the
// picture: depth, sign, odd sizes, levels, code-blocks, tiles and offsets, precincts, progressions and their changes, layers,
// markers, tile-parts, code-block styles, both wavelets and component transformations.
func TestOpenJPEG(t *testing.T) {
	compress := peertest.Program(t, "opj_compress")
	type setting struct {
		picture
		options string
	}
	var all []setting
	add := func(p picture, options string) { all = append(all, setting{p, options}) }
	gray := func(w, h, precision int) picture { return newPicture(uint64(len(all)), w, h, 1, precision, false) }
	for _, precision := range []int{2, 8, 10, 12, 14, 16} {
		add(gray(67, 45, precision), "")
		add(gray(67, 45, precision), "-I -r 6")
		add(newPicture(uint64(precision), 40, 33, 1, precision, true), "-r 4,1")
		add(newPicture(uint64(precision), 41, 35, 3, precision, false), "-mct 1")
		add(newPicture(uint64(precision), 43, 37, 3, precision, false), "-mct 1 -I -r 8,3")
		add(newPicture(uint64(precision), 43, 37, 3, precision, false), "-mct 0 -I -r 5")
	}
	for _, side := range [][2]int{{1, 1}, {1, 9}, {9, 1}, {2, 2}, {3, 5}, {64, 64}, {65, 129}, {200, 7}} {
		levels := min(3, bits.Len(uint(min(side[0], side[1])))) // no more from its encoder
		add(gray(side[0], side[1], 12), "-n 1")
		add(gray(side[0], side[1], 12), fmt.Sprintf("-n %d", levels))
		add(gray(side[0], side[1], 12), fmt.Sprintf("-n %d -I -r 2", levels))
	}
	for _, blocks := range []string{"4,4", "64,4", "4,64", "32,16", "1024,4"} {
		add(gray(150, 70, 12), "-b "+blocks)
	}
	for mode := range 64 {
		add(gray(71, 50, 12), fmt.Sprintf("-M %d -b 32,32 -r 10,3,1", mode))
	}
	for _, order := range []string{"LRCP", "RLCP", "RPCL", "PCRL", "CPRL"} {
		add(newPicture(7, 133, 90, 3, 8, false), "-p "+order+" -c [32,32],[16,32],[64,16] -b 16,16 -n 4 -r 20,5,1 -SOP -EPH")
		add(newPicture(8, 133, 90, 3, 10, false), "-p "+order+" -t 50,41 -d 5,9 -T 3,2 -n 4 -TP R -TLM -PLT")
		add(newPicture(9, 133, 90, 1, 16, false), "-p "+order+" -I -r 9,4 -n 6 -c [64,64] -TP L")
		add(newPicture(11, 133, 90, 1, 16, false), "-p "+order+" -d 37,21 -I -r 9 -n 6")
	}
	add(newPicture(10, 90, 60, 3, 8, false), "-n 4 -r 8,1 -POC T1=0,0,2,2,3,RLCP/T1=2,0,2,4,3,CPRL")
	for _, s := range all {
		name := fmt.Sprintf("%dx%dx%d %d bits %s", s.width, s.height, s.components, s.precision, s.options)
		t.Run(name, func(t *testing.T) {
			folder := t.TempDir()
			in, out := filepath.Join(folder, "in.rawl"), filepath.Join(folder, "out.j2k")
			if err := os.WriteFile(in, s.raw(-1), 0o600); err != nil {
				t.Fatal(err)
			}
			sign := map[bool]string{false: "u", true: "s"}[s.signed]
			arguments := []string{"-i", in, "-o", out, "-F", fmt.Sprintf("%d,%d,%d,%d,%s", s.width, s.height, s.components, s.precision, sign)}
			run(t, compress, append(arguments, strings.Fields(s.options)...)...)
			code, err := os.ReadFile(out)
			if err != nil {
				t.Fatal(err)
			}
			got, err := decoded(t, code)
			if err != nil {
				t.Fatal(err)
			}
			got.same(t, openJPEG(t, code))
			if !strings.Contains(s.options, "-I") && (!strings.Contains(s.options, "-r") || strings.Contains(s.options, ",1")) {
				got.same(t, s.bits())
			}
			cutShort(t, code)
		})
	}
}

// cutShort checks that no part of a codestream is taken for the whole.
func cutShort(t *testing.T, code []byte) {
	t.Helper()
	for cut := 0; cut < len(code)-3; cut += 1 + len(code)/40 {
		if _, err := decoded(t, code[:cut]); err == nil {
			t.Fatalf("decoded from %d of %d bytes", cut, len(code))
		}
	}
}
