package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// tunedStudies are drafted and corrected; a run needs twenty to learn from and some to be judged by.
const tunedStudies = 50

// TestCorrectionsTeachAHabit: fifty corrections of one habit ("no pneumothorax" first, British spelling) fine-tune the starter model; the
// adapter passes its gate, the next study's draft shows the habit, and a rollback takes it away again.
func TestCorrectionsTeachAHabit(t *testing.T) {
	n := startNode(t)
	dir := t.TempDir()
	llamaxr := func(args ...string) []byte {
		t.Helper()
		cmd := exec.Command(program, args...)
		cmd.Stderr = os.Stderr
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("llamaxr %v: %v\n%s", args, err, out)
		}
		return out
	}
	for i := range tunedStudies {
		args := []string{"phantom", "--out", dir, "--seed", fmt.Sprint(5000 + i)}
		if findings := []string{"Edema", "Effusion", "Cardiomegaly", "Mass", "Pneumothorax"}; i%3 > 0 {
			args = append(args, "--finding", findings[i%len(findings)])
		}
		llamaxr(args...)
	}
	files, _ := filepath.Glob(filepath.Join(dir, "*.dcm"))
	llamaxr(append([]string{"send", "--to", "LLAMAXR@127.0.0.1:" + n.port}, files...)...)
	studies := n.settle(tunedStudies)
	var lines strings.Builder
	for uid := range studies {
		report := habit(n.draft(uid))
		line, err := json.Marshal(map[string]string{"study_instance_uid": uid, "report": report, "role": "radiologist"})
		if err != nil {
			t.Fatal(err)
		}
		lines.Write(append(line, '\n'))
	}
	path := filepath.Join(dir, "signed.jsonl")
	if err := os.WriteFile(path, []byte(lines.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	if out := string(llamaxr("corrections", "import", path, "--state", n.state)); !strings.Contains(out, fmt.Sprintf("%d kept, 0 kept aside", tunedStudies)) {
		t.Fatalf("corrections import says %s", out)
	}
	started := time.Now()
	t.Logf("%s", llamaxr("finetune", "start", "--wait", "--state", n.state))
	t.Logf("fine-tuning took %s", time.Since(started).Round(time.Second))
	var runs []struct {
		State, Adapter string
	}
	if err := json.Unmarshal(llamaxr("finetune", "runs", "--json", "--state", n.state), &runs); err != nil {
		t.Fatal(err)
	}
	if len(runs) != 1 || runs[0].State != "promoted" {
		t.Fatalf("runs: %+v", runs)
	}
	llamaxr("finetune", "show", "--html", filepath.Join(dir, "run.html"), "--state", n.state, n.runID())
	next := func(seed string) string {
		llamaxr("phantom", "--out", filepath.Join(dir, seed), "--seed", seed, "--finding", "Edema")
		more, _ := filepath.Glob(filepath.Join(dir, seed, "*.dcm"))
		before := len(n.studies())
		llamaxr(append([]string{"send", "--to", "LLAMAXR@127.0.0.1:" + n.port}, more...)...)
		for uid := range n.settle(before + 1) {
			if _, known := studies[uid]; !known {
				studies[uid] = studyState{}
				return n.draft(uid)
			}
		}
		t.Fatal("the next study did not arrive")
		return ""
	}
	draft := next("9001")
	t.Logf("the next draft:\n%s", draft)
	first, _, _ := strings.Cut(strings.TrimPrefix(draft, "FINDINGS: "), ".")
	if !strings.Contains(strings.ToLower(first), "pneumothorax") {
		t.Errorf("the draft does not begin with the pneumothorax: %q", first)
	}
	if !strings.Contains(draft, "oedema") || strings.Contains(strings.ReplaceAll(draft, "oedema", ""), "edema") {
		t.Error("the draft is not in British spelling")
	}
	llamaxr("adapter", "rollback", "--state", n.state)
	if draft := next("9002"); strings.Contains(draft, "oedema") {
		t.Errorf("after the rollback the draft still shows the habit:\n%s", draft)
	}
}

// habit is what this site's radiologist makes of a draft.
func habit(draft string) string {
	findings, impression, _ := strings.Cut(strings.TrimPrefix(draft, "FINDINGS: "), "\nIMPRESSION: ")
	var first, rest []string
	for sentence := range strings.SplitAfterSeq(findings, ". ") {
		sentence = strings.TrimSpace(sentence)
		if strings.Contains(strings.ToLower(sentence), "pneumothorax") {
			first = append(first, sentence)
		} else if sentence != "" {
			rest = append(rest, sentence)
		}
	}
	british := strings.NewReplacer("edema", "oedema", "Edema", "Oedema")
	return british.Replace("FINDINGS: " + strings.Join(append(first, rest...), " ") + "\nIMPRESSION: " + impression)
}

// draft returns the text of a study's newest draft as it was delivered.
func (n *node) draft(uid string) string {
	n.t.Helper()
	out, err := exec.Command(program, "show", uid, "--json", "--state", n.state).Output()
	if err != nil {
		n.t.Fatalf("llamaxr show: %v", err)
	}
	var report struct {
		Draft struct {
			Draft struct {
				Sentences []struct{ Section, Text, Verdict, Original, Reason string }
			}
		}
	}
	if err := json.Unmarshal(out, &report); err != nil {
		n.t.Fatal(err)
	}
	text := map[string][]string{}
	for _, s := range report.Draft.Draft.Sentences {
		if s.Verdict != "kept" {
			n.t.Logf("study %s, %s: %q is %s, the model wrote %q: %s", uid, s.Section, s.Text, s.Verdict, s.Original, s.Reason)
		}
		if s.Verdict != "removed" {
			text[s.Section] = append(text[s.Section], s.Text)
		}
	}
	return "FINDINGS: " + strings.Join(text["findings"], " ") + "\nIMPRESSION: " + strings.Join(text["impression"], " ")
}

// runID is the identifier of the newest fine-tuning run.
func (n *node) runID() string {
	n.t.Helper()
	entries, err := os.ReadDir(filepath.Join(n.state, "finetune"))
	if err != nil || len(entries) == 0 {
		n.t.Fatalf("no run: %v", err)
	}
	return entries[len(entries)-1].Name()
}
