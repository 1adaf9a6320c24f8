package auditmessage

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"
)

// Limits of sending.
const (
	maxMessage  = 32 << 10         // bytes; our entries come to less
	sendTimeout = 30 * time.Second // for a connection with all that is sent on it
)

// priority is facility 10 (security and authorization) with severity 5 (notice), RFC 5424, 6.2.1.
const priority = 10*8 + 5

// byteOrderMark begins a message in UTF-8 (RFC 5424, 6.4).
const byteOrderMark = "\xef\xbb\xbf"

// Sender sends to one syslog server.
type Sender struct {
	Address string // host:port
	Host    string // this machine's name, printable ASCII without spaces
	// DialTLS opens connections; nil sends datagrams, which may be lost unseen.
	DialTLS func(ctx context.Context, network, address string) (net.Conn, error)
}

// Frame is a message as one of syslog (RFC 5424, 6), with MSGID as PS3.15 A.6 has it.
func (s *Sender) Frame(m Message) ([]byte, error) {
	text, err := m.XML()
	if err != nil {
		return nil, fmt.Errorf("auditmessage: %w", err)
	}
	frame := fmt.Appendf(nil, "<%d>1 %s %s llamaxr %d DICOM+RFC3881 - %s%s", priority, m.Event.Time, s.Host, os.Getpid(), byteOrderMark, text)
	if len(frame) > maxMessage {
		return nil, fmt.Errorf("auditmessage: a message of %d bytes, %d at most", len(frame), maxMessage)
	}
	return frame, nil
}

// Send sends messages in their order. Over TLS it returns nil when the server has read all of them: syslog acknowledges nothing, but a
// server that closes after our close_notify (RFC 5425, 4.4) has read what came before it. After an error they may have arrived or not.
func (s *Sender) Send(ctx context.Context, messages []Message) error {
	ctx, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	dial := s.DialTLS
	network := "tcp"
	if dial == nil {
		network, dial = "udp", new(net.Dialer).DialContext
	}
	conn, err := dial(ctx, network, s.Address)
	if err != nil {
		return fmt.Errorf("auditmessage: syslog server: %w", err)
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Now()) })
	defer stop()
	var stream bytes.Buffer
	for _, m := range messages {
		frame, err := s.Frame(m)
		if err != nil {
			return err
		}
		if network == "udp" { // RFC 5426: one a datagram
			stream.Reset()
		} else {
			fmt.Fprintf(&stream, "%d ", len(frame)) // RFC 5425, 4.3: octet counting
		}
		stream.Write(frame)
		if _, err := stream.WriteTo(conn); err != nil {
			return fmt.Errorf("auditmessage: sending to the syslog server: %w", err)
		}
	}
	if network == "udp" {
		return nil
	}
	return awaitClose(conn)
}

// awaitClose says that we are done and waits until the server is.
func awaitClose(conn net.Conn) error {
	half, ok := conn.(interface{ CloseWrite() error })
	if !ok {
		return errors.New("auditmessage: a connection that cannot be closed one way")
	}
	if err := half.CloseWrite(); err != nil {
		return fmt.Errorf("auditmessage: closing: %w", err)
	}
	_, err := io.Copy(io.Discard, io.LimitReader(conn, maxMessage))
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) { // many servers close without a close_notify of their own
		return fmt.Errorf("auditmessage: the syslog server did not end well: %w", err)
	}
	return nil
}
