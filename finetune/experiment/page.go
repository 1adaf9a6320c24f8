package experiment

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"image/color"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"llamaxr/finetune/metrics"
	"llamaxr/internal/figures"
	"llamaxr/study"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
)

// String is a result in one line.
func (r *Result) String() string {
	return fmt.Sprintf("%d studies; grounding macro-F1 %.3f own, %.3f delivered with %.0f %% of sentences by the guard; ROUGE-L %.3f, %.3f; METEOR %.3f, %.3f; "+
		"sensitivity %.2f, %.2f; specificity %.2f, %.2f; %d distinct texts", r.Studies, r.Own.Grounding["macro-F1"], r.Delivered.Grounding["macro-F1"], 100*r.Guard,
		r.Own.Paper["ROUGE-L"], r.Delivered.Paper["ROUGE-L"], r.Own.Paper["METEOR"], r.Delivered.Paper["METEOR"], r.Own.Grounding["sensitivity"],
		r.Delivered.Grounding["sensitivity"], r.Own.Grounding["specificity"], r.Delivered.Grounding["specificity"], r.Distinct)
}

// baselines are texts that no model wrote.
var baselines = []struct{ name, says string }{
	{"one report", "no model: the same normal report for every study"},
	{"composed", "no model: the training reports' wording put together by program, what `grounded` and `paper-site` learn to write"},
	{"labels", "no model: the same of the human terms, as if the classifier never erred"},
	{"human", "the human reports themselves"},
}

// baseline measures texts that no model wrote on the test studies; what was measured is kept.
func baseline(ctx context.Context, name string, all []Report, studies int, opts Options) (*Result, error) {
	path := filepath.Join(opts.Folder, fmt.Sprintf("%s-%d-%d.json", strings.ReplaceAll(name, " ", "-"), studies, opts.Seed))
	if text, err := os.ReadFile(path); err == nil {
		r := new(Result)
		if err := json.Unmarshal(text, r); err == nil {
			return r, nil
		}
	}
	train := split(all, toTrain)
	simulator := NewSimulator(train, opts.Seed)
	words, err := opts.wording(train, simulator)
	if err != nil {
		return nil, err
	}
	result, err := judge(ctx, simulator, opts, TestStudies(all, studies), func(t Report) Written {
		changed, f := simulator.Changed(t)
		w := Written{UID: t.UID, Finished: true, Finding: f}
		switch name {
		case "one report":
			w.Text = words.Compose(study.PairScores{Frontal: new(study.Scores)}).String()
			w.Changed = w.Text
		case "labels":
			w.Text = words.Compose(faultless(t)).String()
			w.Changed = w.Text
		case "composed":
			w.Text, w.Changed = words.Compose(simulator.Scores(t)).String(), words.Compose(changed).String()
		default:
			w.Text = t.Text.String()
			w.Changed = w.Text
		}
		return w
	})
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(result)
	if err != nil {
		return nil, fmt.Errorf("experiment: %w", err)
	}
	return result, os.WriteFile(path, text, 0o644)
}

// faultless are scores that say what people said.
func faultless(r Report) study.PairScores {
	scores := new(study.Scores)
	for f, yes := range r.Present {
		if yes {
			scores[f] = 1
		}
	}
	return study.PairScores{Frontal: scores}
}

// curveFile lies beside the page.
const curveFile = "experiment-loss.png"

// WritePage writes the section of all results that are in the folder into the page, and their curves beside it.
func WritePage(ctx context.Context, all []Report, opts Options, page string) error {
	var results, levers []*Result
	for _, c := range Conditions() {
		r, err := resultOf(opts.Folder, c.Name)
		if err != nil {
			return err
		}
		if r == nil {
			continue
		}
		results, levers = append(results, r), append(levers, r)
		for _, l := range leverNames {
			less, err := resultOf(opts.Folder, withoutName(c.Name, l.name))
			if err != nil {
				return err
			}
			if less != nil {
				levers = append(levers, less)
			}
		}
	}
	if len(results) == 0 {
		return errors.New("experiment: no condition is done")
	}
	var beside []*Result
	for _, b := range baselines {
		r, err := baseline(ctx, b.name, all, results[0].Condition.Studies, opts)
		if err != nil {
			return err
		}
		r.Condition.Name, r.Condition.Says = b.name, b.says
		beside = append(beside, r)
	}
	if err := writeCurves(results, filepath.Join(filepath.Dir(page), curveFile)); err != nil {
		return err
	}
	if len(levers) > len(results) {
		if err := leverSection(levers).Replace(page); err != nil {
			return err
		}
	}
	return section(results, beside).Replace(page)
}

