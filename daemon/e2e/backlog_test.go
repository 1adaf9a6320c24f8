package e2e

import (
	"encoding/json"
	"os"
	"os/exec"
	"regexp"
	"syscall"
	"testing"
	"time"

	"llamaxr/daemon"
	"llamaxr/dicomnet"
	"llamaxr/ingest/phantom"
	"llamaxr/study"
)

// TestBacklog: studies that come all at once are drafted several at a time. Whatever ends the appliance meanwhile, each has one draft, which
// is what the study gets alone.
func TestBacklog(t *testing.T) {
	const many = 24
	port, folder := startStorescp(t)
	n := startNode(t, "--config", writeSettings(t, "log_level: debug\n"), "--quiet-time", "4s", "--destination", "PACS@127.0.0.1:"+port)
	dir := t.TempDir()
	alone := map[string]string{} // files by study
	var all []string
	for seed := range uint64(many) {
		habit := phantom.Habits()[0]
		habit.Size = 512
		patient := phantom.NewRandom(7000 + seed)
		paths, err := patient.WriteDICOM(dir, habit, study.Frontal) // of a study with both views it is known at once that it is whole
		if err != nil {
			t.Fatal(err)
		}
		alone[patient.StudyUID()] = paths[0]
		all = append(all, paths...)
	}
	client := dicomnet.Client{CallingAETitle: "MODALITY", CalledAETitle: "LLAMAXR"}
	if err := daemon.Send(t.Context(), client, "127.0.0.1:"+n.port, all, nil); err != nil {
		t.Fatal(err)
	}
	// Each end finds drafts under way: the log has one that is done, and others wait.
	drafted := regexp.MustCompile(`time=(\S+) level=DEBUG msg="job done" kind=draft .*took=(\S+)`)
	for i, signal := range []os.Signal{syscall.SIGKILL, os.Interrupt} {
		for deadline := time.Now().Add(draftTime); len(drafted.FindAllString(n.log.String(), -1)) <= 4*i; {
			if time.Now().After(deadline) {
				t.Fatal("nothing is drafted")
			}
			time.Sleep(time.Millisecond)
		}
		n.stop(signal)
		n.start()
	}
	states := n.settle(many)
	got := received(t, folder)
	held := 0 // to what the study gets alone
	for uid, path := range alone {
		if s := states[uid]; s.State != "delivered" || len(got[uid][basicTextSR]) != 1 {
			t.Errorf("study %s is %s (%s) with %d narratives at the receiver", uid, s.State, s.Reason, len(got[uid][basicTextSR]))
		}
		if held++; held > many/4 {
			continue
		}
		out, err := exec.Command(program, "draft", "--study", path, "--json").Output()
		if err != nil {
			t.Fatal(err)
		}
		var want, have struct{ Draft study.Draft }
		if err := json.Unmarshal(out, &want.Draft); err != nil {
			t.Fatal(err)
		}
		if out, err = exec.Command(program, "show", uid, "--json", "--state", n.state).Output(); err != nil {
			t.Fatal(err)
		}
		var shown struct{ Draft json.RawMessage }
		if err = json.Unmarshal(out, &shown); err == nil {
			err = json.Unmarshal(shown.Draft, &have)
		}
		if err != nil || want.Draft.Raw == "" || want.Draft.Raw != have.Draft.Raw {
			t.Errorf("study %s: %v, among others %q, alone %q", uid, err, have.Draft.Raw, want.Draft.Raw)
		}
	}
	type span struct{ from, to time.Time }
	var spans []span
	for _, line := range drafted.FindAllStringSubmatch(n.log.String(), -1) {
		to, err := time.Parse(time.RFC3339Nano, line[1])
		if err != nil {
			t.Fatal(err)
		}
		took, err := time.ParseDuration(line[2])
		if err != nil {
			t.Fatal(err)
		}
		spans = append(spans, span{to.Add(-took), to})
	}
	most := 0
	for _, at := range spans {
		together := 0
		for _, s := range spans {
			if !s.from.After(at.from) && s.to.After(at.from) {
				together++
			}
		}
		most = max(most, together)
	}
	t.Logf("%d drafts were made, up to %d at once", len(spans), most)
	if most < 2 {
		t.Error("no two drafts were made at once")
	}
}
