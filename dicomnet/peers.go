package dicomnet

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"
)

// Peer is somebody who may open associations. What is left empty is not looked at.
type Peer struct {
	AETitle   string         // the calling AE title
	Addresses []netip.Prefix // where it calls from
	// Certificates names those that it may show over TLS: the SHA-256 of the certificate in hexadecimal, or its common name or one of
	// its DNS names. One match is enough; a name counts only in a certificate of the Server's authorities.
	Certificates []string
	// MaxAssociations is how many it may hold at once; what it asks for on top is rejected for now. 0 is no limit but the Server's.
	MaxAssociations int
	// MaxRate is how many associations it may open in a minute, in a burst or spread; what it asks for on top is rejected for now. 0 is
	// no limit.
	MaxRate int
	// MaxObjectLength is the Server's, when it is shorter; 0 is the Server's.
	MaxObjectLength int64
	// MaxByteRate is how many bytes of data sets are taken of it in a second, over all its associations, after a first second's worth
	// at once. What it sends on top waits in its own network stack. 0 is no limit.
	MaxByteRate int64
}

// entry is one of Peers with what it used up. Who it is never changes; its limits may, under the Server's mutex.
type entry struct {
	Peer
	opened bucket
	pace   pace
}

// same reports whether two entries are about the same callers.
func (p Peer) same(q Peer) bool {
	return p.AETitle == q.AETitle && slices.Equal(p.Addresses, q.Addresses) && slices.Equal(p.Certificates, q.Certificates)
}

// Rules are what of a Server can change while it serves.
type Rules struct {
	AnyCalled       bool
	Peers           []Peer
	MaxAssociations int
	IdleTimeout     time.Duration
}

// Change puts other rules in force, from the next request for an association or on an association on. Associations that are open stay open;
// those of a peer that is still there count against its limits.
func (s *Server) Change(r Rules) error {
	if err := s.checkPeers(r.Peers); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.AnyCalled, s.MaxAssociations, s.IdleTimeout = r.AnyCalled, r.MaxAssociations, r.IdleTimeout
	s.enter(r.Peers)
	return nil
}

// idleTimeout is how long an association may wait between two requests, as the rules are now.
func (s *Server) idleTimeout() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.IdleTimeout
}

// enter makes the entries of peers; one that was there before is kept with what it used up. The mutex must be held.
func (s *Server) enter(peers []Peer) {
	var entries []*entry
	for _, p := range peers {
		known := slices.IndexFunc(s.entries, func(e *entry) bool { return e.same(p) })
		if known < 0 {
			entries = append(entries, &entry{Peer: p, pace: pace{rate: p.MaxByteRate}})
			continue
		}
		e := s.entries[known]
		e.MaxAssociations, e.MaxRate, e.MaxObjectLength = p.MaxAssociations, p.MaxRate, p.MaxObjectLength
		e.pace.change(p.MaxByteRate)
		entries = append(entries, e)
	}
	s.Peers, s.entries = peers, entries
}

// peer finds the entry for a caller, nil when there are none and anybody may call. A title that comes from the wrong address or with the
// wrong certificate is as unknown as one never heard of, and PS3.8 has one reason for them all; why is for our own log.
func (s *Server) peer(calling string, c *conn) (of *entry, why string) {
	s.mu.Lock()
	entries := s.entries
	s.mu.Unlock()
	if len(entries) == 0 {
		return nil, ""
	}
	why = "no peer has this AE title"
	for _, p := range entries {
		switch {
		case p.AETitle != "" && strings.TrimSpace(p.AETitle) != calling:
		case len(p.Addresses) > 0 && !slices.ContainsFunc(p.Addresses, func(a netip.Prefix) bool { return a.Contains(c.address) }):
			why = "a peer of this AE title has other addresses"
		case len(p.Certificates) > 0 && !shows(c.tls(), p.Certificates):
			why = "a peer of this AE title and address has another certificate"
		default:
			return p, ""
		}
	}
	return nil, why
}

// bucket counts what a peer may still open; it fills up again in a minute.
type bucket struct {
	spent  float64
	filled time.Time
}

// take reports whether one more fits a rate a minute.
func (b *bucket) take(now time.Time, rate int) bool {
	b.spent = max(0, b.spent-now.Sub(b.filled).Minutes()*float64(rate))
	b.filled = now
	if b.spent+1 > float64(rate) {
		return false
	}
	b.spent++
	return true
}

// pace spreads the bytes of a peer over time; its associations share it.
type pace struct {
	rate int64 // bytes a second, 0 for no limit

	mu   sync.Mutex
	paid time.Time // until when the bytes that were taken are paid for
}

func (p *pace) change(rate int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rate = rate
}

// take tells how long to wait after n more bytes.
func (p *pace) take(now time.Time, n int) time.Duration {
	if p == nil {
		return 0
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.rate <= 0 {
		return 0
	}
	if earliest := now.Add(-time.Second); p.paid.Before(earliest) {
		p.paid = earliest
	}
	p.paid = p.paid.Add(time.Duration(float64(n) / float64(p.rate) * float64(time.Second)))
	return p.paid.Sub(now)
}

// keepPace waits until a peer may send on after n bytes of a data set, or until the association is interrupted.
func (c *conn) keepPace(n int) {
	const look = 50 * time.Millisecond
	for wait := c.pace.take(time.Now(), n); wait > 0 && !c.interrupted.Load(); wait -= look {
		time.Sleep(min(wait, look))
	}
}

// maxObject is the length in bytes of the longest object that is taken of a peer. The mutex must be held.
func (s *Server) maxObject(peer *entry) int64 {
	if peer == nil || peer.MaxObjectLength == 0 {
		return s.MaxObjectLength
	}
	return min(s.MaxObjectLength, peer.MaxObjectLength)
}

// shows reports whether the other side of a TLS connection showed one of the certificates that are meant.
func shows(state *tls.ConnectionState, meant []string) bool {
	if state == nil || len(state.PeerCertificates) == 0 {
		return false
	}
	leaf := state.PeerCertificates[0]
	digest := sha256.Sum256(leaf.Raw)
	var names []string
	if len(state.VerifiedChains) > 0 {
		names = append(slices.Clone(leaf.DNSNames), leaf.Subject.CommonName)
	}
	for _, m := range meant {
		fingerprint := strings.ReplaceAll(m, ":", "")
		if want, err := hex.DecodeString(fingerprint); err == nil && len(want) == sha256.Size {
			if bytes.Equal(want, digest[:]) {
				return true
			}
		} else if m != "" && slices.Contains(names, m) {
			return true
		}
	}
	return false
}

// checkPeers tells of rules that cannot be meant.
func (s *Server) checkPeers(peers []Peer) error {
	for _, p := range peers {
		if len(p.Certificates) > 0 && (s.TLS == nil || !s.TLS.Mutual) {
			return fmt.Errorf("dicomnet: peer %q is known by its certificate, but the server asks for none", p.AETitle)
		}
	}
	return nil
}

// addressOf is the address of the other side, the zero Addr when it has none.
func addressOf(nc net.Conn) netip.Addr {
	if tcp, ok := nc.RemoteAddr().(*net.TCPAddr); ok {
		return tcp.AddrPort().Addr().Unmap().WithZone("")
	}
	return netip.Addr{}
}

// tls is what TLS says of the other side, nil on plain TCP.
func (c *conn) tls() *tls.ConnectionState {
	if t, ok := c.Conn.(*tls.Conn); ok {
		state := t.ConnectionState()
		return &state
	}
	return nil
}
