package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"text/tabwriter"
	"time"

	"llamaxr/daemon"
	"llamaxr/finetune/tune"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"
	"golang.org/x/term"
)

func newFinetune() *cobra.Command {
	cmd := &cobra.Command{Use: "finetune", Short: "Make an adapter from the corrections, and look at what came of it"}
	cmd.AddCommand(newFinetuneStart(), newFinetuneStatus(), newFinetuneStop(), newFinetuneRuns(), newFinetuneShow())
	return cmd
}

func newFinetuneStart() *cobra.Command {
	var state, preset string
	var settings []string
	var wait bool
	cmd := &cobra.Command{
		Use:   "start --state DIR",
		Short: "Begin a run in the running appliance; drafting goes first",
		Args:  exactly(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			id, err := daemon.StartTuning(state, preset, settings...)
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "run %s has begun\n", id)
			if !wait {
				return nil
			}
			record, err := follow(cmd, state, id)
			if err != nil {
				return err
			}
			printRun(cmd.OutOrStdout(), record)
			if record.State == tune.Failed || record.State == tune.Stopped {
				return fmt.Errorf("run %s: %s", id, record.Error)
			}
			return nil
		},
	}
	stateFlag(cmd, &state)
	cmd.Flags().StringVar(&preset, "preset", "", "settings: site (LoRA), prefix, full for the whole of a small model, or paper for those of LLaMA-XR; without, what the configuration says")
	cmd.Flags().StringArrayVar(&settings, "set", nil, "one setting in place of the preset's own, as rank=8; may be given again")
	cmd.Flags().BoolVar(&wait, "wait", false, "show progress until the run has ended")
	return cmd
}

// followEvery is how often a followed run is asked about.
const followEvery = 500 * time.Millisecond

// follow shows a run's progress until it has ended.
func follow(cmd *cobra.Command, state, id string) (*tune.Record, error) {
	var bar *progressbar.ProgressBar
	out := cmd.ErrOrStderr()
	_, isFile := out.(*os.File)
	terminal := isFile && term.IsTerminal(int(out.(*os.File).Fd()))
	last := ""
	for {
		record, err := runOf(state, id)
		if err != nil {
			return nil, err
		}
		line := fmt.Sprintf("loss %.3f, %.0f tokens/s", record.Loss, record.TokensASec)
		switch {
		case record.State == tune.Judging && last != tune.Judging:
			fmt.Fprintln(out, "\nthe gate compares the new adapter with the old")
		case terminal && record.Steps > 0 && record.State == tune.Running:
			if bar == nil {
				bar = progressbar.NewOptions(record.Steps, progressbar.OptionSetWriter(out), progressbar.OptionSetPredictTime(true), progressbar.OptionShowCount())
			}
			bar.Describe(line)
			_ = bar.Set(record.Step)
		case !terminal && record.State == tune.Running && record.Step > 0 && record.Step%20 == 0 && last != line:
			fmt.Fprintf(out, "step %d of %d, %s, %.0f s left\n", record.Step, record.Steps, line, record.SecondsLeft)
		}
		if last = line; record.State == tune.Judging {
			last = tune.Judging
		}
		if record.State != tune.Running && record.State != tune.Judging {
			return record, nil
		}
		select {
		case <-cmd.Context().Done():
			return nil, cmd.Context().Err()
		case <-time.After(followEvery):
		}
	}
}

func runOf(state, id string) (*tune.Record, error) {
	runs, err := daemon.TuningRuns(state)
	if err != nil {
		return nil, err
	}
	if id == "" && len(runs) > 0 {
		return runs[len(runs)-1], nil
	}
	if i := slices.IndexFunc(runs, func(r *tune.Record) bool { return r.ID == id }); i >= 0 {
		return runs[i], nil
	}
	if id == "" {
		return nil, errors.New("no run yet: llamaxr finetune start")
	}
	return nil, daemon.ErrNoRun
}

func newFinetuneStatus() *cobra.Command {
	var state string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "status --state DIR",
		Short: "Say how far the newest run is",
		Args:  exactly(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			record, err := runOf(state, "")
			if err != nil {
				return err
			}
			if asJSON {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(record)
			}
			printRun(cmd.OutOrStdout(), record)
			return nil
		},
	}
	stateFlags(cmd, &state, &asJSON)
	return cmd
}

