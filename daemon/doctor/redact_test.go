package doctor

import (
	"encoding/json"
	"strings"
	"testing"

	"llamaxr/daemon/config"
)

func TestClean(t *testing.T) {
	s := Subject{ConfigFile: "/srv/my site/llamaxr.yaml"}
	s.Config.State, s.Config.TLS.Key = "/home/ann/x ray", "/home/ann/my keys/key.pem"
	for text, want := range map[string]string{
		"chmod 700 /home/ann/x ray":                       "chmod 700 (state)",
		"everybody may read /home/ann/my keys/key.pem: x": "everybody may read (path): x",
		"configuration /srv/my site/llamaxr.yaml: ok":     "configuration (configuration): ok",
		"open /root/secret.pem: no such file":             "open (path): no such file",
		`"C:\Users\ann\key.pem" is away`:                  `"(path)" is away`,
		"plugin in /usr/lib/llamaxr":                      "plugin in /usr/lib/llamaxr",
		`Get "https://u:p@pacs.example:8/t0ken?k=v": EOF`: `Get "https://pacs.example:8/": EOF`,
		"study 1.2.840.113619.2.5.1 of 2.25.99":           "study (uid) of (uid)",
		"PACS@10.1.2.3:104 answers after 3ms":             "PACS@10.1.2.3:104 answers after 3ms",
		"12/20 MB/s, read/write":                          "12/20 MB/s, read/write",
	} {
		if got := clean(text, s); got != want {
			t.Errorf("%q is cleaned to %q, not %q", text, got, want)
		}
	}
}

// TestEveryTextIsRedacted: whatever a site writes into a key that is not known to be harmless is not shown.
func TestEveryTextIsRedacted(t *testing.T) {
	cfg := config.Default()
	cfg.Organization, cfg.State, cfg.HTTPKey = "planted", "/planted", "planted"
	cfg.Destinations = []config.Destination{{STOW: "https://planted:planted@pacs.example/planted?planted", TokenFile: "planted", TLS: config.ClientTLS{Key: "planted"}}}
	cfg.Webhooks = []config.Webhook{{Name: "planted", SecretFile: "planted", HTTP: config.HTTPTarget{URL: "https://pager.example/planted"}}}
	text, err := json.Marshal(redacted(cfg))
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(text), "planted") {
		t.Errorf("a planted text is shown: %s", text)
	}
	for _, want := range []string{`"stow":"https://pacs.example/"`, `"quiet_time":"30s"`, `"ae_title":"LLAMAXR"`, `"token_file":"(set)"`, `"tls":{`} {
		if !strings.Contains(string(text), want) {
			t.Errorf("no %s in %s", want, text)
		}
	}
}
