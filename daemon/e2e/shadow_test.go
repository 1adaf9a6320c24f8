package e2e

import (
	"encoding/json"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// write makes a configuration file.
func write(t testing.TB, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// settled waits until studies stand in states that do not change by themselves.
func (n *node) settled(want map[string]string) {
	n.t.Helper()
	deadline := time.Now().Add(draftTime)
	for {
		got, studies := map[string]string{}, n.studies()
		for uid, s := range studies {
			got[uid] = s.State
		}
		there := true
		for uid, state := range want {
			there = there && got[uid] == state
		}
		if there {
			return
		}
		if time.Now().After(deadline) {
			n.t.Fatalf("studies are %+v, want %v", studies, want)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// TestSourcesAreSwitched: of three senders one is live, one in shadow, one only stored. What each sends is treated so, said so, and what is
// in the record of drafts; the PACS hears of the live one alone.
func TestSourcesAreSwitched(t *testing.T) {
	port, folder := startStorescp(t)
	settings := write(t, "llamaxr.yaml", "sources: [{ae_title: NEW, mode: shadow}, {ae_title: FILES, mode: store}]\n")
	n := startNode(t, "--config", settings, "--destination", "PACS@127.0.0.1:"+port)
	uids, want := map[string]string{}, map[string]string{}
	for i, source := range []string{"LIVE", "NEW", "FILES"} {
		files := chestFiles(t, []string{"31", "32", "33"}[i], "Cardiomegaly")
		args := append([]string{"send", "--to", "LLAMAXR@127.0.0.1:" + n.port, "--calling", source}, files...)
		if out, err := exec.Command(program, args...).CombinedOutput(); err != nil {
			t.Fatalf("send: %v\n%s", err, out)
		}
		for uid := range n.studies() {
			if _, known := want[uid]; !known {
				uids[source], want[uid] = uid, map[string]string{"LIVE": "delivered", "NEW": "shadow", "FILES": "refused"}[source]
			}
		}
	}
	n.settled(want)
	got := received(t, folder)
	if len(got) != 1 || len(got[uids["LIVE"]][basicTextSR]) != 1 {
		t.Errorf("the PACS has %v, want the study of LIVE alone", got)
	}
	show := func(uid string) string {
		out, err := exec.Command(program, "show", uid, "--state", n.state).Output()
		if err != nil {
			t.Fatal(err)
		}
		return string(out)
	}
	if text := show(uids["NEW"]); !strings.Contains(text, "Mode: shadow, nothing is sent") || !strings.Contains(text, "FINDINGS:") {
		t.Errorf("show of a study in shadow:\n%s", text)
	}
	if text := show(uids["FILES"]); !strings.Contains(text, "FILES sends is stored and not drafted") {
		t.Errorf("show of a study that is only stored:\n%s", text)
	}

	n.addUser("jane", "Doe^Jane^^Dr", password, "signer")
	if status := n.trySigning(t, uids["NEW"]); status != http.StatusConflict {
		t.Errorf("signing a draft of shadow mode: status %d, want 409", status)
	}

	out, err := exec.Command(program, "audit", "export", "--state", n.state).Output()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(out)) {
		var e struct {
			Act, Study, Raw, Findings, Template string
			Shadow                              bool
			Inputs                              []struct{ SHA256 string }
			Models                              []struct{ Digest string }
		}
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatal(err)
		}
		if e.Act != "drafted" || e.Study == uids["FILES"] || e.Shadow != (e.Study == uids["NEW"]) {
			t.Errorf("record of drafts: %s", line)
		}
		if len(e.Inputs) != 2 || len(e.Models) < 3 || e.Raw == "" || e.Findings == "" || e.Template == "" {
			t.Errorf("record of a draft lacks something: %s", line)
		}
		delete(want, e.Study)
	}
	if len(want) != 1 {
		t.Errorf("studies that the record of drafts lacks: %v, want that of FILES alone", want)
	}
	n.tampering(t)
}

// tampering cuts the last entry off the record of drafts; verify finds it, and finds a head that was written down.
func (n *node) tampering(t *testing.T) {
	t.Helper()
	verify := func(more ...string) (string, error) {
		out, err := exec.Command(program, append([]string{"audit", "verify", "--state", n.state}, more...)...).CombinedOutput()
		return string(out), err
	}
	said, err := verify()
	if err != nil {
		t.Fatalf("audit verify: %v\n%s", err, said)
	}
	head := said[strings.LastIndex(said, "head ")+5:]
	if said, err := verify("--expect", strings.TrimSpace(head)); err != nil {
		t.Errorf("the head that verify printed is not found: %v\n%s", err, said)
	}
	path := filepath.Join(n.state, "drafts.log")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.SplitAfter(strings.TrimSpace(string(text)), "\n")
	if err := os.WriteFile(path, []byte(strings.Join(lines[:len(lines)-1], "")), 0o600); err != nil {
		t.Fatal(err)
	}
	if said, err := verify(); err == nil || !strings.Contains(said, "missing at the end") {
		t.Errorf("a record that was cut is not found: %v\n%s", err, said)
	}
}

// trySigning logs jane in and asks for a signature; it returns the answer's status.
func (n *node) trySigning(t *testing.T, uid string) int {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	site, client := "http://127.0.0.1:"+n.http, &http.Client{Jar: jar, Timeout: time.Minute}
	answer, err := client.PostForm(site+"/login", url.Values{"name": {"jane"}, "password": {password}})
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	request, err := http.NewRequest(http.MethodPost, site+"/studies/"+uid+"/sign", strings.NewReader(`{"revision": 1, "findings": "Normal.", "impression": "Normal."}`))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("If-Match", `"0"`)
	if answer, err = client.Do(request); err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	return answer.StatusCode
}
