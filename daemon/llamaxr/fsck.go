package main

import (
	"encoding/json"
	"fmt"
	"log/slog"

	"llamaxr/daemon"
	"llamaxr/ingest/atrest"

	"github.com/spf13/cobra"
)

func newFsck() *cobra.Command {
	var state, keyFile string
	var asJSON, repair bool
	cmd := &cobra.Command{
		Use:   "fsck --state DIR",
		Short: "Check a stopped appliance's state: database, images, drafts, jobs, and each against the others",
		Long: "Checks the database's structure and the checksum of every record, every image and document against its own, and that studies, objects,\n" +
			"files and jobs fit together. --repair sets aside what is damaged and makes again what can be made. Exit status 0 when all is sound\n" +
			"or was repaired, 1 else.",
		Args: exactly(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			key, err := atrest.ReadKey(keyFile)
			if err != nil {
				return err
			}
			report, err := daemon.Fsck(state, repair, key, slog.New(slog.DiscardHandler))
			if err != nil {
				return err
			}
			if asJSON {
				err = json.NewEncoder(cmd.OutOrStdout()).Encode(report)
			} else {
				printFsck(cmd, report)
			}
			if err == nil && !report.Sound() {
				err = fmt.Errorf("the state is not sound: %d findings", len(report.Findings))
			}
			return err
		},
	}
	stateFlags(cmd, &state, &asJSON)
	cmd.Flags().StringVar(&keyFile, "key", "", "file with the key of an encrypted state (encryption.key)")
	cmd.Flags().BoolVar(&repair, "repair", false, "set aside what is damaged and make again what can be made")
	return cmd
}

func printFsck(cmd *cobra.Command, r *daemon.FsckReport) {
	out := cmd.OutOrStdout()
	for _, f := range r.Findings {
		mark := ""
		switch {
		case f.Repaired:
			mark = " [repaired: " + f.Repair + "]"
		case f.Repair != "":
			mark = " [--repair: " + f.Repair + "]"
		}
		fmt.Fprintf(out, "%s: %s%s\n", f.Where, f.What, mark)
	}
	fmt.Fprintf(out, "%d records, %d studies, %d objects, %d drafts checked; %d findings\n", r.Records, r.Studies, r.Instances, r.Drafts, len(r.Findings))
}
