package daemon

import (
	"net"
	"net/http"
	"sync"
	"time"
)

// maxHTTPConnections bounds the connections of the reading room and DICOMweb. Each is an open file, of which taking objects needs some too.
const maxHTTPConnections = 1000

// connections are those of an HTTP server. When there are more than most, the one gives way on which nothing was asked for the longest.
type connections struct {
	most int

	mu    sync.Mutex
	open  int
	quiet map[net.Conn]time.Time // since when no request runs on it
}

func newConnections(most int) *connections {
	return &connections{most: most, quiet: map[net.Conn]time.Time{}}
}

// note is the server's ConnState.
func (c *connections) note(nc net.Conn, state http.ConnState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch state {
	case http.StateNew:
		c.open++
		c.quiet[nc] = time.Now()
	case http.StateIdle:
		c.quiet[nc] = time.Now()
	case http.StateActive:
		delete(c.quiet, nc)
	case http.StateClosed, http.StateHijacked:
		delete(c.quiet, nc)
		c.open--
	}
	if state != http.StateNew || c.open <= c.most {
		return
	}
	oldest := nc
	for other, since := range c.quiet {
		if since.Before(c.quiet[oldest]) {
			oldest = other
		}
	}
	delete(c.quiet, oldest)
	_ = oldest.Close() // the server sees it, and says that it is closed
}
