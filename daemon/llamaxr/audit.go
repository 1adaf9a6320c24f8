package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"llamaxr/daemon"
	"llamaxr/daemon/access"

	"github.com/spf13/cobra"
)

func newAudit() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "audit",
		Short: "The audit log, and the record of every draft: list, export, check that nothing was changed or taken out",
	}
	var state string
	list := &cobra.Command{
		Use:   "list --state DIR",
		Short: "Print every entry of the audit log as one line of JSON, oldest first",
		Args:  exactly(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			out := json.NewEncoder(cmd.OutOrStdout())
			_, err := daemon.ReadAudit(state, func(e access.Entry) { _ = out.Encode(e) })
			return err
		},
	}
	export := &cobra.Command{
		Use:   "export --state DIR",
		Short: "Print the record of drafts as it stands, one line of JSON for each draft, signature, rejection and withdrawal, oldest first",
		Args:  exactly(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			out := cmd.OutOrStdout()
			_, err := daemon.ReadRecord(state, func(line []byte) error { _, err := fmt.Fprintf(out, "%s\n", line); return err })
			return err
		},
	}
	for _, c := range []*cobra.Command{list, newAuditVerify(&state), export} {
		stateFlag(c, &state)
		cmd.AddCommand(c)
	}
	return cmd
}

// chained is what verify says of one log.
type chained struct {
	Log   string `json:"log"`
	Count int64  `json:"entries"`
	Head  string `json:"head"` // entries and the digest of the last one
	Fault string `json:"fault,omitempty"`
}

func newAuditVerify(state *string) *cobra.Command {
	var asJSON bool
	var expected []string
	cmd := &cobra.Command{
		Use:   "verify --state DIR",
		Short: "Check that no entry of the audit log and of the record of drafts was changed or taken out",
		Long: "Every entry holds the digest of the one before, and a head beside each log says how many there are.\n" +
			"Who can write both could make new ones: write down the heads that verify prints, and give them back\n" +
			"later with --expect: the log must still hold them.",
		Args: exactly(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			logs, err := daemon.VerifyLogs(*state, expected)
			var report []chained
			for _, l := range logs {
				c := chained{Log: l.Name, Count: l.Head.Count, Head: l.Head.String()}
				if l.Err != nil {
					c.Fault = l.Err.Error()
					err = errors.Join(err, l.Err)
				}
				report = append(report, c)
			}
			out := cmd.OutOrStdout()
			if asJSON {
				return errors.Join(json.NewEncoder(out).Encode(report), err)
			}
			printChains(out, report)
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON document")
	cmd.Flags().StringArrayVar(&expected, "expect", nil, "a head that verify printed before, COUNT:SHA256; one of the logs must still hold it; may be given again")
	return cmd
}

func printChains(out io.Writer, report []chained) {
	for _, c := range report {
		if c.Fault == "" {
			fmt.Fprintf(out, "%s: %d entries, none is changed or missing; head %s\n", c.Log, c.Count, c.Head)
		}
	}
}
