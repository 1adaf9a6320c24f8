package dicomweb

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/suyashkumar/dicom/pkg/tag"

	"llamaxr/daemon/access"
	"llamaxr/dicomnet"
	"llamaxr/dicomnet/dicomjson"
	"llamaxr/dicomnet/dimse"
	"llamaxr/internal/dicomwrite"
)

// files writes objects of study 1.2 and returns their paths.
func files(t *testing.T, instances ...string) (paths []string) {
	t.Helper()
	for _, uid := range instances {
		path := filepath.Join(t.TempDir(), "object.dcm")
		if err := os.WriteFile(path, object(t, "1.2", "1.2.1", uid, nil), 0o600); err != nil {
			t.Fatal(err)
		}
		paths = append(paths, path)
	}
	return paths
}

// TestWhatTheNodeSays: what each answer of a node means for the job: done, worth another try, or refused for good.
func TestWhatTheNodeSays(t *testing.T) {
	module := func(stored []string, failed map[string]int) string {
		var kept, refused []dicomjson.Object
		for _, uid := range stored {
			o := dicomjson.Object{}
			o.Text(tag.ReferencedSOPInstanceUID, "UI", uid)
			kept = append(kept, o)
		}
		for uid, reason := range failed {
			o := dicomjson.Object{}
			o.Text(tag.ReferencedSOPInstanceUID, "UI", uid)
			o.Numbers(tag.FailureReason, "US", reason)
			refused = append(refused, o)
		}
		answer := dicomjson.Object{}
		answer.Sequence(tag.ReferencedSOPSequence, kept...)
		answer.Sequence(tag.FailedSOPSequence, refused...)
		text, err := json.Marshal(answer)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	const done, again, never = "done", "again", "never"
	paths := files(t, "1.2.1.1", "1.2.1.2")
	for _, test := range []struct {
		name   string
		status int
		body   string
		want   string
	}{
		{"all stored", 200, module([]string{"1.2.1.1", "1.2.1.2"}, nil), done},
		{"stored without a word", 200, "", done},
		{"one is not named", 200, module([]string{"1.2.1.1"}, nil), again},
		{"an answer that is none", 200, "{", again},
		{"one out of resources", 202, module([]string{"1.2.1.1"}, map[string]int{"1.2.1.2": 0xA700}), again},
		{"one of a class that is not taken", 202, module([]string{"1.2.1.1"}, map[string]int{"1.2.1.2": 0x0122}), never},
		{"one was there already", 202, module([]string{"1.2.1.1"}, map[string]int{"1.2.1.2": 0x0111}), done},
		{"all were there already", 409, module(nil, map[string]int{"1.2.1.1": 0x0111, "1.2.1.2": 0x0111}), done},
		{"none stored", 409, module(nil, map[string]int{"1.2.1.1": 0xC000, "1.2.1.2": 0xC000}), never},
		{"conflict without a word", 409, "", never},
		{"accepted without a word", 202, "", again},
		{"bad request", 400, "", never},
		{"not taken", 415, "", never},
		{"too large", 413, "", never},
		{"a token that is not known", 401, "", again},
		{"another place", 302, "", again},
		{"not there now", 404, "", again},
		{"busy", 503, "", again},
		{"no room", 507, "", again},
	} {
		t.Run(test.name, func(t *testing.T) {
			node := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
				if q.URL.Path != "/dicom-web/studies" {
					t.Errorf("asked for %s", q.URL.Path)
				}
				w.Header().Set("Content-Type", dicomjson.MediaType)
				w.Header().Set("Location", "/elsewhere")
				w.WriteHeader(test.status)
				_, _ = w.Write([]byte(test.body))
			}))
			defer node.Close()
			err := (&Client{URL: node.URL + "/dicom-web/"}).Store(context.Background(), paths...)
			got := again
			var answer *HTTPError
			var status *dimse.StatusError
			switch {
			case err == nil:
				got = done
			case errors.As(err, &answer) && answer.Permanent(), errors.As(err, &status) && !status.Transient():
				got = never
			}
			if got != test.want {
				t.Errorf("%s, want %s: %v", got, test.want, err)
			}
		})
	}
	if err := (&Client{URL: "http://127.0.0.1:1"}).Store(context.Background(), paths...); err == nil {
		t.Error("nobody is there")
	}
}

// TestClientAndServer: over TLS, with a token from a file that is read anew, the client brings objects to our own server; a node whose
// certificate nobody vouches for is told nothing.
func TestClientAndServer(t *testing.T) {
	s := newSite(t, 0, nil)
	secure := httptest.NewTLSServer(s.server.Handler())
	defer secure.Close()
	dir := t.TempDir()
	ca, token := filepath.Join(dir, "ca.pem"), filepath.Join(dir, "token")
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: secure.Certificate().Raw})
	for path, text := range map[string]string{ca: string(certificate), token: "llamaxr_wrong\n"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c := &Client{URL: secure.URL + Path, TokenFile: token, TLS: &dicomnet.Credentials{AuthoritiesFile: ca}}
	paths := files(t, "1.2.1.1")
	var answer *HTTPError
	if err := c.Store(context.Background(), paths...); !errors.As(err, &answer) || answer.Status != http.StatusUnauthorized {
		t.Errorf("with a wrong token: %v", err)
	}
	if err := os.WriteFile(token, []byte(s.tokens[access.Sender]+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time the object is there already
		if err := c.Store(context.Background(), paths...); err != nil {
			t.Error(err)
		}
	}
	if found := s.find("/instances", tag.SOPInstanceUID); len(found) != 1 {
		t.Errorf("found %v", found)
	}
	other := filepath.Join(dir, "other.dcm")
	if err := os.WriteFile(other, object(t, "1.2", "1.2.1", "1.2.1.1", func(o *dicomwrite.Set) { o.Text(tag.PatientName, "Other") }), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := c.Store(context.Background(), other); err != nil { // 0x0111, as by C-STORE
		t.Error(err)
	}
	if err := c.Echo(context.Background()); !errors.As(err, &answer) || answer.Status != http.StatusForbidden {
		t.Errorf("a sender's echo: %v", err)
	}
	c.TLS = &dicomnet.Credentials{}
	if err := c.Store(context.Background(), paths...); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("a certificate of nobody's: %v", err)
	}
}

// FuzzAnswer: any answer is read or refused.
func FuzzAnswer(f *testing.F) {
	f.Add([]byte(`{"00081198":{"vr":"SQ","Value":[{"00081155":{"vr":"UI","Value":["1.2"]},"00081197":{"vr":"US","Value":[272]}}]}}`))
	f.Add([]byte(`{"00081199":{"Value":[null,{}]}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		a, err := readAnswer(text)
		if err == nil && len(a.stored)+len(a.failed) > len(text) {
			t.Errorf("%d objects in %d bytes", len(a.stored)+len(a.failed), len(text))
		}
	})
}
