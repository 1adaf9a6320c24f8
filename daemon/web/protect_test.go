package web_test

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"llamaxr/daemon"
	"llamaxr/daemon/access"
	"llamaxr/daemon/config"
	"llamaxr/daemon/web"
)

const password = "correct horse battery"

// room is a reading room over an appliance that runs. configure is told the address at which browsers reach it.
func room(t *testing.T, configure ...func(cfg *config.Config, address string)) (*daemon.Appliance, *httptest.Server) {
	t.Helper()
	server := httptest.NewUnstartedServer(nil)
	cfg := config.Default()
	cfg.State, cfg.Listen, cfg.HTTP, cfg.Engine, cfg.FreeSpace = t.TempDir(), "127.0.0.1:0", "", "go", 0
	for _, set := range configure {
		set(&cfg, "http://"+server.Listener.Addr().String())
	}
	log := slog.New(slog.DiscardHandler)
	appliance, err := daemon.Open(cfg, "test", log)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- appliance.Run(ctx) }()
	handler, err := web.New(appliance, log)
	if err != nil {
		t.Fatal(err)
	}
	server.Config.Handler = handler
	server.Start()
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	for name, roles := range map[string][]access.Role{"rita": {access.Reader}, "sam": {access.Signer}, "tina": {access.Trainer}, "adam": {access.Admin}} {
		if err := appliance.Users().Add(access.User{Name: name, FullName: "X^" + name, Roles: roles}, password); err != nil {
			t.Fatal(err)
		}
	}
	return appliance, server
}

