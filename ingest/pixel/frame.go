package pixel

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"time"

	"github.com/suyashkumar/dicom/pkg/tag"

	"llamaxr/ingest/dicomfile"
)

// Frame is the first frame of an object as stored: no look-up table, rescale or inversion applied.
type Frame struct {
	Rows, Columns, Samples             int
	BitsAllocated, BitsStored, HighBit int
	Signed                             bool
	// Photometric is the Photometric Interpretation of Data, which for YBR_FULL_422 is YBR_FULL: chroma is doubled.
	Photometric string
	// Planar is the Planar Configuration as sent; Data is always interleaved (0).
	Planar int
	// Contradiction is what in the pixel data speaks against the header, so that the picture is not what was taken and must not be read;
	// empty for nearly all.
	Contradiction string

	precision int // bits of the codestream, where it does not bind the sign; 0 for none
	// Data holds rows x columns x samples values, little endian, of BytesPerSample bytes: what numpy has in C order.
	Data []byte
}

// BytesPerSample is 1, 2 or 4; single bits become bytes of 0 and 1.
func (f *Frame) BytesPerSample() int { return max(1, f.BitsAllocated/8) }

// DType is the numpy type of the raw values, for example uint16.
func (f *Frame) DType() string {
	name := map[int]string{1: "int8", 2: "int16", 4: "int32"}[f.BytesPerSample()]
	if !f.Signed || f.BitsAllocated == 1 {
		name = "u" + name
	}
	return name
}

// word returns value number i as it lies in Data.
func (f *Frame) word(i int) uint32 {
	switch f.BytesPerSample() {
	case 1:
		return uint32(f.Data[i])
	case 2:
		return uint32(binary.LittleEndian.Uint16(f.Data[2*i:]))
	}
	return binary.LittleEndian.Uint32(f.Data[4*i:])
}

// stored reads a cell as the value it holds.
func (f *Frame) stored(word uint32) int64 {
	switch {
	case !f.Signed || f.BitsAllocated == 1:
		return int64(word)
	case f.BytesPerSample() == 1:
		return int64(int8(word))
	case f.BytesPerSample() == 2:
		return int64(int16(word))
	}
	return int64(int32(word))
}

// clearUnused overwrites the bits above Bits Stored, with the sign or with zeros: they say nothing (PS3.5 8.1.1) and hold
// overlays in old objects. Values are taken to lie in the low bits, as every current object must have it and whatever High
// Bit says: wrong High Bits are met more often than values stored high, which the standard retired. So does pydicom.
func (f *Frame) clearUnused() {
	if f.BitsStored >= f.BitsAllocated {
		return
	}
	width, shift := f.BytesPerSample(), 32-f.BitsStored
	if width == 2 && !f.Signed { // nearly every radiograph
		mask := uint16(1)<<f.BitsStored - 1
		for i := range f.values() {
			cell := f.Data[2*i : 2*i+2]
			binary.LittleEndian.PutUint16(cell, binary.LittleEndian.Uint16(cell)&mask)
		}
		return
	}
	for i := range f.values() {
		word := f.word(i) << shift >> shift
		if f.Signed {
			word = uint32(int32(f.word(i)) << shift >> shift)
		}
		f.set(i, word)
	}
}

// set is the opposite of word.
func (f *Frame) set(i int, word uint32) {
	switch f.BytesPerSample() {
	case 1:
		f.Data[i] = byte(word)
	case 2:
		binary.LittleEndian.PutUint16(f.Data[2*i:], uint16(word))
	default:
		binary.LittleEndian.PutUint32(f.Data[4*i:], word)
	}
}

// Decode returns the first frame of an object.
func Decode(ctx context.Context, f *dicomfile.File) (*Frame, error) {
	return decodeWithin(ctx, maxTime, f)
}

func decodeWithin(ctx context.Context, most time.Duration, f *dicomfile.File) (*Frame, error) {
	timed, cancel := context.WithTimeoutCause(ctx, most, fail(ErrLimit, "decoding takes more than %s", most))
	defer cancel()
	frame, err := decode(timed, f)
	if err != nil && timed.Err() != nil {
		return nil, context.Cause(timed)
	}
	return frame, err
}

