package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"llamaxr/finetune/metrics"

	"github.com/google/renameio/v2"
	"github.com/spf13/cobra"
)

// evaluation is the command line of `llamaxr evaluate`.
type evaluation struct {
	pairs, html, meteor string
	asJSON              bool
	seed                uint64
}

func newEvaluate() *cobra.Command {
	var e evaluation
	cmd := &cobra.Command{
		Use:   "evaluate --pairs FILE [--json] [--html OUT]",
		Short: "Compare written reports with reference reports",
		Long: `Reads JSONL lines {"id": ..., "reference": "...", "candidate": "..."} and prints BLEU-1 to 4, ROUGE-L, METEOR and CIDEr in the
recipes "paper" (NLTK, rouge_score) and "coco" (pycocoevalcap), clinical F1 by the labeler, and confidence intervals.
With "scores": {"frontal": {...}, "lateral": {...}} on a line, grounding: what the candidate says against what is scored. With
"changed": {"finding": ..., "candidate": ...} as well, whether a finding whose scores changed sides is said otherwise and no other is.
METEOR of the coco recipe is a Java program; without java and its folder the other figures are printed and the reason is said.
The synonyms of METEOR in the paper recipe are of WordNet 3.0, Copyright 2006 by Princeton University.`,
		Args: exactly(0, "no arguments: the pairs are given by --pairs"),
		RunE: func(cmd *cobra.Command, _ []string) error { return e.run(cmd) },
	}
	cmd.Flags().StringVar(&e.pairs, "pairs", "", "JSONL file; - is standard input")
	cmd.Flags().BoolVar(&e.asJSON, "json", false, "print one JSON document")
	cmd.Flags().StringVar(&e.html, "html", "", "file to write a page with plots and the worst pairs to")
	cmd.Flags().StringVar(&e.meteor, "meteor", "", "folder of meteor-1.5.jar; without it pycocoevalcap's, where the Python on the path has it")
	cmd.Flags().Uint64Var(&e.seed, "seed", 1, "seed of the resamples")
	return cmd
}

func (e *evaluation) run(cmd *cobra.Command) error {
	if e.pairs == "" {
		return usageError{fmt.Errorf("llamaxr evaluate needs --pairs")}
	}
	in, err := input(cmd, e.pairs)
	if err != nil {
		return err
	}
	defer in.Close()
	pairs, err := metrics.ReadPairs(in)
	if err != nil {
		return err
	}
	if e.meteor == "" {
		e.meteor = metrics.FindMeteor(environments()...)
	}
	report, err := metrics.Evaluate(cmd.Context(), pairs, metrics.Options{Seed: e.seed, Meteor: e.meteor})
	if err != nil {
		return err
	}
	if e.html != "" {
		if err := writePage(report, e.html); err != nil {
			return err
		}
	}
	if e.asJSON {
		return json.NewEncoder(cmd.OutOrStdout()).Encode(report)
	}
	return report.WriteText(cmd.OutOrStdout())
}

func writePage(report *metrics.Report, path string) error {
	page, err := renameio.NewPendingFile(path)
	if err != nil {
		return err
	}
	defer page.Cleanup()
	if err := report.WritePage(page); err != nil {
		return err
	}
	return page.CloseAtomicallyReplace()
}

// environments are the roots of the Python installations that a shell would use: the active one, those on the path, the system's.
func environments() []string {
	all := []string{os.Getenv("VIRTUAL_ENV")}
	for _, folder := range filepath.SplitList(os.Getenv("PATH")) {
		if filepath.Base(folder) == "bin" {
			all = append(all, filepath.Dir(folder))
		}
	}
	return append(all, "/usr/local", "/usr")
}
