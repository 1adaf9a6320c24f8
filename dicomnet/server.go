package dicomnet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"time"
)

// Defaults of a Server and a Client.
const (
	DefaultMaxPDULength    = 131072
	DefaultMaxAssociations = 64
	DefaultARTIM           = 10 * time.Second
	DefaultPDUTimeout      = 30 * time.Second
	DefaultIdleTimeout     = 60 * time.Second

	// minPDULength is the least limit of a peer that can be kept: below it a command would go out in shreds.
	minPDULength = 128
	// moreConnections is how many connections, beside a full house of associations, may wait to ask or to be closed. What comes on
	// top is closed unheard: a flood must cost the peer more than us.
	moreConnections = 64
)

// Session is what an association does. Its methods are called one at a time.
type Session interface {
	// Echo answers C-ECHO.
	Echo(ctx context.Context) error
	// Store receives an object; data streams its data set and fails, rather than ends, when the object is broken off. nil is success,
	// a *dimse.StatusError its status, any other error and a panic 0x0110. What Store leaves unread is skipped.
	Store(ctx context.Context, req *StoreRequest, data io.Reader) error
	// Close ends the session; released says whether the peer released the association rather than broke it off.
	Close(released bool)
}

// AssociationInfo says who is at the other end.
type AssociationInfo struct {
	ID                        uint64
	CallingAETitle            string
	CalledAETitle             string
	RemoteAddr                string
	ImplementationClassUID    string
	ImplementationVersionName string
}

// StoreRequest is what C-STORE-RQ says of its object. The UIDs that a Session is given have the form of UIDs, no more is known of them.
type StoreRequest struct {
	SOPClassUID             string
	SOPInstanceUID          string
	TransferSyntaxUID       string
	Priority                uint16
	MoveOriginator          string // AE title that asked for the object by C-MOVE, if one did
	MoveOriginatorMessageID uint16
}

// Server is an association acceptor. Its fields are read when Serve begins.
type Server struct {
	AETitle         string
	AnyCalled       bool     // take associations whatever AE title they call
	Callers         []string // calling AE titles that are taken; empty takes all
	MaxAssociations int
	MaxPDULength    uint32        // of a P-DATA-TF that we take
	ARTIM           time.Duration // for A-ASSOCIATE-RQ to come, and for the peer to close
	PDUTimeout      time.Duration // for one PDU once begun, and between the fragments of an object
	IdleTimeout     time.Duration // between two requests
	Accept          Accept
	NewSession      func(ctx context.Context, info *AssociationInfo) (Session, error)
	Log             *slog.Logger

	mu          sync.Mutex
	connections map[*conn]bool // whether it holds an association
	established int
	lastID      uint64
	draining    bool
	wg          sync.WaitGroup
}

func (s *Server) defaults() {
	set := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	set(&s.ARTIM, DefaultARTIM)
	set(&s.PDUTimeout, DefaultPDUTimeout)
	set(&s.IdleTimeout, DefaultIdleTimeout)
	if s.MaxAssociations == 0 {
		s.MaxAssociations = DefaultMaxAssociations
	}
	if s.MaxPDULength == 0 {
		s.MaxPDULength = DefaultMaxPDULength
	}
	if s.Accept == nil {
		s.Accept = AcceptStorage
	}
	if s.Log == nil {
		s.Log = slog.New(slog.DiscardHandler)
	}
	s.connections = map[*conn]bool{}
}

// Serve accepts associations until ctx is cancelled, then waits for those open to end, drain at most, and aborts the rest. It returns
// when the last session is closed. A Server serves once.
func (s *Server) Serve(ctx context.Context, listener net.Listener, drain time.Duration) error {
	s.defaults()
	stop := context.AfterFunc(ctx, func() { listener.Close() })
	defer stop()
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	err := s.accept(ctx, work, listener)
	s.shut(drain, cancel)
	return err
}

// accept takes connections until the listener is closed.
func (s *Server) accept(ctx, work context.Context, listener net.Listener) error {
	full := false
	for {
		nc, err := listener.Accept()
		switch {
		case err == nil:
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, net.ErrClosed):
			return fmt.Errorf("dicomnet: accepting: %w", err)
		default: // out of descriptors and the like: wait rather than spin or give up
			s.Log.Warn("accepting a connection", "error", err)
			select {
			case <-ctx.Done():
			case <-time.After(100 * time.Millisecond):
			}
			continue
		}
		c := s.admit(nc)
		if c == nil {
			nc.Close()
		} else {
			s.wg.Go(func() { s.serve(work, c) })
		}
		if full != (c == nil) {
			full = c == nil
			s.Log.Warn("connection limit", "reached", full, "limit", s.MaxAssociations+moreConnections)
		}
	}
}

// admit makes a conn of a connection, nil when there are too many.
func (s *Server) admit(nc net.Conn) *conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.connections) >= s.MaxAssociations+moreConnections {
		return nil
	}
	c := &conn{
		Conn: nc, state: sta1, maxRead: s.MaxPDULength, timeout: s.PDUTimeout, artim: s.ARTIM,
	}
	s.connections[c] = false
	return c
}

// establish takes an association in, or says why not.
func (s *Server) establish(c *conn) (id uint64, reject *RejectError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.draining:
		return 0, &rejectCongestion
	case s.established >= s.MaxAssociations:
		return 0, &rejectLocalLimit
	}
	s.connections[c] = true
	s.established++
	s.lastID++
	return s.lastID, nil
}

// ended gives an association's place to the next; its connection may still wait for the peer to close.
func (s *Server) ended(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.connections[c] {
		s.connections[c] = false
		s.established--
		if s.draining {
			c.interrupt()
		}
	}
}

func (s *Server) gone(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.connections, c)
}

// shut closes connections without an association, waits for the others and aborts what is left.
func (s *Server) shut(drain time.Duration, cancel context.CancelFunc) {
	s.interrupt(false)
	done := make(chan struct{})
	go func() { s.wg.Wait(); close(done) }()
	timer := time.NewTimer(drain)
	defer timer.Stop()
	select {
	case <-done:
		return
	case <-timer.C:
	}
	cancel()
	s.interrupt(true)
	<-done
}

func (s *Server) interrupt(established bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.draining = true
	for c, is := range s.connections {
		if established || !is {
			c.interrupt()
		}
	}
}