func decode(ctx context.Context, f *dicomfile.File) (*Frame, error) {
	fr, err := describe(f)
	if err != nil {
		return nil, err
	}
	p, _ := f.PixelData()
	syntax := f.Header.TransferSyntaxUID
	switch syntax {
	case dicomfile.ImplicitVRLittleEndian, dicomfile.ExplicitVRLittleEndian, dicomfile.ExplicitVRBigEndian, dicomfile.DeflatedExplicitVRLittleEndian:
		if p.Encapsulated {
			return nil, fail(ErrMalformed, "%s with encapsulated pixel data", SyntaxName(syntax))
		}
		if err := fr.native(f, p); err != nil {
			return nil, err
		}
		fr.settle()
		return fr, nil
	}
	codec := map[string]func(context.Context, []byte) error{
		"1.2.840.10008.1.2.5":     fr.rle,
		"1.2.840.10008.1.2.4.50":  fr.jpeg,
		"1.2.840.10008.1.2.4.51":  fr.jpeg,
		"1.2.840.10008.1.2.4.57":  fr.jpegLossless,
		"1.2.840.10008.1.2.4.70":  fr.jpegLossless,
		"1.2.840.10008.1.2.4.80":  fr.jpegLS,
		"1.2.840.10008.1.2.4.81":  fr.jpegLS,
		"1.2.840.10008.1.2.4.90":  fr.jpeg2000,
		"1.2.840.10008.1.2.4.91":  fr.jpeg2000,
		"1.2.840.10008.1.2.4.201": fr.jpeg2000,
		"1.2.840.10008.1.2.4.202": fr.jpeg2000,
		"1.2.840.10008.1.2.4.203": fr.jpeg2000,
	}[syntax]
	if codec == nil {
		return nil, fail(ErrUnsupported, "%s (%s)", SyntaxName(syntax), syntax)
	}
	if !p.Encapsulated {
		return nil, fail(ErrMalformed, "%s with native pixel data", SyntaxName(syntax))
	}
	codestream, err := fr.gather(f)
	if err != nil {
		return nil, err
	}
	if err := codec(ctx, codestream); err != nil {
		return nil, err
	}
	if lossy[syntax] {
		fr.cut()
	}
	fr.settle()
	return fr, nil
}

// settle brings what was decoded to the values that the header asks for.
func (f *Frame) settle() {
	if f.wraps() {
		f.contradict("its grey levels wrap round: Bits Stored %d, High Bit %d or the sign of the header is wrong", f.BitsStored, f.HighBit)
	}
	f.clearUnused()
}

// lossy are the transfer syntaxes whose decoded values are not those that were encoded.
var lossy = map[string]bool{
	"1.2.840.10008.1.2.4.50": true, "1.2.840.10008.1.2.4.51": true, "1.2.840.10008.1.2.4.81": true, "1.2.840.10008.1.2.4.91": true,
	"1.2.840.10008.1.2.4.203": true,
}

// limits are the least and the greatest value that Bits Stored can hold.
func (f *Frame) limits() (least, most int64) {
	most = int64(1)<<f.BitsStored - 1
	if f.Signed {
		return -(most + 1) / 2, most / 2
	}
	return 0, most
}

// cut brings values back that lie a little outside of Bits Stored: a lossy codestream of more bits has such ones beside white and black, and with the
// bits above Bits Stored cleared white would become black. Values that lie far outside are none of these, and none is touched.
func (f *Frame) cut() {
	if f.BitsStored >= f.BitsAllocated || f.Signed && f.precision == 0 { // those of the DCT have no sign yet
		return
	}
	least, most := f.limits()
	slack, outside := (most-least)/8, false
	for i := range f.values() {
		v := f.stored(f.word(i))
		if v < least-slack || v > most+slack {
			return
		}
		outside = outside || v < least || v > most
	}
	if !outside {
		return
	}
	for i := range f.values() {
		f.set(i, uint32(min(max(f.stored(f.word(i)), least), most)))
	}
}

