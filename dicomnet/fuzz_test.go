package dicomnet

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"llamaxr/dicomnet/dimse"
	"llamaxr/dicomnet/pdu"
)

// conversation is an association as bytes: accepted, one C-ECHO, one C-STORE, released.
func conversation(f *testing.F) []byte {
	request, err := os.ReadFile(filepath.Join("pdu", "testdata", "echoscu-rq.pdu"))
	if err != nil {
		f.Fatal(err)
	}
	out := bytes.Clone(request)
	for _, c := range []*dimse.Command{
		{Field: dimse.EchoRQ, MessageID: 1, DataSetType: dimse.NoDataSet, AffectedSOPClassUID: Verification},
		{Field: dimse.StoreRQ, MessageID: 2, DataSetType: dimse.WithDataSet, AffectedSOPClassUID: Verification, AffectedSOPInstanceUID: "1.2.3"},
	} {
		out = (&pdu.DataTF{Values: []pdu.DataValue{{ContextID: 1, Command: true, Last: true, Data: c.Encode()}}}).AppendTo(out)
	}
	out = (&pdu.DataTF{Values: []pdu.DataValue{{ContextID: 1, Data: []byte("some")}, {ContextID: 1, Last: true, Data: []byte("data")}}}).AppendTo(out)
	return (&pdu.ReleaseRQ{}).AppendTo(out)
}

// FuzzServer feeds a server bytes as a peer would: it never panics, never keeps the connection longer than its timers allow, and every
// session that was opened is closed.
func FuzzServer(f *testing.F) {
	whole := conversation(f)
	f.Add(whole)
	f.Add(whole[:len(whole)-10])
	for _, name := range []string{"storescu-rq", "pynetdicom-rq", "storescp-ac"} {
		data, err := os.ReadFile(filepath.Join("pdu", "testdata", name+".pdu"))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var mu sync.Mutex
		var log strings.Builder
		open := 0
		s := &Server{
			AnyCalled: true, ARTIM: 20 * time.Millisecond, PDUTimeout: 20 * time.Millisecond, IdleTimeout: 20 * time.Millisecond, MaxPDULength: 16384,
			Log: slog.New(slog.NewTextHandler(lockedWriter{&mu, &log}, nil)),
			NewSession: func(context.Context, *AssociationInfo) (Session, error) {
				mu.Lock()
				defer mu.Unlock()
				open++
				return counted{&mu, &open}, nil
			},
		}
		s.defaults()
		ours, theirs := net.Pipe()
		c := s.admit(theirs)
		done := make(chan struct{})
		go func() { s.serve(t.Context(), c); close(done) }()
		go func() { _, _ = io.Copy(io.Discard, ours) }()
		_, _ = ours.Write(data)
		select {
		case <-done:
		case <-time.After(5 * time.Second):
			t.Fatal("the connection is still served")
		}
		ours.Close()
		mu.Lock()
		defer mu.Unlock()
		if open != 0 || len(s.connections) != 0 || s.established != 0 {
			t.Fatalf("%d sessions, %d connections, %d associations are left", open, len(s.connections), s.established)
		}
		if strings.Contains(log.String(), "panicked") {
			t.Fatal(log.String())
		}
	})
}

type lockedWriter struct {
	mu *sync.Mutex
	w  io.Writer
}

func (l lockedWriter) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(b)
}

// counted is a session that reads everything and counts itself off.
type counted struct {
	mu   *sync.Mutex
	open *int
}

func (counted) Echo(context.Context) error { return nil }

func (counted) Store(_ context.Context, _ *StoreRequest, data io.Reader) error {
	_, err := io.Copy(io.Discard, data)
	return err
}

func (c counted) Close(bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	*c.open--
}
