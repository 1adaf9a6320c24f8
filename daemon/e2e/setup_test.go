package e2e

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"llamaxr/daemon/doctor"
	"llamaxr/daemon/trial"
	"llamaxr/internal/peertest"
)

// setup runs `llamaxr setup --json` and returns its checks, what it asked and its exit status.
func setup(t testing.TB, answers string, args ...string) (checks []doctor.Check, asked string, status int) {
	t.Helper()
	cmd := exec.Command(program, append([]string{"setup", "--json"}, args...)...)
	var out, questions bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(answers), &out, &questions
	err := cmd.Run()
	var got struct{ Checks []doctor.Check }
	if out.Len() > 0 {
		if bad := json.Unmarshal(out.Bytes(), &got); bad != nil {
			t.Fatalf("setup: %v, %v: %s", err, bad, out.Bytes())
		}
	}
	return got.Checks, questions.String(), cmd.ProcessState.ExitCode()
}

// TestSetupUnattended: with options alone the file is written, for its owner (or the service's group), the PACS is reached and has the drafts of
// the test study, whose patient is a test. A file that is there stays without --force; a wrong option is wrong usage and writes nothing.
func TestSetupUnattended(t *testing.T) {
	pacs, folder := startStorescp(t)
	port, state, file := freePort(t), filepath.Join(t.TempDir(), "state"), filepath.Join(t.TempDir(), "etc", "llamaxr.yaml")
	args := []string{"--yes", "--config", file, "--state", state, "--ae-title", "CHEST", "--port", port, "--pacs", "PACS@127.0.0.1:" + pacs}
	for _, wrong := range [][]string{{"--port", "0"}, {"--pacs", "nowhere"}, {"--test-study", "anywhere"}, {"--ae-title", "LONGER THAN SIXTEEN"}} {
		if _, said, status := setup(t, "", append(args, wrong...)...); status != 2 {
			t.Errorf("%v: exit status %d: %s", wrong, status, said)
		}
	}
	if _, said, status := setup(t, "", append(args, "--models", "unheard-of")...); status != 1 {
		t.Errorf("a model that is not there: exit status %d: %s", status, said)
	}
	if _, err := os.Stat(file); err == nil {
		t.Fatal("wrong usage wrote a file")
	}

	checks, said, status := setup(t, "", append(args, "--models", "starter", "--test-study", "pacs")...)
	for _, name := range []string{"ports", "pacs", "test study"} {
		if !finds(checks, name, doctor.OK, "") {
			t.Errorf("%s is not ok", name)
		}
	}
	if status != 0 {
		t.Fatalf("exit status %d: %+v\n%s", status, checks, said)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm()&^0o640 != 0 {
		t.Errorf("the file: %v, %v", info.Mode(), err)
	}
	written, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(program, "config", "check", file).CombinedOutput(); err != nil {
		t.Errorf("config check: %v\n%s", err, out)
	}
	studies := received(t, folder)
	if len(studies) != 1 {
		t.Errorf("the PACS has %d studies, not the test study alone", len(studies))
	}
	files, _ := filepath.Glob(filepath.Join(folder, "*"))
	if len(files) != trial.DocumentsPerStudy {
		t.Errorf("the PACS has %d objects", len(files))
	}
	for _, object := range files {
		name, err := exec.Command(peertest.Python(t), "-c", "import sys, pydicom; print(pydicom.dcmread(sys.argv[1]).PatientName)", object).Output()
		if err != nil || strings.TrimSpace(string(name)) != trial.TestName {
			t.Errorf("the patient of a draft at the PACS is %q, %v", name, err)
		}
	}

	_, said, status = setup(t, "", append(args, "--test-study", "none", "--port", "104")...)
	if again, err := os.ReadFile(file); status != 1 || !strings.Contains(said, "--force") || err != nil || !bytes.Equal(again, written) {
		t.Errorf("over a file that is there: exit status %d, %v: %s", status, err, said)
	}
	if _, said, status = setup(t, "", append(args, "--test-study", "none", "--ae-title", "OTHER", "--force")...); status != 0 {
		t.Errorf("--force: exit status %d: %s", status, said)
	}
	if again, err := os.ReadFile(file); err != nil || !strings.Contains(string(again), `"OTHER"`) {
		t.Errorf("--force wrote %s, %v", again, err)
	}
}

// TestSetupAsks: questions are answered line by line, a wrong answer is asked for again, the PACS gets nothing unless that is the answer, and
// one that does not answer is a failure with its remedy while the test study still goes through on this machine.
func TestSetupAsks(t *testing.T) {
	file, port, away := filepath.Join(t.TempDir(), "llamaxr.yaml"), freePort(t), freePort(t)
	answers := "\n" + "70000\n" + port + "\n" + "PACS\nPACS@127.0.0.1:" + away + "\n" + "\n" + "here\n"
	checks, asked, status := setup(t, answers, "--config", file, "--state", filepath.Join(t.TempDir(), "state"))
	if !finds(checks, "pacs", doctor.Fail, "nobody listens there") || !finds(checks, "test study", doctor.OK, "llamaxr-starter-llama, llamaxr-starter-adapter; its SR delivered on this machine") || status != 1 {
		t.Errorf("exit status %d: %+v\n%s", status, checks, asked)
	}
	for question, times := range map[string]int{"AE title of": 1, "Port where": 2, "PACS that receives": 2, "Models": 1, "Test study": 1} {
		if got := strings.Count(asked, question); got != times {
			t.Errorf("%q is asked %d times, not %d: %s", question, got, times, asked)
		}
	}
	written, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`ae_title: "LLAMAXR"`, `listen: ":` + port + `"`, `{ae_title: "PACS", address: "127.0.0.1:` + away + `"}`} {
		if !strings.Contains(string(written), want) {
			t.Errorf("no %s in %s", want, written)
		}
	}
	if _, said, status := setup(t, "CHEST\n", "--config", filepath.Join(t.TempDir(), "other.yaml")); status != 1 || !strings.Contains(said, "--yes") {
		t.Errorf("answers that end: exit status %d: %s", status, said)
	}
}
