package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"llamaxr/finetune/tune"

	"github.com/google/renameio/v2"
)

// TestLearningPageFollowsARun: who looks at a run sees it go on and end, with its curves and the gate's verdict, without a reload.
func TestLearningPageFollowsARun(t *testing.T) {
	n := startNode(t)
	n.addUser("tina", "Poe^Tina", password, "trainer")
	run := tune.Record{ID: "20260102-101112", State: tune.Running, Steps: 10}
	stands := func() {
		t.Helper()
		path := filepath.Join(n.state, "finetune", run.ID, tune.RecordFile)
		data, err := json.Marshal(run)
		if err == nil {
			err = os.MkdirAll(filepath.Dir(path), 0o700)
		}
		if err == nil {
			err = renameio.WriteFile(path, data, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	stands()
	tina := startBrowser(t).visit("http://127.0.0.1:" + n.http)
	tina.login("tina", password, "/learning")
	tina.until(`document.querySelector("[data-running] .run")`)
	eval[int](tina, `window.sameDocument = 1`)
	run.Step, run.Losses = 5, []tune.Point{{Step: 1, Loss: 2}, {Step: 5, Loss: 1}}
	stands()
	tina.until(`document.querySelector(".run").innerText.includes("step 5 of 10") && document.querySelector(".run polyline.f").points.length === 2`)
	run.State, run.Step, run.Adapter = tune.Promoted, 10, "site-1"
	run.Verdict = &tune.Verdict{Pass: true, Why: "nothing is worse", Measures: []tune.Measure{{Name: "clinical F1", Pass: true}}}
	stands()
	tina.until(`document.querySelector(".run .status").textContent === "promoted" && document.querySelector(".run form button").textContent === "Put site-1 to work"`)
	if said := eval[string](tina, `document.querySelector(".run").innerText`); !strings.Contains(said, "The gate lets it through") || !strings.Contains(said, "clinical F1") {
		t.Errorf("of the run the page says %q", said)
	}
	if eval[int](tina, `window.sameDocument || 0`) != 1 {
		t.Error("the page was loaded again")
	}
	tina.accessible("the learning page")
	tina.click(`.run form button`)
	tina.until(`document.querySelector(".notice")?.textContent.startsWith("Not done: ")`) // the adapter is none
	n.audited(t, "tina learning promote site-1 failed")
}
