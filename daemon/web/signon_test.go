package web_test

import (
	"fmt"
	"html"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"llamaxr/daemon"
	"llamaxr/daemon/config"
	"llamaxr/daemon/signon"
	"llamaxr/internal/peertest"
)

// hospital is a real OpenID provider and a reading room that is registered there.
func hospital(t *testing.T, configure func(*config.Config)) (*peertest.OpenID, *daemon.Appliance, *httptest.Server) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	var provider *peertest.OpenID
	appliance, server := room(t, func(cfg *config.Config, address string) {
		provider = peertest.StartOpenID(t, peertest.OpenIDSettings{
			Issuer: fmt.Sprintf("http://localhost:%d", l.Addr().(*net.TCPAddr).Port),
			Clients: []map[string]any{{
				"client_id": "llamaxr", "client_secret": "a secret", "redirect_uris": []string{address + signon.Back}, "post_logout_redirect_uris": []string{address + "/login"},
				"grant_types": []string{"authorization_code", "refresh_token"},
			}},
			People: map[string]map[string]any{
				"alice": {"preferred_username": "Alice", "groups": []string{"staff", "chest-readers"}, "name": "Alice Ahern"},
				"bob":   {"preferred_username": "bob", "groups": []string{"chest-doctors"}, "family_name": "Roe", "given_name": "Bob"},
				"carl":  {"preferred_username": "carl", "groups": []string{"staff"}},
				"dora":  {"preferred_username": "dora"},
				"rita2": {"preferred_username": "rita", "groups": []string{"chest-readers"}},
			},
			Claims: map[string][]string{"profile": {"preferred_username", "groups", "name", "family_name", "given_name"}},
		})
		secret := filepath.Join(t.TempDir(), "secret")
		if err := os.WriteFile(secret, []byte("a secret\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		cfg.HTTP, cfg.HTTPAddress = "127.0.0.1:0", address
		cfg.OIDC.Issuer, cfg.OIDC.ClientID, cfg.OIDC.SecretFile, cfg.OIDC.Name = provider.Issuer, "llamaxr", secret, "Hospital login"
		cfg.OIDC.Roles = config.OIDCRoles{Reader: []string{"chest-readers"}, Signer: []string{"chest-doctors"}}
		configure(cfg)
	})
	return provider, appliance, server
}

// get follows redirections at the provider and stops at a page, or before one of the reading room.
func get(t *testing.T, c *http.Client, server *httptest.Server, address string) (page, back string) {
	t.Helper()
	for range 10 {
		if strings.HasPrefix(address, server.URL) {
			return "", address
		}
		answer, err := c.Get(address)
		if err != nil {
			t.Fatal(err)
		}
		page, address = follow(t, answer)
		if address == "" {
			return page, ""
		}
	}
	t.Fatalf("the provider goes round in circles, to %s", address)
	return "", ""
}

// follow returns an answer's page, or where it leads.
func follow(t *testing.T, answer *http.Response) (page, to string) {
	t.Helper()
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	if answer.StatusCode >= 300 && answer.StatusCode < 400 {
		to, err := answer.Location()
		if err != nil {
			t.Fatal(err)
		}
		return "", to.String()
	}
	return string(body), ""
}

// comesBack logs somebody in at the provider and returns the address to which it sends the browser.
func comesBack(t *testing.T, c *http.Client, server *httptest.Server, who string) string {
	t.Helper()
	answer, err := c.Get(server.URL + "/login/oidc?to=/learning")
	if err != nil {
		t.Fatal(err)
	}
	page, address := follow(t, answer)
	if address == "" {
		t.Fatalf("the browser is not sent on: %s", page)
	}
	for !strings.HasPrefix(address, server.URL) {
		at := address
		if answer, err = c.Get(at); err != nil {
			t.Fatal(err)
		}
		if _, address = follow(t, answer); address == "" { // its log-in page
			if answer, err = c.PostForm(at, url.Values{"login": {who}}); err != nil {
				t.Fatal(err)
			}
			if page, address = follow(t, answer); address == "" {
				t.Fatalf("the provider says %s", page)
			}
		}
	}
	return address
}

// TestSignOn: people come in by a real provider with the roles of their groups, and by nothing else; who has none is told so. Keys of the
// provider change; when it is down a local administrator still comes in. Who logs out is out there too.
func TestSignOn(t *testing.T) {
	provider, appliance, server := hospital(t, func(cfg *config.Config) { cfg.Passwords = config.PasswordsAdmins })
	signsOn := func(who string) (*http.Client, int, string) {
		c := client(t)
		status, page := ask(t, c, "GET", comesBack(t, c, server, who), nil)
		return c, status, page
	}
	alice, status, page := signsOn("alice")
	if status != http.StatusOK || !strings.Contains(page, "logged in as Alice Ahern") || !strings.Contains(page, `content="0;url=/learning"`) {
		t.Fatalf("alice comes back: %d %s", status, page)
	}
	bob, _, _ := signsOn("bob")
	for _, act := range []struct {
		who  *http.Client
		path string
		want int
	}{
		{alice, "/reject", http.StatusForbidden}, {bob, "/reject", http.StatusConflict}, // without a reason
		{alice, "/redraft", http.StatusConflict}, {bob, "/redraft", http.StatusConflict}, // without an adapter
	} {
		if got, said := ask(t, act.who, "POST", server.URL+"/studies/1.2.3"+act.path, map[string]string{"If-Match": `"0"`}); got != act.want {
			t.Errorf("%s: %d, want %d: %s", act.path, got, act.want, said)
		}
	}
	if got, _ := ask(t, bob, "GET", server.URL+"/admin", nil); got != http.StatusForbidden {
		t.Errorf("bob sees the administration: %d", got)
	}
	for who, want := range map[string]string{
		"carl": "none of your groups has a role", "dora": "does not say which groups", "nobody": "did not let you in",
	} {
		c, status, page := signsOn(who)
		if status != http.StatusForbidden || !strings.Contains(page, want) {
			t.Errorf("%s is answered %d %s", who, status, page)
		}
		if got, _ := ask(t, c, "GET", server.URL+"/learning", nil); got != http.StatusSeeOther {
			t.Errorf("%s is in: %d", who, got)
		}
	}

	// What comes back is good once, and in its own browser only.
	c, thief := client(t), client(t)
	back := comesBack(t, c, server, "alice")
	if got, _ := ask(t, thief, "GET", back, nil); got != http.StatusBadRequest {
		t.Errorf("in another browser: %d", got)
	}
	back = comesBack(t, c, server, "alice")
	for _, want := range []int{http.StatusOK, http.StatusBadRequest} {
		if got, said := ask(t, c, "GET", back, nil); got != want {
			t.Errorf("%d, want %d: %s", got, want, said)
		}
	}

	// Local passwords are for administrators here.
	if answer := login(t, server, client(t), "sam", password); answer.StatusCode != http.StatusUnauthorized {
		t.Errorf("a signer logs in by password: %s", answer.Status)
	}
	if answer := login(t, server, client(t), "adam", password); answer.StatusCode != http.StatusSeeOther {
		t.Errorf("an administrator by password: %s", answer.Status)
	}

	provider.Stop()
	if got, said := ask(t, client(t), "GET", server.URL+"/login/oidc", nil); got != http.StatusServiceUnavailable || !strings.Contains(said, "Hospital login cannot be reached") {
		t.Errorf("without the provider: %d %s", got, said)
	}
	if answer := login(t, server, client(t), "adam", password); answer.StatusCode != http.StatusSeeOther {
		t.Errorf("an administrator without the provider: %s", answer.Status)
	}
	provider.Start()
	alice, status, page = signsOn("alice")
	if status != http.StatusOK {
		t.Fatalf("with new keys: %d %s", status, page)
	}
	logsOut(t, alice, server)

	entries, err := appliance.Audit().LastEntries(100)
	if err != nil {
		t.Fatal(err)
	}
	var acts []string
	for _, e := range entries {
		acts = append(acts, e.User+" "+e.Act+": "+e.Detail)
	}
	for _, want := range []string{"alice log in: by single sign-on, subject alice", "carl log in failed: ", "alice log out: ", "sam log in failed: "} {
		if !strings.Contains(strings.Join(acts, "\n"), want) {
			t.Errorf("the audit log has no %q:\n%s", want, strings.Join(acts, "\n"))
		}
	}
}

// TestRolesEndWithTheGroup: who loses a group at a real provider has lost its role in the reading room after oidc.recheck, though he stays logged in by
// another group; without any he is out, and the audit log says so.
func TestRolesEndWithTheGroup(t *testing.T) {
	const recheck = time.Second
	provider, appliance, server := hospital(t, func(cfg *config.Config) { cfg.OIDC.Recheck = recheck })
	c := client(t)
	if status, page := ask(t, c, "GET", comesBack(t, c, server, "bob"), nil); status != http.StatusOK {
		t.Fatalf("%d %s", status, page)
	}
	becomes := func(what string, want int, method, path string) {
		t.Helper()
		got := 0
		for deadline := time.Now().Add(20 * recheck); time.Now().Before(deadline) && got != want; time.Sleep(recheck / 4) {
			got, _ = ask(t, c, method, server.URL+path, map[string]string{"If-Match": `"0"`})
		}
		if got != want {
			t.Errorf("%s: %d, want %d", what, got, want)
		}
	}
	const reject = "/studies/1.2.3/reject"
	becomes("a signer", http.StatusConflict, "POST", reject) // without a reason
	time.Sleep(2 * recheck)
	becomes("a signer whose word was given again", http.StatusConflict, "POST", reject)
	provider.Change("bob", "groups", []string{"chest-readers"})
	becomes("a reader now", http.StatusForbidden, "POST", reject)
	becomes("a reader now, who may read", http.StatusOK, "GET", "/learning")
	provider.Change("bob", "groups", []string{"staff"})
	becomes("nobody any more", http.StatusUnauthorized, "POST", reject)
	becomes("nobody any more, at a page", http.StatusSeeOther, "GET", "/learning")
	entries, err := appliance.Audit().LastEntries(1000)
	if err != nil {
		t.Fatal(err)
	}
	outs := 0
	for _, e := range entries {
		if e.User == "bob" && e.Act == "log out" && strings.Contains(e.Detail, "none of his groups has a role") {
			outs++
		}
	}
	if outs != 1 {
		t.Errorf("the audit log has him logged out %d times", outs)
	}
}

var refresh = regexp.MustCompile(`http-equiv="refresh" content="0;url=([^"]*)"`)

// logsOut logs out here and at the provider, which then asks who it is again.
func logsOut(t *testing.T, c *http.Client, server *httptest.Server) {
	t.Helper()
	_, page := ask(t, c, "POST", server.URL+"/logout", nil)
	there := refresh.FindStringSubmatch(page)
	if there == nil {
		t.Fatalf("the log-out page leads nowhere: %s", page)
	}
	if got, _ := ask(t, c, "GET", server.URL+"/learning", nil); got != http.StatusSeeOther {
		t.Errorf("after logging out: %d", got)
	}
	page, _ = get(t, c, server, html.UnescapeString(there[1]))
	form := regexp.MustCompile(`action="([^"]*)".*name="xsrf" value="([^"]*)"`).FindStringSubmatch(strings.ReplaceAll(page, "\n", " "))
	if form == nil {
		t.Fatalf("the provider's log-out page: %s", page)
	}
	answer, err := c.PostForm(html.UnescapeString(form[1]), url.Values{"xsrf": {form[2]}, "logout": {"yes"}})
	if err != nil {
		t.Fatal(err)
	}
	if _, to := follow(t, answer); to != server.URL+"/login" {
		t.Errorf("the provider sends the browser to %q", to)
	}
	if answer, err = c.Get(server.URL + "/login/oidc"); err != nil {
		t.Fatal(err)
	}
	_, to := follow(t, answer)
	if page, back := get(t, c, server, to); !strings.Contains(page, `name="login"`) {
		t.Errorf("after logging out the provider lets alice in again: %s %s", page, back)
	}
}

// TestSignOnBesidePasswords: nobody comes in under the name of a user with a password; without passwords nobody comes in by one.
func TestSignOnBesidePasswords(t *testing.T) {
	_, _, server := hospital(t, func(*config.Config) {})
	if answer := login(t, server, client(t), "sam", password); answer.StatusCode != http.StatusSeeOther {
		t.Errorf("by password: %s", answer.Status)
	}
	c := client(t)
	if got, said := ask(t, c, "GET", comesBack(t, c, server, "rita2"), nil); got != http.StatusForbidden || !strings.Contains(said, "a user rita on this appliance already") {
		t.Errorf("as somebody with a password: %d %s", got, said)
	}
	_, _, server = hospital(t, func(cfg *config.Config) { cfg.Passwords = config.PasswordsNone })
	if answer := login(t, server, client(t), "adam", password); answer.StatusCode != http.StatusUnauthorized {
		t.Errorf("passwords are off: %s", answer.Status)
	}
	if _, page := ask(t, client(t), "GET", server.URL+"/login", nil); strings.Contains(page, "password") || !strings.Contains(page, "Log in with Hospital login") {
		t.Errorf("the log-in page: %s", page)
	}
}
