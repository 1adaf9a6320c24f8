package signon

import (
	"crypto"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"llamaxr/daemon/access"
	"llamaxr/daemon/config"
)

// liar is a provider that says what a test wants; what an honest one says is tested with a real one, in daemon/web and daemon/e2e.
type liar struct {
	*httptest.Server
	key    *rsa.PrivateKey
	nonce  string
	claims map[string]any
	// How it lies, where it does.
	discovery func(map[string]any)
	sign      func(header, payload map[string]any) string
	token     func(http.ResponseWriter, *http.Request) bool // true when it has answered
	userInfo  map[string]any
	refresh   string // its next refresh token
}

// ours is the provider's key, other somebody else's.
var ours, other = sync.OnceValue(newKey), sync.OnceValue(newKey)

func newKey() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
}

func newLiar(t *testing.T) *liar {
	t.Helper()
	l := &liar{key: ours()}
	mux := http.NewServeMux()
	mux.HandleFunc("/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		said := map[string]any{
			"issuer": l.URL, "authorization_endpoint": l.URL + "/auth", "token_endpoint": l.URL + "/token", "jwks_uri": l.URL + "/keys", "userinfo_endpoint": l.URL + "/me",
			"id_token_signing_alg_values_supported": []string{"none", "HS256", "RS256"},
		}
		if l.discovery != nil {
			l.discovery(said)
		}
		answer(w, said)
	})
	mux.HandleFunc("/keys", func(w http.ResponseWriter, _ *http.Request) {
		n, e := l.key.N.Bytes(), big.NewInt(int64(l.key.E)).Bytes()
		answer(w, map[string]any{"keys": []any{map[string]any{"kty": "RSA", "use": "sig", "kid": "1", "alg": "RS256", "n": encode(n), "e": encode(e)}}})
	})
	mux.HandleFunc("/token", func(w http.ResponseWriter, q *http.Request) {
		if l.token != nil && l.token(w, q) {
			return
		}
		header := map[string]any{"alg": "RS256", "kid": "1"}
		payload := maps.Clone(l.claims)
		if _, set := payload["nonce"]; !set {
			payload["nonce"] = l.nonce
		}
		answer(w, map[string]any{"access_token": "opaque", "token_type": "Bearer", "id_token": l.sign(header, payload), "refresh_token": l.refresh})
	})
	mux.HandleFunc("/me", func(w http.ResponseWriter, _ *http.Request) { answer(w, l.userInfo) })
	l.Server = httptest.NewServer(mux)
	t.Cleanup(l.Close)
	l.sign = l.honest
	return l
}

func answer(w http.ResponseWriter, value any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(value)
}

func encode(raw []byte) string { return base64.RawURLEncoding.EncodeToString(raw) }

func unsigned(header, payload map[string]any) string {
	h, _ := json.Marshal(header)
	p, _ := json.Marshal(payload)
	return encode(h) + "." + encode(p)
}

func (l *liar) honest(header, payload map[string]any) string {
	return signedWith(l.key, header, payload)
}

func signedWith(key *rsa.PrivateKey, header, payload map[string]any) string {
	text := unsigned(header, payload)
	sum := sha256.Sum256([]byte(text))
	signature, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, sum[:])
	if err != nil {
		panic(err)
	}
	return text + "." + encode(signature)
}

var now = time.Date(2026, 1, 2, 8, 0, 0, 0, time.UTC)

// client is us at that provider.
func (l *liar) client(t *testing.T) *Provider {
	t.Helper()
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("a secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p, err := New(config.OIDC{
		Issuer: l.URL, ClientID: "us", SecretFile: secret, Scopes: []string{"profile"}, UserClaim: "preferred_username", Groups: "groups",
		Recheck: 15 * time.Minute, Session: 2 * time.Hour,
		Roles: config.OIDCRoles{Reader: []string{"readers"}, Signer: []string{"doctors"}},
	}, "https://site.example")
	if err != nil {
		t.Fatal(err)
	}
	p.now = func() time.Time { return now }
	l.claims = map[string]any{
		"iss": l.URL, "sub": "1", "aud": "us", "exp": now.Add(time.Minute).Unix(), "iat": now.Unix(), "preferred_username": "Jane", "groups": []string{"x", "doctors"},
		"family_name": "Doe^", "given_name": "Jane",
	}
	return p
}

