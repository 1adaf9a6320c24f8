package experiment

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"llamaxr/finetune/metrics"
	"llamaxr/finetune/starter"
	"llamaxr/finetune/wording"
	"llamaxr/inference/engine"
	"llamaxr/inference/models"
	"llamaxr/study"
)

// synthetic are reports of the starter's grammar with what they say as their labels.
func synthetic(n int) (out []Report) {
	rng := rand.New(rand.NewPCG(3, 3))
	for uid := range n {
		scores := starter.RandomScores(rng)
		findings, impression, _ := strings.Cut(strings.TrimPrefix(starter.FinalReport(scores), "FINDINGS: "), "\nIMPRESSION: ")
		r := Report{UID: uid + 1, Frontal: true, Lateral: uid%4 != 0}
		r.Text.Findings, r.Text.Impression = findings, impression
		r.Present = metrics.Scored(scores)
		out = append(out, r)
	}
	return out
}

// TestSimulatedScoresHaveTheAUC: each view's scores tell what is there from what is not with the published AUC, the views agree as said, as
// many studies are scored present as there are, and the same report has the same scores.
func TestSimulatedScoresHaveTheAUC(t *testing.T) {
	var reports []Report
	rng := rand.New(rand.NewPCG(5, 5))
	for uid := range 6000 {
		r := Report{UID: uid, Frontal: true, Lateral: true}
		for f := range r.Present {
			r.Present[f] = rng.IntN(5) == 0
		}
		reports = append(reports, r)
	}
	s := NewSimulator(reports, 7)
	for _, f := range study.Findings() {
		var there, not []float64
		scored, labelled := 0, 0
		var frontal, lateral []float64
		for _, r := range reports {
			scores := s.Scores(r)
			if scores.Present(f) {
				scored++
			}
			if r.Present[f] {
				labelled++
				there = append(there, float64(scores.Lateral[f]))
				continue
			}
			not = append(not, float64(scores.Lateral[f]))
			logit := func(p float32) float64 { return math.Log(float64(p) / (1 - float64(p))) }
			frontal, lateral = append(frontal, logit(scores.Frontal[f])), append(lateral, logit(scores.Lateral[f]))
		}
		// Hanley and McNeil 1982: the share of pairs in the right order; its standard error is below 0.01 here.
		right := 0
		const pairs = 20_000
		for range pairs {
			if there[rng.IntN(len(there))] > not[rng.IntN(len(not))] {
				right++
			}
		}
		if got := float64(right) / pairs; math.Abs(got-auc[f]) > 0.03 {
			t.Errorf("%s: AUC %.3f, published %.2f", f, got, auc[f])
		}
		if got := correlation(frontal, lateral); math.Abs(got-agreement) > 0.04 {
			t.Errorf("%s: the views correlate by %.2f, want %.2f", f, got, agreement)
		}
		if scored != labelled {
			t.Errorf("%s: %d studies are scored present, %d are", f, scored, labelled)
		}
	}
	if again := NewSimulator(reports, 7); !reflect.DeepEqual(again.Scores(reports[9]), s.Scores(reports[9])) {
		t.Error("the same seed gives other scores")
	}
	one := reports[3]
	one.Lateral = false
	if s.Scores(one).Lateral != nil {
		t.Error("a view that was not acquired is scored")
	}
}

func correlation(a, b []float64) float64 {
	n := float64(len(a))
	var sa, sb, saa, sbb, sab float64
	for i := range a {
		sa, sb, saa, sbb, sab = sa+a[i], sb+b[i], saa+a[i]*a[i], sbb+b[i]*b[i], sab+a[i]*b[i]
	}
	return (n*sab - sa*sb) / math.Sqrt((n*saa-sa*sa)*(n*sbb-sb*sb))
}

// TestSplit: no report is on two sides, and the sides are eight tenths, one and one.
func TestSplit(t *testing.T) {
	all := synthetic(2000)
	side := map[int]part{}
	for _, p := range []part{toTrain, toValidate, toTest} {
		for _, r := range split(all, p) {
			if _, ok := side[r.UID]; ok {
				t.Fatalf("report %d is on two sides", r.UID)
			}
			side[r.UID] = p
		}
	}
	count := map[part]int{}
	for _, p := range side {
		count[p]++
	}
	if len(side) != len(all) || count[toTest] < 160 || count[toTest] > 240 || count[toValidate] < 160 || count[toValidate] > 240 {
		t.Errorf("%d reports are divided as %v", len(side), count)
	}
	if few, more := TestStudies(all, 10), TestStudies(all, 20); !reflect.DeepEqual(few, more[:10]) {
		t.Error("more test studies are other ones")
	}
}

