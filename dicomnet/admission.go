package dicomnet

import (
	"crypto/tls"
	"maps"
	"net"
	"net/netip"
	"time"
)

// place is what a Server knows of a connection. The Server's mutex guards it.
type place struct {
	opened      time.Time
	association bool      // holds one of MaxAssociations
	peer        *entry    // whose association it is, nil when anybody may call
	busy        bool      // the association's request is being answered
	useful      time.Time // when the association last did something that it is there for, at first when it began
	leaving     bool      // was told to give way
	over        bool      // the association has ended
}

// Stats tell how a Server is doing and whom it turned away, for a site that wonders why its images do not arrive.
type Stats struct {
	Connections  int // open now, those that hold associations too
	Associations int // open now
	Accepted     uint64
	Rejected     map[RejectError]uint64
	Refused      uint64 // connections closed unheard, because too many were leaving already
	CrowdedOut   uint64 // connections without an association that gave way to newer ones
	Reclaimed    uint64 // idle associations that were aborted for newer ones
	Spared       uint64 // associations taken beyond the limit, because one address holds most of it
}

// Stats returns the figures since Serve began.
func (s *Server) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	stats := s.stats
	stats.Connections, stats.Associations, stats.Accepted = len(s.connections), s.established, s.lastID
	stats.Rejected = maps.Clone(s.stats.Rejected)
	return stats
}

// admit makes a conn of a connection, nil when there are too many.
func (s *Server) admit(nc net.Conn) *conn {
	c := &conn{
		Conn: nc, acknowledge: acknowledger(nc), state: sta1, address: addressOf(nc), maxRead: s.MaxPDULength, timeout: s.PDUTimeout, artim: s.ARTIM,
	}
	if s.tls != nil {
		c.Conn = tls.Server(nc, s.tls)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.connections)-s.established >= maxPending && !s.crowdOut() {
		s.stats.Refused++
		return nil
	}
	s.connections[c] = &place{opened: time.Now()}
	return c
}

// crowdOut makes the oldest connection that has no association, of the address that has the most of those, give way. It reports false
// when as many as are admitted are leaving already, and not fast enough.
func (s *Server) crowdOut() bool {
	pending, leaving := map[netip.Addr]int{}, 0
	for c, p := range s.connections {
		switch {
		case p.association:
		case p.leaving:
			leaving++
		default:
			pending[c.address]++
		}
	}
	var oldest *conn
	for c, p := range s.connections {
		if p.association || p.leaving {
			continue
		}
		if oldest == nil || pending[c.address] > pending[oldest.address] ||
			pending[c.address] == pending[oldest.address] && p.opened.Before(s.connections[oldest].opened) {
			oldest = c
		}
	}
	if oldest == nil || leaving >= maxPending {
		return false
	}
	s.stats.CrowdedOut++
	s.connections[oldest].leaving = true
	oldest.interrupt()
	return true
}

// establish takes an association in, or says why not.
func (s *Server) establish(c *conn, peer *entry) (id uint64, reject *RejectError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	of := 0
	for _, p := range s.connections {
		if p.association && p.peer == peer {
			of++
		}
	}
	switch {
	case s.draining:
		return 0, &rejectCongestion
	case peer != nil && peer.MaxAssociations > 0 && of >= peer.MaxAssociations:
		return 0, &rejectLocalLimit
	case peer != nil && peer.MaxRate > 0 && !peer.opened.take(time.Now(), peer.MaxRate):
		return 0, &rejectLocalLimit
	case s.established >= s.MaxAssociations && !s.reclaim() && !s.spare(c.address):
		return 0, &rejectLocalLimit
	}
	p := s.connections[c]
	c.maxObject = s.maxObject(peer)
	if peer != nil {
		c.pace = &peer.pace
	}
	p.association, p.peer, p.useful = true, peer, time.Now()
	s.established++
	s.lastID++
	return s.lastID, nil
}

// reclaim aborts the association that has brought nothing the longest, if that is longer than ARTIM: peers that open associations and
// leave them lying, or have them say C-ECHO for ever, must not keep the others out.
func (s *Server) reclaim() bool {
	var idle *conn
	for c, p := range s.connections {
		if p.association && !p.busy && (idle == nil || p.useful.Before(s.connections[idle].useful)) {
			idle = c
		}
	}
	if idle == nil || time.Since(s.connections[idle].useful) < s.ARTIM {
		return false
	}
	s.connections[idle].association, s.connections[idle].leaving = false, true
	s.established--
	s.stats.Reclaimed++
	idle.interrupt()
	return true
}

// spareShare is the part of MaxAssociations that is there beyond it, for peers whom one address would keep out.
const spareShare = 8

// spare reports whether there is a place beyond MaxAssociations for an address that holds none, because another holds more than half of
// them: its associations may all be busy, and slow.
func (s *Server) spare(address netip.Addr) bool {
	if s.established >= s.MaxAssociations+s.MaxAssociations/spareShare {
		return false
	}
	held := map[netip.Addr]int{}
	for c, p := range s.connections {
		if p.association {
			held[c.address]++
		}
	}
	for _, n := range held {
		if held[address] == 0 && n > s.MaxAssociations/2 {
			s.stats.Spared++
			return true
		}
	}
	return false
}

// busy notes that an association asks for something.
func (s *Server) busy(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.connections[c].busy = true
}

// rests notes that an association's request is done, before its answer is on the way: who has it may count on that. useful says whether it was more than a sign of life.
func (s *Server) rests(c *conn, useful bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.connections[c]
	p.busy = false
	if useful {
		p.useful = time.Now()
	}
}

// freed gives an association's place to the next.
func (s *Server) freed(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.connections[c]; p.association {
		p.association, p.over = false, true
		s.established--
	}
}

// ended is freed for an association that ends in any way. Its connection may still wait for the peer to close, but not while the server drains.
func (s *Server) ended(c *conn) {
	s.freed(c)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.draining && s.connections[c].over {
		c.interrupt()
	}
}

func (s *Server) gone(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.connections, c)
}

// interrupt begins the end: of connections without an association, or of all.
func (s *Server) interrupt(established bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.draining = true
	for c, p := range s.connections {
		if established || !p.association {
			c.interrupt()
		}
	}
}
