package e2e

import (
	"encoding/json"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"

	"llamaxr/daemon/doctor"
)

// examine runs `llamaxr doctor --json` and returns its checks and exit status.
func examine(t testing.TB, args ...string) (checks []doctor.Check, status int) {
	t.Helper()
	cmd := exec.Command(program, append([]string{"doctor", "--json"}, args...)...)
	out, err := cmd.Output()
	var got struct{ Checks []doctor.Check }
	if bad := json.Unmarshal(out, &got); bad != nil {
		t.Fatalf("doctor: %v, %v: %s", err, bad, out)
	}
	return got.Checks, cmd.ProcessState.ExitCode()
}

func finds(checks []doctor.Check, name string, verdict doctor.Verdict, part string) bool {
	for _, c := range checks {
		if c.Name == name && c.Verdict == verdict && strings.Contains(c.What+c.Remedy, part) && (verdict == doctor.OK) == (c.Remedy == "") {
			return true
		}
	}
	return false
}

// TestDoctor: a running appliance with its PACS is well; each of some faults is found with its remedy and exit status 1.
func TestDoctor(t *testing.T) {
	port, _ := startStorescp(t)
	n := startNode(t, "--destination", "PACS@127.0.0.1:"+port)
	if err := os.Chmod(n.state, 0o700); err != nil {
		t.Fatal(err)
	}
	checks, status := examine(t, "--state", n.state)
	for _, name := range []string{"service", "configuration", "file modes", "database", "jobs", "ports", "destinations"} {
		if !finds(checks, name, doctor.OK, "") {
			t.Errorf("a running appliance: %s is not ok: %+v", name, checks)
		}
	}
	if status != 0 {
		t.Errorf("a running appliance: exit status %d, %+v", status, checks)
	}
	n.stop(os.Interrupt)

	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	settings := n.state + "/../llamaxr.yaml"
	text := "http: ''\nlisten: '" + taken.Addr().String() + "'\ndestinations:\n- {ae_title: PACS, address: '127.0.0.1:1'}\n"
	if err := os.WriteFile(settings, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(n.state, 0o755); err != nil {
		t.Fatal(err)
	}
	checks, status = examine(t, "--state", n.state, "--config", settings)
	for name, part := range map[string]string{"file modes": "chmod 700", "ports": "is in use by ", "destinations": "nobody listens there"} {
		if !finds(checks, name, doctor.Fail, part) {
			t.Errorf("%s: no failure with %q: %+v", name, part, checks)
		}
	}
	if !finds(checks, "service", doctor.Warn, "systemctl start") || status != 1 {
		t.Errorf("a stopped appliance: exit status %d, %+v", status, checks)
	}

	if err := os.WriteFile(settings, []byte("quite_time: 5s\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if checks, status = examine(t, "--config", settings); len(checks) != 1 || !finds(checks, "configuration", doctor.Fail, "line 1: unknown key quite_time") || status != 1 {
		t.Errorf("a wrong file: exit status %d, %+v", status, checks)
	}
}
