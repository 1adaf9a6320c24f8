package config

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"llamaxr/internal/peertest"
)

func TestExplainedFileIsTheDefault(t *testing.T) {
	var text bytes.Buffer
	if err := Explain(&text); err != nil {
		t.Fatal(err)
	}
	got, err := Parse(&text)
	if err != nil {
		t.Fatal(err)
	}
	want := Default()
	got.Peers, got.Destinations, got.Sources = want.Peers, want.Destinations, want.Sources // an empty list for none
	got.HL7.Destinations, got.HL7.Peers, got.FHIR, got.Webhooks = want.HL7.Destinations, want.HL7.Peers, want.FHIR, want.Webhooks
	got.OIDC.Roles, got.Mail.To, got.Mail.EscalateTo = want.OIDC.Roles, want.Mail.To, want.Mail.EscalateTo
	got.Adapters.TrustedKeys = want.Adapters.TrustedKeys
	if !reflect.DeepEqual(got, want) {
		t.Errorf("explained file reads as\n%+v\nwant the defaults\n%+v", got, want)
	}
	if err := want.Check(); err != nil {
		t.Errorf("the defaults do not pass their own check: %v", err)
	}
}

func TestWhatAFileSays(t *testing.T) {
	cfg, err := Parse(strings.NewReader("ae_title: CHEST\nquiet_time: 5s\ndestinations:\n- ae_title: PACS\n  address: 10.0.0.1:104\n"))
	if err != nil {
		t.Fatal(err)
	}
	if cfg.AETitle != "CHEST" || cfg.QuietTime != 5*time.Second || cfg.Destinations[0].String() != "PACS@10.0.0.1:104" {
		t.Errorf("got %+v", cfg)
	}
}

