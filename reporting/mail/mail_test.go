package mail

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"strings"
	"testing"
	"time"

	"llamaxr/internal/peertest"
)

var message = Message{
	ID: "1.2.3@llamaxr", From: "llamaxr@hospital.example", To: "oncall@hospital.example", Subject: "Critical: größer", Text: "A line.\n.\nThe läst line, " + strings.Repeat("long ", 300),
	Time: time.Date(2026, 1, 2, 8, 0, 0, 0, time.UTC),
}

func server(s *peertest.SMTP, believed *x509.Certificate) Server {
	roots := x509.NewCertPool()
	if believed != nil {
		roots.AddCert(believed)
	}
	return Server{Address: s.Address, User: "llamaxr", Password: "a password", TLS: &tls.Config{ServerName: "127.0.0.1", RootCAs: roots}, Timeout: 20 * time.Second}
}

// TestHandedIn: aiosmtpd has the message, by STARTTLS and by TLS from the first byte, from the user with the password; what it answers for now is
// tried again, what it answers for good is not.
func TestHandedIn(t *testing.T) {
	authority := peertest.NewAuthority(t)
	for _, mode := range []string{"starttls", "tls"} {
		s := peertest.StartSMTP(t, authority, mode, "451 4.3.0 later", "554 5.7.1 never")
		to := server(s, authority.Root)
		to.Implicit = mode == "tls"
		var refused *RefusedError
		if err := to.Send(t.Context(), message); err == nil || errors.As(err, &refused) {
			t.Errorf("%s: answered 451: %v", mode, err)
		}
		if err := to.Send(t.Context(), message); !errors.As(err, &refused) {
			t.Errorf("%s: answered 554: %v", mode, err)
		}
		for range 2 {
			if err := to.Send(t.Context(), message); err != nil {
				t.Fatalf("%s: %v", mode, err)
			}
		}
		got := s.Mails()
		if len(got) != 2 || got[0].User != "llamaxr" || got[0].To[0] != message.To || got[0].From != message.From || mode == "starttls" && !got[0].TLS {
			t.Fatalf("%s: %+v", mode, got)
		}
		for name, want := range map[string]string{
			"Message-ID": "<1.2.3@llamaxr>", "Date": "Fri, 02 Jan 2026 08:00:00 +0000", "Auto-Submitted": "auto-generated", "Subject": "=?UTF-8?q?Critical:_gr=C3=B6=C3=9Fer?=",
		} {
			if said := got[1].Header(name); said != want {
				t.Errorf("%s: %s is %q, want %q", mode, name, said, want)
			}
		}
		if got[0].Data != got[1].Data {
			t.Errorf("%s: a repeat is another message:\n%s\n%s", mode, got[0].Data, got[1].Data)
		}
		nobody := message
		nobody.To = "nobody@hospital.example"
		if err := to.Send(t.Context(), nobody); !errors.As(err, &refused) || !strings.Contains(err.Error(), "no such mailbox") {
			t.Errorf("%s: to nobody: %v", mode, err)
		}
		to.Password = "another"
		if err := to.Send(t.Context(), message); err == nil || errors.As(err, &refused) || !strings.Contains(err.Error(), "535") {
			t.Errorf("%s: with another password: %v", mode, err)
		}
	}
}

// TestNothingInTheClear: a server that does not offer TLS, or whose certificate nobody vouches for, hears neither password nor message.
func TestNothingInTheClear(t *testing.T) {
	authority := peertest.NewAuthority(t)
	for _, test := range []struct {
		mode     string
		believed *x509.Certificate
	}{{"clear", authority.Root}, {"starttls", nil}, {"tls", nil}} {
		s := peertest.StartSMTP(t, authority, test.mode)
		to := server(s, test.believed)
		to.Implicit = test.mode == "tls"
		if err := to.Send(t.Context(), message); err == nil {
			t.Errorf("%s: sent", test.mode)
		}
		if got := s.Mails(); len(got) > 0 || s.Clear() != "" {
			t.Errorf("%s: it heard %+v %q", test.mode, got, s.Clear())
		}
	}
	s := peertest.StartSMTP(t, authority, "clear")
	if err := (Server{Address: s.Address, Timeout: 20 * time.Second}).Send(t.Context(), message); err != nil || len(s.Mails()) != 1 {
		t.Errorf("in the clear, as it was asked for: %v", err)
	}
}