func newFinetuneStop() *cobra.Command {
	var state string
	cmd := &cobra.Command{
		Use:   "stop --state DIR",
		Short: "End the run under way; what it has learnt so far is dropped",
		Args:  exactly(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			id, err := daemon.StopTuning(state)
			if err == nil {
				fmt.Fprintf(cmd.OutOrStdout(), "run %s is stopped\n", id)
			}
			return err
		},
	}
	stateFlag(cmd, &state)
	return cmd
}

func newFinetuneRuns() *cobra.Command {
	var state string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "runs --state DIR",
		Short: "List all runs",
		Args:  exactly(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			runs, err := daemon.TuningRuns(state)
			if err != nil {
				return err
			}
			if asJSON {
				return printList(cmd.OutOrStdout(), runs)
			}
			table := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 4, 2, ' ', 0)
			fmt.Fprintln(table, "RUN\tSTATE\tCORRECTIONS\tSTEPS\tLOSS\tADAPTER\tWHY")
			for _, r := range runs {
				why := r.Error
				if why == "" && r.Verdict != nil {
					why = r.Verdict.Why
				}
				fmt.Fprintf(table, "%s\t%s\t%d\t%d/%d\t%.3f\t%s\t%s\n", r.ID, r.State, r.Train+r.HeldOut, r.Step, r.Steps, r.Loss, r.Adapter, why)
			}
			return table.Flush()
		},
	}
	stateFlags(cmd, &state, &asJSON)
	return cmd
}

func newFinetuneShow() *cobra.Command {
	var state, html string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "show RUN --state DIR",
		Short: "Show a run: settings, curves, the gate's verdict",
		Args:  exactly(1, "one run"),
		RunE: func(cmd *cobra.Command, args []string) error {
			record, err := runOf(state, args[0])
			if err != nil {
				return err
			}
			if html != "" {
				if err := os.MkdirAll(filepath.Dir(html), 0o755); err != nil {
					return err
				}
				return tune.WritePage(record, html)
			}
			if asJSON {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(record)
			}
			printRun(cmd.OutOrStdout(), record)
			return nil
		},
	}
	stateFlags(cmd, &state, &asJSON)
	cmd.Flags().StringVar(&html, "html", "", "write one page with the curves to this file, and the curves as PNG beside it")
	return cmd
}

func printRun(out io.Writer, r *tune.Record) {
	fmt.Fprintf(out, "run %s: %s\n", r.ID, r.State)
	if r.Error != "" {
		fmt.Fprintf(out, "  %s\n", r.Error)
	}
	fmt.Fprintf(out, "  preset %s on %s, template %s\n", r.Preset.Name, r.Engine, r.Template)
	fmt.Fprintf(out, "  %d corrections trained, %d held out, %d without anything to learn, %d too long; %d composed reports\n", r.Train, r.HeldOut, r.Unusable, r.TooLong, r.Composed)
	fmt.Fprintf(out, "  step %d of %d, loss %.4f, best validation after step %d, %.0f tokens/s\n", r.Step, r.Steps, r.Loss, r.BestStep, r.TokensASec)
	if r.State == tune.Running {
		fmt.Fprintf(out, "  about %s left\n", (time.Duration(r.SecondsLeft) * time.Second).String())
	}
	if r.Verdict == nil {
		return
	}
	table := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(table, "  MEASURE\tOLD\tNEW\tDIFFERENCE (95 %)\t")
	for _, m := range r.Verdict.Measures {
		mark := ""
		if !m.Pass {
			mark = "fell"
		}
		fmt.Fprintf(table, "  %s\t%.3f\t%.3f\t%+.3f to %+.3f\t%s\n", m.Name, m.Old, m.New, m.Low, m.High, mark)
	}
	_ = table.Flush()
	fmt.Fprintf(out, "  gate: %s\n", r.Verdict.Why)
	if r.Adapter != "" {
		fmt.Fprintf(out, "  adapter %s\n", r.Adapter)
	}
	if r.Model != "" {
		fmt.Fprintf(out, "  a whole model: llamaxr models import %s --precision full --name site-%s\n", r.Model, r.ID)
	}
}