// describe reads the Image Pixel module (PS3.3 C.7.6.3) and checks that it can be true.
func describe(f *dicomfile.File) (*Frame, error) {
	p, ok := f.PixelData()
	if !ok {
		return nil, fail(ErrNoPixels, "SOP class %s", f.Header.SOPClassUID)
	}
	if p.Tag != tag.PixelData {
		return nil, fail(ErrUnsupported, "floating point pixel data")
	}
	h := f.Header
	fr := &Frame{
		Rows: h.Rows, Columns: h.Columns, Samples: max(1, h.SamplesPerPixel),
		BitsAllocated: h.BitsAllocated, BitsStored: h.BitsStored, Photometric: h.PhotometricInterpretation,
	}
	for _, attribute := range []struct {
		tag  tag.Tag
		into *int
		none int
	}{{tag.HighBit, &fr.HighBit, -1}, {tag.PlanarConfiguration, &fr.Planar, 0}} {
		values, err := f.Ints(attribute.tag)
		if err != nil {
			return nil, err
		}
		*attribute.into = attribute.none
		if len(values) > 0 {
			*attribute.into = values[0]
		}
	}
	representation, err := f.Ints(tag.PixelRepresentation)
	if err != nil {
		return nil, err
	}
	fr.Signed = len(representation) > 0 && representation[0] == 1
	if fr.BitsStored == 0 {
		fr.BitsStored = fr.BitsAllocated
	}
	if fr.HighBit < fr.BitsStored-1 || fr.HighBit >= fr.BitsAllocated {
		fr.HighBit = fr.BitsStored - 1 // absent or impossible; every other value is retired
	}
	switch {
	case fr.Rows < 1 || fr.Columns < 1 || fr.Rows > MaxSide || fr.Columns > MaxSide:
		return nil, fail(ErrLimit, "%d rows, %d columns", fr.Rows, fr.Columns)
	case fr.Samples != 1 && fr.Samples != 3:
		return nil, fail(ErrUnsupported, "%d samples per pixel", fr.Samples)
	case fr.BitsAllocated != 1 && fr.BitsAllocated != 8 && fr.BitsAllocated != 16 && fr.BitsAllocated != 32:
		return nil, fail(ErrUnsupported, "%d bits allocated", fr.BitsAllocated)
	case fr.BitsStored < 1 || fr.BitsStored > fr.BitsAllocated:
		return nil, fail(ErrMalformed, "%d bits stored in %d allocated", fr.BitsStored, fr.BitsAllocated)
	case fr.Samples == 3 && fr.BitsAllocated == 1:
		return nil, fail(ErrUnsupported, "colour of single bits")
	}
	if size := fr.size(); size > MaxBytes {
		return nil, fail(ErrLimit, "%d rows, %d columns, %d samples of %d bytes: more than %d MiB", fr.Rows, fr.Columns, fr.Samples, fr.BytesPerSample(), MaxBytes>>20)
	}
	return fr, nil
}

func (f *Frame) values() int { return f.Rows * f.Columns * f.Samples }
func (f *Frame) size() int   { return f.values() * f.BytesPerSample() }

// plausible refuses compressed bytes that are too few for a large frame.
func (f *Frame) plausible(compressed int) error {
	if size := f.size(); size > smallFrame && size > maxExpansion*compressed {
		return fail(ErrLimit, "%d compressed bytes for %d x %d", compressed, f.Rows, f.Columns)
	}
	return nil
}

// put stores a decoded value, of as many bits as the codestream has, as number i of Data. Codestreams may not know or contradict the data set's
// Pixel Representation, which decides: the bits are the same (two's complement).
func (f *Frame) put(i int, v int32) {
	if shift := 32 - f.precision; f.Signed {
		v = v << shift >> shift
	} else {
		v = int32(uint32(v) << shift >> shift)
	}
	f.set(i, uint32(v))
}

// gather joins the fragments of the first frame.
func (f *Frame) gather(file *dicomfile.File) ([]byte, error) {
	fragments := file.FirstFrame(file.Header.NumberOfFrames)
	var total int64
	for _, fragment := range fragments {
		total += fragment.Length
	}
	if total == 0 {
		return nil, fail(ErrNoPixels, "no fragment holds a byte")
	}
	if total > MaxCompressed {
		return nil, fail(ErrLimit, "%d compressed bytes for one frame", total)
	}
	codestream := make([]byte, 0, total)
	for _, fragment := range fragments {
		start := len(codestream)
		codestream = codestream[:start+int(fragment.Length)]
		if _, err := io.ReadFull(file.Section(fragment.Offset, fragment.Length), codestream[start:]); err != nil {
			return nil, fail(ErrTruncated, "fragment at offset %d: %v", fragment.Offset, err)
		}
		if start > 0 && len(codestream) >= start+3 && beginsCodestream(codestream) && bytes.Equal(codestream[start:start+3], codestream[:3]) {
			f.contradict("the pixel data holds more frames than the header says")
		}
	}
	return codestream, nil
}
