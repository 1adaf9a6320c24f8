package main

import (
	"encoding/json"
	"fmt"

	"llamaxr/daemon/config"
	"llamaxr/daemon/doctor"

	"github.com/spf13/cobra"
)

func newDoctor() *cobra.Command {
	var file, state string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "doctor [--config FILE] [--state DIR]",
		Short: "Say what is wrong with the appliance and its machine, and what to do",
		Long: "Looks at the service, configuration, file modes, database, jobs, models, GPU, engine, memory, disk, clock, ports, certificates and\n" +
			"destinations, one line a check, with the remedy. A running daemon is asked, and its configuration is taken. Exit status 1 when a check fails.",
		Args: exactly(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg := config.Default()
			if file != "" {
				var err error
				if cfg, err = config.Load(file); err != nil {
					return err
				}
			}
			if state != "" {
				cfg.State = state
			}
			out := cmd.OutOrStdout()
			all := doctor.Examine(cmd.Context(), doctor.Subject{Config: cfg, ConfigFile: file, Version: version}, func(c doctor.Check) {
				if asJSON {
					return
				}
				fmt.Fprintf(out, "%-4s  %s: %s\n", c.Verdict, c.Name, c.What)
				if c.Remedy != "" {
					fmt.Fprintf(out, "      do: %s\n", c.Remedy)
				}
			})
			if asJSON {
				if err := json.NewEncoder(out).Encode(map[string]any{"version": version, "checks": all}); err != nil {
					return err
				}
			}
			if n := doctor.Failures(all); n > 0 {
				return fmt.Errorf("%d of %d checks failed", n, len(all))
			}
			return cmd.Context().Err()
		},
	}
	cmd.Flags().StringVar(&file, "config", "", "configuration file")
	cmd.Flags().StringVar(&state, "state", "", "state folder of the appliance; that of the configuration when not given")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON document")
	return cmd
}