func TestFaultsAreNamed(t *testing.T) {
	const oidc = "oidc: {issuer: 'https://idp.example', client_id: us, roles: {reader: [x]}}\n"
	const mail = "http_address: 'https://a.example'\nmail:\n  server: 'smtp.example:587'\n  from: a@b.example\n"
	for _, test := range []struct{ name, text, want string }{
		{"unknown key with its line", "state: x\nquite_time: 5s\n", "quite_time"},
		{"unknown key's line and the nearest", "state: x\nquite_time: 5s\n", "line 2: unknown key quite_time; quiet_time is meant?"},
		{"unknown key below another", "limits:\n  pdu_length: 4096\n  asociations: 5\n", "line 3: unknown key limits.asociations; associations is meant?"},
		{"unknown key of an item", "destinations:\n- ae_title: A\n  adress: 'h:1'\n", "line 3: unknown key destinations[0].adress; address is meant?"},
		{"unknown key like no other", "colour: blue\n", "line 1: unknown key colour; `llamaxr config explain`"},
		{"every unknown key", "lisen: ':1'\n\nstat: x\n", "line 3: unknown key stat; state is meant?"},
		{"a tag, which the decoder panics on", "state: x\npeers: ! \n", "line 2: peers: the tag ! is not taken"},
		{"one where nobody looks", "<<: {peers: ! }\n", "configuration: "},
		{"a time that is none, with its line", "state: x\nlimits: {idle_time: 5x}\n", `line 2: limits.idle_time: "5x" is not a time`},
		{"credential that is a path", "http_key: 'credential:../k'\n", "no name of a credential"},
		{"long AE title", "ae_title: ABCDEFGHIJKLMNOPQ\n", "longer than 16"},
		{"backslash in AE title", `ae_title: 'A\B'`, "does not allow"},
		{"bad listen", "listen: nowhere\n", "HOST:PORT"},
		{"bad engine", "engine: gpu\n", "engine"},
		{"quiet time too short", "quiet_time: 1ns\n", "quiet_time"},
		{"PDU too small", "limits:\n  pdu_length: 100\n", "limits.pdu_length"},
		{"destination twice", "destinations:\n- {ae_title: A, address: 'h:1'}\n- {ae_title: A, address: 'h:1'}\n", "twice"},
		{"the reading room on the network without TLS", "http: 0.0.0.0:8042\n", "http_certificate"},
		{"a reading room whose certificate is not there", "http_certificate: nowhere.pem\nhttp_key: nowhere.key\n", "http_certificate: dicomnet: loading certificate nowhere.pem"},
		{"a certificate without its key", "http_certificate: cert.pem\n", "go together"},
		{"single sign-on without a way back", oidc, "http_address: the provider sends people back there"},
		{"a provider in the clear", "oidc: {issuer: 'http://idp.example'}\n", "oidc.issuer: can be read on the network"},
		{"a provider that nobody may use", "http_address: 'https://a.example'\noidc: {issuer: 'https://idp.example', client_id: us}\n", "oidc.roles: no group has a role"},
		{"a client without a name", "http_address: 'https://a.example'\n" + strings.Replace(oidc, "client_id: us, ", "", 1), "oidc.client_id"},
		{"a provider that is believed for a day", "http_address: 'https://a.example'\n" + strings.Replace(oidc, "roles", "recheck: 24h, roles", 1), "oidc.recheck: 24h0m0s is outside 1s to 12h0m0s"},
		{"a session that ends at once", "http_address: 'https://a.example'\n" + strings.Replace(oidc, "roles", "session: 0s, roles", 1), "oidc.session"},
		{"a secret that is not there", "http_address: 'https://a.example'\n" + strings.Replace(oidc, "roles", "secret_file: nowhere, roles", 1), "oidc.secret_file"},
		{"a reading room with a path", "http_address: 'https://a.example/room'\n", "http_address: https://a.example/room must end with host or port"},
		{"a reading room in the clear", "http_address: 'http://a.example'\n", "http_address"},
		{"no way in", "local_passwords: none\n", "lets nobody in"},
		{"passwords for some", "local_passwords: some\n", "local_passwords"},
		{"mail to nobody", mail, "mail.to"},
		{"mail without a link", strings.Replace(mail, "http_address: 'https://a.example'", "", 1), "mail.server: needs http_address"},
		{"mail to a name", strings.Replace(mail, "from: a@b.example", "from: Ann", 1), "mail.from: \"Ann\" is not an address"},
		{"mail to what would be a path", mail + "  to: ['a/b@c.example']\n", "mail.to[0]"},
		{"a mail password in the clear", mail + "  security: none\n  user: x\n", "mail.user: a password needs starttls or tls"},
		{"patients in the clear", mail + "  security: none\n  patient: true\n", "mail.patient"},
		{"mail by no such way", mail + "  security: ssl\n", "mail.security"},
		{"an escalation at once", "escalation: {after: 1ms}\n", "escalation.after"},
		{"escalations without end", "escalation: {times: 1000}\n", "escalation.times"},
		{"unknown critical finding", "critical_findings: [Hiccup]\n", "critical_findings[0]"},
		{"half an archive", "archive: {ae_title: PACS}\n", "archive: ae_title and address go together"},
		{"an archive that is not there", "archive: {fetch_missing_view: true}\n", "archive.fetch_missing_view"},
		{"another way to retrieve", "archive: {ae_title: PACS, address: 'h:1', retrieve: ftp}\n", "archive.retrieve"},
		{"longer than a job's lease", "archive: {ae_title: PACS, address: 'h:1', fetch_time: 1h}\n", "archive.fetch_time"},
		{"wrong type", "minimum_age: old\n", "minimum_age"},
		{"a key for the disk that is not there", "encryption: {key: nowhere}\n", "encryption.key: atrest: key: open nowhere"},
		{"signers of adapters that are not there", "adapters: {trusted_keys: [nowhere.pub]}\n", "adapters.trusted_keys: "},
		{"one port twice", "listen: ':8042'\nhttp: 127.0.0.1:8042\n", "http: 127.0.0.1:8042 is taken by listen: :8042"},
		{"one port by two names", "listen: '[::]:104'\nhl7: {listen: '127.0.0.1:104'}\n", "hl7.listen: 127.0.0.1:104 is taken by listen: [::]:104"},
		{"one address by two names", "http: localhost:8042\nhl7: {listen: '127.0.0.1:8042'}\n", "hl7.listen: 127.0.0.1:8042 is taken by http"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Setenv(credentialsVariable, "")
			path := filepath.Join(t.TempDir(), "llamaxr.yaml")
			if err := os.WriteFile(path, []byte(test.text), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := Load(path)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v does not name %q", err, test.want)
			}
		})
	}
}

