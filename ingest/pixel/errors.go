package pixel

import (
	"errors"
	"fmt"

	"github.com/suyashkumar/dicom/pkg/uid"
)

// Causes of a refusal; errors.Is tells them apart.
var (
	// ErrUnsupported is returned for encodings that this package does not decode.
	ErrUnsupported = errors.New("unsupported")
	// ErrNoPixels is returned for objects without pixel data.
	ErrNoPixels = errors.New("no pixel data")
	// ErrMalformed is returned when header and pixel data contradict each other or a codestream breaks its rules.
	ErrMalformed = errors.New("malformed pixel data")
	// ErrTruncated is returned when pixel data ends before the frame does.
	ErrTruncated = errors.New("truncated pixel data")
	// ErrLimit is returned for images over the limits of this package.
	ErrLimit = errors.New("image over the limit")
)

func fail(cause error, format string, args ...any) error {
	return fmt.Errorf("pixel: %w: %s", cause, fmt.Sprintf(format, args...))
}

// newerSyntaxes are names that the library's table of UIDs does not have yet.
var newerSyntaxes = map[string]string{
	"1.2.840.10008.1.2.4.201": "High-Throughput JPEG 2000 (lossless only)",
	"1.2.840.10008.1.2.4.202": "High-Throughput JPEG 2000 with RPCL options (lossless only)",
	"1.2.840.10008.1.2.4.203": "High-Throughput JPEG 2000",
	"1.2.840.10008.1.2.4.110": "JPEG XL lossless",
	"1.2.840.10008.1.2.4.111": "JPEG XL JPEG recompression",
	"1.2.840.10008.1.2.4.112": "JPEG XL",
	"1.2.840.10008.1.2.8.1":   "Deflated image frame compression",
}

// SyntaxName returns the name of a transfer syntax, or its UID when it has none.
func SyntaxName(transferSyntax string) string {
	if name := newerSyntaxes[transferSyntax]; name != "" {
		return name
	}
	if info, err := uid.Lookup(transferSyntax); err == nil && info.Name != "" {
		return info.Name
	}
	return "transfer syntax " + transferSyntax
}
