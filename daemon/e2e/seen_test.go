package e2e

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"llamaxr/dicomnet"
	"llamaxr/dicomnet/dimse"
	"llamaxr/internal/peertest"
)

// planted are the identifiers of a patient who must turn up in documents alone.
var planted = map[string]string{
	"PatientName": "Zyxwolf^Quirin", "PatientID": "MRN887766554", "AccessionNumber": "ACC99887766", "PatientBirthDate": "19470311",
	"ReferringPhysicianName": "Ottokar^Vladimira", "StudyID": "SID5544332",
}

// plant gives objects the identifiers.
func plant(t testing.TB, files []string) {
	t.Helper()
	script := "import sys, pydicom\nfor path in sys.argv[1:]:\n    d = pydicom.dcmread(path)\n"
	for keyword, value := range planted {
		script += fmt.Sprintf("    d.%s = %q\n", keyword, value)
	}
	cmd := exec.Command(peertest.Python(t), append([]string{"-c", script + "    d.save_as(path)\n"}, files...)...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("planting identifiers: %v\n%s", err, out)
	}
}

// talkative is a destination that refuses, and quotes the patient in its Error Comment.
type talkative struct{ quote string }

func (talkative) Echo(context.Context) error { return nil }
func (talkative) Close(bool)                 {}
func (p talkative) Store(context.Context, *dicomnet.StoreRequest, io.Reader) error {
	return &dimse.StatusError{Status: dimse.CannotUnderstand, Comment: p.quote}
}

func startTalkative(t *testing.T, quote string) (address string) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &dicomnet.Server{AETitle: "QUOTES", NewSession: func(context.Context, *dicomnet.AssociationInfo) (dicomnet.Session, error) {
		return talkative{quote}, nil
	}}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- server.Serve(ctx, listener, 0) }()
	t.Cleanup(func() { cancel(); <-done })
	return listener.Addr().String()
}

// TestSeenFromOutside runs a whole study of a patient with known identifiers: what dashboard and rules ask for is exported, promtool takes
// the metrics, the probes answer, and neither log (at its most talkative), metrics, health nor probes hold an identifier. Study and object
// UIDs are in the log, where an administrator needs them, and nowhere else.
func TestSeenFromOutside(t *testing.T) {
	fake := t.TempDir() // the driver's program of a machine with a GPU
	smi := "#!/bin/sh\necho '0, 45, 1024, 81559, 41'\n"
	if err := os.WriteFile(filepath.Join(fake, "nvidia-smi"), []byte(smi), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", fake+string(os.PathListSeparator)+os.Getenv("PATH"))
	port, folder := startStorescp(t)
	pacs, away := "127.0.0.1:"+port, "127.0.0.1:"+freePort(t)
	collector, quote := startCollector(t), "no "+planted["PatientName"]+", "+planted["PatientID"]
	quotes := startTalkative(t, quote)
	settings := write(t, "llamaxr.yaml", "tracing: {endpoint: "+collector.URL+"}\n"+fmt.Sprintf(
		"log_level: debug\nlog_format: json\ndestinations:\n- {ae_title: PACS, address: %q}\n- {ae_title: AWAY, address: %q, tls: {on: true, ca: %q}}\n- {ae_title: QUOTES, address: %q}\n",
		pacs, away, peertest.NewAuthority(t).File, quotes))
	n := startNode(t, "--config", settings)
	files := chestFiles(t, "41", "Cardiomegaly", "Effusion")
	plant(t, files)
	storescu(t, n.port, files...)

	metrics := ""
	sent := fmt.Sprintf(`llamaxr_delivered_objects_total{destination="PACS@%s"} 4`, pacs)
	failed := fmt.Sprintf(`llamaxr_deliveries_total{destination="AWAY@%s",result="failed"} 0`, away)
	refused := `llamaxr_dead_letters{stage="deliver"} 1`
	for deadline := time.Now().Add(draftTime); ; time.Sleep(200 * time.Millisecond) {
		_, metrics = n.get("/metrics")
		if strings.Contains(metrics, sent+"\n") && !strings.Contains(metrics, failed+"\n") && strings.Contains(metrics, refused+"\n") {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("no %s in the metrics:\n%s", sent, metrics)
		}
	}
	exported(t, metrics)
	for _, want := range []string{
		`llamaxr_received_objects_total{status="0000h"} 2`, `llamaxr_drafts_total{mode="draft"} 1`, `llamaxr_score_window_studies{view="lateral"} 1`,
		`llamaxr_stage_jobs_total{result="done",stage="draft"} 1`, `llamaxr_gpu_utilization_ratio{gpu="0"} 0.45`,
		`llamaxr_certificate_remaining_seconds{use="destinations[1].tls.ca"} 3.1`, `llamaxr_stage_duration_seconds_count{stage="report"} 1`,
	} {
		if !strings.Contains(metrics, want) {
			t.Errorf("no %s in the metrics", want)
		}
	}
	check := exec.Command(peertest.Program(t, "promtool"), "check", "metrics")
	check.Stdin = strings.NewReader(metrics)
	if out, err := check.CombinedOutput(); err != nil {
		t.Errorf("promtool check metrics: %v\n%s", err, out)
	}

	seen := map[string]string{"metrics": metrics}
	for _, path := range []string{"/healthz", "/livez", "/readyz"} {
		status, body := n.get(path)
		if seen[path] = body; status != 200 {
			t.Errorf("%s: status %d, %s", path, status, body)
		}
	}
	for uid := range received(t, folder) {
		for where, text := range seen {
			if strings.Contains(text, uid) {
				t.Errorf("a study's UID is in %s", where)
			}
		}
	}
	if out, err := exec.Command(program, "queue", "list", "--state", n.state).Output(); err != nil || !strings.Contains(string(out), quote) {
		t.Errorf("an administrator does not read why a destination refused: %v\n%s", err, out)
	}
	n.stop(os.Interrupt)
	for uid := range received(t, folder) {
		if seen["traces"] = collector.traces(t); strings.Contains(seen["traces"], uid) {
			t.Error("a study's UID is in the traces")
		}
	}
	seen["log"] = n.log.String()
	for _, line := range []string{`"msg":"draft delivered"`, "dimse: status 0xc000"} {
		if !strings.Contains(seen["log"], line) {
			t.Errorf("the log does not have %s: it is not the one that was looked for", line)
		}
	}
	for _, value := range planted {
		for part := range strings.SplitSeq(value, "^") {
			for where, text := range seen {
				if strings.Contains(strings.ToLower(text), strings.ToLower(part)) {
					t.Errorf("%q is in %s", part, where)
				}
			}
		}
	}
}
