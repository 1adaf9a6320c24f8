package peertest

import (
	"bytes"
	"encoding/json"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// SMTP is a running aiosmtpd that takes mail of user "llamaxr" with "a password".
type SMTP struct {
	Address string
	Folder  string // messages as JSON
	t       testing.TB
}

// Mail is a message as the server took it.
type Mail struct {
	To   []string
	From string
	TLS  bool
	User string
	Data string // headers and body
}

// StartSMTP runs a server until the test ends. mode is starttls, tls or clear; codes are the answers to the first messages.
func StartSMTP(t testing.TB, authority *Authority, mode string, codes ...string) *SMTP {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	certificate, key, _ := authority.Node("smtp-"+port, 2048, 24*time.Hour)
	s := &SMTP{Address: l.Addr().String(), Folder: t.TempDir(), t: t}
	args := append([]string{filepath.Join(Root(t), "reporting", "mail", "testdata", "smtp.py"), port, s.Folder, mode, certificate, key}, codes...)
	cmd := exec.Command(Python(t), args...)
	startPeer(t, cmd)
	return s
}

// Mails are the messages so far, in the order in which they came.
func (s *SMTP) Mails() (out []Mail) {
	s.t.Helper()
	files, err := filepath.Glob(filepath.Join(s.Folder, "*.json"))
	if err != nil {
		s.t.Fatal(err)
	}
	for _, path := range files {
		text, err := os.ReadFile(path)
		if err != nil {
			s.t.Fatal(err)
		}
		var m Mail
		if err := json.Unmarshal(text, &m); err != nil {
			s.t.Fatal(err)
		}
		out = append(out, m)
	}
	return out
}

// Clear is what clients said of a password before TLS.
func (s *SMTP) Clear() string {
	text, err := os.ReadFile(filepath.Join(s.Folder, "clear.txt"))
	if err != nil && !os.IsNotExist(err) {
		s.t.Fatal(err)
	}
	return string(bytes.TrimSpace(text))
}

// Header is a header of a mail, unfolded; empty when it has none.
func (m Mail) Header(name string) string {
	head, _, _ := strings.Cut(strings.ReplaceAll(m.Data, "\r\n", "\n"), "\n\n")
	for line := range strings.Lines(strings.ReplaceAll(head, "\n ", " ")) {
		if value, ok := strings.CutPrefix(line, name+": "); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}
