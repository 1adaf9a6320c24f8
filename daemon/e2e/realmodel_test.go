package e2e

import (
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"llamaxr/internal/peertest"
	"llamaxr/queue"
	"llamaxr/reporting/labeler"
	"llamaxr/study"
)

// TestRealModelDrafts: SmolLM2-135M, brought as a site brings a model, drafts in the running daemon. It was never taught to read chests: what the
// destination receives says what the scores say all the same, and names the model by its digest.
func TestRealModelDrafts(t *testing.T) {
	port, folder := startStorescp(t)
	n := unstarted(t)
	type card struct {
		Name, Digest string
		Bytes        int64
	}
	if err := os.Mkdir(n.state, 0o700); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	model := jsonOf[card](t, "models", "import", peertest.SmolLM2(t), "--name", "smollm2", "--accept-licence", "apache-2.0", "--state", n.state, "--json")
	if out, err := exec.Command(program, "models", "use", "smollm2", "--state", n.state).CombinedOutput(); err != nil {
		t.Fatalf("models use: %v\n%s", err, out)
	}
	imported := time.Since(began)
	n.args = []string{"--destination", "PACS@127.0.0.1:" + port}
	began = time.Now()
	n.start()
	started := time.Since(began)
	uid, frontal, lateral := phantomStudy(t, outlinedPhantom)
	began = time.Now()
	n.taken(frontal, lateral)
	report := n.await(uid, "drafted and delivered", stands(queue.Delivered, 1))
	took := time.Since(began)
	draft := report.Draft.Draft
	t.Logf("%.0f MB imported in %.1f s, ready in %.1f s; a study drafted and delivered in %.1f s by %s, %d MB resident", float64(model.Bytes)/1e6,
		imported.Seconds(), started.Seconds(), took.Seconds(), draft.Engine, n.usage().resident>>10)
	if len(strings.Fields(draft.Raw)) < 20 {
		t.Errorf("the model wrote %q", draft.Raw)
	}
	wrote := study.ModelCard{}
	for _, m := range draft.Models {
		if m.Role == "language model" {
			wrote = m
		}
	}
	if wrote.Name != model.Name || wrote.Digest != model.Digest || wrote.Starter || len(model.Digest) != 64 {
		t.Errorf("the draft's language model is %+v, imported was %+v", wrote, model)
	}

	documents := received(t, folder)[uid][basicTextSR]
	if len(documents) != 1 {
		t.Fatalf("%d SRs of the study came", len(documents))
	}
	out, err := exec.Command(peertest.Program(t, "dcmdump"), "+L", "+P", "SoftwareVersions", "+P", "TextValue", documents[0]).Output()
	if err != nil {
		t.Fatalf("dcmdump: %v", err)
	}
	if text := string(out); !strings.Contains(text, "language model smollm2") || !strings.Contains(text, model.Digest[:12]) {
		t.Errorf("the SR does not name model and digest:\n%s", text)
	}
	said, present := labeler.Label(string(out)), 0
	for _, f := range study.Findings() {
		if draft.Scores.Present(f) {
			present++
		}
		if stated := said[f] != "" && said[f] != study.Absent; stated != draft.Scores.Present(f) {
			t.Errorf("%s is scored present: %t, the SR says %q", f, draft.Scores.Present(f), said[f])
		}
	}
	if present == 0 {
		t.Error("nothing is scored present: the text was held to nothing")
	}
	if t.Failed() {
		t.Logf("%s", out)
	}
}
