// Command experiment is `make experiment`: it trains SmolLM2-135M by each recipe on the public IU reports with simulated scores, measures what
// is written, and writes the tables of docs/EXPERIMENTS.md. Stopped, it goes on where it was.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"time"

	"llamaxr/finetune/experiment"
	"llamaxr/inference/engine"
)

type settings struct {
	conditions, without, reports, model, out, page, meteor string
	steps, studies, batch, accumulate                      int
	seed                                                   uint64
}

func main() {
	var s settings
	flag.StringVar(&s.conditions, "condition", "grounded,paper-site,paper", "conditions to run, in this order")
	flag.StringVar(&s.without, "without", "", "run each condition once for each of these levers, with it taken out: plan, composed, weights, pairs, balance, first, steps, single")
	flag.StringVar(&s.reports, "reports", "../shared/data/reports/iu_reports.jsonl", "the IU reports")
	flag.StringVar(&s.model, "model", ".cache/models/SmolLM2-135M-Instruct.Q4_1.gguf", "the language model: a GGUF file or a Hugging Face folder")
	flag.StringVar(&s.out, "out", "out/experiment", "folder of what is done")
	flag.StringVar(&s.page, "page", "docs/EXPERIMENTS.md", "file whose results are replaced; none when empty")
	flag.StringVar(&s.meteor, "meteor", "", "folder of METEOR 1.5, where it is")
	flag.IntVar(&s.steps, "steps", 0, "training steps; 0: the condition's own")
	flag.IntVar(&s.studies, "test-studies", 0, "test studies to write about; 0: all")
	flag.IntVar(&s.batch, "batch", 0, "rows of a batch; 0: the preset's")
	flag.IntVar(&s.accumulate, "accumulate", 0, "batches of a step; 0: the preset's")
	flag.Uint64Var(&s.seed, "seed", 1, "of scores, batches and resamples")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, s); err != nil {
		fmt.Fprintln(os.Stderr, "experiment:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, s settings) error {
	file, err := os.Open(s.reports)
	if err != nil {
		return err
	}
	reports, err := experiment.ReadReports(file)
	file.Close()
	if err != nil {
		return err
	}
	base, err := experiment.PackBase(s.model, filepath.Join(s.out, "base"))
	if err != nil {
		return err
	}
	eng, err := engine.Open(engine.Auto)
	if err != nil {
		return err
	}
	opts := experiment.Options{Folder: s.out, Base: base, Seed: s.seed, Engine: eng, Meteor: s.meteor, Log: func(format string, args ...any) {
		fmt.Fprintf(os.Stderr, time.Now().Format("15:04:05 ")+format+"\n", args...)
	}}
	conditions, err := s.chosen()
	if err != nil {
		return err
	}
	for _, c := range conditions {
		result, err := experiment.Run(ctx, c, reports, opts)
		if err != nil {
			return err
		}
		opts.Log("%s: %s", c.Name, result)
		if s.page == "" {
			continue
		}
		if err := experiment.WritePage(ctx, reports, opts, s.page); err != nil { // after each: a run that is stopped leaves a table
			return err
		}
	}
	return nil
}

// chosen are the conditions to run.
func (s settings) chosen() (out []experiment.Condition, err error) {
	for name := range strings.SplitSeq(s.conditions, ",") {
		c, err := experiment.ConditionByName(name)
		if err != nil {
			return nil, err
		}
		if s.steps > 0 {
			c.Steps = s.steps
		}
		if s.batch > 0 {
			c.Preset.Batch = s.batch
		}
		if s.accumulate > 0 {
			c.Preset.Accumulate = s.accumulate
		}
		c.Studies = s.studies
		if s.without == "" {
			out = append(out, c)
			continue
		}
		for lever := range strings.SplitSeq(s.without, ",") {
			less, err := c.Without(lever)
			if err != nil {
				return nil, err
			}
			out = append(out, less)
		}
	}
	return out, nil
}
