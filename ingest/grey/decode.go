package grey

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"image/jpeg"
	"io"

	"llamaxr/ingest/dicomscan"
)

// Limits on one frame.
const (
	maxSide       = 65535
	maxFrameBytes = 256 << 20
)

// ErrUnsupported is returned for pixel data that is sound but in an encoding that is not decoded here.
var ErrUnsupported = errors.New("grey: encoding is not decoded")

// ErrNoImage is returned for objects without pixel data.
var ErrNoImage = errors.New("grey: no image")

// Frame is the first frame's stored values: Samples a pixel, interleaved.
type Frame struct {
	Rows, Columns, Samples int
	BitsAllocated          int
	BitsStored             int
	Signed                 bool
	Values                 []int32
	// FromYBR says that a colour JPEG was decoded to RGB already.
	FromYBR bool
}

// Decode reads the first frame.
func Decode(f *dicomscan.File) (*Frame, error) {
	e := f.Elements[dicomscan.PixelData]
	if e == nil {
		return nil, ErrNoImage
	}
	fr := &Frame{
		Rows: f.Int(dicomscan.Rows), Columns: f.Int(dicomscan.Columns), Samples: max(f.Int(dicomscan.SamplesPerPixel), 1),
		BitsAllocated: f.Int(dicomscan.BitsAllocated), BitsStored: f.Int(dicomscan.BitsStored), Signed: f.Int(dicomscan.PixelRepresentation) == 1,
	}
	if fr.BitsStored == 0 || fr.BitsStored > fr.BitsAllocated {
		fr.BitsStored = fr.BitsAllocated
	}
	switch {
	case fr.Rows < 1 || fr.Columns < 1 || fr.Rows > maxSide || fr.Columns > maxSide:
		return nil, fmt.Errorf("grey: %d rows and %d columns", fr.Rows, fr.Columns)
	case fr.Samples != 1 && fr.Samples != 3:
		return nil, fmt.Errorf("grey: %d samples a pixel", fr.Samples)
	case fr.BitsAllocated != 8 && fr.BitsAllocated != 16 && fr.BitsAllocated != 32:
		return nil, fmt.Errorf("%w: %d bits allocated", ErrUnsupported, fr.BitsAllocated)
	case fr.bytes() > maxFrameBytes:
		return nil, fmt.Errorf("grey: frame of %d bytes, at most %d are decoded", fr.bytes(), maxFrameBytes)
	}
	if e.Fragments == nil {
		return fr, fr.native(f, e)
	}
	data, err := firstFrame(f, e)
	if err != nil {
		return nil, err
	}
	switch f.TransferSyntax {
	case "1.2.840.10008.1.2.5":
		return fr, fr.rle(data)
	case "1.2.840.10008.1.2.4.50":
		return fr, fr.baseline(data)
	case "1.2.840.10008.1.2.4.57", "1.2.840.10008.1.2.4.70":
		return fr, fr.lossless(data)
	}
	return nil, fmt.Errorf("%w: transfer syntax %s", ErrUnsupported, f.TransferSyntax)
}

func (fr *Frame) bytes() int64 {
	return int64(fr.Rows) * int64(fr.Columns) * int64(fr.Samples) * int64(fr.BitsAllocated/8)
}

// native reads uncompressed values; colour by plane is interleaved.
func (fr *Frame) native(f *dicomscan.File, e *dicomscan.Element) error {
	if f.Header.PhotometricInterpretation == "YBR_FULL_422" {
		return fmt.Errorf("%w: uncompressed YBR_FULL_422", ErrUnsupported)
	}
	if e.Length < fr.bytes() {
		return fmt.Errorf("grey: pixel data has %d bytes, one frame needs %d", e.Length, fr.bytes())
	}
	data := make([]byte, fr.bytes()+fr.bytes()%2)
	if _, err := f.ReadAt(data, e.Offset); err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("grey: reading pixel data: %w", err)
	}
	fr.Values = make([]int32, fr.Rows*fr.Columns*fr.Samples)
	width := fr.BitsAllocated / 8
	at := func(i int) uint32 {
		switch width {
		case 1:
			return uint32(data[i])
		case 2:
			return uint32(f.Order.Uint16(data[2*i:]))
		}
		return f.Order.Uint32(data[4*i:])
	}
	if width == 1 && f.Order == binary.BigEndian && e.VR == "OW" {
		for i := 0; i+1 < len(data); i += 2 { // bytes in big endian words
			data[i], data[i+1] = data[i+1], data[i]
		}
	}
	planes := fr.Samples == 3 && f.Int(dicomscan.PlanarConfiguration) == 1
	n := fr.Rows * fr.Columns
	for i := range fr.Values {
		from := i
		if planes {
			from = i%3*n + i/3
		}
		fr.Values[i] = fr.sign(at(from))
	}
	return nil
}

// sign widens a stored value: a signed one has its sign in the highest stored bit.
func (fr *Frame) sign(v uint32) int32 {
	if !fr.Signed {
		return int32(v)
	}
	shift := 32 - fr.BitsStored
	return int32(v<<shift) >> shift
}

