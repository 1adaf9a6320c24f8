package hl7

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// Server takes messages over MLLP, one after the other on each connection.
type Server struct {
	Peers          []netip.Prefix // who may connect; empty is anybody
	TLS            *tls.Config    // nil for plain TCP
	MaxConnections int
	MaxMessage     int           // bytes
	IdleTime       time.Duration // a connection on which nothing begins for this long is closed
	MessageTime    time.Duration // a message must be whole after this long
	// Handle answers a message that could be read.
	Handle func(ctx context.Context, m *Message) Reply
	Log    *slog.Logger
}

// Serve takes connections until ctx is cancelled; messages in hand are answered first.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	stop := context.AfterFunc(ctx, func() { l.Close() })
	defer stop()
	var wg sync.WaitGroup
	defer wg.Wait()
	places := make(chan struct{}, s.MaxConnections)
	for {
		conn, err := l.Accept()
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			if errors.Is(err, net.ErrClosed) {
				return fmt.Errorf("hl7: listening: %w", err)
			}
			s.Log.Error("taking an HL7 connection", "error", err)
			time.Sleep(100 * time.Millisecond) // out of descriptors, most likely
			continue
		}
		if !s.allowed(conn.RemoteAddr()) {
			s.Log.Warn("HL7 connection refused: not an allowed peer", "peer", conn.RemoteAddr().String())
			conn.Close()
			continue
		}
		select {
		case places <- struct{}{}:
		default:
			s.Log.Warn("HL7 connection refused: too many", "peer", conn.RemoteAddr().String())
			conn.Close()
			continue
		}
		wg.Go(func() {
			defer func() { <-places }()
			s.connection(ctx, conn)
		})
	}
}

func (s *Server) allowed(from net.Addr) bool {
	tcp, ok := from.(*net.TCPAddr)
	if !ok {
		return false
	}
	address := tcp.AddrPort().Addr().Unmap()
	return len(s.Peers) == 0 || slices.ContainsFunc(s.Peers, func(p netip.Prefix) bool { return p.Contains(address) })
}

// connection answers messages until the peer closes, breaks the framing or is silent for too long.
func (s *Server) connection(ctx context.Context, accepted net.Conn) {
	defer accepted.Close()
	peer := accepted.RemoteAddr().String()
	defer func() {
		if r := recover(); r != nil {
			s.Log.Error("an HL7 connection panicked", "peer", peer, "panic", fmt.Sprint(r))
		}
	}()
	stop := context.AfterFunc(ctx, func() { _ = accepted.SetReadDeadline(time.Now()) })
	defer stop()
	conn := accepted
	if s.TLS != nil {
		_ = conn.SetDeadline(time.Now().Add(s.MessageTime))
		t := tls.Server(conn, s.TLS)
		if err := t.HandshakeContext(ctx); err != nil {
			s.Log.Warn("HL7 connection refused: TLS", "peer", peer, "error", err)
			return
		}
		conn = t
	}
	r := bufio.NewReader(conn)
	for {
		_ = conn.SetReadDeadline(time.Now().Add(s.IdleTime))
		if ctx.Err() != nil {
			return
		}
		data, err := ReadFrame(r, s.MaxMessage, func() { _ = conn.SetReadDeadline(time.Now().Add(s.MessageTime)) })
		if err != nil {
			if !errors.Is(err, io.EOF) && ctx.Err() == nil {
				s.Log.Warn("HL7 connection ended", "peer", peer, "error", err)
			}
			return
		}
		_ = conn.SetWriteDeadline(time.Now().Add(s.MessageTime))
		if err := WriteFrame(conn, s.answer(ctx, data, peer).Encode()); err != nil {
			s.Log.Warn("answering an HL7 message", "peer", peer, "error", err)
			return
		}
	}
}

// answer handles one message and returns its acknowledgement.
func (s *Server) answer(ctx context.Context, data []byte, peer string) *Message {
	m, err := Parse(data)
	var reply Reply
	var charset *CharsetError
	switch {
	case errors.As(err, &charset):
		reply = Reject(codeValue, charset.Error())
	case err != nil:
		reply = Reject(codeSequence, "the message cannot be read")
	default:
		refusal, ok := Check(m)
		if reply = refusal; ok {
			reply = s.handle(ctx, m, peer)
		}
	}
	if reply.Code != Accepted {
		s.Log.Warn("HL7 message not accepted", "peer", peer, "answer", reply.Code, "condition", reply.Error, "why", reply.Text)
	}
	return acknowledge(m, reply, time.Now(), rand.Text()[:20])
}

// handle calls Handle; a panic there is an error of ours, not of the message.
func (s *Server) handle(ctx context.Context, m *Message, peer string) (reply Reply) {
	defer func() {
		if r := recover(); r != nil {
			s.Log.Error("handling an HL7 message panicked", "peer", peer, "panic", fmt.Sprint(r))
			reply = Fail("internal error")
		}
	}()
	return s.Handle(ctx, m)
}
