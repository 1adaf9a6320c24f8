package dicomweb

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"strings"
)

// errTooMuch is returned for a body that passes one of the limits.
var errTooMuch = errors.New("dicomweb: the request is larger than is taken")

// meter lets as many bytes through as were allowed.
type meter struct {
	from io.Reader
	left int64
}

// Read implements io.Reader.
func (m *meter) Read(p []byte) (int, error) {
	if m.left <= 0 {
		return 0, errTooMuch
	}
	n, err := m.from.Read(p[:min(int64(len(p)), m.left)])
	m.left -= int64(n)
	return n, err
}

// parts are the objects of a multipart/related body (RFC 2387), one after the other as they arrive.
type parts struct {
	meter   *meter
	reader  *multipart.Reader
	current *multipart.Part
	count   int
}

func newParts(body io.Reader, boundary string) *parts {
	m := &meter{from: body}
	return &parts{meter: m, reader: multipart.NewReader(m, boundary)}
}

// next returns the next part, io.EOF behind the last. What is left of the part before is passed over.
func (p *parts) next() (*multipart.Part, error) {
	if p.current != nil {
		if _, err := io.Copy(io.Discard, p.current); err != nil {
			return nil, err
		}
	}
	if p.count++; p.count > maxParts {
		return nil, fmt.Errorf("%w: more than %d objects", errTooMuch, maxParts)
	}
	p.meter.left = maxPartHeader + readAhead
	part, err := p.reader.NextRawPart()
	switch {
	case err != nil && (p.meter.left <= 0 || errors.Is(err, multipart.ErrMessageTooLarge)):
		return nil, fmt.Errorf("%w: what stands before an object has more than %d bytes", errTooMuch, maxPartHeader)
	case err != nil:
		return nil, err
	}
	p.current, p.meter.left = part, maxPart+readAhead
	return part, nil
}

// relatedType reads the Content-Type of a multipart/related body: the media type of its parts and the boundary between them.
func relatedType(header string) (kind, boundary string, err error) {
	whole, params, err := parseMediaType(header)
	switch {
	case err != nil:
		return "", "", fmt.Errorf("dicomweb: Content-Type: %w", err)
	case whole != "multipart/related":
		return "", "", fmt.Errorf("dicomweb: Content-Type is %s, not multipart/related", whole)
	}
	if kind, _, err = mime.ParseMediaType(params["type"]); err != nil {
		return "", "", fmt.Errorf("dicomweb: Content-Type has the type %q", params["type"])
	}
	return kind, params["boundary"], nil
}

// parseMediaType is mime.ParseMediaType that also takes type=application/dicom without the quotes that RFC 2045 asks for around a slash, as
// many clients write it.
func parseMediaType(text string) (kind string, params map[string]string, err error) {
	if kind, params, err = mime.ParseMediaType(text); err != nil {
		return mime.ParseMediaType(strings.ReplaceAll(text, "type=application/dicom", `type="application/dicom"`))
	}
	return kind, params, nil
}
