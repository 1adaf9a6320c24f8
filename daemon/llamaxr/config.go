package main

import (
	"fmt"

	"llamaxr/daemon/config"
	"llamaxr/reporting/webhook"

	"github.com/spf13/cobra"
)

func newConfig() *cobra.Command {
	cmd := &cobra.Command{Use: "config", Short: "Explain or check the configuration file"}
	cmd.AddCommand(
		&cobra.Command{
			Use:   "explain",
			Short: "Print a configuration file with every key, its meaning and its default",
			Args:  exactly(0, "no arguments"),
			RunE:  func(cmd *cobra.Command, _ []string) error { return config.Explain(cmd.OutOrStdout()) },
		},
		&cobra.Command{
			Use:   "check FILE",
			Short: "Say whether a configuration file can be used",
			Args:  exactly(1, "one file"),
			RunE: func(cmd *cobra.Command, args []string) error {
				if _, err := config.Load(args[0]); err != nil {
					return err
				}
				fmt.Fprintln(cmd.OutOrStdout(), "configuration can be used")
				return nil
			},
		},
		&cobra.Command{
			Use:   "secret",
			Short: "Print a new secret for a webhook's secret_file",
			Args:  exactly(0, "no arguments"),
			RunE: func(cmd *cobra.Command, _ []string) error {
				secret, err := webhook.NewSecret()
				if err != nil {
					return err
				}
				fmt.Fprintln(cmd.OutOrStdout(), secret)
				return nil
			},
		},
	)
	return cmd
}
