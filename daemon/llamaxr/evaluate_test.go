package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestEvaluate: one JSON document on standard output, a whole page beside it, and wrong use told from failure.
func TestEvaluate(t *testing.T) {
	pairs, page := filepath.Join(t.TempDir(), "pairs.jsonl"), filepath.Join(t.TempDir(), "page.html")
	lines := `{"id":"a","reference":"There is a pleural effusion .","candidate":"There is a pleural effusion ."}
{"id":7,"reference":"No mass .","candidate":"There is a mass ."}
`
	if err := os.WriteFile(pairs, []byte(lines), 0o600); err != nil {
		t.Fatal(err)
	}
	out := mustRun(t, "evaluate", "--pairs", pairs, "--json", "--html", page)
	var report struct {
		Pairs    int
		Paper    map[string]float64
		Coco     map[string]float64
		Clinical map[string]float64
		Cases    []struct {
			ID      string
			Figures map[string]map[string]float64
		}
	}
	if err := json.Unmarshal([]byte(out), &report); err != nil {
		t.Fatalf("standard output is not one JSON document: %v", err)
	}
	if report.Pairs != 2 || len(report.Cases) != 2 || report.Cases[1].ID != "7" || report.Cases[0].Figures["paper"]["BLEU-4"] != 1 {
		t.Errorf("got %+v", report)
	}
	if got := report.Clinical["micro-F1"]; got != 2./3 { // the effusion is right, the mass said for nothing
		t.Errorf("clinical micro-F1 %g, want 2/3", got)
	}
	for _, name := range []string{"BLEU-1", "BLEU-2", "BLEU-3", "BLEU-4", "ROUGE-L"} {
		if _, ok := report.Paper[name]; !ok {
			t.Errorf("paper has no %s", name)
		}
		if _, ok := report.Coco[name]; !ok {
			t.Errorf("coco has no %s", name)
		}
	}
	text, err := os.ReadFile(page)
	if err != nil || !strings.HasSuffix(strings.TrimSpace(string(text)), "</html>") {
		t.Errorf("the page is not whole: %v", err)
	}
	for _, wrong := range []struct {
		args   []string
		status int
	}{{[]string{"evaluate"}, exitUsage}, {[]string{"evaluate", "x"}, exitUsage}, {[]string{"evaluate", "--pairs", pairs + ".none"}, exitFailed}} {
		if got := execute(t.Context(), wrong.args); got != wrong.status {
			t.Errorf("%v exits %d, want %d", wrong.args, got, wrong.status)
		}
	}
}
