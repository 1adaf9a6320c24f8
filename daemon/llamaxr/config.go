package main

import (
	"encoding/json"
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
		newConfigCheck(),
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

func newConfigCheck() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "check FILE",
		Short: "Say whether a configuration file can be used",
		Long: "Says whether a configuration file can be used, and every fault that it has. Exit status 0 when it can, 1 when not.\n" +
			"A running appliance takes a changed file in on SIGHUP, or says in its log why not.",
		Args: exactly(1, "one file"),
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := config.Read(args[0])
			if asJSON {
				verdict := struct {
					OK     bool     `json:"ok"`
					Faults []string `json:"faults"`
				}{err == nil, lines(err)}
				if writing := json.NewEncoder(cmd.OutOrStdout()).Encode(verdict); writing != nil {
					return writing
				}
			} else if err == nil {
				fmt.Fprintln(cmd.OutOrStdout(), "configuration can be used")
			}
			if err == nil {
				for _, later := range lines(cfg.Unresolved()) {
					fmt.Fprintln(cmd.ErrOrStderr(), "not looked at:", later)
				}
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON document: {\"ok\": false, \"faults\": [\"...\"]}")
	return cmd
}

// lines are the texts of errors that were joined.
func lines(err error) []string {
	out := []string{}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range joined.Unwrap() {
			out = append(out, lines(e)...)
		}
	} else if err != nil {
		out = append(out, err.Error())
	}
	return out
}
