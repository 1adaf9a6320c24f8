package daemon

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"llamaxr/daemon/access"
	"llamaxr/queue"
)

// userActs are the entries of a state's audit log.
func userActs(t *testing.T, state string) (acts []string) {
	t.Helper()
	if _, err := access.ReadAudit(filepath.Join(state, auditFile), func(e access.Entry) {
		acts = append(acts, fmt.Sprintf("%s from %s: %s", e.Act, e.Address, e.Detail))
	}); err != nil {
		t.Fatal(err)
	}
	return acts
}

// TestUsersOfAStoppedAppliance: a change of users without a daemon is in the audit log, also one that was not made, and none is made while a daemon has the
// state and does not answer yet.
func TestUsersOfAStoppedAppliance(t *testing.T) {
	state := t.TempDir()
	rita := UserChange{User: access.User{Name: "rita", Roles: []access.Role{access.Reader}}, Secret: "correct horse battery"}
	if _, err := ChangeUsers(state, "add", rita); err != nil {
		t.Fatal(err)
	}
	if _, err := ChangeUsers(state, "token", rita); err == nil {
		t.Error("a person has a token")
	}
	starting, err := queue.Open(filepath.Join(state, databaseFile), queue.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ChangeUsers(state, "remove", rita); err == nil {
		t.Error("a user was removed while an appliance starts")
	}
	time.AfterFunc(time.Second/2, func() { // it has started
		listener, err := net.Listen("unix", filepath.Join(state, socketFile))
		if err != nil {
			t.Error(err)
			return
		}
		t.Cleanup(func() { listener.Close() })
		_ = http.Serve(listener, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `"started"`) }))
	})
	if said, err := ChangeUsers(state, "token", rita); err != nil || said != "started" {
		t.Errorf("an appliance that has started meanwhile: %q, %v", said, err)
	}
	if err := errors.Join(starting.Close(), os.Remove(filepath.Join(state, socketFile))); err != nil {
		t.Fatal(err)
	}
	if _, err := ChangeUsers(state, "remove", rita); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"user add from state folder: rita",
		"user token from state folder: rita", "user token failed from state folder: rita: access: rita is a person, who logs in with a password",
		"user remove from state folder: rita",
	}
	if acts := userActs(t, state); !slices.Equal(acts, want) {
		t.Errorf("the audit log has %q", acts)
	}
}
