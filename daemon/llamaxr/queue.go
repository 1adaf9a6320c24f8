package main

import (
	"fmt"
	"text/tabwriter"

	"llamaxr/daemon"

	"github.com/spf13/cobra"
)

func newQueue() *cobra.Command {
	var state string
	var asJSON bool
	cmd := &cobra.Command{Use: "queue", Short: "List jobs and dead letters, or send one again"}
	list := &cobra.Command{
		Use:   "list --state DIR",
		Short: "List what waits and what was given up",
		Args:  exactly(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			jobs, err := daemon.Jobs(state)
			if err != nil {
				return err
			}
			if asJSON {
				return printList(cmd.OutOrStdout(), jobs)
			}
			table := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 4, 2, ' ', 0)
			fmt.Fprintln(table, "JOB\tSTATE\tATTEMPTS\tNOT BEFORE\tLAST ERROR")
			for _, j := range jobs {
				what := "waits"
				switch {
				case j.Dead:
					what = "dead letter"
				case !j.Leased.IsZero():
					what = "under way"
				}
				fmt.Fprintf(table, "%s\t%s\t%d\t%s\t%s\n", j.ID, what, j.Attempts, j.NotBefore.Format("2006-01-02 15:04:05"), j.LastError)
			}
			return table.Flush()
		},
	}
	stateFlags(list, &state, &asJSON)
	resend := &cobra.Command{
		Use:   "resend JOB --state DIR",
		Short: "Give a dead letter another round of attempts",
		Args:  exactly(1, "one job"),
		RunE:  func(_ *cobra.Command, args []string) error { return daemon.Resend(state, args[0]) },
	}
	stateFlag(resend, &state)
	cmd.AddCommand(list, resend)
	return cmd
}
