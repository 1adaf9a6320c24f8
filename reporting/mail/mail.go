// Package mail sends one message to one recipient by SMTP (RFC 5321), with TLS from the first byte (RFC 8314) or after STARTTLS (RFC 3207). Its
// promise: without the TLS that was asked for nothing is said, neither password nor message; and it tells what the server refuses for good.
package mail

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	gomail "github.com/wneessen/go-mail"
)

// Server is where mail is handed in.
type Server struct {
	Address  string      // host:port
	TLS      *tls.Config // nil speaks in the clear
	Implicit bool        // TLS from the first byte, instead of by STARTTLS
	User     string      // empty shows nothing
	Password string
	Timeout  time.Duration
}

// Message is one mail.
type Message struct {
	ID       string // the same each time it is sent, so that a mailbox knows a repeat
	From, To string // addresses
	Subject  string
	Text     string
	Time     time.Time
}

// RefusedError is what the server will not take, however often it is tried.
type RefusedError struct{ err error }

// Error implements error.
func (e *RefusedError) Error() string { return e.err.Error() }

// Unwrap returns what the server said.
func (e *RefusedError) Unwrap() error { return e.err }

// Send hands in a message. After an error it may have been handed in all the same.
func (s Server) Send(ctx context.Context, m Message) error {
	message, err := m.compose()
	if err != nil {
		return &RefusedError{fmt.Errorf("mail: %w", err)}
	}
	client, err := s.client()
	if err != nil {
		return fmt.Errorf("mail: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, s.Timeout)
	defer cancel()
	if err := client.DialAndSendWithContext(ctx, message); err != nil {
		err = fmt.Errorf("mail: %s: %w", s.Address, err)
		var refused *gomail.SendError
		if errors.As(err, &refused) && !refused.IsTemp() && refused.ErrorCode() >= 500 {
			return &RefusedError{err}
		}
		return err
	}
	return nil
}

// Reach goes as far as a message would be handed in: connection, TLS and log-in. Nothing is sent.
func (s Server) Reach(ctx context.Context) error {
	client, err := s.client()
	if err != nil {
		return fmt.Errorf("mail: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, s.Timeout)
	defer cancel()
	if err := client.DialWithContext(ctx); err != nil {
		return fmt.Errorf("mail: %s: %w", s.Address, err)
	}
	_ = client.Close() // it was reached, however it says farewell
	return nil
}

func (s Server) client() (*gomail.Client, error) {
	host, port, err := net.SplitHostPort(s.Address)
	if err != nil {
		return nil, err
	}
	number, err := strconv.Atoi(port)
	if err != nil {
		return nil, err
	}
	options := []gomail.Option{gomail.WithPort(number), gomail.WithTimeout(s.Timeout), gomail.WithTLSPolicy(gomail.TLSMandatory)}
	switch {
	case s.TLS == nil:
		options = append(options, gomail.WithTLSPolicy(gomail.NoTLS))
	case s.Implicit:
		options = append(options, gomail.WithTLSConfig(s.TLS), gomail.WithSSL())
	default:
		options = append(options, gomail.WithTLSConfig(s.TLS))
	}
	if s.User != "" {
		options = append(options, gomail.WithSMTPAuth(gomail.SMTPAuthAutoDiscover), gomail.WithUsername(s.User), gomail.WithPassword(s.Password))
	}
	return gomail.NewClient(host, options...)
}

// compose makes the message; RFC 3834 keeps machines from answering it.
func (m Message) compose() (*gomail.Msg, error) {
	message := gomail.NewMsg(gomail.WithNoDefaultUserAgent())
	if err := message.From(m.From); err != nil {
		return nil, err
	}
	if err := message.To(m.To); err != nil {
		return nil, err
	}
	message.Subject(m.Subject)
	message.SetMessageIDWithValue(m.ID)
	message.SetDateWithValue(m.Time)
	message.SetImportance(gomail.ImportanceUrgent)
	message.SetGenHeader("Auto-Submitted", "auto-generated")
	message.SetBodyString(gomail.TypeTextPlain, m.Text)
	return message, nil
}
