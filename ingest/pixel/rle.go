package pixel

import (
	"context"
	"encoding/binary"
)

const (
	rleHeader = 64
	// rleExpansion is the most a byte of RLE can become: two bytes code a run of 128.
	rleExpansion = 64
)

// rle decodes RLE compression (PS3.5 annex G): a header of segment offsets, then a PackBits segment for each byte of each
// sample, the most significant first.
func (f *Frame) rle(ctx context.Context, b []byte) error {
	if f.BitsAllocated == 1 {
		return fail(ErrUnsupported, "single bits in RLE")
	}
	if len(b) < rleHeader {
		return fail(ErrTruncated, "RLE header of %d bytes", len(b))
	}
	width := f.BytesPerSample()
	segments := f.Samples * width
	if n := binary.LittleEndian.Uint32(b); n != uint32(segments) {
		return fail(ErrMalformed, "%d RLE segments where %d samples of %d bytes need %d", n, f.Samples, width, segments)
	}
	pixels := f.Rows * f.Columns
	if (len(b)-rleHeader)*rleExpansion < pixels*segments {
		return fail(ErrTruncated, "%d bytes of RLE cannot hold %d", len(b), pixels*segments)
	}
	f.Data = make([]byte, f.size())
	for s := range segments {
		if err := ctx.Err(); err != nil {
			return err
		}
		start := int64(binary.LittleEndian.Uint32(b[4+4*s:]))
		end := int64(len(b))
		if s+1 < segments {
			end = int64(binary.LittleEndian.Uint32(b[8+4*s:]))
		}
		if start < rleHeader || start > end || end > int64(len(b)) {
			return fail(ErrMalformed, "RLE segment %d from %d to %d of %d bytes", s+1, start, end, len(b))
		}
		sample, significance := s/width, s%width
		at := sample*width + width - 1 - significance
		n, rest := unpack(f.Data[at:], f.Samples*width, pixels, b[start:end])
		if n < pixels {
			return fail(ErrTruncated, "RLE segment %d holds %d of %d values", s+1, n, pixels)
		}
		if row := make([]byte, f.Columns); !padding(rest) {
			if n, _ := unpack(row, 1, len(row), rest); n == len(row) {
				f.contradict("RLE segment %d goes on behind %d rows and %d columns", s+1, f.Rows, f.Columns)
			}
		}
	}
	if f.Photometric == "YBR_FULL_422" {
		f.Photometric = "YBR_FULL" // RLE cannot subsample (PS3.5 8.2.2)
	}
	return nil
}

// unpack decodes a PackBits segment (PS3.5 G.3) into every step-th byte and returns how many it wrote, at most n, and what is left of the segment.
func unpack(into []byte, step, n int, b []byte) (done int, rest []byte) {
	for len(b) >= 2 && done < n {
		control := int8(b[0])
		b = b[1:]
		switch {
		case control >= 0:
			count := min(int(control)+1, len(b), n-done)
			for i := range count {
				into[(done+i)*step] = b[i]
			}
			done += count
			b = b[min(int(control)+1, len(b)):]
		case control != -128:
			count := min(1-int(control), n-done)
			for i := range count {
				into[(done+i)*step] = b[0]
			}
			done += count
			b = b[1:]
		}
	}
	return done, b
}
