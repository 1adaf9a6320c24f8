package daemon

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"sync/atomic"
	"testing"
	"time"
)

// TestHTTPConnectionsAreBounded: who opens connections and asks for nothing has the oldest of them closed; who asks is answered.
func TestHTTPConnectionsAreBounded(t *testing.T) {
	const most = 20
	held := newConnections(most)
	var open, highest atomic.Int64
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "here") }))
	server.Config.ConnState = func(nc net.Conn, state http.ConnState) {
		switch state {
		case http.StateNew:
			highest.Store(max(highest.Load(), open.Add(1)))
		case http.StateClosed:
			open.Add(-1)
		}
		held.note(nc, state)
	}
	server.Start()
	defer server.Close()
	var flood []net.Conn
	for range 5 * most {
		nc, err := net.Dial("tcp", server.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		flood = append(flood, nc)
	}
	client := &http.Client{Timeout: 10 * time.Second}
	for range 3 {
		response, err := client.Get(server.URL)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
	}
	_ = flood[0].SetReadDeadline(time.Now().Add(10 * time.Second))
	if _, err := flood[0].Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the oldest is still open: %v", err)
	}
	for deadline := time.Now().Add(10 * time.Second); open.Load() > most; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d connections are open", open.Load())
		}
	}
	t.Logf("%d connections at most", highest.Load())
}
