package e2e

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"llamaxr/internal/peertest"
)

// hookEvent is one line of what the webhook's receiver took.
type hookEvent struct {
	ID, Type string
	Data     struct {
		Study       string `json:"study_instance_uid"`
		Revision    int
		Signature   int
		Finding     string
		Score       float64
		Destination string
		Warning     string
		Job         string
	}
}

// TestResultsByHTTP: a draft with a critical finding and its signed report reach a FHIR server as valid R4 and a webhook as signed events, each
// after a failure; the RIS that refuses them for good makes a dead letter that is told, and a resend mends it. No event names the patient.
func TestResultsByHTTP(t *testing.T) {
	pacs, _ := startStorescp(t)
	r := startRIS(t, "AR")
	out, err := exec.Command(program, "config", "secret").Output()
	if err != nil {
		t.Fatal(err)
	}
	secret, port, folder := strings.TrimSpace(string(out)), freePort(t), t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	peer := exec.Command(peertest.Python(t), "testdata/listener.py", port, folder, "a-token", secret)
	if err := peer.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = peer.Process.Kill(); _ = peer.Wait() })
	n := startNode(t, "--destination", "PACS@127.0.0.1:"+pacs, "--config", writeSettings(t, "critical_findings: [Cardiomegaly]\n"+
		"hl7: {destinations: [{name: RIS, address: '127.0.0.1:"+r.port+"', send: [draft]}]}\n"+
		"fhir: [{name: server, server: {url: 'http://127.0.0.1:"+port+"/fhir'}, token_file: '"+write("token", "a-token\n")+"'}]\n"+
		"webhooks: [{name: engine, target: {url: 'http://127.0.0.1:"+port+"/hook'}, secret_file: '"+write("secret", secret+"\n")+"'}]\n"))
	n.addUser("jane", "Doe^Jane^^Dr", password, "signer")
	storescu(t, n.port, chestFiles(t, "2024", "Cardiomegaly")...)
	events := hookEvents(t, folder, "draft", "critical finding", "delivered", "dead letter")
	uid := events[0].Data.Study
	for _, e := range events {
		if e.Data.Study != uid || !strings.HasPrefix(e.ID, "msg_") {
			t.Errorf("event %+v", e)
		}
		switch e.Type {
		case "critical finding":
			if e.Data.Finding != "Cardiomegaly" || e.Data.Score < 0.5 || !strings.Contains(e.Data.Warning, "not reviewed by a physician") {
				t.Errorf("the critical finding is told as %+v", e)
			}
		case "dead letter":
			if !strings.HasPrefix(e.Data.Job, "hl7/RIS/"+uid) {
				t.Errorf("the dead letter is told as %+v", e)
			}
			if s := n.studies()[uid]; s.State != "failed" || !strings.Contains(s.Reason, "answered AR") {
				t.Errorf("after the RIS's refusal the study is %+v", s)
			}
			if out, err := exec.Command(program, "queue", "resend", e.Data.Job, "--state", n.state).CombinedOutput(); err != nil {
				t.Errorf("resend: %v\n%s", err, out)
			}
		}
	}
	r.waits(t, 2)
	if s := n.settle(1)[uid]; s.State == "failed" {
		waitFor(t, "the study to be well again", func() bool { return n.studies()[uid].State == "delivered" })
	}
	n.signer("jane").does("sign", uid, 0, "The heart is large.", "Cardiomegaly.")
	events = hookEvents(t, folder, "draft", "critical finding", "delivered", "dead letter", "critical finding acknowledged", "signed", "delivered")
	ids := map[string]bool{}
	for _, e := range events {
		ids[e.ID] = true
	}
	if len(ids) != len(events) {
		t.Errorf("an event came twice: %+v", events)
	}
	var statuses, observed []string
	waitFor(t, "the final report at the FHIR server", func() bool {
		statuses, observed = fhirStatuses(t, folder)
		return slices.Contains(statuses, "final")
	})
	if want := []string{"preliminary", "final"}; !slices.Equal(statuses, want) {
		t.Errorf("the DiagnosticReport was %v, want %v", statuses, want)
	}
	if len(observed) != 18 || slices.ContainsFunc(observed, func(s string) bool { return s != "preliminary" }) {
		t.Errorf("the Observations are %v", observed)
	}
	told, err := os.ReadFile(filepath.Join(folder, "hook.jsonl"))
	if err != nil || strings.Contains(strings.ToUpper(string(told)), "PHANTOM") {
		t.Errorf("the patient is named in an event, or %v:\n%s", err, told)
	}
	if strings.Contains(n.log.String(), secret) || strings.Contains(n.log.String(), "a-token") {
		t.Error("a secret is in the log")
	}
}

// hookEvents waits until all the events came, whatever their order, and returns them.
func hookEvents(t testing.TB, folder string, want ...string) (events []hookEvent) {
	t.Helper()
	slices.Sort(want)
	var types []string
	waitFor(t, "the events", func() bool {
		events, types = nil, nil
		text, _ := os.ReadFile(filepath.Join(folder, "hook.jsonl"))
		for line := range strings.Lines(string(text)) {
			var e hookEvent
			if json.Unmarshal([]byte(line), &e) == nil {
				events, types = append(events, e), append(types, e.Type)
			}
		}
		return len(events) >= len(want)
	})
	slices.Sort(types)
	if !slices.Equal(types, want) {
		t.Fatalf("events %v, want %v", types, want)
	}
	return events
}

// fhirStatuses are the statuses that the report passed through, and those of the observations.
func fhirStatuses(t testing.TB, folder string) (report, observations []string) {
	t.Helper()
	var resources map[string][]struct{ Status string }
	text, err := os.ReadFile(filepath.Join(folder, "fhir.json"))
	if err != nil {
		return nil, nil
	}
	if err := json.Unmarshal(text, &resources); err != nil {
		t.Fatal(err)
	}
	for url, versions := range resources {
		for _, v := range versions {
			switch {
			case strings.HasPrefix(url, "DiagnosticReport/"):
				report = append(report, v.Status)
			case strings.HasPrefix(url, "Observation/"):
				observations = append(observations, v.Status)
			}
		}
	}
	return report, observations
}

func waitFor(t testing.TB, what string, there func() bool) {
	t.Helper()
	for deadline := time.Now().Add(draftTime); !there(); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}
