package main

import (
	"encoding/json"
	"errors"
	"fmt"

	"llamaxr/daemon"
	"llamaxr/dicomnet/dimse"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"
)

func newFetch() *cobra.Command {
	var from, to, calling, missing, state string
	var query daemon.Query
	var asJSON bool
	var security tlsFlags
	cmd := &cobra.Command{
		Use:   "fetch --from AET@HOST:PORT --study UID|--accession N, or fetch --missing UID --state DIR",
		Short: "Have an archive send a study to the appliance (C-FIND, C-MOVE)",
		Long: "The archive is asked for the study and told to send it to the AE title --to, which it must know with the appliance's address.\n" +
			"The appliance then drafts it like any other study.\n" +
			"With --missing the running appliance asks the archive of its configuration for the view that a study of its lacks.",
		Args: exactly(0, "no arguments beside its flags"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if missing != "" {
				if state == "" || from != "" || query != (daemon.Query{}) {
					return usageError{errors.New("fetch --missing takes --state and no archive: the appliance has its own")}
				}
				return fetchMissing(cmd, state, missing, asJSON)
			}
			if from == "" {
				return usageError{errors.New("fetch takes --from, or --missing")}
			}
			client, peer, err := security.client(calling, from)
			if err != nil {
				return err
			}
			if (query.StudyInstanceUID == "") == (query.AccessionNumber == "") {
				return usageError{errors.New("fetch takes one of --study and --accession")}
			}
			var bar *progressbar.ProgressBar
			fetched, err := daemon.Fetch(cmd.Context(), client, peer.Address, query, to, func(study string, done dimse.SubOperations) {
				if bar == nil {
					bar = newBar(cmd, int(done.Remaining+done.Completed+done.Failed+done.Warning), "fetching")
				}
				_ = bar.Set(int(done.Completed + done.Failed + done.Warning))
			})
			if err != nil {
				return err
			}
			if asJSON {
				if err := json.NewEncoder(cmd.OutOrStdout()).Encode(fetched); err != nil {
					return err
				}
			}
			failed := 0
			for _, f := range fetched {
				if f.Error != "" || f.Failed > 0 {
					failed++
				}
				if !asJSON {
					fmt.Fprintf(cmd.OutOrStdout(), "%s: %d sent, %d failed %s\n", f.StudyInstanceUID, f.Sent, f.Failed, f.Error)
				}
			}
			if failed > 0 {
				return fmt.Errorf("%d of %d studies did not come whole", failed, len(fetched))
			}
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&from, "from", "", "AET@HOST:PORT of the archive")
	f.StringVar(&to, "to", callingAETitle, "AE title that the archive sends to: the appliance's")
	f.StringVar(&calling, "calling", callingAETitle, "our AE title")
	f.StringVar(&query.StudyInstanceUID, "study", "", "Study Instance UID")
	f.StringVar(&query.AccessionNumber, "accession", "", "Accession Number")
	f.BoolVar(&asJSON, "json", false, "print one JSON document")
	security.add(cmd)
	f.StringVar(&missing, "missing", "", "Study Instance UID of a study here that lacks a view")
	stateOption(cmd, &state, "state folder of the appliance, with --missing")
	return cmd
}

// fetchMissing has the running appliance ask its archive and says what came of it.
func fetchMissing(cmd *cobra.Command, state, uid string, asJSON bool) error {
	fetch, err := daemon.FetchMissing(state, uid)
	if err != nil {
		return err
	}
	if asJSON {
		if err := json.NewEncoder(cmd.OutOrStdout()).Encode(fetch); err != nil {
			return err
		}
	} else {
		fmt.Fprintf(cmd.OutOrStdout(), "%s view of %s: %s\n", fetch.View, uid, fetch.Result)
	}
	if fetch.Error != "" {
		return errors.New(fetch.Error)
	}
	return nil
}
