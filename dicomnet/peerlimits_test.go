package dicomnet

import (
	"errors"
	"sync"
	"testing"
	"time"

	"llamaxr/dicomnet/dimse"
)

// TestPeerRate: a peer that opens more associations in a minute than it may is told to come later; others are not touched.
func TestPeerRate(t *testing.T) {
	port, _ := start(t, func(s *Server) { s.Peers = []Peer{{AETitle: "FAST", MaxRate: 3}, {AETitle: "X"}} })
	var rejected *RejectError
	for i := range 4 {
		err := echo(t, port, Client{CallingAETitle: "FAST"})
		if i < 3 && err != nil {
			t.Errorf("association %d: %v", i+1, err)
		}
		if i == 3 && (!errors.As(err, &rejected) || *rejected != rejectLocalLimit) {
			t.Errorf("association %d: %v, want %v", i+1, err, &rejectLocalLimit)
		}
	}
	if err := echo(t, port, Client{CallingAETitle: "X"}); err != nil {
		t.Errorf("another peer: %v", err)
	}
}

// TestBucket: what a peer may open comes back over a minute, and never more than a minute's worth.
func TestBucket(t *testing.T) {
	var b bucket
	now := time.Unix(1e9, 0)
	takes := func(n int) (taken int) {
		for range n {
			if b.take(now, 6) {
				taken++
			}
		}
		return taken
	}
	if got := takes(10); got != 6 {
		t.Errorf("%d at first, want 6", got)
	}
	now = now.Add(21 * time.Second)
	if got := takes(10); got != 2 {
		t.Errorf("%d after 21 s, want 2", got)
	}
	now = now.Add(time.Hour)
	if got := takes(10); got != 6 {
		t.Errorf("%d after an hour, want 6", got)
	}
}

// TestPeerObjectLength: one peer's limit on objects is its own.
func TestPeerObjectLength(t *testing.T) {
	got := newSink()
	port, _ := start(t, func(s *Server) {
		s.NewSession, s.Peers = got.open, []Peer{{AETitle: "SMALL", MaxObjectLength: 1000}, {AETitle: "X"}}
	})
	for _, test := range []struct {
		calling string
		ok      bool
	}{{"SMALL", false}, {"X", true}} {
		a, err := Client{CallingAETitle: test.calling, CalledAETitle: "LLAMAXR"}.Dial(t.Context(), "127.0.0.1:"+port, crContexts)
		if err != nil {
			t.Fatal(err)
		}
		err = a.Store(t.Context(), StoreRequest{SOPClassUID: crClass, SOPInstanceUID: "1.2.3"}, zeros(2000))
		var status *dimse.StatusError
		if test.ok && err != nil || !test.ok && (!errors.As(err, &status) || status.Status != dimse.OutOfResources) {
			t.Errorf("%s: %v", test.calling, err)
		}
		if err := a.Release(); err != nil {
			t.Error(err)
		}
	}
}

// TestPeerByteRate: a peer's bytes are spread over time, over all its associations, and others are not held up.
func TestPeerByteRate(t *testing.T) {
	const rate = 8 << 20
	got := newSink()
	port, _ := start(t, func(s *Server) {
		s.NewSession, s.Peers = got.open, []Peer{{AETitle: "FLOOD", MaxByteRate: rate}, {AETitle: "X"}}
	})
	begun := time.Now()
	var flood sync.WaitGroup
	for range 4 {
		flood.Go(func() {
			a, err := Client{CallingAETitle: "FLOOD", CalledAETitle: "LLAMAXR"}.Dial(t.Context(), "127.0.0.1:"+port, crContexts)
			if err != nil {
				t.Error(err)
				return
			}
			if err := a.Store(t.Context(), StoreRequest{SOPClassUID: crClass, SOPInstanceUID: "1.2.3"}, zeros(rate/2)); err != nil {
				t.Error(err)
			}
			if err := a.Release(); err != nil {
				t.Error(err)
			}
		})
	}
	if err := store(t.Context(), port, 2*rate); err != nil {
		t.Error(err)
	}
	other := time.Since(begun)
	flood.Wait()
	if took := time.Since(begun); took < 900*time.Millisecond { // two seconds' worth, of which one is free
		t.Errorf("%d bytes took %v", 2*rate, took)
	}
	t.Logf("the other peer took %v", other)
}

// TestPace: a second's worth at once, then no faster than the rate; what was not used is not saved up.
func TestPace(t *testing.T) {
	p := &pace{rate: 100}
	now := time.Unix(1e9, 0)
	for _, step := range []struct {
		after time.Duration
		bytes int
		wait  time.Duration
	}{{0, 100, 0}, {0, 50, 500 * time.Millisecond}, {500 * time.Millisecond, 100, time.Second}, {time.Hour, 200, time.Second}} {
		now = now.Add(step.after)
		if got := p.take(now, step.bytes); got != step.wait {
			t.Errorf("%d bytes after %v: wait %v, want %v", step.bytes, step.after, got, step.wait)
		}
	}
	if got := (*pace)(nil).take(now, 1<<30); got != 0 {
		t.Errorf("without a limit: wait %v", got)
	}
}
