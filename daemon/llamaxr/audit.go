package main

import (
	"encoding/json"
	"fmt"

	"llamaxr/daemon"
	"llamaxr/daemon/access"

	"github.com/spf13/cobra"
)

func newAudit() *cobra.Command {
	cmd := &cobra.Command{Use: "audit", Short: "List the audit log of the reading room, or check that nothing was taken out of it"}
	var state string
	list := &cobra.Command{
		Use:   "list --state DIR",
		Short: "Print every entry as one line of JSON, oldest first",
		Args:  exactly(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			out := json.NewEncoder(cmd.OutOrStdout())
			return daemon.ReadAudit(state, func(e access.Entry) { _ = out.Encode(e) })
		},
	}
	verify := &cobra.Command{
		Use:   "verify --state DIR",
		Short: "Check that every entry follows the one before it",
		Args:  exactly(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			n := 0
			if err := daemon.ReadAudit(state, func(access.Entry) { n++ }); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%d entries, none is missing between them\n", n)
			return nil
		},
	}
	for _, c := range []*cobra.Command{list, verify} {
		c.Flags().StringVar(&state, "state", "", "state folder of the appliance")
		_ = c.MarkFlagRequired("state")
		cmd.AddCommand(c)
	}
	return cmd
}
