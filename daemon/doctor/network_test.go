package doctor

import (
	"encoding/json"
	"encoding/pem"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"llamaxr/daemon/config"
	"llamaxr/internal/peertest"
)

// provider is one that knows its clients by one secret.
func provider(t *testing.T) (server *httptest.Server, ca string) {
	t.Helper()
	mux := http.NewServeMux()
	server = httptest.NewTLSServer(mux)
	t.Cleanup(server.Close)
	answer := func(w http.ResponseWriter, status int, value map[string]any) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(value)
	}
	mux.HandleFunc("/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusOK, map[string]any{
			"issuer": server.URL, "authorization_endpoint": server.URL + "/auth", "token_endpoint": server.URL + "/token", "jwks_uri": server.URL + "/keys",
		})
	})
	mux.HandleFunc("/token", func(w http.ResponseWriter, q *http.Request) {
		if _, secret, _ := q.BasicAuth(); secret != "right" {
			answer(w, http.StatusUnauthorized, map[string]any{"error": "invalid_client"})
			return
		}
		answer(w, http.StatusBadRequest, map[string]any{"error": "invalid_grant"})
	})
	ca = filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	return server, ca
}

func secret(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(path, []byte(text+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// nobody is an address of this machine on which nobody listens.
func nobody(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	return l.Addr().String()
}

// found is what one check says.
func found(t *testing.T, cfg config.Config, look func(*visit)) (c Check) {
	t.Helper()
	look(&visit{Subject: Subject{Config: cfg}, report: func(one Check) { c = one }})
	return c
}

func (c Check) is(verdict Verdict, part string) bool {
	return c.Verdict == verdict && strings.Contains(c.What+c.Remedy, part) && (verdict == OK) == (c.Remedy == "")
}

// TestSignOnIsReached: what keeps people from logging in by the OpenID provider is found before they try, each with its own remedy.
func TestSignOnIsReached(t *testing.T) {
	server, ca := provider(t)
	for _, test := range []struct {
		what    string
		change  func(*config.OIDC)
		verdict Verdict
		part    string
	}{
		{"all is well", func(*config.OIDC) {}, OK, "knows us"},
		{"nobody listens", func(o *config.OIDC) { o.Issuer = "https://" + nobody(t) }, Fail, "nobody listens there"},
		{"no such name", func(o *config.OIDC) { o.Issuer = "https://idp.invalid" }, Fail, "mend oidc.issuer"},
		{"another's certificate", func(o *config.OIDC) { o.CA = peertest.NewAuthority(t).File }, Fail, "set oidc.ca"},
		{"another host's certificate", func(o *config.OIDC) { o.Issuer = strings.Replace(o.Issuer, "127.0.0.1", "localhost", 1) }, Fail, "names another host"},
		{"the wrong secret", func(o *config.OIDC) { o.SecretFile = secret(t, "wrong") }, Fail, "oidc.secret_file"},
		{"no secret there", func(o *config.OIDC) { o.SecretFile = "/nowhere" }, Fail, "readable by the service's user"},
		{"another path", func(o *config.OIDC) { o.Issuer += "/realms/none" }, Fail, "what the provider calls itself"},
	} {
		cfg := config.Default()
		cfg.HTTPAddress = "https://site.example"
		cfg.OIDC.Issuer, cfg.OIDC.ClientID, cfg.OIDC.CA, cfg.OIDC.SecretFile = server.URL, "us", ca, secret(t, "right")
		test.change(&cfg.OIDC)
		if got := found(t, cfg, func(v *visit) { v.signOn(t.Context()) }); !got.is(test.verdict, test.part) {
			t.Errorf("%s: %+v, want %s with %q", test.what, got, test.verdict, test.part)
		}
	}
	if got := found(t, config.Default(), func(v *visit) { v.signOn(t.Context()) }); got != (Check{}) {
		t.Errorf("without a provider: %+v", got)
	}
}

// TestMailIsReached: what keeps mail of critical findings from going out is found before there is one, each with its own remedy; no mail is sent.
func TestMailIsReached(t *testing.T) {
	authority := peertest.NewAuthority(t)
	server := map[string]*peertest.SMTP{}
	for _, mode := range []string{config.MailSTARTTLS, config.MailTLS, "clear"} {
		server[mode] = peertest.StartSMTP(t, authority, mode)
	}
	silent, err := net.Listen("tcp", "127.0.0.1:0") // it takes connections and says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	for _, test := range []struct {
		what    string
		change  func(*config.Mail)
		verdict Verdict
		part    string
	}{
		{"all is well", func(*config.Mail) {}, OK, "takes mail"},
		{"TLS from the first byte", func(m *config.Mail) { m.Security, m.Server = config.MailTLS, server[config.MailTLS].Address }, OK, "takes mail"},
		{"in the clear", func(m *config.Mail) {
			m.Security, m.Server, m.User, m.PasswordFile = config.MailNone, server["clear"].Address, "", ""
		}, Warn, "can be read on its way"},
		{"nobody listens", func(m *config.Mail) { m.Server = nobody(t) }, Fail, "nobody listens there"},
		{"no such name", func(m *config.Mail) { m.Server = "smtp.invalid:587" }, Fail, "mend mail.server"},
		{"no answer", func(m *config.Mail) { m.Server, m.Timeout = silent.Addr().String(), time.Second }, Fail, "no answer"},
		{"another's certificate", func(m *config.Mail) { m.CA = peertest.NewAuthority(t).File }, Fail, "set mail.ca"},
		{"another host's certificate", func(m *config.Mail) { m.Server = strings.Replace(m.Server, "127.0.0.1", "localhost", 1) }, Fail, "names another host"},
		{"the wrong password", func(m *config.Mail) { m.PasswordFile = secret(t, "wrong") }, Fail, "mail.password_file"},
		{"no password there", func(m *config.Mail) { m.PasswordFile = "/nowhere" }, Fail, "readable by the service's user"},
		{"no STARTTLS", func(m *config.Mail) { m.Server = server["clear"].Address }, Fail, "mail.security"},
	} {
		cfg := config.Default()
		cfg.Mail = config.Mail{
			Server: server[config.MailSTARTTLS].Address, Security: config.MailSTARTTLS, CA: authority.File, User: "llamaxr", PasswordFile: secret(t, "a password"),
		}
		test.change(&cfg.Mail)
		if got := found(t, cfg, func(v *visit) { v.mail(t.Context()) }); !got.is(test.verdict, test.part) {
			t.Errorf("%s: %+v, want %s with %q", test.what, got, test.verdict, test.part)
		}
	}
	for mode, s := range server {
		if got := s.Mails(); len(got) > 0 {
			t.Errorf("%s: mail was sent: %+v", mode, got)
		}
	}
	if got := found(t, config.Default(), func(v *visit) { v.mail(t.Context()) }); got != (Check{}) {
		t.Errorf("without mail: %+v", got)
	}
}

// TestOtherSystemsAreReached: systems that take no C-ECHO are connected to, by TLS where it is asked for, each failure with its remedy.
func TestOtherSystemsAreReached(t *testing.T) {
	server, ca := provider(t)
	secure, away := server.Listener.Addr().String(), nobody(t)
	plain, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	http := func(address, ca string) config.HTTPTarget { return config.HTTPTarget{URL: address, CA: ca} }
	for what, test := range map[string]struct {
		cfg     config.Config
		verdict Verdict
		part    string
	}{
		"HL7":                    {config.Config{HL7: config.HL7{Destinations: []config.HL7Destination{{Address: plain.Addr().String()}}}}, OK, "takes connections"},
		"HL7 that is away":       {config.Config{HL7: config.HL7{Destinations: []config.HL7Destination{{Address: away}}}}, Fail, "the port in hl7.destinations[0].address"},
		"FHIR":                   {config.Config{FHIR: []config.FHIR{{HTTP: http(server.URL+"/r4", ca)}}}, OK, secure},
		"FHIR of somebody else":  {config.Config{FHIR: []config.FHIR{{HTTP: http(server.URL, peertest.NewAuthority(t).File)}}}, Fail, "set fhir[0].server.ca"},
		"a webhook's secret":     {config.Config{Webhooks: []config.Webhook{{HTTP: http("http://"+away+"/tok3n", "")}}}, Fail, "webhooks[0].target.url"},
		"a syslog server":        {config.Config{Audit: config.Audit{Syslog: secure, Protocol: "tls", TLS: config.ClientTLS{CA: ca}}}, OK, "audit.syslog"},
		"a syslog server by UDP": {config.Config{Audit: config.Audit{Syslog: away, Protocol: "udp"}}, "", ""},
		"a collector":            {config.Config{Tracing: config.Tracing{Endpoint: "http://" + away}}, Fail, "tracing.endpoint"},
	} {
		got := found(t, test.cfg, func(v *visit) { v.others(t.Context()) })
		if !got.is(test.verdict, test.part) && got != (Check{}) || (got == (Check{})) != (test.verdict == "") || strings.Contains(got.What, "tok3n") {
			t.Errorf("%s: %+v, want %s with %q", what, got, test.verdict, test.part)
		}
	}
}
