package dicomnet

import (
	"errors"
	"testing"
	"time"
)

// TestRulesChangeWhileServing: new rules hold for the next association; one that is open stays, and counts against its peer's new limit.
func TestRulesChangeWhileServing(t *testing.T) {
	var server *Server
	port, _ := start(t, func(s *Server) { s.Peers, server = []Peer{{AETitle: "CT"}}, s })
	ct := Client{CallingAETitle: "CT", CalledAETitle: "LLAMAXR"}
	open, err := ct.Dial(t.Context(), "127.0.0.1:"+port, verification)
	if err != nil {
		t.Fatal(err)
	}
	refused := func(client Client, want *RejectError) {
		t.Helper()
		var rejected *RejectError
		a, err := client.Dial(t.Context(), "127.0.0.1:"+port, verification)
		if err == nil {
			err = a.Release()
		}
		if want == nil && err != nil || want != nil && (!errors.As(err, &rejected) || *rejected != *want) {
			t.Errorf("%s calling %q: %v, want %v", client.CallingAETitle, client.CalledAETitle, err, want)
		}
	}
	dx, other := Client{CallingAETitle: "DX", CalledAETitle: "LLAMAXR"}, Client{CallingAETitle: "DX", CalledAETitle: "OTHER"}
	refused(dx, &rejectCallingAETitle)
	change := func(r Rules) {
		t.Helper()
		if err := server.Change(r); err != nil {
			t.Fatal(err)
		}
	}
	change(Rules{AnyCalled: true, Peers: []Peer{{AETitle: "DX"}, {AETitle: "CT", MaxAssociations: 1}}, MaxAssociations: 2, IdleTimeout: time.Minute})
	refused(other, nil)
	refused(ct, &rejectLocalLimit)
	change(Rules{Peers: []Peer{{AETitle: "DX"}}, MaxAssociations: 1, IdleTimeout: time.Minute})
	refused(other, &rejectCalledAETitle)
	refused(ct, &rejectCallingAETitle)
	refused(dx, &rejectLocalLimit) // the one place is taken
	if err := open.Echo(t.Context()); err != nil {
		t.Errorf("the association that was open: %v", err)
	}
	if err := open.Release(); err != nil {
		t.Error(err)
	}
	refused(dx, nil)
	if err := server.Change(Rules{Peers: []Peer{{AETitle: "DX", Certificates: []string{"a"}}}}); err == nil {
		t.Error("rules that cannot be meant are taken")
	}
	refused(dx, nil)
}
