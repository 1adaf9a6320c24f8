package jpeg2000

import (
	"errors"
	"fmt"
)

// Causes of a refusal; errors.Is tells them apart.
var (
	// ErrUnsupported is returned for parts of the standard that this package does not decode.
	ErrUnsupported = errors.New("unsupported JPEG 2000")
	// ErrMalformed is returned for codestreams that break the rules.
	ErrMalformed = errors.New("malformed JPEG 2000")
	// ErrTruncated is returned for codestreams that end before the image does.
	ErrTruncated = errors.New("truncated JPEG 2000")
	// ErrLimit is returned for codestreams over the limits of this package.
	ErrLimit = errors.New("JPEG 2000 over the limit")
)

func fail(cause error, format string, args ...any) error {
	return fmt.Errorf("%w: %s", cause, fmt.Sprintf(format, args...))
}

// Limits of one codestream.
const (
	// maxComponents are more than DICOM has samples per pixel.
	maxComponents = 4
	// maxSide bounds width and height, as Rows and Columns do.
	maxSide = 65535
	// maxPrecision is the most bits of a sample.
	maxPrecision = 16
	// maxSegments bounds the marker segments of a header and the tile-parts, 65535 tiles of 255 parts in the standard.
	maxSegments = 1 << 17
	// maxLevels bounds the wavelet levels (table A.15).
	maxLevels = 32
	// maxPlanes bounds the magnitude bits of a coefficient, so that it fits an int32 with a sign and half a bit.
	maxPlanes = 30
	// maxBlocks bounds the code-blocks of a tile: 64 million samples in blocks of 8 x 8. An encoder makes blocks of 64 x 64.
	maxBlocks = 1 << 20
)
