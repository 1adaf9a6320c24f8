package e2e

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"llamaxr/daemon/doctor"
	"llamaxr/internal/peertest"
)

// TestSupportBundle: after a whole study of a patient with known identifiers, and with a dead letter and secrets in the configuration, no byte
// of the bundle holds an identifier, a UID, a secret or a path of a user; tar reads it, and its counts are those of the queue.
func TestSupportBundle(t *testing.T) {
	port, folder := startStorescp(t)
	home := filepath.Join(t.TempDir(), "home", "jquandary")
	if err := os.MkdirAll(home, 0o700); err != nil {
		t.Fatal(err)
	}
	secret := filepath.Join(home, "webhook secret")
	made, err := exec.Command(program, "config", "secret").Output()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(secret, made, 0o600); err != nil {
		t.Fatal(err)
	}
	settings := filepath.Join(home, "llamaxr.yaml")
	text := fmt.Sprintf("organization: Saint Yonderly\nlimits: {attempts: 1}\ndestinations:\n- {ae_title: PACS, address: '127.0.0.1:%s'}\n- {ae_title: AWAY, address: '127.0.0.1:%s'}\n"+
		"webhooks:\n- {name: pager, target: {url: 'http://127.0.0.1:%s/hook/tok3nsecret?key=qu3rysecret'}, secret_file: %q}\n", port, freePort(t), freePort(t), secret)
	if err := os.WriteFile(settings, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	n := startNode(t, "--config", settings)
	files := chestFiles(t, "43", "Effusion")
	plant(t, files)
	storescu(t, n.port, files...)
	n.settle(1)

	bundle := filepath.Join(t.TempDir(), "support.tar.gz")
	examine(t, "--state", n.state, "--config", settings, "--bundle", bundle)
	if info, err := os.Stat(bundle); err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("the bundle: %v, %v", info, err)
	}
	if out, err := exec.Command(peertest.Program(t, "tar"), "tzf", bundle).CombinedOutput(); err != nil || strings.Count(string(out), "\n") != 5 {
		t.Errorf("tar reads the bundle: %v\n%s", err, out)
	}
	raw, stream, parts := unpack(t, bundle)

	forbidden := []string{"jquandary", n.state, "tok3nsecret", "qu3rysecret", strings.TrimSpace(string(made)), "Yonderly"}
	for _, value := range planted {
		forbidden = append(forbidden, strings.Split(value, "^")...)
	}
	for uid := range n.studies() {
		forbidden = append(forbidden, uid)
	}
	for uid := range received(t, folder) {
		forbidden = append(forbidden, uid)
	}
	for _, value := range forbidden {
		for _, data := range [][]byte{raw, stream} {
			if bytes.Contains(bytes.ToLower(data), []byte(strings.ToLower(value))) {
				t.Errorf("%q is in the bundle", value)
			}
		}
	}
	if found := regexp.MustCompile(`\b[0-2](\.\d+){5,}|\b2\.25\.\d+`).Find(stream); found != nil {
		t.Errorf("a UID is in the bundle: %s", found)
	}

	var counts struct{ Jobs []doctor.JobCount }
	if err := json.Unmarshal(parts["queue.json"], &counts); err != nil {
		t.Fatal(err)
	}
	got, want := map[string]int{}, map[string]int{}
	for _, c := range counts.Jobs {
		if c.State == "dead letter" {
			got[c.Kind] = c.Jobs
		}
	}
	var jobs []struct {
		Kind string
		Dead bool
	}
	out, err := exec.Command(program, "queue", "list", "--state", n.state, "--json").Output()
	if err = errors.Join(err, json.Unmarshal(out, &jobs)); err != nil {
		t.Fatal(err)
	}
	for _, j := range jobs {
		if j.Dead {
			want[j.Kind]++
		}
	}
	if want["deliver"] == 0 || fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("dead letters by kind are %v in the bundle, %v in the queue", got, want)
	}
	for part, want := range map[string]string{
		"configuration.json": `"address": "127.0.0.1:` + port + `"`, "checks.json": `"name": "destinations"`, "machine.json": `"disk_free": `, "version.json": `"version": `,
	} {
		if !bytes.Contains(parts[part], []byte(want)) {
			t.Errorf("no %s in %s: %s", want, part, parts[part])
		}
	}
	if out, err := exec.Command(program, "doctor", "--state", n.state, "--bundle", bundle).CombinedOutput(); err == nil || !strings.Contains(string(out), "exists") {
		t.Errorf("a bundle over another: %v\n%s", err, out)
	}
}

// unpack returns a bundle's bytes, its tar stream, and its files by base name.
func unpack(t testing.TB, path string) (raw, stream []byte, parts map[string][]byte) {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	unzipped, err := gzip.NewReader(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	if stream, err = io.ReadAll(unzipped); err != nil {
		t.Fatal(err)
	}
	parts = map[string][]byte{}
	archive := tar.NewReader(bytes.NewReader(stream))
	for {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return raw, stream, parts
		}
		if err != nil {
			t.Fatal(err)
		}
		if parts[filepath.Base(header.Name)], err = io.ReadAll(archive); err != nil {
			t.Fatal(err)
		}
	}
}
