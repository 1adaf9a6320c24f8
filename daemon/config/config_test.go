package config

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
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
	got.Callers, got.Destinations = want.Callers, want.Destinations // an empty list for none
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
	for _, test := range []struct{ name, text, want string }{
		{"unknown key with its line", "state: x\nquite_time: 5s\n", "quite_time"},
		{"unknown key's line", "state: x\nquite_time: 5s\n", "2"},
		{"long AE title", "ae_title: ABCDEFGHIJKLMNOPQ\n", "longer than 16"},
		{"backslash in AE title", `ae_title: 'A\B'`, "does not allow"},
		{"bad listen", "listen: nowhere\n", "HOST:PORT"},
		{"bad engine", "engine: gpu\n", "engine"},
		{"quiet time too short", "quiet_time: 1ns\n", "quiet_time"},
		{"PDU too small", "limits:\n  pdu_length: 100\n", "limits.pdu_length"},
		{"destination twice", "destinations:\n- {ae_title: A, address: 'h:1'}\n- {ae_title: A, address: 'h:1'}\n", "twice"},
		{"the reading room on the network without TLS", "http: 0.0.0.0:8042\n", "http_certificate"},
		{"a certificate without its key", "http_certificate: cert.pem\n", "go together"},
		{"unknown critical finding", "critical_findings: [Hiccup]\n", "critical_findings[0]"},
		{"wrong type", "minimum_age: old\n", "minimum_age"},
	} {
		t.Run(test.name, func(t *testing.T) {
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

func FuzzParse(f *testing.F) {
	f.Add([]byte("ae_title: X\n"))
	f.Add([]byte("limits: {associations: 5}\n"))
	f.Add([]byte("a: &a [*a]\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		cfg, err := Parse(bytes.NewReader(data))
		if err == nil {
			_ = cfg.Check()
		}
	})
}
