package e2e

import (
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"llamaxr/internal/peertest"
)

// TestCriticalFindings: a critical finding reaches its people by mail once, though the server fails at first, names no patient, and reaches others
// while nobody takes note; a reader does, in Chromium, and then nobody hears of it any more. Who signs has taken note. A mailbox that is refused is
// a dead letter and leaves the study where it is.
func TestCriticalFindings(t *testing.T) {
	authority := peertest.NewAuthority(t)
	server := peertest.StartSMTP(t, authority, "starttls", "451 4.3.0 later")
	password := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(password, []byte("a password\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	n := unstarted(t)
	site := "http://127.0.0.1:" + n.http
	n.args = []string{"--config", writeSettings(t, "http_address: "+site+"\ncritical_findings: [Cardiomegaly]\nescalation: {after: 3s, times: 2}\nmail: {server: '"+server.Address+
		"', ca: "+authority.File+", user: llamaxr, password_file: "+password+", from: llamaxr@hospital.example, to: [oncall@hospital.example, nobody@hospital.example], escalate_to: [head@hospital.example]}\n")}
	n.start()
	n.addUser("jane", "Doe^Jane^^Dr", "correct horse battery", "signer")
	n.addUser("rita", "Poe^Rita", "correct horse battery", "reader")
	storescu(t, n.port, chestFiles(t, "2024", "Cardiomegaly")...)
	waitFor(t, "two escalations", func() bool { return len(mailsTo(server, "head@hospital.example")) == 2 })
	uid, told := slices.Collect(maps.Keys(n.studies()))[0], server.Mails()
	first, again := mailsTo(server, "oncall@hospital.example"), mailsTo(server, "head@hospital.example")
	if len(first) != 1 || !strings.Contains(first[0].Header("Subject"), "Critical finding in an AI draft: Cardiomegaly") || !strings.HasPrefix(again[0].Header("Subject"), "Not acknowledged: ") {
		t.Fatalf("told: %+v", told)
	}
	for _, m := range told {
		if !m.TLS || m.User != "llamaxr" || !strings.Contains(m.Data, site+"/studies/"+uid) || !strings.Contains(m.Data, "not reviewed by a physician") || !strings.Contains(m.Data, "STARTER MODELS") {
			t.Errorf("the mail is %+v", m)
		}
		if upper := strings.ToUpper(m.Data); strings.Contains(upper, "PHANTOM") || strings.Contains(upper, "PH2024") {
			t.Errorf("the mail names the patient:\n%s", m.Data)
		}
	}
	shown := func() string {
		out, err := exec.Command(program, "show", uid, "--state", n.state).Output()
		if err != nil {
			t.Fatal(err)
		}
		return string(out)
	}
	if said := shown(); !strings.Contains(said, "not acknowledged, others were told 2 times") || !strings.Contains(said, "mail given up") {
		t.Errorf("llamaxr show says\n%s", said)
	}
	if s := n.studies()[uid]; s.State == "failed" {
		t.Errorf("for a mailbox that was refused the study is %+v", s)
	}
	if out, _ := exec.Command(program, "queue", "list", "--state", n.state).Output(); !strings.Contains(string(out), "mail/nobody@hospital.example/"+uid) {
		t.Errorf("the mail that was refused is not in the queue:\n%s", out)
	}
	n.measures(t, "llamaxr_critical_unacknowledged 1", "llamaxr_critical_escalations_total 2", `llamaxr_dead_letters{stage="mail"} 1`)

	b := startBrowser(t)
	n.addUser("adam", "Roe^Adam", "correct horse battery", "admin")
	adam := b.visit(site)
	adam.login("adam", "correct horse battery", "/admin")
	adam.shows(`form[action="/admin/resend"]`)
	adam.accessible("the administration page with a dead letter")
	rita, jane := b.visit(site), b.visit(site)
	rita.login("rita", "correct horse battery", "/?filter=unacknowledged")
	rita.until(`document.querySelector("tr[data-uid] .alert-open")`)
	rita.accessible("the worklist of what is not acknowledged")
	rita.click(`a.open`)
	rita.shows(`body[data-ready]`)
	rita.until(`document.querySelector("#alert-state").textContent.includes("others were told 2 times")`)
	rita.accessible("a study with a critical finding")
	jane.login("jane", "correct horse battery", "/studies/"+uid)
	jane.shows(`body[data-ready] #acknowledge`)
	rita.click(`#acknowledge`)
	rita.until(`document.querySelector("#alert-state").textContent.startsWith("Rita Poe acknowledged it") && !document.querySelector("#acknowledge")`)
	jane.until(`document.querySelector("#alert-state").textContent.startsWith("Rita Poe acknowledged it") && !document.querySelector("#acknowledge")`)
	rita.accessible("a study whose critical finding is acknowledged")
	rita.open("/?filter=all")
	rita.until(`document.querySelector("tr[data-uid]").innerText.includes("acknowledged by Rita Poe")`)
	n.audited(t, "rita acknowledge critical finding "+uid)
	n.measures(t, "llamaxr_critical_unacknowledged 0", "llamaxr_critical_acknowledgement_seconds_count 1")
	if said := shown(); !strings.Contains(said, "rita acknowledged it at") {
		t.Errorf("llamaxr show says\n%s", said)
	}

	// Another study: its signature is the acknowledgement.
	storescu(t, n.port, chestFiles(t, "2025", "Cardiomegaly")...)
	waitFor(t, "the second study's mail", func() bool { return len(mailsTo(server, "oncall@hospital.example")) == 2 })
	other := ""
	for known := range n.studies() {
		if known != uid {
			other = known
		}
	}
	n.signer("jane").does("sign", other, 0, "The heart is large.", "Cardiomegaly.")
	waitFor(t, "the signature to count", func() bool {
		return strings.Contains(n.history(other), "jane took note of Cardiomegaly: signed the report")
	})
	n.measures(t, "llamaxr_critical_unacknowledged 0")
	if strings.Contains(n.log.String(), "a password") {
		t.Error("the password is in the log")
	}
}

func mailsTo(s *peertest.SMTP, address string) (out []peertest.Mail) {
	for _, m := range s.Mails() {
		if slices.Contains(m.To, address) {
			out = append(out, m)
		}
	}
	return out
}

// measures waits until /metrics has all the lines.
func (n *node) measures(t *testing.T, want ...string) {
	t.Helper()
	waitFor(t, "the metrics "+strings.Join(want, ", "), func() bool {
		answer, err := http.Get("http://127.0.0.1:" + n.http + "/metrics")
		if err != nil {
			return false
		}
		defer answer.Body.Close()
		text, err := io.ReadAll(answer.Body)
		return err == nil && !slices.ContainsFunc(want, func(line string) bool { return !strings.Contains("\n"+string(text), "\n"+line+"\n") })
	})
}
