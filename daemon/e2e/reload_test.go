package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"llamaxr/queue"
)

// hangup writes a configuration and has the running appliance read it; it returns what the log then says.
func (n *node) hangup(path, text, awaited string) string {
	n.t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		n.t.Fatal(err)
	}
	from := len(n.log.String())
	if err := n.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		n.t.Fatal(err)
	}
	deadline := time.Now().Add(startTime)
	for {
		said := n.log.String()[from:]
		if strings.Contains(said, awaited) {
			return said
		}
		if time.Now().After(deadline) {
			n.t.Fatalf("after SIGHUP the log does not say %q but:\n%s", awaited, said)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// TestReload: a changed file is taken in while running, and refused whole when it is wrong or needs a restart.
func TestReload(t *testing.T) {
	first, firstFolder := startStorescp(t)
	second, secondFolder := startStorescp(t)
	path := filepath.Join(t.TempDir(), "llamaxr.yaml")
	file := func(port, more string) string {
		return fmt.Sprintf("destinations:\n- {ae_title: PACS, address: '127.0.0.1:%s'}\n%s", port, more)
	}
	if err := os.WriteFile(path, []byte(file(first, "")), 0o600); err != nil {
		t.Fatal(err)
	}
	n := startNode(t, "--config", path)
	uid, frontal, lateral := phantomStudy(t, 9301)
	n.taken(frontal, lateral)
	n.await(uid, "drafted", stands(queue.Delivered, 1))

	for what, text := range map[string]string{
		"an unknown key":            file(second, "quite_time: 9s\n"),
		"a wrong value":             file(second, "quiet_time: 9 days\n"),
		"a key that needs restart":  file(second, "engine: go\n"),
		"a destination without AET": "destinations:\n- {address: 'h:1'}\n",
	} {
		if said := n.hangup(path, text, "refused"); !strings.Contains(said, "error=") {
			t.Errorf("%s: no reason in %s", what, said)
		}
	}
	other, frontal, lateral := phantomStudy(t, 9302)
	n.taken(frontal, lateral)
	n.await(other, "drafted as before", stands(queue.Delivered, 1))
	if got := len(objects(t, firstFolder, other)); got != 4 {
		t.Errorf("%d objects at the destination from before, want 4", got)
	}

	n.hangup(path, file(second, "peers: [{ae_title: MODALITY}]\nlog_level: debug\n"), "configuration read again")
	if _, err := n.send(frontal); err == nil {
		t.Error("who is no peer any more is taken")
	}
	third, frontal, lateral := phantomStudy(t, 9303)
	if out, err := exec.Command(program, "send", "--calling", "MODALITY", "--to", "LLAMAXR@127.0.0.1:"+n.port, frontal, lateral).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	n.await(third, "drafted", stands(queue.Delivered, 1))
	if got := len(objects(t, secondFolder, third)); got != 4 {
		t.Errorf("%d objects at the new destination, want 4", got)
	}
	if got := len(objects(t, firstFolder, third)); got != 0 {
		t.Errorf("%d objects at the destination that is gone", got)
	}
	if !strings.Contains(n.log.String(), "level=DEBUG") {
		t.Error("the log's level did not change")
	}
}

// TestConfigCheck: exit statuses and JSON of `llamaxr config check`.
func TestConfigCheck(t *testing.T) {
	for text, want := range map[string][]string{
		"ae_title: CHEST\n": {},
		"ae_titel: CHEST\nlisen: ':1'\n": {
			"configuration: line 1: unknown key ae_titel; ae_title is meant?", "configuration: line 2: unknown key lisen; listen is meant?",
		},
		"minimum_age: 500\n": {"configuration: minimum_age: 500 is outside 0 to 150"},
	} {
		path := filepath.Join(t.TempDir(), "llamaxr.yaml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(program, "config", "check", "--json", path)
		out, _ := cmd.Output()
		var got struct {
			OK     bool
			Faults []string
		}
		if err := json.Unmarshal(out, &got); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		if got.OK != (len(want) == 0) || fmt.Sprint(got.Faults) != fmt.Sprint(want) || (cmd.ProcessState.ExitCode() == 0) != got.OK {
			t.Errorf("%q: exit status %d, %+v, want %q", text, cmd.ProcessState.ExitCode(), got, want)
		}
	}
}

// syncBuffer is a log that is read while the program writes it.
type syncBuffer struct {
	mu   sync.Mutex
	text strings.Builder
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}
