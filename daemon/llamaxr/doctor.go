package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"llamaxr/daemon/config"
	"llamaxr/daemon/doctor"

	"github.com/spf13/cobra"
)

func newDoctor() *cobra.Command {
	var file, state, bundle string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "doctor [--config FILE] [--state DIR] [--bundle FILE.tar.gz]",
		Short: "Say what is wrong with the appliance and its machine, and what to do",
		Long: "Looks at the service, configuration, file modes, database, jobs, models, GPU, engine, memory, disk, clock, ports, certificates,\n" +
			"destinations, single sign-on and mail, one line a check, with the remedy. A running daemon is asked, and its configuration is taken. Exit status 1 when a check fails.\n" +
			"--bundle also writes a file for support, without patient data: checks, version, configuration without secrets, counts of jobs, the machine.",
		Args: exactly(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			subject := doctor.Subject{Config: config.Default(), ConfigFile: file, Version: version}
			if file != "" {
				subject.Config, subject.Fault = config.Read(file)
			}
			if state != "" {
				subject.Config.State = state
			}
			out := cmd.OutOrStdout()
			all := doctor.Examine(cmd.Context(), subject, func(c doctor.Check) {
				if asJSON {
					return
				}
				printCheck(out, c)
			})
			if asJSON {
				if err := json.NewEncoder(out).Encode(map[string]any{"version": version, "checks": all}); err != nil {
					return err
				}
			}
			if bundle != "" {
				if err := writeBundle(bundle, subject, all); err != nil {
					return err
				}
				fmt.Fprintln(cmd.ErrOrStderr(), "for support, without patient data:", bundle)
			}
			if n := doctor.Failures(all); n > 0 {
				return fmt.Errorf("%d of %d checks failed", n, len(all))
			}
			return cmd.Context().Err()
		},
	}
	cmd.Flags().StringVar(&file, "config", "", "configuration file")
	cmd.Flags().StringVar(&state, "state", "", "state folder of the appliance; that of the configuration when not given")
	cmd.Flags().StringVar(&bundle, "bundle", "", "new file for support")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON document")
	return cmd
}

// writeBundle writes a bundle into a new file.
func writeBundle(path string, subject doctor.Subject, checks []doctor.Check) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("the bundle: %w", err)
	}
	if err := errors.Join(doctor.WriteBundle(file, subject, checks, time.Now()), file.Close()); err != nil {
		os.Remove(path)
		return err
	}
	return nil
}

// printCheck shows a check and what to do.
func printCheck(out io.Writer, c doctor.Check) {
	fmt.Fprintf(out, "%-4s  %s: %s\n", c.Verdict, c.Name, c.What)
	if c.Remedy != "" {
		fmt.Fprintf(out, "      do: %s\n", c.Remedy)
	}
}
