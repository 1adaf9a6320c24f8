package access

import (
	"net"
	"net/http"
	"strings"
)

// KnownHost refuses names that a foreign page could point at this machine (DNS rebinding): without TLS only the loopback's own.
func KnownHost(q *http.Request) bool {
	if q.TLS != nil {
		return true // the certificate's names hold
	}
	host := q.Host
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	ip := net.ParseIP(strings.Trim(host, "[]"))
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// Address is where a request comes from, without its port.
func Address(q *http.Request) string {
	host, _, err := net.SplitHostPort(q.RemoteAddr)
	if err != nil {
		return q.RemoteAddr
	}
	return host
}
