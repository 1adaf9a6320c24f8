// Package grey turns a radiograph's stored values into what the classifier takes: first frame decoded, modality transformation, VOI
// LUT or window, polarity (PS3.3, sections C.11.1, C.11.2, C.7.6.3.1.2), blank borders cropped, centre square, 224 x 224 in
// [-1024, 1024] with dense tissue bright, as torchxrayvision normalises. Encodings: native, RLE (PS3.5, annex G), JPEG baseline (Go's
// decoder), JPEG lossless (ITU-T T.81, process 14).
package grey
