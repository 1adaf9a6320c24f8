package signon

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"testing"
	"time"

	"llamaxr/daemon/access"
)

// vouched is somebody for whom the provider vouched at the time now, and our clock.
type vouched struct {
	*liar
	person Person
	at     time.Time
	shown  []string // refresh tokens, as they were shown
	mu     sync.Mutex
}

// newVouched has a signer log in at a provider that gives that refresh token.
func newVouched(t *testing.T, refresh string) *vouched {
	t.Helper()
	v := &vouched{liar: newLiar(t), at: now}
	p := v.client(t)
	p.now = func() time.Time { return v.at }
	v.refresh = refresh
	state, binding := v.begin(t, p)
	var err error
	if v.person, err = p.Finish(t.Context(), url.Values{"state": {state}, "code": {"a code"}}, binding); err != nil {
		t.Fatal(err)
	}
	v.claims["nonce"] = "" // a refreshed token has none
	v.token = func(_ http.ResponseWriter, q *http.Request) bool {
		v.mu.Lock()
		defer v.mu.Unlock()
		if q.FormValue("grant_type") != "refresh_token" {
			t.Errorf("asked for tokens by %q", q.FormValue("grant_type"))
		}
		v.shown = append(v.shown, q.FormValue("refresh_token"))
		return false
	}
	return v
}

// is who he is after so long; the provider's token is of that time.
func (v *vouched) is(t *testing.T, after time.Duration) (access.User, error) {
	t.Helper()
	v.at = now.Add(after)
	v.claims["iat"], v.claims["exp"] = v.at.Unix(), v.at.Add(time.Minute).Unix()
	return v.person.Word.User(t.Context())
}

// down answers all questions for tokens with a status and an error of OAuth 2.0.
func (v *vouched) down(status int, code string) {
	v.token = func(w http.ResponseWriter, _ *http.Request) bool {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = w.Write([]byte(`{"error": "` + code + `"}`))
		return true
	}
}

const recheck = 15 * time.Minute

// TestRolesAreAskedAgain: who loses a group at the provider has lost its role here after oidc.recheck, and is out when none is left; a token that was used
// is not used again.
func TestRolesAreAskedAgain(t *testing.T) {
	v := newVouched(t, "first")
	v.refresh = "second"
	v.claims["groups"] = []string{"readers"}
	if user, err := v.is(t, recheck-time.Second); err != nil || !user.Has(access.Signer) || v.shown != nil {
		t.Errorf("before it is time: %+v, %v, after showing %v", user, err, v.shown)
	}
	var all sync.WaitGroup
	v.at = now.Add(recheck)
	v.claims["iat"], v.claims["exp"] = v.at.Unix(), v.at.Add(time.Minute).Unix()
	for range 20 {
		all.Go(func() {
			if user, err := v.person.Word.User(t.Context()); err != nil || !slices.Equal(user.Roles, []access.Role{access.Reader}) {
				t.Errorf("when it is time: %+v, %v", user, err)
			}
		})
	}
	all.Wait()
	v.claims["groups"] = []string{"staff"}
	if user, err := v.is(t, 2*recheck); !errors.Is(err, ErrNoRole) || len(user.Roles) > 0 {
		t.Errorf("without a role: %+v, %v", user, err)
	}
	v.claims["groups"] = []string{"doctors"}
	if _, err := v.is(t, 3*recheck); !errors.Is(err, ErrNoRole) {
		t.Errorf("who was out is in again: %v", err)
	}
	if want := []string{"first", "second"}; !slices.Equal(v.shown, want) {
		t.Errorf("showed %v, want %v", v.shown, want)
	}
}

// TestWordEnds: the provider's word counts no longer when it takes it back, tells of somebody else or cannot be believed.
func TestWordEnds(t *testing.T) {
	for _, test := range []struct {
		name  string
		to    func(*vouched)
		want  error // nil stays in
		after time.Duration
	}{
		{"nothing changed", func(*vouched) {}, nil, recheck},
		{"taken back", func(v *vouched) { v.down(http.StatusBadRequest, "invalid_grant") }, ErrDenied, recheck},
		{"of somebody else", func(v *vouched) { v.claims["sub"] = "2" }, ErrToken, recheck},
		{"under another name", func(v *vouched) { v.claims["preferred_username"] = "john" }, ErrPerson, recheck},
		{"by another key", func(v *vouched) {
			v.sign = func(header, payload map[string]any) string { return signedWith(other(), header, payload) }
		}, ErrToken, recheck},
		{"in UserInfo only", func(v *vouched) {
			v.sign = func(map[string]any, map[string]any) string { return "" }
			v.userInfo = map[string]any{"sub": "1", "preferred_username": "jane", "groups": []string{"doctors"}, "name": "Jane"}
		}, nil, recheck},
		{"in UserInfo, of somebody else", func(v *vouched) {
			v.sign = func(map[string]any, map[string]any) string { return "" }
			v.userInfo = map[string]any{"sub": "2", "preferred_username": "jane", "groups": []string{"doctors"}}
		}, ErrToken, recheck},
		{"down", func(v *vouched) { v.down(http.StatusBadGateway, "") }, nil, 2*recheck - time.Second},
		{"down for long", func(v *vouched) { v.down(http.StatusBadGateway, "") }, ErrProvider, 2 * recheck},
		{"away for long", func(v *vouched) { v.Close() }, ErrProvider, 2 * recheck},
	} {
		t.Run(test.name, func(t *testing.T) {
			v := newVouched(t, "first")
			test.to(v)
			user, err := v.is(t, test.after)
			if !errors.Is(err, test.want) || (err == nil) != user.Has(access.Signer) {
				t.Errorf("%+v, %v; want %v", user, err, test.want)
			}
		})
	}
}

// TestProviderIsBack: one that could not be asked is left alone for a while, then asked again.
func TestProviderIsBack(t *testing.T) {
	v := newVouched(t, "first")
	answering := v.token
	asked := 0
	v.down(http.StatusBadGateway, "")
	failing := v.token
	v.token = func(w http.ResponseWriter, q *http.Request) bool { asked++; return failing(w, q) }
	for _, after := range []time.Duration{0, time.Second, retryTime - time.Second, retryTime} {
		if _, err := v.is(t, recheck+after); err != nil {
			t.Fatal(err)
		}
	}
	if asked != 2 {
		t.Errorf("it was asked %d times in %s", asked, retryTime)
	}
	v.token = answering
	v.claims["groups"] = []string{"readers"}
	if user, err := v.is(t, recheck+2*retryTime); err != nil || user.Has(access.Signer) {
		t.Errorf("when it is back: %+v, %v", user, err)
	}
}

// TestWithoutRefreshToken: the word counts for oidc.session.
func TestWithoutRefreshToken(t *testing.T) {
	v := newVouched(t, "")
	if user, err := v.is(t, 2*time.Hour-time.Second); err != nil || !user.Has(access.Signer) {
		t.Errorf("%+v, %v", user, err)
	}
	if _, err := v.is(t, 2*time.Hour); !errors.Is(err, ErrOver) {
		t.Errorf("it goes on: %v", err)
	}
}
