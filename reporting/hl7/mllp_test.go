package hl7

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"llamaxr/study"
)

// startServer runs a server on loopback until the test ends.
func startServer(t *testing.T, s *Server) net.Addr {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.Log = slog.New(slog.DiscardHandler)
	if s.MaxConnections == 0 {
		s.MaxConnections = 4
	}
	if s.MaxMessage == 0 {
		s.MaxMessage = 1 << 20
	}
	if s.IdleTime == 0 {
		s.IdleTime, s.MessageTime = 10*time.Second, 10*time.Second
	}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := s.Serve(ctx, l); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() { cancel(); wg.Wait() })
	return l.Addr()
}

// TestServerAnswersAnotherProgram: python-hl7's client sends results and other messages on one connection and reads each answer.
func TestServerAnswersAnotherProgram(t *testing.T) {
	var mu sync.Mutex
	var got []string
	address := startServer(t, &Server{Handle: func(_ context.Context, m *Message) Reply {
		results, err := Results(m)
		if err != nil {
			return Reject(codeSequence, err.Error())
		}
		mu.Lock()
		defer mu.Unlock()
		got = append(got, results[0].Report)
		switch len(got) {
		case 2:
			return Accept("no such study")
		case 3:
			return Fail("busy")
		}
		return Accept("")
	}})
	result := (Sender{}).Message(example(study.ResultSigned)).Encode()
	adt := []byte("MSH|^~\\&|A|B|C|D|20260101||ADT^A08^ADT_A01|77|P|2.5.1\rEVN||20260101\r")
	test := []byte(strings.Replace(string(result), "|P|2.5.1", "|T|2.5.1", 1))
	lines := python(t, "send.py", fmt.Sprint(address.(*net.TCPAddr).Port), file(t, "1", result), file(t, "2", result), file(t, "3", result), file(t, "4", adt), file(t, "5", test))
	id := ControlID(example(study.ResultSigned))
	if want := []string{"AA " + id, "AA " + id + " 204", "AE " + id + " 207", "AR 77 200", "AR " + id + " 202"}; !slices.Equal(lines, want) {
		t.Errorf("python-hl7 was answered %q, want %q", lines, want)
	}
	if want := "FINDINGS: " + nasty + ".\nNo effusion.\nIMPRESSION: Normal."; got[0] != want {
		t.Errorf("the report is %q, want %q", got[0], want)
	}
}

// TestServerBounds: who is not let in, too many, too long or silent is cut off; the others are served.
func TestServerBounds(t *testing.T) {
	closed := func(name string, conn net.Conn) {
		t.Helper()
		_ = conn.SetReadDeadline(time.Now().Add(20 * time.Second))
		if n, err := io.Copy(io.Discard, conn); n > 0 || isTimeout(err) {
			t.Errorf("%s: %d bytes of an answer, %v", name, n, err)
		}
	}
	dial := func(address net.Addr) net.Conn {
		conn, err := net.Dial("tcp", address.String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		return conn
	}
	accept := func(context.Context, *Message) Reply { return Accept("") }
	closed("a stranger", dial(startServer(t, &Server{Handle: accept, Peers: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}})))
	address := startServer(t, &Server{Handle: accept, MaxConnections: 1, MaxMessage: 1000, IdleTime: time.Minute, MessageTime: time.Minute})
	first := dial(address)
	if err := WriteFrame(first, (Sender{}).Message(example(study.ResultSigned)).Encode()[:500]); err != nil {
		t.Fatal(err)
	}
	answer, err := ReadFrame(bufio.NewReader(first), 1000, nil)
	if err != nil || !strings.Contains(string(answer), "MSA|A") {
		t.Fatalf("%q, %v", answer, err)
	}
	closed("one too many", dial(address))
	go func() { _ = WriteFrame(first, make([]byte, 2000)) }()
	closed("a long message", first)
	silent := startServer(t, &Server{Handle: accept, IdleTime: 50 * time.Millisecond, MessageTime: 50 * time.Millisecond})
	closed("silence", dial(silent))
	half := dial(silent)
	if _, err := half.Write([]byte("\x0bMSH|")); err != nil {
		t.Fatal(err)
	}
	closed("half a message", half)
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

// TestClientErrors: the client tells a refusal for good from an error that passes, and believes only the answer to its own message.
func TestClientErrors(t *testing.T) {
	m := (Sender{}).Message(example(study.ResultDraft))
	for _, test := range []struct {
		name      string
		reply     Reply
		permanent bool
	}{{"accepted", Accept(""), false}, {"failed", Fail("later"), false}, {"rejected", Reject(codeType, "never"), true}} {
		address := startServer(t, &Server{Handle: func(context.Context, *Message) Reply { return test.reply }})
		err := Client{Address: address.String(), Timeout: 20 * time.Second}.Send(t.Context(), m)
		var ack *AckError
		if errors.As(err, &ack) != (test.reply.Code != Accepted) || ack != nil && (ack.Permanent() != test.permanent || ack.Condition != test.reply.Error) {
			t.Errorf("%s: %v", test.name, err)
		}
	}
	for name, answer := range map[string]string{
		"another message": "MSH|^~\\&|||||||ACK|1|P|2.5.1\rMSA|AA|other\r", "no MSA": "MSH|^~\\&|||||||ACK|1|P|2.5.1\r", "nothing": "",
	} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			defer conn.Close()
			if _, err := ReadFrame(bufio.NewReader(conn), MaxMessage, nil); err == nil {
				_ = WriteFrame(conn, []byte(answer))
			}
		}()
		err = Client{Address: l.Addr().String(), Timeout: 20 * time.Second}.Send(t.Context(), m)
		l.Close()
		var ack *AckError
		if err == nil || errors.As(err, &ack) {
			t.Errorf("%s: %v", name, err)
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := (Client{Address: l.Addr().String(), Timeout: 50 * time.Millisecond}).Send(t.Context(), m); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a receiver that says nothing: %v", err)
	}
}
