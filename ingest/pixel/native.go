package pixel

import (
	"io"

	"llamaxr/ingest/dicomfile"
)

// native reads uncompressed pixel data (PS3.5 8.1 and 8.2).
func (f *Frame) native(file *dicomfile.File, p dicomfile.PixelData) error {
	subsampled := f.Samples == 3 && (f.Photometric == "YBR_FULL_422" || f.Photometric == "YBR_PARTIAL_422") && f.BitsAllocated == 8
	needed := int64(f.size())
	switch {
	case f.BitsAllocated == 1:
		needed = (needed + 7) / 8
	case subsampled && f.Columns%2 != 0:
		return fail(ErrMalformed, "%s with %d columns", f.Photometric, f.Columns)
	case subsampled:
		needed = needed / 3 * 2
	}
	if p.Length < needed {
		return fail(ErrTruncated, "a frame takes %d bytes, %d are there", needed, p.Length)
	}
	even := min(needed+needed%2, p.Length) // big endian words come whole
	raw := make([]byte, even)
	if _, err := io.ReadFull(file.Section(p.Offset, even), raw); err != nil {
		return fail(ErrTruncated, "pixel data at offset %d: %v", p.Offset, err)
	}
	if p.BigEndian {
		word := f.BitsAllocated / 8
		if word <= 1 && p.VR == "OW" {
			word = 2
		}
		turn(raw, word)
	}
	raw = raw[:needed]
	if f.BitsAllocated > 1 {
		if err := f.surplus(file, p, needed); err != nil {
			return err
		}
	}
	switch {
	case f.BitsAllocated == 1:
		f.Data = make([]byte, f.values())
		for i := range f.Data {
			f.Data[i] = raw[i/8] >> (i % 8) & 1
		}
	case subsampled:
		f.Data = make([]byte, 0, f.size())
		for ; len(raw) >= 4; raw = raw[4:] { // two pixels: Y Y Cb Cr (PS3.3 C.7.6.3.1.2)
			f.Data = append(f.Data, raw[0], raw[2], raw[3], raw[1], raw[2], raw[3])
		}
		f.Photometric = "YBR_FULL"
	case f.Samples == 3 && f.Planar == 1:
		f.Data = make([]byte, len(raw))
		f.interleave(raw)
	default:
		f.Data = raw
	}
	return nil
}

// interleave puts planes of samples side by side (Planar Configuration 1 to 0).
func (f *Frame) interleave(planes []byte) {
	width := f.BytesPerSample()
	pixels := f.Rows * f.Columns
	for s := range f.Samples {
		for i := range pixels {
			copy(f.Data[(i*f.Samples+s)*width:][:width], planes[(s*pixels+i)*width:])
		}
	}
}

// turn reverses the bytes of each word.
func turn(b []byte, word int) {
	for ; word > 1 && len(b) >= word; b = b[word:] {
		for i, j := 0, word-1; i < j; i, j = i+1, j-1 {
			b[i], b[j] = b[j], b[i]
		}
	}
}
