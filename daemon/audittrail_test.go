package daemon

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"llamaxr/daemon/access"
	"llamaxr/daemon/auditmessage"
	"llamaxr/daemon/config"
	"llamaxr/internal/peertest"
	"llamaxr/queue"
	"llamaxr/study"
)

// startRsyslog runs rsyslog with TLS at a port of 127.0.0.1; it writes MSGID and message to a file until stop is called.
func startRsyslog(t *testing.T, authority *peertest.Authority, port int, file string) (stop func()) {
	t.Helper()
	certificate, key, _ := authority.Node("syslog", 2048, time.Hour)
	folder := t.TempDir()
	conf := filepath.Join(folder, "rsyslog.conf")
	text := fmt.Sprintf(`global(workDirectory=%q maxMessageSize="64k" defaultNetstreamDriver="ossl" defaultNetstreamDriverCAFile=%q
  defaultNetstreamDriverCertFile=%q defaultNetstreamDriverKeyFile=%q)
module(load="imtcp" streamDriver.name="ossl" streamDriver.mode="1" streamDriver.authMode="anon")
input(type="imtcp" address="127.0.0.1" port="%d")
template(name="line" type="string" string="%%pri%% %%msgid%% %%msg%%\n")
if $msgid == "DICOM+RFC3881" then action(type="omfile" file=%q template="line")
`, folder, authority.File, certificate, key, port, file)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	command := exec.Command(peertest.Program(t, "rsyslogd"), "-n", "-f", conf, "-i", filepath.Join(folder, "pid"))
	command.Stderr = os.Stderr
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	stopped := false
	stop = func() {
		if !stopped {
			stopped = true
			_ = command.Process.Kill()
			_ = command.Wait()
		}
	}
	t.Cleanup(stop)
	return stop
}

// sendUntil tries until the server is there.
func sendUntil(t *testing.T, trail *auditTrail) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for {
		err := trail.send(t.Context())
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// TestAuditTrailOutlivesOutageAndRestart: what happens while the server is away, and while we are restarted, arrives once it is there, once
// each and in its order.
func TestAuditTrailOutlivesOutageAndRestart(t *testing.T) {
	peertest.Program(t, "rsyslogd")
	authority := peertest.NewAuthority(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	l.Close()
	cfg := config.Config{AETitle: "XR", State: t.TempDir()}
	cfg.Audit = config.Audit{Syslog: fmt.Sprintf("127.0.0.1:%d", port), Protocol: "tls", TLS: config.ClientTLS{CA: authority.File}}
	file := filepath.Join(t.TempDir(), "audit.txt")
	open := func() *Appliance {
		a := &Appliance{log: slog.New(slog.DiscardHandler)}
		a.settings.Store(&cfg)
		if a.db, err = queue.Open(filepath.Join(cfg.State, databaseFile), queue.Options{}); err != nil {
			t.Fatal(err)
		}
		if a.room.audit, err = access.OpenAuditLog(filepath.Join(cfg.State, auditFile)); err != nil {
			t.Fatal(err)
		}
		return a
	}
	shut := func(a *Appliance) {
		a.room.audit.Close()
		a.db.Close()
	}

	a := open()
	a.auditAct(access.Entry{Act: "log in", User: "before the trail was turned on"})
	trail := a.startAuditTrail()
	stop := startRsyslog(t, authority, port, file)
	sendUntil(t, trail)
	a.auditAct(access.Entry{Act: "log in", User: "ann", Address: "10.0.0.7"})
	sendUntil(t, trail)
	waitForUsers(t, file, "XR", "ann")
	stop()
	a.auditAct(access.Entry{Act: "log out", User: "bob"})
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	if trail.send(ctx) == nil {
		t.Error("sent to a server that is away")
	}
	cancel()
	shut(a)

	a = open()
	defer shut(a)
	trail = a.startAuditTrail()
	startRsyslog(t, authority, port, file)
	sendUntil(t, trail)
	waitForUsers(t, file, "XR", "ann", "bob", "XR")
}

// waitForUsers waits until the messages in a file are of some users, in order.
func waitForUsers(t *testing.T, file string, want ...string) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for {
		text, _ := os.ReadFile(file)
		var got []string
		for _, line := range strings.Split(strings.TrimSpace(string(text)), "\n") {
			var m auditmessage.Message
			_, body, found := strings.Cut(line, "85 DICOM+RFC3881 ")
			if found && xml.Unmarshal([]byte(strings.TrimPrefix(strings.TrimSpace(body), "\xef\xbb\xbf")), &m) == nil {
				got = append(got, m.Participants[0].UserID)
			}
		}
		if strings.Join(got, " ") == strings.Join(want, " ") {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("messages of %q, want %q; the file has %s", got, want, text)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// TestMessagesNameTheDraftsPatient: an act on a study whose first image was rejected as another patient's is of the patient that its draft names.
func TestMessagesNameTheDraftsPatient(t *testing.T) {
	const uid = "2.25.1"
	a := withLedger(t)
	err := a.db.Update(func(tx *queue.Tx) error {
		return errors.Join(tx.PutStudy(&queue.Study{UID: uid, Instances: []string{"1", "2"}, Pair: &study.Pair{Frontal: "2"}}),
			tx.PutInstance(&queue.Instance{Instance: study.Instance{Header: study.Header{SOPInstanceUID: "1", PatientID: "A", PatientName: "Wrong^Ann"}}}),
			tx.PutInstance(&queue.Instance{Instance: study.Instance{Header: study.Header{SOPInstanceUID: "2", PatientID: "B", PatientName: "Right^Bea"}}}))
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := a.patientOf(uid); got.ID != "B" || got.Name != "Right^Bea" {
		t.Errorf("the patient is %+v", got)
	}
}

// TestStrangersDoNotFillTheAuditLog: refused callers are entered, and a flood of them does not cost a write each.
func TestStrangersDoNotFillTheAuditLog(t *testing.T) {
	a := &Appliance{log: slog.New(slog.DiscardHandler), strangers: strangerRate()}
	cfg := config.Config{Audit: config.Audit{Syslog: "127.0.0.1:1"}}
	a.settings.Store(&cfg)
	path := filepath.Join(t.TempDir(), auditFile)
	var err error
	if a.room.audit, err = access.OpenAuditLog(path); err != nil {
		t.Fatal(err)
	}
	for range 10_000 {
		a.auditStranger("EVIL", "10.9.8.7:1234")
	}
	a.room.audit.Close()
	n := 0
	_, err = access.ReadAudit(path, func(e access.Entry) {
		n++
		if e.User != "EVIL" || e.Address != "10.9.8.7" || e.Act != auditmessage.ActStranger {
			t.Errorf("%+v", e)
		}
	})
	if err != nil || n < 60 || n > 100 {
		t.Errorf("%d entries of 10,000 refusals, %v", n, err)
	}
}
