package hl7

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"time"
)

// Client sends messages to one receiver, each on a connection of its own.
type Client struct {
	Address string
	TLS     *tls.Config // nil for plain TCP
	Timeout time.Duration
}

// Send sends a message and waits for its acknowledgement. An answer other than an acceptance is an *AckError; every other error says nothing of
// whether the receiver has the message: sent again, it has the same control identifier.
func (c Client) Send(ctx context.Context, m *Message) error {
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	conn, err := c.dial(ctx)
	if err != nil {
		return fmt.Errorf("hl7: connecting to %s: %w", c.Address, err)
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	if err := WriteFrame(conn, m.Encode()); err != nil {
		return fmt.Errorf("hl7: sending to %s: %w", c.Address, err)
	}
	answer, err := ReadFrame(bufio.NewReader(conn), maxAcknowledgement, nil)
	if err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return fmt.Errorf("hl7: waiting for the answer of %s: %w", c.Address, err)
	}
	parsed, err := Parse(answer)
	if err != nil {
		return fmt.Errorf("hl7: the answer of %s: %w", c.Address, err)
	}
	return readAck(parsed, m.Segment("MSH").Text(10, 1))
}

func (c Client) dial(ctx context.Context) (net.Conn, error) {
	if c.TLS != nil {
		return (&tls.Dialer{Config: c.TLS}).DialContext(ctx, "tcp", c.Address)
	}
	return (&net.Dialer{}).DialContext(ctx, "tcp", c.Address)
}