// TestNetworkFaultsAreNamed: what cannot be meant in peers and TLS is told by its key.
func TestNetworkFaultsAreNamed(t *testing.T) {
	authority := peertest.NewAuthority(t)
	certificate, key, _ := authority.Node("node", 2048, time.Hour)
	weak, weakKey, _ := authority.Node("weak", 1024, time.Hour)
	tls := "tls: {certificate: " + certificate + ", key: " + key + ", client_ca: " + authority.File + "}\n"
	for _, test := range []struct{ name, text, want string }{
		{"good ports", "listen: '10.0.0.1:104'\nhttp: 127.0.0.1:104\nhl7: {listen: '127.0.0.1:0'}\n", ""},
		{"good keys of the service", "encryption: {key: 'credential:age'}\nadapters: {trusted_keys: ['credential:site']}\n", ""},
		{"good", tls + "peers:\n- {ae_title: A, addresses: [10.0.0.0/8, '::1'], certificates: [dx1.example, '" + strings.Repeat("AB:", 31) + "AB']}\n", ""},
		{"certificate without key", "tls: {certificate: a.pem}\n", "tls: certificate and key go together"},
		{"missing file", "tls: {certificate: /nonexistent/a.pem, key: /nonexistent/a.key}\n", "/nonexistent/a.pem"},
		{"weak key", "tls: {certificate: " + weak + ", key: " + weakKey + "}\n", "2048"},
		{"old version", "tls: {minimum_version: '1.1'}\n", "tls.minimum_version"},
		{"audit messages", "audit: {syslog: 'h:6514', tls: {ca: " + authority.File + "}}\n", ""},
		{"audit protocol", "audit: {syslog: 'h:6514', protocol: tcp}\n", "audit.protocol"},
		{"audit address", "audit: {syslog: h}\n", "audit.syslog"},
		{"audit authority", "audit: {syslog: 'h:6514', tls: {ca: /nonexistent/ca.pem}}\n", "audit.tls"},
		{"audit without TLS", "audit: {syslog: 'h:514', protocol: udp, tls: {ca: x}}\n", "audit.tls"},
		{"authority alone", "tls: {client_ca: a.pem}\n", "tls.client_ca"},
		{"range", "peers:\n- {ae_title: A, addresses: [10.0.0.1/8]}\n", "peers[0].addresses[0]: \"10.0.0.1/8\" has bits beyond its length"},
		{"no range", "peers:\n- {ae_title: A, addresses: [ct.example]}\n", "peers[0].addresses[0]"},
		{"everybody", "peers:\n- {associations: 2}\n", "everybody"},
		{"short fingerprint", tls + "peers:\n- {ae_title: A, certificates: ['" + strings.Repeat("ab", 20) + "']}\n", "fingerprint of 20 bytes"},
		{"nobody is asked", "peers:\n- {ae_title: A, certificates: [a]}\n", "need tls.client_ca"},
		{"rate", "peers:\n- {ae_title: A, associations_per_minute: -1}\n", "peers[0].associations_per_minute"},
		{"byte rate", "peers:\n- {ae_title: A, bytes_per_second: -1}\n", "peers[0].bytes_per_second"},
		{"good on the web", "destinations:\n- {stow: 'https://pacs.example/dicom-web'}\n- {stow: 'http://127.0.0.1:8043/dicom-web'}\n", ""},
		{"no web address", "destinations:\n- {stow: 'ftp://pacs.example'}\n", "destinations[0].stow"},
		{"both ways", "destinations:\n- {stow: 'https://pacs.example/', ae_title: A}\n", "takes the place of"},
		{"a token in the clear", "destinations:\n- {stow: 'http://pacs.example/', token_file: /dev/null}\n", "use https"},
		{"DICOMweb for this machine, but off", "dicomweb_open_to_this_machine: true\n", "needs dicomweb"},
		{"left out", "destinations:\n- {ae_title: A, address: 'h:1', leave_out: [chart, narrative]}\n", "destinations[0].leave_out[1]: \"narrative\" is not one of scores"},
		{"destination not on", "destinations:\n- {ae_title: A, address: 'h:1', tls: {ca: x}}\n", "destinations[0].tls: has settings, but on is not true"},
		{"destination's authority", "destinations:\n- {ae_title: A, address: 'h:1', tls: {on: true, ca: /nonexistent/ca.pem}}\n", "destinations[0].tls"},
	} {
		t.Run(test.name, func(t *testing.T) {
			cfg, err := Parse(strings.NewReader(test.text))
			if err != nil {
				t.Fatal(err)
			}
			err = cfg.Check()
			if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
				t.Errorf("error %v does not name %q", err, test.want)
			}
		})
	}
}

