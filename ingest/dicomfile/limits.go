package dicomfile

// Limits of one file. They are far above what radiographs, reports and even enhanced multi-frame objects carry, and low
// enough that a forged file costs little.
const (
	// MaxDepth bounds nested sequences. Structured reports, the deepest objects in use, rarely pass ten.
	MaxDepth = 16
	// MaxElements and MaxItems bound the number of elements and sequence items: an enhanced object repeats its functional
	// groups for each of some thousand frames.
	MaxElements = 200_000
	MaxItems    = 50_000
	// MaxFragments bounds the fragments of encapsulated Pixel Data.
	MaxFragments = 100_000
	// MaxText bounds a text value.
	MaxText = 1 << 20
	// MaxMeta bounds the File Meta group (PS3.10 7.1), which holds a handful of UIDs and names.
	MaxMeta = 64 << 10
	// MaxBulk is the size above which a value that is not text is left on disk: look-up tables are at most 128 KiB,
	// waveforms and vendors' private blocks are none of ours.
	MaxBulk = 1 << 20
	// MaxAttributes bounds the sum of all values kept in memory.
	MaxAttributes = 32 << 20
	// MaxInflated bounds a deflated data set: the largest image that is decoded (256 MiB) and its attributes.
	MaxInflated = 256<<20 + MaxAttributes
	// MaxInflateRatio bounds what a deflated byte may become once the data set is longer than inflateGrace. DEFLATE itself
	// reaches 1032:1, on zeros only.
	MaxInflateRatio = 100
	inflateGrace    = 1 << 20
	// maxUID is the length of a UID (PS3.5 9.1).
	maxUID = 64
)