// resultOf reads what a condition came to; nil where it is not done.
func resultOf(folder, condition string) (*Result, error) {
	text, err := os.ReadFile(filepath.Join(folder, condition, resultFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	r := new(Result)
	if err == nil {
		err = json.Unmarshal(text, r)
	}
	if err != nil {
		return nil, fmt.Errorf("experiment: %s: %w", condition, err)
	}
	return r, nil
}

// leverSection is the text of the conditions from which a lever was taken.
func leverSection(levers []*Result) *figures.Section {
	s := figures.Begin("Levers one by one (`make experiment EXPERIMENT=-without=LEVERS`)")
	s.Line("")
	s.Line("Each row is a run of its own. Own text but for the last column; brackets as in the results.\n")
	s.Line("| condition | what | steps x rows, tokens | test studies | grounding macro-F1 | sensitivity | ROUGE-L | METEOR | sentences by the guard |")
	s.Line("| --- | --- | --- | ---: | --- | --- | --- | --- | ---: |")
	for _, r := range levers {
		s.Line("| %s | %s | %d x %d, %d | %d | %s | %s | %s | %s | %.1f %% |", r.Condition.Name, r.Condition.Says, r.Trained.Steps,
			r.Condition.Preset.Batch*max(r.Condition.Preset.Accumulate, 1), r.Trained.Tokens, r.Studies, r.Own.cell(metrics.Grounding, "macro-F1"), r.Own.cell(metrics.Grounding, "sensitivity"),
			r.Own.cell(metrics.Paper, "ROUGE-L"), r.Own.cell(metrics.Paper, "METEOR"), 100*r.Guard)
	}
	return s
}

// rows of the table: a figure of a group, or something else that is known of a result.
var tableRows = []struct {
	name  string
	group metrics.Group
}{
	{"micro-F1", metrics.Grounding},
	{"macro-F1", metrics.Grounding},
	{"sensitivity", metrics.Grounding},
	{"specificity", metrics.Grounding},
	{"micro-F1", metrics.Clinical},
	{"macro-F1", metrics.Clinical},
	{"ROUGE-L", metrics.Paper},
	{"METEOR", metrics.Paper},
	{"BLEU-1", metrics.Paper},
	{"BLEU-2", metrics.Paper},
	{"BLEU-3", metrics.Paper},
	{"BLEU-4", metrics.Paper},
	{"BLEU-1", metrics.Coco},
	{"BLEU-2", metrics.Coco},
	{"BLEU-3", metrics.Coco},
	{"BLEU-4", metrics.Coco},
	{"ROUGE-L", metrics.Coco},
	{"METEOR", metrics.Coco},
	{"CIDEr", metrics.Coco},
}

func (f Figures) of(g metrics.Group) map[string]float64 {
	return map[metrics.Group]map[string]float64{metrics.Paper: f.Paper, metrics.Coco: f.Coco, metrics.Clinical: f.Clinical, metrics.Grounding: f.Grounding}[g]
}

func (f Figures) cell(g metrics.Group, name string) string {
	v, ok := f.of(g)[name]
	if !ok {
		return "-"
	}
	within := f.Intervals[g][name]
	return fmt.Sprintf("%.3f (%.3f-%.3f)", v, within[0], within[1])
}

// section is the text of the results.
func section(results, beside []*Result) *figures.Section {
	s := figures.Begin("Results (`make experiment`)")
	s.Line("")
	s.Line("Scores are SIMULATED. Brackets hold 95 %% of 1,000 bootstrap resamples of the studies. Own is the model's text, delivered is what leaves the guard.\n")
	s.Line("| condition | what | training: steps x rows, median step (s), all (min) | test studies |")
	s.Line("| --- | --- | --- | ---: |")
	for _, r := range results {
		t, p := r.Trained, r.Condition.Preset
		s.Line("| %s | %s, peak rate %g | %d x %d, %.1f, %.0f | %d |", r.Condition.Name, r.Condition.Says, p.PeakRate, t.Steps, p.Batch*max(p.Accumulate, 1), t.MedianStep, t.Seconds/60, r.Studies)
	}
	for _, r := range beside {
		s.Line("| %s | %s | - | %d |", r.Condition.Name, r.Condition.Says, r.Studies)
	}
	head, rule := "\n| figure |", "| --- |"
	columns := append(append([]*Result{}, results...), beside...)
	for i, r := range columns {
		head, rule = head+" "+r.Condition.Name+", own |", rule+" --- |"
		if i < len(results) {
			head, rule = head+" delivered |", rule+" --- |"
		}
	}
	s.Line("%s\n%s", head, rule)
	each := func(name string, cell func(r *Result, side int) string) {
		row := "| " + name + " |"
		for i, r := range columns {
			row += " " + cell(r, 0) + " |"
			if i < len(results) {
				row += " " + cell(r, 1) + " |"
			}
		}
		s.Line("%s", row)
	}
	for _, row := range tableRows {
		each(fmt.Sprintf("%s: %s", row.group, row.name), func(r *Result, side int) string {
			return []Figures{r.Own, r.Delivered}[side].cell(row.group, row.name)
		})
	}
	each("sentences by the guard", func(r *Result, side int) string { return []string{"-", fmt.Sprintf("%.1f %%", 100*r.Guard)}[side] })
	each("sentences that the model wrote anew", func(r *Result, side int) string { return []string{"-", fmt.Sprintf("%.1f %%", 100*r.Rewritten)}[side] })
	each("own sentences taken out", func(r *Result, side int) string { return []string{"-", fmt.Sprintf("%.1f %%", 100*r.Removed)}[side] })
	each("distinct texts of distinct score vectors", func(r *Result, side int) string {
		return []string{fmt.Sprintf("%d of %d", r.Distinct, r.Vectors), ""}[side]
	})
	each("not ended by the model", func(r *Result, side int) string { return []string{fmt.Sprint(r.Unfinished), ""}[side] })
	s.Line("\n![Loss by step](%s)\n", curveFile)
	for _, r := range results {
		for _, e := range r.Example {
			s.Line("**%s.** Human: %s\n", r.Condition.Name, e[0])
			s.Line("Model: %s\n", strings.ReplaceAll(strings.TrimSpace(e[1]), "\n", " "))
		}
	}
	return s
}

// smooth is how many steps a point of a training curve is the mean of.
const smooth = 5

func writeCurves(results []*Result, path string) error {
	p := plot.New()
	p.X.Label.Text, p.Y.Label.Text = "step", "loss of a weighted token, nats"
	p.Add(plotter.NewGrid())
	p.Legend.Top = true
	paints := []color.Color{color.RGBA{0x2b, 0x6c, 0xb0, 0xff}, color.RGBA{0xc0, 0x56, 0x21, 0xff}, color.RGBA{0x38, 0x8e, 0x3c, 0xff}}
	for i, r := range results {
		var training, validation plotter.XYs
		for k := 0; k+smooth <= len(r.Losses); k += smooth {
			sum := 0.0
			for _, at := range r.Losses[k : k+smooth] {
				sum += at.Loss / smooth
			}
			training = append(training, plotter.XY{X: float64(r.Losses[k].Step) + smooth/2, Y: sum})
		}
		for _, at := range r.Validation {
			validation = append(validation, plotter.XY{X: float64(at.Step), Y: at.Loss})
		}
		for k, points := range []plotter.XYs{training, validation} {
			if len(points) == 0 {
				continue
			}
			line, err := plotter.NewLine(points)
			if err != nil {
				return fmt.Errorf("experiment: curve: %w", err)
			}
			line.Color, line.Width = paints[i%len(paints)], vg.Points(1.5)
			if k == 1 {
				line.Dashes = []vg.Length{vg.Points(4), vg.Points(3)}
			}
			p.Add(line)
			p.Legend.Add(r.Condition.Name+[]string{"", ", validation"}[k], line)
		}
	}
	if err := p.Save(7*vg.Inch, 3.5*vg.Inch, path); err != nil {
		return fmt.Errorf("experiment: curve: %w", err)
	}
	return nil
}
