// Package pixel turns the pixel data of a DICOM object into what the classifier takes: raw stored values, grey levels with
// bright for dense, and the normalised square.
//
//	frame, err := pixel.Decode(ctx, file)   // raw values, as pydicom's pixel_array(raw=True) of the first frame
//	img, err := pixel.Gray(file, frame)     // float32 in [0, 1], bright is dense
//	view := pixel.Normalise(img)            // 224 x 224 in [-1024, 1024] and the way back to the full image
//
// Decoded are native little and big endian pixel data of 1, 8, 16 and 32 bits (PS3.5 section 8), deflated data sets, RLE
// (PS3.5 annex G), JPEG baseline and extended of 8 and 12 bits (ITU-T T.81 annex F), JPEG lossless process 14 with any
// predictor (T.81 annex H), JPEG-LS lossless and near-lossless (T.87), and JPEG 2000 and High-Throughput JPEG 2000, lossless
// and not (package jpeg2000). Everything else is refused with an error that wraps ErrUnsupported and names the transfer syntax.
// image/jpeg is not used: its inverse DCT differs from the one of libjpeg, to which other readers of DICOM compare, and it
// knows 8 bits only.
//
// Grey levels follow the pipeline of PS3.4 N.2: Modality LUT or rescale (PS3.3 C.11.1), VOI LUT or window (C.11.2), then
// MONOCHROME1 or Presentation LUT Shape INVERSE turns the picture over (C.11.6). The steps taken are kept as text.
//
// Without window and VOI LUT, images of up to 8 bits are shown as they are; deeper ones are stretched over their valid pixels
// from the 0.1st to the 99.9th percentile, so that neither a hot pixel nor a burned-in marker squeezes the lungs.
//
// A header may contradict its pixel data: Frame.Contradiction says so, and such a picture must not be read. Doubts says what a reader
// must know of one that is.
//
// Nothing is allocated on the word of a header alone: native data must be there, and a compressed frame must be long enough
// that its coding could hold the pixels at all. JPEG-LS and JPEG 2000 can hold any number of equal pixels; a large frame of
// these must not be smaller by more than a factor that no radiograph reaches.
package pixel
