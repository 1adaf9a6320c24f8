// Package jpeg2000 decodes JPEG 2000 codestreams (ITU-T T.800, ISO/IEC 15444-1) and High-Throughput JPEG 2000 (ITU-T T.814,
// ISO/IEC 15444-15) as DICOM carries them (PS3.5 A.4.4, 8.2.14): 1 to 16 bits, signed or not, 1 to 4 components of one size.
//
//	header, err := jpeg2000.ReadHeader(codestream)
//	err = jpeg2000.Decode(ctx, codestream, func(component, x, y int, samples []int32) { ... })
//
// All of part 1 is there but what no DICOM encoder writes: regions of interest (RGN), packet headers apart from their
// packets (PPM, PPT) and subsampled components are refused as unsupported; so are, in part 15, code-blocks of both coders in
// one image and more than one set of HT passes. A JP2 file around the codestream, which the standard forbids and old
// software wrote, is skipped; its colour boxes are not read.
//
// The irreversible path (9/7, ICT) is computed in float32 with OpenJPEG's constants and order of operations, rounding half
// to even, so that lossy images decode to the very values of the decoder that most DICOM software uses.
//
// A codestream that ends early is an error: there are no half images. Memory is bounded by the size that the header
// declares, which the caller checks first, and by named limits; time by these and ctx.
package jpeg2000