// begin begins a log-in and returns its state and what the browser keeps.
func (l *liar) begin(t *testing.T, p *Provider) (state, binding string) {
	t.Helper()
	address, binding, err := p.Begin(t.Context(), "/learning")
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	l.nonce = q.Get("nonce")
	if q.Get("code_challenge_method") != "S256" || len(q.Get("code_challenge")) != 43 || q.Get("response_type") != "code" || len(l.nonce) < 43 || len(q.Get("state")) < 43 ||
		q.Get("redirect_uri") != "https://site.example"+Back || q.Get("scope") != "openid profile" {
		t.Errorf("the browser is sent to %s", address)
	}
	return q.Get("state"), binding
}

// TestHostileProviders: nobody comes in on a word that is not this provider's, for us, now, to this browser, once; and what is good comes in.
func TestHostileProviders(t *testing.T) {
	set := func(name string, value any) func(*liar, *Provider, url.Values) {
		return func(l *liar, _ *Provider, _ url.Values) { l.claims[name] = value }
	}
	without := func(name string) func(*liar, *Provider, url.Values) {
		return func(l *liar, _ *Provider, _ url.Values) { delete(l.claims, name) }
	}
	sign := func(f func(l *liar, header, payload map[string]any) string) func(*liar, *Provider, url.Values) {
		return func(l *liar, _ *Provider, _ url.Values) {
			l.sign = func(header, payload map[string]any) string { return f(l, header, payload) }
		}
	}
	for _, test := range []struct {
		name string
		lie  func(*liar, *Provider, url.Values)
		want error // nil comes in
	}{
		{"nothing wrong", func(*liar, *Provider, url.Values) {}, nil},
		{"another nonce", set("nonce", "other"), ErrToken},
		{"no nonce", set("nonce", ""), ErrToken},
		{"a token of another audience", set("aud", "them"), ErrToken},
		{"several audiences, given to nobody", set("aud", []string{"us", "them"}), ErrToken},
		{"several audiences, given to another", func(l *liar, _ *Provider, _ url.Values) {
			l.claims["aud"], l.claims["azp"] = []string{"us", "them"}, "them"
		}, ErrToken},
		{"several audiences, given to us", func(l *liar, _ *Provider, _ url.Values) {
			l.claims["aud"], l.claims["azp"] = []string{"us", "them"}, "us"
		}, nil},
		{"another issuer", set("iss", "https://evil.example"), ErrToken},
		{"no subject", without("sub"), ErrToken},
		{"no time of issue", without("iat"), ErrToken},
		{"no end", without("exp"), ErrToken},
		{"expired, within the clocks' difference", set("exp", now.Add(-Skew+time.Second).Unix()), nil},
		{"expired", set("exp", now.Add(-Skew-time.Second).Unix()), ErrToken},
		{"issued a little in the future", set("iat", now.Add(Skew-time.Second).Unix()), nil},
		{"issued in the future", set("iat", now.Add(Skew+time.Second).Unix()), ErrToken},
		{"not good before tomorrow", set("nbf", now.Add(24*time.Hour).Unix()), ErrToken},
		{"the hash of another access token", set("at_hash", encode(make([]byte, 16))), ErrToken},
		{"algorithm none", sign(func(_ *liar, header, payload map[string]any) string {
			header["alg"] = "none"
			return unsigned(header, payload) + "."
		}), ErrToken},
		{"the public key as a shared secret", sign(func(l *liar, header, payload map[string]any) string {
			header["alg"] = "HS256"
			der, _ := x509.MarshalPKIXPublicKey(l.key.Public())
			mac := hmac.New(sha256.New, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
			text := unsigned(header, payload)
			mac.Write([]byte(text))
			return text + "." + encode(mac.Sum(nil))
		}), ErrToken},
		{"another key", sign(func(_ *liar, header, payload map[string]any) string {
			return signedWith(other(), header, payload)
		}), ErrToken},
		{"a key in the token itself", sign(func(_ *liar, header, payload map[string]any) string {
			delete(header, "kid")
			header["jwk"] = map[string]any{"kty": "RSA", "n": encode(other().N.Bytes()), "e": "AQAB"}
			return signedWith(other(), header, payload)
		}), ErrToken},
		{"changed after it was signed", sign(func(l *liar, header, payload map[string]any) string {
			part := strings.Split(l.honest(header, payload), ".")
			payload["groups"] = []string{"doctors", "readers"}
			return unsigned(header, payload) + "." + part[2]
		}), ErrToken},
		{"no token", sign(func(*liar, map[string]any, map[string]any) string { return "" }), ErrToken},
		{"no JWT", sign(func(*liar, map[string]any, map[string]any) string { return "a.b.c" }), ErrToken},
		{"another state", func(_ *liar, _ *Provider, q url.Values) { q.Set("state", "other") }, ErrAttempt},
		{"no state", func(_ *liar, _ *Provider, q url.Values) { q.Del("state") }, ErrAttempt},
		{"an answer of another provider", func(_ *liar, _ *Provider, q url.Values) { q.Set("iss", "https://evil.example") }, ErrToken},
		{"too late", func(_ *liar, p *Provider, _ url.Values) {
			p.now = func() time.Time { return now.Add(AttemptLife + time.Second) }
		}, ErrAttempt},
		{"he went away", func(_ *liar, _ *Provider, q url.Values) { q.Set("error", "access_denied") }, ErrDenied},
		{"a code that it does not know", func(l *liar, _ *Provider, _ url.Values) {
			l.token = func(w http.ResponseWriter, _ *http.Request) bool {
				w.Header().Set("Content-Type", "application/json")
				w.WriteHeader(http.StatusBadRequest)
				_, _ = w.Write([]byte(`{"error": "invalid_grant"}`))
				return true
			}
		}, ErrToken},
		{"a token endpoint out of order", func(l *liar, _ *Provider, _ url.Values) {
			l.token = func(w http.ResponseWriter, _ *http.Request) bool {
				http.Error(w, strings.Repeat("x", 4096), http.StatusBadGateway)
				return true
			}
		}, ErrProvider},
		{"an endless answer", func(l *liar, _ *Provider, _ url.Values) {
			l.token = func(w http.ResponseWriter, _ *http.Request) bool {
				for chunk := make([]byte, 1<<20); ; {
					if _, err := w.Write(chunk); err != nil {
						return true
					}
				}
			}
		}, ErrProvider},
		{"no groups", func(l *liar, _ *Provider, _ url.Values) {
			delete(l.claims, "groups")
			l.userInfo = map[string]any{"sub": "1"}
		}, ErrNoGroups},
		{"groups in UserInfo", func(l *liar, _ *Provider, _ url.Values) {
			delete(l.claims, "groups")
			l.userInfo = map[string]any{"sub": "1", "groups": []string{"doctors"}, "preferred_username": "root"}
		}, nil},
		{"another's UserInfo", func(l *liar, _ *Provider, _ url.Values) {
			delete(l.claims, "groups")
			l.userInfo = map[string]any{"sub": "2", "groups": []string{"doctors"}}
		}, ErrToken},
		{"groups that are none", set("groups", map[string]any{"doctors": true}), ErrNoGroups},
		{"no group with a role", set("groups", []string{"Doctors", "doctor"}), ErrNoRole},
		{"one group as a text", set("groups", "doctors"), nil},
		{"a user name with a blank", set("preferred_username", "jane doe"), ErrPerson},
		{"a user name that becomes another's in lower case", set("preferred_username", "\u212Aate"), ErrPerson},
		{"a user name that is a number", set("preferred_username", 7), ErrPerson},
	} {
		t.Run(test.name, func(t *testing.T) {
			l := newLiar(t)
			p := l.client(t)
			state, binding := l.begin(t, p)
			q := url.Values{"state": {state}, "code": {"a code"}}
			test.lie(l, p, q)
			person, err := p.Finish(t.Context(), q, binding)
			if !errors.Is(err, test.want) {
				t.Fatalf("%v, want %v", err, test.want)
			}
			if err != nil && len(err.Error()) > 1000 {
				t.Errorf("an error of %d bytes", len(err.Error()))
			}
			if err == nil && (person.Name != "jane" || person.FullName != "Doe^Jane" || !slices.Equal(person.Roles, []access.Role{access.Signer}) || person.To != "/learning") {
				t.Errorf("he is %+v", person)
			}
			if err != nil && len(person.Roles) > 0 {
				t.Errorf("refused with roles: %+v", person)
			}
		})
	}
}

// TestStatesAreGoodOnce: not twice, not in another browser; and one that another browser tried in vain is gone.
func TestStatesAreGoodOnce(t *testing.T) {
	l := newLiar(t)
	p := l.client(t)
	state, binding := l.begin(t, p)
	q := url.Values{"state": {state}, "code": {"a code"}}
	if _, err := p.Finish(t.Context(), q, binding); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Finish(t.Context(), q, binding); !errors.Is(err, ErrAttempt) {
		t.Errorf("the second time: %v", err)
	}
	for _, cookie := range []string{"", "guess", binding} {
		state, binding = l.begin(t, p)
		q.Set("state", state)
		if _, err := p.Finish(t.Context(), q, cookie); !errors.Is(err, ErrAttempt) {
			t.Errorf("in another browser: %v", err)
		}
		if _, err := p.Finish(t.Context(), q, binding); !errors.Is(err, ErrAttempt) {
			t.Errorf("after another browser: %v", err)
		}
	}
	for range maxAttempts + 10 {
		p.attempts.add(random(), attempt{begun: now})
	}
	if n := len(p.attempts.list); n > maxAttempts {
		t.Errorf("%d log-ins are remembered", n)
	}
}

// TestDiscovery: a provider that calls itself by another name, has addresses in the clear, or leads elsewhere is not used.
func TestDiscovery(t *testing.T) {
	for name, lie := range map[string]func(map[string]any){
		"another issuer":     func(said map[string]any) { said["issuer"] = "https://evil.example" },
		"tokens in clear":    func(said map[string]any) { said["token_endpoint"] = "http://idp.example/token" },
		"log-in by a script": func(said map[string]any) { said["authorization_endpoint"] = "javascript:alert(1)" },
		"no keys":            func(said map[string]any) { delete(said, "jwks_uri") },
	} {
		l := newLiar(t)
		p := l.client(t)
		l.discovery = lie
		if address, _, err := p.Begin(t.Context(), "/"); !errors.Is(err, ErrProvider) {
			t.Errorf("%s: %v, to %q", name, err, address)
		}
	}
	l := newLiar(t)
	p := l.client(t)
	l.discovery = func(said map[string]any) { said["end_session_endpoint"] = "javascript:alert(1)" }
	state, binding := l.begin(t, p)
	person, err := p.Finish(t.Context(), url.Values{"state": {state}, "code": {"a code"}}, binding)
	if err != nil || person.LogOut != "" {
		t.Errorf("%v, logs out at %q", err, person.LogOut)
	}
}

// TestSecretStays: a token endpoint that sends us elsewhere does not have our secret follow.
func TestSecretStays(t *testing.T) {
	heard := make(chan string, 1)
	elsewhere := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, q *http.Request) { heard <- q.Header.Get("Authorization") }))
	defer elsewhere.Close()
	l := newLiar(t)
	p := l.client(t)
	state, binding := l.begin(t, p)
	l.token = func(w http.ResponseWriter, q *http.Request) bool {
		if user, password, ok := q.BasicAuth(); !ok || user != "us" || password != "a+secret" {
			t.Errorf("we show %q %q", user, password)
		}
		http.Redirect(w, q, elsewhere.URL, http.StatusTemporaryRedirect)
		return true
	}
	if _, err := p.Finish(t.Context(), url.Values{"state": {state}, "code": {"a code"}}, binding); !errors.Is(err, ErrProvider) {
		t.Error(err)
	}
	select {
	case said := <-heard:
		t.Errorf("the other server heard %q", said)
	default:
	}
}

// TestClaims: claims are found by name first, then by path.
func TestClaims(t *testing.T) {
	claims := map[string]any{"a.b": "name", "a": map[string]any{"b": "path", "c": map[string]any{"d": "deep"}}, "https://x.example/groups": "address"}
	for name, want := range map[string]any{"a.b": "name", "a.c.d": "deep", "a.x": nil, "x": nil, "a.b.c": nil, "https://x.example/groups": "address"} {
		if got := lookUp(claims, name); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
	for want, claims := range map[string]map[string]any{
		"Doe^Jane":      {"family_name": "Doe", "given_name": "Jane", "name": "Dr Jane Doe"},
		"Doe":           {"family_name": "Doe"},
		"Dr Jane Doe":   {"name": "Dr Jane Doe"},
		"Mueller Lopez": {"family_name": "Mueller^\nLopez"},
		"":              {"name": 7},
	} {
		if got := personName(claims); got != want {
			t.Errorf("%v is %q, want %q", claims, got, want)
		}
	}
}