func client(t *testing.T) *http.Client {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &http.Client{Jar: jar, Timeout: time.Minute, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

func login(t *testing.T, server *httptest.Server, c *http.Client, name, password string) *http.Response {
	t.Helper()
	answer, err := c.PostForm(server.URL+"/login", url.Values{"name": {name}, "password": {password}, "to": {"//evil.example/"}})
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	return answer
}

// ask sends a request and returns its status and body.
func ask(t *testing.T, c *http.Client, method, address string, headers map[string]string) (int, string) {
	t.Helper()
	request, err := http.NewRequest(method, address, strings.NewReader(`{"revision": 1, "findings": "x.", "impression": "x."}`))
	if err != nil {
		t.Fatal(err)
	}
	for key, value := range headers {
		if key == "Host" {
			request.Host = value
		}
		request.Header.Set(key, value)
	}
	answer, err := c.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(body)
}

// TestRoles: every page and act answers those whose role allows it and nobody else.
func TestRoles(t *testing.T) {
	_, server := room(t)
	const study = "/studies/1.2.3"
	pages := []struct {
		method, path string
		want         map[string]int // 200 unless said
	}{
		{"GET", "/", map[string]int{"": 303, "tina": 303, "adam": 303}},
		{"GET", study, map[string]int{"": 303, "rita": 404, "sam": 404, "tina": 403, "adam": 403}},
		{"GET", study + "/next", map[string]int{"": 303, "rita": 303, "sam": 303, "tina": 403, "adam": 403}},
		{"GET", study + "/images/1.2.3.4", map[string]int{"": 303, "rita": 404, "sam": 404, "tina": 403, "adam": 403}},
		{"PUT", study + "/reading", map[string]int{"": 401, "rita": 404, "sam": 404, "tina": 403, "adam": 403}},
		{"POST", study + "/sign", map[string]int{"": 401, "rita": 403, "sam": 404, "tina": 403, "adam": 403}},
		{"POST", study + "/reject", map[string]int{"": 401, "rita": 403, "sam": 409, "tina": 403, "adam": 403}}, // without a reason
		{"POST", study + "/reopen", map[string]int{"": 401, "rita": 403, "sam": 404, "tina": 403, "adam": 403}},
		{"POST", study + "/acknowledge", map[string]int{"": 401, "rita": 400, "sam": 400, "tina": 403, "adam": 403}}, // without a number
		{"POST", study + "/redraft", map[string]int{"": 401, "rita": 409, "sam": 409, "tina": 403, "adam": 403}},     // without an adapter
		{"GET", "/learning", map[string]int{"": 303}},
		{"POST", "/learning/rollback", map[string]int{"": 401, "rita": 403, "sam": 403, "tina": 303, "adam": 403}},
		{"GET", "/admin", map[string]int{"": 303, "rita": 403, "sam": 403, "tina": 403}},
		{"POST", "/admin/resend", map[string]int{"": 401, "rita": 403, "sam": 403, "tina": 403, "adam": 303}},
	}
	for _, name := range []string{"", "rita", "sam", "tina", "adam"} {
		c := client(t)
		if name != "" {
			answer := login(t, server, c, name, password)
			if answer.StatusCode != http.StatusSeeOther || answer.Header.Get("Location") != "/" {
				t.Fatalf("%s logs in: %s to %q", name, answer.Status, answer.Header.Get("Location"))
			}
			cookie := answer.Cookies()[0]
			if !cookie.HttpOnly || cookie.SameSite != http.SameSiteStrictMode {
				t.Errorf("the session's cookie is %v", cookie)
			}
		}
		for _, page := range pages {
			want := page.want[name]
			if want == 0 {
				want = http.StatusOK
			}
			got, body := ask(t, c, page.method, server.URL+page.path, map[string]string{"If-Match": `"0"`})
			if got != want {
				t.Errorf("%q: %s %s: %d, want %d: %.200s", name, page.method, page.path, got, want, body)
			}
		}
	}
}

// TestRequestsFromElsewhere: a foreign page cannot act for a user, a foreign name does not lead here, and no page runs foreign script.
func TestRequestsFromElsewhere(t *testing.T) {
	_, server := room(t)
	c := client(t)
	login(t, server, c, "sam", password)
	for _, test := range []struct {
		headers map[string]string
		want    int
	}{
		{map[string]string{"Sec-Fetch-Site": "cross-site"}, http.StatusForbidden},
		{map[string]string{"Origin": "https://evil.example"}, http.StatusForbidden},
		{map[string]string{"Host": "evil.example"}, http.StatusMisdirectedRequest},
		{map[string]string{"Sec-Fetch-Site": "same-origin"}, http.StatusPreconditionRequired}, // without If-Match
		{map[string]string{"Sec-Fetch-Site": "same-origin", "If-Match": `"0"`}, http.StatusNotFound},
	} {
		if got, body := ask(t, c, "POST", server.URL+"/studies/1.2.3/sign", test.headers); got != test.want {
			t.Errorf("%v: %d, want %d: %s", test.headers, got, test.want, body)
		}
	}
	answer, err := c.Get(server.URL + "/")
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	policy := answer.Header.Get("Content-Security-Policy")
	for _, want := range []string{"default-src 'none'", "script-src 'self';", "style-src 'self';", "frame-ancestors 'none'"} {
		if !strings.Contains(policy, want) {
			t.Errorf("the policy %q lacks %q", policy, want)
		}
	}
	if strings.Contains(policy, "unsafe") || answer.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("policy %q, cache %q", policy, answer.Header.Get("Cache-Control"))
	}
}

// TestGuessesAreLockedOut: the sixth guess waits, even with the right password, and the audit log has them all.
func TestGuessesAreLockedOut(t *testing.T) {
	appliance, server := room(t)
	for range 5 {
		if answer := login(t, server, client(t), "sam", "a wrong password"); answer.StatusCode != http.StatusUnauthorized {
			t.Fatalf("a guess is answered %s", answer.Status)
		}
	}
	if answer := login(t, server, client(t), "sam", password); answer.StatusCode != http.StatusTooManyRequests {
		t.Errorf("after five guesses: %s", answer.Status)
	}
	if answer := login(t, server, client(t), "rita", password); answer.StatusCode != http.StatusSeeOther {
		t.Errorf("another user: %s", answer.Status)
	}
	entries, err := appliance.Audit().LastEntries(10)
	if err != nil || len(entries) != 7 || entries[1].Act != "log in refused" || entries[6].Act != "log in failed" {
		t.Errorf("%v %+v", err, entries)
	}
}

// TestEveryGuessIsRecorded: one under a name that is too long for a line of the audit log too.
func TestEveryGuessIsRecorded(t *testing.T) {
	appliance, server := room(t)
	login(t, server, client(t), strings.Repeat("x", 100_000), "a wrong password")
	entries, err := appliance.Audit().LastEntries(10)
	if err != nil || len(entries) != 1 || entries[0].Act != "log in failed" || !strings.HasPrefix(entries[0].User, "xxx") {
		t.Errorf("%v %+v", err, entries)
	}
}

// TestAnotherPasswordEndsSessions: so does taking a user out.
func TestAnotherPasswordEndsSessions(t *testing.T) {
	appliance, server := room(t)
	sam, rita := client(t), client(t)
	login(t, server, sam, "sam", password)
	login(t, server, rita, "rita", password)
	if err := appliance.Users().SetPassword("sam", "another password"); err != nil {
		t.Fatal(err)
	}
	if err := appliance.Users().Remove("rita"); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]*http.Client{"sam": sam, "rita": rita} {
		if got, _ := ask(t, c, "GET", server.URL+"/", nil); got != http.StatusSeeOther {
			t.Errorf("%s is answered %d", name, got)
		}
	}
}

