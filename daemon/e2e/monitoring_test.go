package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"llamaxr/internal/peertest"
)

// get asks the node's HTTP side.
func (n *node) get(path string) (status int, body string) {
	n.t.Helper()
	answer, err := http.Get("http://127.0.0.1:" + n.http + path)
	if err != nil {
		n.t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		n.t.Fatal(err)
	}
	return answer.StatusCode, string(text)
}

// metricName finds our metrics, and those of the process, in expressions.
var metricName = regexp.MustCompile(`\b(llamaxr|process|go)_[a-z_]+\b`)

// expressions are the PromQL of the dashboard and of the rules, by where they stand.
func expressions(t testing.TB) map[string]string {
	t.Helper()
	folder := filepath.Join(peertest.Root(t), "packaging", "monitoring")
	found := map[string]string{}
	var board struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	text, err := os.ReadFile(filepath.Join(folder, "llamaxr-dashboard.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &board); err != nil {
		t.Fatalf("dashboard: %v", err)
	}
	for _, p := range board.Panels {
		for i, target := range p.Targets {
			found[fmt.Sprintf("panel %s, %d", p.Title, i)] = target.Expr
		}
	}
	rules, err := os.ReadFile(filepath.Join(folder, "llamaxr.rules.yml"))
	if err != nil {
		t.Fatal(err)
	}
	found["rules"] = string(rules)
	return found
}

// exported checks that what the dashboard and the rules ask for is among the metrics.
func exported(t testing.TB, metrics string) {
	t.Helper()
	have := map[string]bool{}
	for line := range strings.Lines(metrics) {
		if name := metricName.FindString(line); name != "" && !strings.HasPrefix(line, "#") {
			have[name] = true
		}
	}
	asked := 0
	for where, expression := range expressions(t) {
		for _, name := range metricName.FindAllString(expression, -1) {
			if asked++; !have[name] {
				t.Errorf("%s asks for %s, which is not exported", where, name)
			}
		}
	}
	if asked < 40 {
		t.Errorf("only %d metrics are asked for", asked)
	}
}

// TestMonitoringFiles: promtool takes the rules, their tests pass, and every expression of the dashboard is PromQL.
func TestMonitoringFiles(t *testing.T) {
	promtool := peertest.Program(t, "promtool")
	folder := filepath.Join(peertest.Root(t), "packaging", "monitoring")
	type rule struct {
		Record string `json:"record"`
		Expr   string `json:"expr"`
	}
	var rules []rule
	for where, expression := range expressions(t) {
		if where != "rules" {
			rules = append(rules, rule{"panel:" + fmt.Sprint(len(rules)), strings.ReplaceAll(expression, "$instance", ".*")})
		}
	}
	text, err := json.Marshal(map[string]any{"groups": []any{map[string]any{"name": "dashboard", "rules": rules}}}) // JSON is YAML
	if err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"check", "rules", "llamaxr.rules.yml"}, {"test", "rules", "llamaxr.rules.test.yml"}, {"check", "rules", write(t, "dashboard.yml", string(text))},
	} {
		cmd := exec.Command(promtool, args...)
		cmd.Dir = folder
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("promtool %v: %v\n%s", args, err, out)
		}
	}
}
