package main

import (
	"encoding/json"
	"fmt"
	"time"

	"llamaxr/inference/models"

	"github.com/spf13/cobra"
)

func newAdapter() *cobra.Command {
	cmd := &cobra.Command{Use: "adapter", Short: "Import, list, show and choose adapters"}
	cmd.AddCommand(newAdapterImport(), newAdapterList(), newAdapterShow(), newAdapterUse())
	return cmd
}

func newAdapterImport() *cobra.Command {
	var state string
	var asJSON bool
	var what models.AdapterImport
	cmd := &cobra.Command{
		Use:   "import FOLDER --base MODEL --state DIR",
		Short: "Import a PEFT folder as it is, for one language model",
		Args:  exactly(1, "one folder"),
		RunE: func(cmd *cobra.Command, args []string) error {
			what.From, what.Now = args[0], time.Now()
			m, err := store(state).ImportAdapter(what)
			if err != nil {
				return err
			}
			if asJSON {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(modelRow{m, m.Digest(), m.Size(), false})
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s: for %s, digest %.16s; `llamaxr adapter use %s` chooses it\n", m.Name, m.Base.Name, m.Digest(), m.Name)
			return err
		},
	}
	cmd.Flags().StringVar(&what.Base, "base", "", "the language model it was made for, as `llamaxr models list` names it")
	cmd.Flags().StringVar(&what.Name, "name", "", "the adapter's name here; from the folder's name when not given")
	cmd.Flags().StringVar(&what.Template, "template", "", "prompt template it was trained on; what its manifest.json says when not given")
	_ = cmd.MarkFlagRequired("base")
	stateFlags(cmd, &state, &asJSON)
	return cmd
}

func newAdapterList() *cobra.Command {
	var state string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list --state DIR",
		Short: "List the adapters that were imported",
		Args:  exactly(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return list(cmd, state, asJSON, func(k models.Kind) bool { return k == models.KindAdapter })
		},
	}
	stateFlags(cmd, &state, &asJSON)
	return cmd
}

func newAdapterShow() *cobra.Command {
	var state string
	cmd := &cobra.Command{
		Use:   "show NAME --state DIR",
		Short: "Print an adapter's manifest",
		Args:  exactly(1, "one name"),
		RunE: func(cmd *cobra.Command, args []string) error {
			m, err := store(state).Get(args[0])
			if err != nil {
				return err
			}
			out := json.NewEncoder(cmd.OutOrStdout())
			out.SetIndent("", "  ")
			return out.Encode(modelRow{m, m.Digest(), m.Size(), false})
		},
	}
	stateFlag(cmd, &state)
	return cmd
}

func newAdapterUse() *cobra.Command {
	var state string
	cmd := &cobra.Command{
		Use:   "use NAME|none --state DIR",
		Short: "Choose the adapter for the language model in use",
		Args:  exactly(1, "one name"),
		RunE: func(cmd *cobra.Command, args []string) error {
			var err error
			if args[0] == "none" {
				_, err = store(state).UseStarter(models.RoleAdapter)
			} else {
				_, err = store(state).Use(args[0])
			}
			if err != nil {
				return err
			}
			return chosen(cmd.OutOrStdout(), args[0], "")
		},
	}
	stateFlag(cmd, &state)
	return cmd
}
