package dicomweb

import (
	"io"
	"net/http"
	"time"

	"llamaxr/dicomnet"
)

// Limits of what a request may ask for and bring.
const (
	maxParts      = 10_000                          // objects in one request; a large CT study has some 3000
	maxPart       = dicomnet.DefaultMaxObjectLength // bytes of one object, as by C-STORE
	maxRequest    = 64 << 30                        // bytes of one request
	maxPartHeader = 16 << 10                        // bytes of what stands before an object, its boundary included
	readAhead     = 128 << 10                       // that the readers of a body take before they are asked: their buffers
	maxPath       = 1 << 10
	maxQuery      = 8 << 10
	maxKeys       = 64   // search keys and fields in one request
	maxNamed      = 256  // bytes of the parameters that a warning names
	maxListedUIDs = 1000 // in one search key
	maxResults    = 1000 // of one search; more can be asked for by offset
	maxOffset     = 10_000_000
	maxRanges     = 64 // media ranges in one Accept
)

// patient gives a body the time that it needs: each read and each write may take idle, the whole as long as it moves. The server's own
// deadlines are for pages.
type patient struct {
	control *http.ResponseController
	idle    time.Duration
}

type patientReader struct {
	io.ReadCloser
	patient
}

// Read implements io.Reader.
func (r patientReader) Read(p []byte) (int, error) {
	_ = r.control.SetReadDeadline(time.Now().Add(r.idle)) // a connection that cannot be given more time keeps what it has
	return r.ReadCloser.Read(p)
}

type patientWriter struct {
	http.ResponseWriter
	patient
}

// Write implements io.Writer.
func (w patientWriter) Write(p []byte) (int, error) {
	_ = w.control.SetWriteDeadline(time.Now().Add(w.idle))
	return w.ResponseWriter.Write(p)
}