// TestListsAreExplained: the keys of a list's items are printed though the default list is empty.
func TestListsAreExplained(t *testing.T) {
	var text bytes.Buffer
	if err := Explain(&text); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"\n# - ae_title: its calling AE title", "\n#   addresses: ", "\n#   tls: TLS to this PACS\n#     on: true speaks TLS"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("no %q in\n%s", want, text.String())
		}
	}
}

// TestMistakes: the distances of Boytsov's survey (Indexing methods for approximate dictionary searching, 2011) and of typing.
func TestMistakes(t *testing.T) {
	for _, test := range []struct {
		a, b string
		want int
	}{
		{"", "", 0}, {"", "abc", 3}, {"kitten", "sitting", 3}, {"saturday", "sunday", 3}, {"ca", "abc", 3}, {"quite", "quiet", 1},
	} {
		if got := mistakes(test.a, test.b); got != test.want {
			t.Errorf("%q to %q: %d, want %d", test.a, test.b, got, test.want)
		}
		if got := mistakes(test.b, test.a); got != test.want {
			t.Errorf("%q to %q: %d, want %d", test.b, test.a, got, test.want)
		}
	}
}

// TestChanges: what differs is named as it is written, with whether it can be taken in while running.
func TestChanges(t *testing.T) {
	from := Default()
	if got := Changes(from, Default()); len(got) > 0 {
		t.Errorf("the same: %+v", got)
	}
	to := Default()
	to.Peers = []Peer{} // none, written out
	to.Listen, to.Limits.Attempts, to.TLS.MinVersion = ":104", 3, "1.3"
	to.Destinations = []Destination{{AETitle: "PACS", Address: "h:1"}}
	want := []Change{{"listen", false}, {"tls.minimum_version", false}, {"destinations", true}, {"limits.attempts", true}}
	if got := Changes(from, to); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// TestCredentials: a secret comes from the folder that systemd names.
func TestCredentials(t *testing.T) {
	folder := t.TempDir()
	t.Setenv(credentialsVariable, folder)
	cfg, err := Parse(strings.NewReader("tls: {key: 'credential:dicom.key'}\ndestinations:\n- {ae_title: A, address: 'h:1', tls: {key: 'credential:pacs'}}\n"))
	if err != nil {
		t.Fatal(err)
	}
	if cfg.TLS.Key != filepath.Join(folder, "dicom.key") || cfg.Destinations[0].TLS.Key != filepath.Join(folder, "pacs") {
		t.Errorf("read %q and %q", cfg.TLS.Key, cfg.Destinations[0].TLS.Key)
	}
}

// TestCredentialsElsewhere: outside the service a file that names credentials is checked but for them, and the service does not start without them.
func TestCredentialsElsewhere(t *testing.T) {
	t.Setenv(credentialsVariable, "")
	path := filepath.Join(t.TempDir(), "llamaxr.yaml")
	text := "tls: {certificate: 'credential:cert', key: 'credential:key'}\nhttp_certificate: 'credential:cert'\nhttp_key: 'credential:key'\nencryption: {key: 'credential:age'}\n" +
		"webhooks: [{name: a, target: {url: 'http://127.0.0.1:1'}, secret_file: 'credential:hook'}]\nminimum_age: "
	for value, fault := range map[string]string{"18": "", "500": "minimum_age: 500"} {
		if err := os.WriteFile(path, []byte(text+value), 0o600); err != nil {
			t.Fatal(err)
		}
		cfg, err := Read(path)
		if (err == nil) != (fault == "") || err != nil && !strings.HasPrefix(err.Error(), "configuration: "+fault) {
			t.Errorf("minimum_age %s: %v", value, err)
		}
		if unresolved := cfg.Unresolved(); unresolved == nil || strings.Count(unresolved.Error(), "only in the service") != 6 {
			t.Errorf("credentials that are not here: %v", unresolved)
		}
		if all, err := cfg.Certificates(); len(all) > 0 || err != nil {
			t.Errorf("certificates that are not here: %v, %v", all, err)
		}
	}
	if err := os.WriteFile(path, []byte(text+"18"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(path); err == nil || !strings.Contains(err.Error(), "tls.key: credential key is there only in the service: CREDENTIALS_DIRECTORY is not set") {
		t.Errorf("a service without its credentials: %v", err)
	}
}

// TestSecretsAreKnown: whatever key names a file that others may not read is among Secrets.
func TestSecretsAreKnown(t *testing.T) {
	cfg := Config{
		Peers: make([]Peer, 1), Destinations: make([]Destination, 1), FHIR: make([]FHIR, 1), Webhooks: make([]Webhook, 1),
		HL7: HL7{Destinations: make([]HL7Destination, 1)},
	}
	var want []string
	texts(reflect.ValueOf(&cfg).Elem(), "", func(key string, text reflect.Value) {
		last := key[strings.LastIndexByte(key, '.')+1:]
		if text.SetString(key); strings.HasSuffix(last, "key") || strings.HasSuffix(last, "_file") || strings.Contains(last, "secret") {
			want = append(want, key)
		}
	})
	if got := cfg.Secrets(); len(want) < 12 || !reflect.DeepEqual(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

// TestEveryCertificateIsWatched: each key of a certificate is looked at, and a file without one is said, all at once.
func TestEveryCertificateIsWatched(t *testing.T) {
	authority, empty := peertest.NewAuthority(t).File, filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(empty, []byte("nothing\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := Config{
		HTTPCert: authority, OIDC: OIDC{CA: authority}, Mail: Mail{CA: authority}, Peers: []Peer{{TLS: ClientTLS{On: true, CA: authority}}},
		FHIR: []FHIR{{HTTP: HTTPTarget{CA: authority}}}, Webhooks: []Webhook{{HTTP: HTTPTarget{Certificate: authority}}},
		TLS: TLS{ClientCA: empty}, HL7: HL7{TLS: TLS{Certificate: "nowhere.pem"}},
	}
	all, err := cfg.Certificates()
	uses := map[string]bool{}
	for _, c := range all {
		uses[c.Use] = true
	}
	for _, use := range []string{"http_certificate", "oidc.ca", "mail.ca", "peers[0].tls.ca", "fhir[0].server.ca", "webhooks[0].target.certificate"} {
		if !uses[use] {
			t.Errorf("%s is not looked at", use)
		}
	}
	for _, want := range []string{"tls.client_ca: no certificate in " + empty, "hl7.tls.certificate: open nowhere.pem"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("ae_title: X\n"))
	f.Add([]byte("limits: {associations: 5}\n"))
	f.Add([]byte("a: &a [*a]\n"))
	f.Add([]byte("peers:\n- &p {ae_title: A}\n- <<: *p\n  asociations: 1\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		cfg, err := Parse(bytes.NewReader(data))
		if err == nil {
			_ = cfg.Check()
		}
	})
}

// TestResultsAreChecked: what would send results nowhere, in the clear or unsigned is said at start.
func TestResultsAreChecked(t *testing.T) {
	for want, text := range map[string]string{
		"hl7.destinations[0].name":           "hl7: {destinations: [{name: 'a/b', address: 'x:1'}]}",
		"hl7.destinations[0].address":        "hl7: {destinations: [{name: a, address: x}]}",
		"hl7.destinations[1].name":           "hl7: {destinations: [{name: a, address: 'x:1'}, {name: a, address: 'y:1'}]}",
		`"sent" is not one of draft, signed`: "hl7: {destinations: [{name: a, address: 'x:1', send: [sent]}]}",
		"hl7.peers:":                         "hl7: {listen: ':2575'}",
		"hl7.peers[0]":                       "hl7: {listen: ':2575', peers: [ris]}",
		"hl7.tls":                            "hl7: {tls: {certificate: x}}",
		"over the network in the clear":      "fhir: [{name: a, server: {url: 'http://fhir.example/r4'}}]",
		"must hold no password":              "fhir: [{name: a, server: {url: 'https://a:b@fhir.example/r4'}}]",
		"fhir[0].token_file":                 "fhir: [{name: a, server: {url: 'https://fhir.example'}, token_file: /nonexistent}]",
		"webhooks[0].secret_file: is needed": "webhooks: [{name: a, target: {url: 'http://127.0.0.1:1'}}]",
	} {
		cfg, err := Parse(strings.NewReader(text))
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if err := cfg.Check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q in it", text, err, want)
		}
	}
	good := "hl7: {listen: ':2575', peers: [10.1.0.0/16], destinations: [{name: RIS, address: 'ris:2575', send: [signed], timeout: 10s}]}\n" +
		"fhir: [{name: a, server: {url: 'http://127.0.0.1:8080/fhir'}}, {name: b, server: {url: 'http://engine:8080/fhir', plain_http: true}}]"
	if cfg, err := Parse(strings.NewReader(good)); err != nil || cfg.Check() != nil {
		t.Errorf("%v, %v", err, cfg.Check())
	}
}
