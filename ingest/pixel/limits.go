package pixel

import "time"

// Limits of one image.
const (
	// MaxBytes bounds rows x columns x samples x bytes of a frame: four times the largest detector in use at 16 bits.
	MaxBytes = 256 << 20
	// MaxSide bounds rows and columns; the attributes hold no more (US).
	MaxSide = 65535
	// MaxCompressed bounds the compressed bytes of a frame: more would be an expansion.
	MaxCompressed = 256 << 20
	// maxExpansion bounds how often a byte of JPEG-LS or JPEG 2000 becomes one of the frame when the frame is larger than
	// smallFrame. Both code a uniform image in next to nothing; no large detector gives one.
	maxExpansion = 1000
	smallFrame   = 32 << 20
	// maxSegments bounds the marker segments before a JPEG scan, which cost little but must come to an end.
	maxSegments = 1000
	// maxTime bounds the decoding of a frame, below the time that a worker may hold a job. The largest detector's takes seconds, on a machine
	// that does much else a minute; a code-block of JPEG 2000 may ask for ninety passes over each of its samples and hold no byte.
	maxTime = 4 * time.Minute
)
