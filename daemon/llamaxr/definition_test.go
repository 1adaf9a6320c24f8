package main

import (
	"encoding/json"
	"os/exec"
	"reflect"
	"strings"
	"testing"

	"llamaxr/internal/peertest"
)

// TestLaunchd: Python's plistlib reads what launchd is given.
func TestLaunchd(t *testing.T) {
	in := defaultInstallation("darwin")
	in.program, in.config = "/opt/a & b/llamaxr", "/etc/<x>.yaml"
	text, _ := definition("darwin", in).Option["LaunchdConfig"].(string)
	read := exec.Command(peertest.Python(t), "-c", "import sys,json,plistlib; print(json.dumps(plistlib.loads(sys.stdin.buffer.read())))")
	read.Stdin = strings.NewReader(text)
	out, err := read.Output()
	if err != nil {
		t.Fatalf("plistlib: %v\n%s", err, text)
	}
	var got map[string]any
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]any{
		"Label": "llamaxr", "UserName": "_llamaxr", "RunAtLoad": true, "Umask": 63.0, "ExitTimeOut": 60.0,
		"KeepAlive":          map[string]any{"SuccessfulExit": false},
		"HardResourceLimits": map[string]any{"Core": 0.0},
		"ProgramArguments":   []any{"/opt/a & b/llamaxr", "run", "--config", "/etc/<x>.yaml", "--state", "/Library/Application Support/llamaxr/state"},
	} {
		if !reflect.DeepEqual(got[key], want) {
			t.Errorf("%s is %v, want %v", key, got[key], want)
		}
	}
}

// TestWindowsService: it starts with the machine, again after a failure, and without an administrator's rights.
func TestWindowsService(t *testing.T) {
	t.Setenv("ProgramData", "P")
	c := definition("windows", defaultInstallation("windows"))
	if c.UserName != `NT AUTHORITY\LocalService` || c.Option["StartType"] != "automatic" || c.Option["OnFailure"] != "restart" {
		t.Errorf("got %+v", c)
	}
	if len(c.Arguments) != 5 || c.Arguments[0] != "run" || c.Arguments[1] != "--config" || c.Arguments[3] != "--state" {
		t.Errorf("arguments %q", c.Arguments)
	}
}
