package dicomnet

import (
	"cmp"
	"context"
	"crypto/tls"
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
	DefaultMaxObjectLength = 4 << 30 // the largest that one element of explicit length can be
	DefaultMaxAssociations = 64
	DefaultARTIM           = 10 * time.Second
	DefaultPDUTimeout      = 30 * time.Second
	DefaultIdleTimeout     = 60 * time.Second

	// minPDULength is the least limit of a peer that can be kept: below it a command would go out in shreds.
	minPDULength = 128
	// maxPending is how many connections may wait to ask for an association or to be closed. When one more comes the oldest of the
	// address that has the most of them gives way: a peer that means it asks at once, so a flood crowds out the flood.
	maxPending = 256
	// minRate is the pace in bytes a second that a data set must keep on average, once PDUTimeout is over: a modality's slowest line is
	// far above it, and a peer that sends a byte now and then does not hold an association for ever.
	minRate = 4 << 10
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

// AssociationInfo says who is at the other end. AE titles are printable, whatever bytes came for them.
type AssociationInfo struct {
	ID                        uint64
	CallingAETitle            string
	CalledAETitle             string
	RemoteAddr                string
	TLS                       *tls.ConnectionState // nil on plain TCP
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

// Server is an association acceptor. Its fields are read when Serve begins; Change changes some of them later.
type Server struct {
	AETitle         string
	AnyCalled       bool          // take associations whatever AE title they call
	Peers           []Peer        // who may call; empty is anybody
	TLS             *Credentials  // nil is plain TCP
	MaxAssociations int           // when they are all taken, one that has brought nothing for ARTIM is aborted for a newcomer
	MaxPDULength    uint32        // of a P-DATA-TF that we take
	MaxObjectLength int64         // of a data set, in bytes; one that is longer is refused with 0xA700
	ARTIM           time.Duration // for A-ASSOCIATE-RQ to come, and for the peer to close
	PDUTimeout      time.Duration // for one PDU once begun, and between the fragments of an object
	IdleTimeout     time.Duration // between two requests
	Accept          Accept
	NewSession      func(ctx context.Context, info *AssociationInfo) (Session, error)
	Stranger        func(calling, remoteAddr string) // told of each caller that none of Peers is; nil for nobody
	Log             *slog.Logger

	mu          sync.Mutex
	tls         *tls.Config
	connections map[*conn]*place
	entries     []*entry // of Peers
	established int
	lastID      uint64
	stats       Stats
	draining    bool
	wg          sync.WaitGroup
}

func (s *Server) prepare() error {
	s.mu.Lock() // for Stats
	defer s.mu.Unlock()
	s.ARTIM = cmp.Or(s.ARTIM, DefaultARTIM)
	s.PDUTimeout = cmp.Or(s.PDUTimeout, DefaultPDUTimeout)
	s.IdleTimeout = cmp.Or(s.IdleTimeout, DefaultIdleTimeout)
	s.MaxAssociations = cmp.Or(s.MaxAssociations, DefaultMaxAssociations)
	s.MaxPDULength = cmp.Or(s.MaxPDULength, DefaultMaxPDULength)
	s.MaxObjectLength = cmp.Or(s.MaxObjectLength, DefaultMaxObjectLength)
	if s.Accept == nil {
		s.Accept = AcceptStorage
	}
	s.Log = cmp.Or(s.Log, slog.New(slog.DiscardHandler))
	s.connections = map[*conn]*place{}
	s.enter(s.Peers)
	s.stats.Rejected = map[RejectError]uint64{}
	if err := s.checkPeers(s.Peers); err != nil || s.TLS == nil {
		return err
	}
	var err error
	s.tls, err = s.TLS.server()
	return err
}

// Serve accepts associations until ctx is cancelled, then waits for those open to end, drain at most, and aborts the rest. It returns
// when the last session is closed. A Server serves once.
func (s *Server) Serve(ctx context.Context, listener net.Listener, drain time.Duration) error {
	if err := s.prepare(); err != nil {
		listener.Close()
		return err
	}
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
			s.Log.Warn("connection limit", "reached", full)
		}
	}
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