// firstFrame joins the fragments of the first frame: all of them when there is one frame, else those before the second offset, or
// the first fragment alone.
func firstFrame(f *dicomscan.File, e *dicomscan.Element) ([]byte, error) {
	if len(e.Fragments) < 2 {
		return nil, errors.New("grey: encapsulated pixel data without a fragment")
	}
	table, fragments := e.Fragments[0], e.Fragments[1:]
	if f.Int(dicomscan.NumberOfFrames) > 1 {
		end := int64(-1)
		if table.Length >= 8 {
			var second [4]byte
			if _, err := f.ReadAt(second[:], table.Offset+4); err == nil {
				end = fragments[0].Offset - 8 + int64(uint32(second[0])|uint32(second[1])<<8|uint32(second[2])<<16|uint32(second[3])<<24)
			}
		}
		keep := 1
		for keep < len(fragments) && fragments[keep].Offset-8 < end {
			keep++
		}
		fragments = fragments[:keep]
	}
	var total int64
	for _, fragment := range fragments {
		total += fragment.Length
	}
	if total > maxFrameBytes {
		return nil, fmt.Errorf("grey: first frame of %d compressed bytes, at most %d are decoded", total, maxFrameBytes)
	}
	data := make([]byte, 0, total)
	for _, fragment := range fragments {
		part := make([]byte, fragment.Length)
		if _, err := f.ReadAt(part, fragment.Offset); err != nil && !errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("grey: reading a fragment: %w", err)
		}
		data = append(data, part...)
	}
	return data, nil
}

// rle decodes PS3.5, annex G: a segment for each byte of each sample, the most significant first, packed bits within.
func (fr *Frame) rle(data []byte) error {
	width := fr.BitsAllocated / 8
	want := fr.Samples * width
	if len(data) < 64 {
		return errors.New("grey: RLE header is cut off")
	}
	word := func(i int) int {
		return int(uint32(data[4*i]) | uint32(data[4*i+1])<<8 | uint32(data[4*i+2])<<16 | uint32(data[4*i+3])<<24)
	}
	if n := word(0); n != want {
		return fmt.Errorf("grey: RLE has %d segments, want %d", n, want)
	}
	n := fr.Rows * fr.Columns
	raw := make([]uint32, n*fr.Samples)
	for s := range want {
		from, to := word(s+1), len(data)
		if s+1 < want {
			to = word(s + 2)
		}
		if from < 64 || to > len(data) || from > to {
			return fmt.Errorf("grey: RLE segment %d lies at %d to %d of %d", s, from, to, len(data))
		}
		plane, err := unpackBits(data[from:to], n)
		if err != nil {
			return fmt.Errorf("grey: RLE segment %d: %w", s, err)
		}
		sample, shift := s/width, 8*(width-1-s%width)
		for i, b := range plane {
			raw[i*fr.Samples+sample] |= uint32(b) << shift
		}
	}
	fr.Values = make([]int32, len(raw))
	for i, v := range raw {
		fr.Values[i] = fr.sign(v)
	}
	return nil
}

func unpackBits(in []byte, n int) ([]byte, error) {
	out := make([]byte, 0, n)
	for len(out) < n {
		if len(in) == 0 {
			return nil, fmt.Errorf("ends after %d of %d bytes", len(out), n)
		}
		code := int(int8(in[0]))
		in = in[1:]
		switch {
		case code >= 0:
			k := min(code+1, n-len(out))
			if len(in) < k {
				return nil, fmt.Errorf("ends after %d of %d bytes", len(out), n)
			}
			out, in = append(out, in[:k]...), in[min(code+1, len(in)):]
		case code != -128:
			if len(in) == 0 {
				return nil, fmt.Errorf("ends after %d of %d bytes", len(out), n)
			}
			for range min(1-code, n-len(out)) {
				out = append(out, in[0])
			}
			in = in[1:]
		}
	}
	return out, nil
}

// baseline decodes 8-bit JPEG with Go's decoder, once its size is known to be the header's.
func (fr *Frame) baseline(data []byte) error {
	config, err := jpeg.DecodeConfig(bytes.NewReader(data))
	if err != nil {
		return fmt.Errorf("grey: JPEG: %w", err)
	}
	if config.Width != fr.Columns || config.Height != fr.Rows {
		return fmt.Errorf("grey: JPEG of %d x %d in an image of %d x %d", config.Width, config.Height, fr.Columns, fr.Rows)
	}
	img, err := jpeg.Decode(bytes.NewReader(data))
	if err != nil {
		return fmt.Errorf("grey: JPEG: %w", err)
	}
	fr.Values = make([]int32, 0, fr.Rows*fr.Columns*fr.Samples)
	if g, ok := img.(*image.Gray); ok && fr.Samples == 1 {
		for y := range fr.Rows {
			for _, v := range g.Pix[y*g.Stride : y*g.Stride+fr.Columns] {
				fr.Values = append(fr.Values, int32(v))
			}
		}
		return nil
	}
	if fr.Samples != 3 {
		return errors.New("grey: colour JPEG in an image of one sample a pixel")
	}
	fr.FromYBR = true
	for y := range fr.Rows {
		for x := range fr.Columns {
			r, g, b, _ := img.At(x, y).RGBA()
			fr.Values = append(fr.Values, int32(r>>8), int32(g>>8), int32(b>>8))
		}
	}
	return nil
}