// TestEveryListIsAudited: each choice of studies that somebody sees is in the audit log, asked for as a page or as what keeps one new; a page that
// stays as it is is one view.
func TestEveryListIsAudited(t *testing.T) {
	appliance, server := room(t)
	c := client(t)
	login(t, server, c, "sam", password)
	for _, path := range []string{"/?filter=all", "/?filter=all&partial=1", "/?filter=all&partial=1", "/?filter=signed&q=doe&partial=1", "/learning", "/learning?partial=1"} {
		if status, body := ask(t, c, "GET", server.URL+path, nil); status != http.StatusOK {
			t.Fatalf("%s: %d %s", path, status, body)
		}
	}
	entries, err := appliance.Audit().LastEntries(10)
	if err != nil {
		t.Fatal(err)
	}
	var acts []string
	for _, e := range slices.Backward(entries) {
		acts = append(acts, strings.TrimSpace(e.Act+" "+e.Detail))
	}
	if want := []string{"log in", "view worklist all", "view worklist signed", "view learning"}; !slices.Equal(acts, want) {
		t.Errorf("the audit log has %q, want %q", acts, want)
	}
}

// TestPeersAreShownAndAsked: an administrator sees every system that the configuration names; what speaks DICOM can be asked whether it is there.
func TestPeersAreShownAndAsked(t *testing.T) {
	silent := "127.0.0.1:1"
	_, server := room(t, func(cfg *config.Config, _ string) {
		cfg.Destinations = []config.Destination{{AETitle: "PACS", Address: silent}}
		cfg.Archive.AETitle, cfg.Archive.Address = "OLD", silent
		cfg.HL7.Destinations = []config.HL7Destination{{Name: "RIS", Address: silent}}
		cfg.Peers = []config.Peer{{AETitle: "CR1", Addresses: []string{"10.1.2.0/24"}}}
	})
	c := client(t)
	login(t, server, c, "adam", password)
	_, body := ask(t, c, "GET", server.URL+"/admin", nil)
	for _, want := range []string{`name="node" value="PACS@127.0.0.1:1"`, `name="node" value="OLD@127.0.0.1:1"`, "RIS, 127.0.0.1:1", "CR1 from 10.1.2.0/24"} {
		if !strings.Contains(body, want) {
			t.Errorf("the page lacks %s", want)
		}
	}
	for node, want := range map[string]string{"OLD@" + silent: "connection refused", "RIS": "not configured"} {
		answer, err := c.PostForm(server.URL+"/admin/echo", url.Values{"node": {node}})
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if said, _ := url.QueryUnescape(answer.Header.Get("Location")); !strings.Contains(said, want) {
			t.Errorf("%s was asked: %q, want %q", node, said, want)
		}
	}
}
