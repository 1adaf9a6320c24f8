package pixel

import (
	"context"
	"errors"

	"llamaxr/ingest/pixel/jpeg2000"
)

// jpeg2000 decodes JPEG 2000 and High-Throughput JPEG 2000. The codestream's colour transformation is undone, and Photometric
// says so.
func (f *Frame) jpeg2000(ctx context.Context, b []byte) error {
	h, err := jpeg2000.ReadHeader(b)
	if err != nil {
		return ofJPEG2000(err)
	}
	if h.Height != f.Rows || h.Width != f.Columns || h.Components != f.Samples {
		return fail(ErrMalformed, "JPEG 2000 of %d x %d with %d components in an object of %d x %d with %d samples",
			h.Height, h.Width, h.Components, f.Rows, f.Columns, f.Samples)
	}
	if h.Precision > f.BitsAllocated {
		return fail(ErrMalformed, "JPEG 2000 of %d bits in an object of %d allocated", h.Precision, f.BitsAllocated)
	}
	if err := f.plausible(len(b)); err != nil {
		return err
	}
	f.Data, f.precision = make([]byte, f.size()), h.Precision
	err = jpeg2000.Decode(ctx, b, func(component, x, y int, samples []int32) {
		at := (y*f.Columns+x)*f.Samples + component
		for i, v := range samples {
			f.put(at+i*f.Samples, v)
		}
	})
	if err != nil {
		return ofJPEG2000(err)
	}
	switch f.Photometric {
	case "YBR_RCT", "YBR_ICT":
		f.Photometric = "RGB"
	case "YBR_FULL_422":
		f.Photometric = "YBR_FULL" // nothing was subsampled
	}
	return nil
}

// ofJPEG2000 gives an error of the codec the cause that it has in this package.
func ofJPEG2000(err error) error {
	for of, cause := range map[error]error{
		jpeg2000.ErrUnsupported: ErrUnsupported, jpeg2000.ErrMalformed: ErrMalformed,
		jpeg2000.ErrTruncated: ErrTruncated, jpeg2000.ErrLimit: ErrLimit,
	} {
		if errors.Is(err, of) {
			return fail(cause, "%v", err)
		}
	}
	return err
}
