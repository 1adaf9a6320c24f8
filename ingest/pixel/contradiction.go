package pixel

import (
	"bytes"
	"fmt"
	"io"

	"llamaxr/ingest/dicomfile"
)

// contradict keeps the first contradiction that is found.
func (f *Frame) contradict(format string, args ...any) {
	if f.Contradiction == "" {
		f.Contradiction = fmt.Sprintf(format, args...)
	}
}

const (
	// enoughPairs is how many neighbours are looked at: as many whole rows, spread over the picture.
	enoughPairs = 1 << 18
	// fewWraps is the share of neighbours that must speak for another reading, in 1/fewWraps: of real radiographs whose header is wrong one in a
	// thousand to one in ten does, of others one in a hundred thousand, at markers and borders.
	fewWraps = 2000
)

// wraps tells whether the values as the header has them jump from one end of their range to the other where, read without Bits Stored or with the
// other sign, they go on smoothly. It looks at the values before the bits above Bits Stored are cleared. What else lies in these bits, overlays
// or noise, is not smooth.
func (f *Frame) wraps() bool {
	if f.Samples != 1 || f.BitsAllocated == 1 {
		return false
	}
	bits := f.BitsStored
	if f.precision > 0 {
		bits = min(bits, f.precision)
	}
	half := int64(1) << (bits - 1)
	read := func(word uint32, signed bool) int64 {
		if v := int64(word) & (2*half - 1); !signed || v < half {
			return v
		}
		return int64(word)&(2*half-1) - 2*half
	}
	pairs, cleared, whole, ownSign, otherSign := 0, 0, 0, 0, 0
	for y := 0; y < f.Rows; y += 1 + f.Rows*f.Columns/enoughPairs {
		last := f.word(y * f.Columns)
		for x := 1; x < f.Columns; x++ {
			word := f.word(y*f.Columns + x)
			step := abs64(read(word, f.Signed) - read(last, f.Signed))
			if all := abs64(f.stored(word) - f.stored(last)); all != step {
				if step < half {
					cleared++
				}
				if all < half {
					whole++
				}
			}
			if other := abs64(read(word, !f.Signed) - read(last, !f.Signed)); other != step {
				if step < half/4 {
					ownSign++
				}
				if other < half/4 {
					otherSign++
				}
			}
			pairs, last = pairs+1, word
		}
	}
	return whole > 2*cleared && whole*fewWraps > pairs || otherSign > 10*ownSign && otherSign*fewWraps > pairs
}

func abs64(i int64) int64 { return max(i, -i) }

// surplus looks at what stands behind the last frame of native pixel data, which takes so many bytes a frame: padding is of one value, anything else
// of more or larger frames than the header says.
func (f *Frame) surplus(file *dicomfile.File, p dicomfile.PixelData, frame int64) error {
	end := frame * int64(max(1, file.Header.NumberOfFrames))
	more := p.Length - end
	if more < int64(f.Columns*f.Samples*f.BytesPerSample()) {
		return nil // not even a row
	}
	b := make([]byte, min(more, frame))
	if _, err := io.ReadFull(file.Section(p.Offset+end, int64(len(b))), b); err != nil {
		return fail(ErrTruncated, "pixel data at offset %d: %v", p.Offset+end, err)
	}
	if !padding(b) {
		f.contradict("the pixel data is %d bytes longer than %d rows and %d columns are", more, f.Rows, f.Columns)
	}
	return nil
}

// padding tells bytes of one value, or none.
func padding(b []byte) bool { return len(b) == 0 || bytes.Equal(b[1:], b[:len(b)-1]) }

// beginsCodestream tells the first bytes of a JPEG or JPEG 2000 codestream.
func beginsCodestream(b []byte) bool {
	return bytes.HasPrefix(b, []byte{0xFF, markerSOI, 0xFF}) || bytes.HasPrefix(b, []byte{0xFF, 0x4F, 0xFF})
}
