package doctor

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"llamaxr/daemon"
	"llamaxr/daemon/config"
)

// TestWrongConfigurationIsACheck: a file that is wrong is one check that fails, with its remedy; where even the state folder is not known it is the
// only one.
func TestWrongConfigurationIsACheck(t *testing.T) {
	fault := errors.New("configuration: line 3: unknown key quite_time; quiet_time is meant?")
	s := Subject{ConfigFile: "/etc/llamaxr/llamaxr.yaml", Fault: fault}
	all := Examine(t.Context(), s, func(Check) {})
	if len(all) != 1 || all[0].Name != "configuration" || !all[0].is(Fail, "line 3: unknown key quite_time") {
		t.Errorf("of a file that cannot be read: %+v", all)
	}
	s.Config = config.Config{State: t.TempDir()}
	names := map[string]Verdict{}
	for _, c := range Examine(t.Context(), s, func(Check) {}) {
		names[c.Name] = c.Verdict
	}
	var packed bytes.Buffer
	s.Fault = errors.New("configuration: [1:15] sequence end token ']' not found\n>  1 | organization: [Saint Yonderly")
	if err := WriteBundle(&packed, s, Examine(t.Context(), s, func(Check) {}), time.Now()); err != nil {
		t.Fatal(err)
	}
	if unzipped, err := gzip.NewReader(&packed); err != nil {
		t.Error(err)
	} else if text, err := io.ReadAll(unzipped); err != nil || bytes.Contains(text, []byte("Yonderly")) || !bytes.Contains(text, []byte("the file is wrong")) {
		t.Errorf("the bundle quotes the file, or does not say that it is wrong: %v\n%s", err, text)
	}
	if names["configuration"] != Fail || names["service"] != Warn || names["memory"] == "" || names["disk speed"] == "" {
		t.Errorf("with the state folder given: %v", names)
	}
}

// TestCredentialsOfTheService: while the daemon does not run, what rests on its credentials is not called wrong, and it is said.
func TestCredentialsOfTheService(t *testing.T) {
	t.Setenv("CREDENTIALS_DIRECTORY", "")
	cfg := config.Default()
	cfg.State = t.TempDir()
	cfg.Encryption.Key = "credential:age"
	cfg.Destinations = []config.Destination{{AETitle: "PACS", Address: nobody(t)}}
	for _, c := range Examine(t.Context(), Subject{Config: cfg}, func(Check) {}) {
		switch c.Name {
		case "configuration":
			if !c.is(Warn, "credential age is there only in the service") {
				t.Errorf("%+v", c)
			}
		case "encryption", "destinations":
			t.Errorf("looked at without the credentials: %+v", c)
		}
	}
}

// TestFileThatIsNotInForce: a changed file that the running daemon has not taken in is told by its keys.
func TestFileThatIsNotInForce(t *testing.T) {
	file := config.Default()
	file.Destinations = []config.Destination{{AETitle: "PACS", Address: "127.0.0.1:104"}}
	inForce := file
	file.QuietTime, file.State = time.Second, "elsewhere"
	look := func(file config.Config) (c Check) {
		v := &visit{Subject: Subject{Config: inForce, ConfigFile: "llamaxr.yaml"}, daemon: new(daemon.Condition), file: file, report: func(one Check) { c = one }}
		v.configuration(t.Context())
		return c
	}
	if got := look(file); !got.is(Warn, "in force: quiet_time") {
		t.Errorf("%+v", got)
	}
	if got := look(inForce); !got.is(OK, "") {
		t.Errorf("%+v", got)
	}
}

// TestWhoReadsSecrets: a key or secret that everybody may read is a failure, whatever key of the configuration names it.
func TestWhoReadsSecrets(t *testing.T) {
	token := secret(t, "t")
	cfg := config.Default()
	cfg.State = t.TempDir()
	cfg.Webhooks = []config.Webhook{{SecretFile: token}}
	for mode, want := range map[os.FileMode]Verdict{0o600: OK, 0o640: OK, 0o644: Fail} {
		if err := errors.Join(os.Chmod(token, mode), os.Chmod(cfg.State, 0o700)); err != nil {
			t.Fatal(err)
		}
		if got := found(t, cfg, func(v *visit) { v.modes(t.Context()) }); got.Verdict != want {
			t.Errorf("mode %o: %+v", mode, got)
		}
	}
}

// TestFilesOfAnother: what belongs to another user than the state is told; what the file system itself has at its top is not of the state.
func TestFilesOfAnother(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("as root: it gives files away")
	}
	state := t.TempDir()
	for name, want := range map[string]string{"lost+found": "", "models": filepath.Join(state, "models")} {
		path := filepath.Join(state, name)
		if err := errors.Join(os.Mkdir(path, 0o700), os.Chown(path, 1, 1)); err != nil {
			t.Fatal(err)
		}
		if got := foreigners(state); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
}

// TestEachPortIsLookedAt: so is that of the HL7 listener.
func TestEachPortIsLookedAt(t *testing.T) {
	cfg := config.Config{HL7: config.HL7{Listen: nobody(t)}}
	if got := found(t, cfg, func(v *visit) { v.ports(t.Context()) }); !got.is(OK, "hl7.listen: ") {
		t.Errorf("%+v", got)
	}
}

// TestPortOfEveryAddress: an appliance that listens on all addresses is reached, whatever localhost means on the machine.
func TestPortOfEveryAddress(t *testing.T) {
	l, err := net.Listen("tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	for _, host := range []string{"", "0.0.0.0", "::"} {
		got := found(t, config.Config{}, func(v *visit) { v.reach(t.Context(), "listen", net.JoinHostPort(host, port)) })
		if !got.is(OK, "answers on ") || strings.Contains(got.What, "localhost") {
			t.Errorf("%q: %+v", host, got)
		}
	}
}
