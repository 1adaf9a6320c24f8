package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"llamaxr/internal/peertest"

	"github.com/chromedp/chromedp"
)

// TestSignOnInABrowser: a physician comes in by the hospital's OpenID provider, which is another site to the browser, goes where she wanted to go,
// may what her group may, and logs out of both; who has no role sees why.
func TestSignOnInABrowser(t *testing.T) {
	n := unstarted(t)
	site := "http://127.0.0.1:" + n.http
	provider := peertest.StartOpenID(t, peertest.OpenIDSettings{
		Issuer: "http://localhost:" + freePort(t),
		Clients: []map[string]any{{
			"client_id": "llamaxr", "client_secret": "a secret", "redirect_uris": []string{site + "/login/oidc/back"}, "post_logout_redirect_uris": []string{site + "/login"},
		}},
		People: map[string]map[string]any{
			"jane": {"preferred_username": "jane", "groups": []string{"doctors", "trainers"}, "family_name": "Doe", "given_name": "Jane"},
			"carl": {"preferred_username": "carl", "groups": []string{"kitchen"}},
		},
		Claims: map[string][]string{"profile": {"preferred_username", "family_name", "given_name"}, "groups": {"groups"}},
	})
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("a secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	n.args = []string{"--config", writeSettings(t, "http_address: "+site+"\nlocal_passwords: admins\noidc: {issuer: '"+provider.Issuer+"', client_id: llamaxr, secret_file: "+secret+
		", name: Hospital login, scopes: [profile, groups], roles: {signer: [doctors], trainer: [trainers]}}\n")}
	n.start()
	jane := startBrowser(t).visit(site)
	jane.open("/learning")
	jane.accessible("the log-in page with single sign-on")
	jane.signsOn("jane")
	jane.shows(`.who`)
	jane.until(`location.pathname === "/learning"`)
	if who := eval[string](jane, `document.querySelector(".who").innerText`); who != "Jane Doe signer, trainer" {
		t.Errorf("she is %q", who)
	}
	jane.open("/admin")
	jane.until(`document.body.innerText.includes("your role does not allow this")`)
	jane.click(`form[action="/logout"] button`)
	jane.until(`location.host !== "` + strings.TrimPrefix(site, "http://") + `" && document.querySelector("button[name=logout]")`)
	jane.click(`button[name=logout]`)
	jane.until(`location.href === "` + site + `/login"`)
	jane.signsOn("carl")
	jane.until(`document.body.innerText.includes("none of your groups has a role")`)
	jane.accessible("the page of who is not let in")
	jane.open("/login")
	provider.Stop()
	jane.click(`#sign-on`)
	jane.until(`document.body.innerText.includes("Hospital login cannot be reached")`)
	n.audited(t, "jane log in", "jane refused", "jane log out", "carl log in failed")
}

// signsOn logs in at the provider, from our log-in page on.
func (r *reader) signsOn(who string) {
	r.t.Helper()
	r.click(`#sign-on`)
	r.run(chromedp.SendKeys(chromedp.CSS(`input[name=login]`), who+"\r"))
}
