package dicomnet

import (
	"errors"
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