// wordingOf learns from reports with their labels as scores.
func wordingOf(t *testing.T, reports []Report) *wording.Wording {
	t.Helper()
	w, err := wording.New(examplesOf(reports, faultless))
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// TestLeversSayTheScores: composed rows say of every finding what the scores say, findings first or last, in a sentence each or in one.
func TestLeversSayTheScores(t *testing.T) {
	l := &lessons{wording: wordingOf(t, synthetic(80))}
	rng := rand.New(rand.NewPCG(9, 9))
	texts := map[string]bool{}
	for i := range 40 {
		scores := starter.RandomScores(rng)
		for k := range 4 {
			l.condition.Levers = Levers{First: k&1 == 0, Single: k&2 == 0}
			text := l.compose(scores)
			if said := metrics.Statements(text); said != metrics.Scored(scores) {
				t.Fatalf("%v is said of %v: %s", said, metrics.Scored(scores), text)
			}
			if i == 0 {
				texts[text] = true
			}
		}
	}
	if len(texts) != 4 {
		t.Errorf("%d texts of 4 ways", len(texts))
	}
}

// TestLessonsAreBalancedAndPaired: three rows of four drawn have a finding, and each second row differs from the one before in one.
func TestLessonsAreBalancedAndPaired(t *testing.T) {
	all := synthetic(400)
	for i := range all { // most are normal
		if i%10 != 0 {
			all[i].Present = [study.NumFindings]bool{}
		}
	}
	s := NewSimulator(all, 1)
	c, err := ConditionByName("grounded")
	if err != nil {
		t.Fatal(err)
	}
	l := newLessons(c, 1, s, wordingOf(t, all[:60]), all, nil)
	abnormal, pairs := 0, 0
	for number := range 20 {
		list := l.drawn(number)
		for i := 0; i < len(list); i += 2 {
			pairs++
			if present(list[i].Scores) > 0 {
				abnormal++
			}
			a, b := metrics.Scored(list[i].Scores), metrics.Scored(list[i+1].Scores)
			differ := 0
			for f := range a {
				if a[f] != b[f] {
					differ++
				}
			}
			if differ != 1 {
				t.Fatalf("a pair differs in %d findings", differ)
			}
		}
	}
	if share := float64(abnormal) / float64(pairs); share < 0.6 {
		t.Errorf("%.2f of the draws have a finding", share)
	}
}

// TestWithout: a lever that is taken out leaves the others, and the condition has a folder of its own.
func TestWithout(t *testing.T) {
	c, err := ConditionByName("grounded")
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, l := range leverNames {
		less, err := c.Without(l.name)
		if err != nil {
			t.Fatal(err)
		}
		back := less
		back.Name, back.Says = c.Name, c.Says
		if seen[less.Name] || reflect.DeepEqual(back, c) {
			t.Errorf("%s takes nothing out, or has another's folder: %+v", l.name, less)
		}
		seen[less.Name] = true
	}
	if _, err := c.Without("none"); err == nil || !strings.Contains(err.Error(), "pairs") {
		t.Errorf("an unknown lever: %v", err)
	}
}

// TestStoppedRunGoesOn: a run that is stopped in its training and again in its writing comes to the result of one that was not, on the starter
// model; what its folder holds is the whole of what it says, and other settings are refused.
func TestStoppedRunGoesOn(t *testing.T) {
	eng, err := engine.Open(engine.XLACPU)
	if err != nil {
		t.Skip(err)
	}
	all := synthetic(120)
	c, err := ConditionByName("grounded")
	if err != nil {
		t.Fatal(err)
	}
	c.Steps, c.Studies, c.Preset.Batch, c.Preset.MaxTokens = checkpointEvery+2, 2, 2, 192
	base := filepath.Join("..", "..", "inference", "models", "starter", models.LlamaFolder)
	run := func(folder string, stop func(line string) bool) (*Result, error) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		return Run(ctx, c, all, Options{Folder: folder, Base: base, Seed: 1, Engine: eng, Log: func(format string, args ...any) {
			if stop(fmt.Sprintf(format, args...)) {
				cancel()
			}
		}})
	}
	whole, parts := t.TempDir(), t.TempDir()
	want, err := run(whole, func(string) bool { return false })
	if err != nil {
		t.Fatal(err)
	}
	for _, at := range []string{fmt.Sprintf("step %d of", checkpointEvery+1), "1 of 2 test studies"} {
		if _, err := run(parts, func(line string) bool { return strings.Contains(line, at) }); !errors.Is(err, context.Canceled) {
			t.Fatalf("stopped at %q: %v", at, err)
		}
	}
	got, err := run(parts, func(line string) bool {
		if strings.Contains(line, "step") {
			t.Errorf("what was trained is trained again: %s", line)
		}
		return false
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, file := range map[string]string{"adapter": filepath.Join(adapterFolder, "adapter_model.safetensors")} {
		a, b := read(t, whole, c.Name, file), read(t, parts, c.Name, file)
		if a != b {
			t.Errorf("the %s of a stopped run is another", name)
		}
	}
	if !maps.Equal(got.Own.Grounding, want.Own.Grounding) || !maps.Equal(got.Delivered.Paper, want.Delivered.Paper) || got.Trained.Rows != want.Trained.Rows {
		t.Errorf("a stopped run comes to %+v, a whole one to %+v", got, want)
	}
	if got.Delivered.Grounding["macro-F1"] != 1 || got.Vectors != 2 || got.Trained.Steps != c.Steps || len(got.Losses) != c.Steps {
		t.Errorf("%+v", got)
	}
	c.Steps++
	if _, err := run(parts, func(string) bool { return false }); !errors.Is(err, ErrOtherSettings) {
		t.Errorf("other settings: %v", err)
	}
	without := filepath.Join(parts, withoutName(c.Name, "pairs"))
	if err := os.Mkdir(without, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(without, resultFile), []byte(read(t, parts, c.Name, resultFile)), 0o600); err != nil {
		t.Fatal(err)
	}
	page := filepath.Join(t.TempDir(), "page.md")
	if err := os.WriteFile(page, []byte("# Page\nBefore.\n\n## Results (`make experiment`)\nold\n\n## After\nleft alone\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := WritePage(t.Context(), all, Options{Folder: parts, Seed: 1, Engine: eng}, page); err != nil {
		t.Fatal(err)
	}
	text := read(t, page)
	for _, part := range []string{"Before.", "SIMULATED", "| grounded |", "composed, own |", "## Levers one by one", "## After\nleft alone"} {
		if !strings.Contains(text, part) {
			t.Errorf("the page lacks %q:\n%s", part, text)
		}
	}
	if strings.Contains(text, "\nold\n") {
		t.Error("the old results are still there")
	}
}

func read(t *testing.T, path ...string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// TestReadReportsRefuses names the line at fault, and leaves out what lacks a section.
func TestReadReportsRefuses(t *testing.T) {
	for text, why := range map[string]string{
		"":                             "none has findings",
		`{"uid":1,"findings":"No."}`:   "none has findings",
		"{}\n{":                        "line 2",
		strings.Repeat("x", maxLine+1): "reports",
	} {
		if _, err := ReadReports(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%.40q: %v, want %q", text, err, why)
		}
	}
	got, err := ReadReports(strings.NewReader(`{"uid":7,"findings":"The mediastinum is widened.","impression":"Mass.","mesh_major":["Mass/lung/left"],"images":[{"projection":"lateral"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	if r := got[0]; r.UID != 7 || r.Frontal || !r.Lateral || !r.Present[study.Mass] || !r.Present[study.EnlargedCardiomediastinum] || r.Present[study.Nodule] {
		t.Errorf("%+v", r)
	}
}

func FuzzReadReports(f *testing.F) {
	f.Add([]byte(`{"uid":7,"findings":"No mass.","impression":"Mass.","mesh_major":["Mass"],"images":[{"projection":"frontal"}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		reports, err := ReadReports(strings.NewReader(string(data)))
		if err != nil {
			return
		}
		for _, r := range reports {
			if r.Text.Findings == "" || r.Text.Impression == "" || !r.Frontal && !r.Lateral {
				t.Errorf("%+v", r)
			}
		}
	})
}
