package main

import (
	"encoding/json"
	"fmt"
	"time"

	"llamaxr/daemon"
	"llamaxr/inference/models"

	"github.com/spf13/cobra"
)

func newAdapter() *cobra.Command {
	cmd := &cobra.Command{Use: "adapter", Short: "Import, list, show, sign and choose adapters"}
	cmd.AddCommand(newAdapterImport(), newAdapterList(), newAdapterShow(), newAdapterUse(), newAdapterRollback(), newAdapterSign(), newAdapterVerify())
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
		Use:     "use NAME|starter --state DIR",
		Aliases: []string{"promote"},
		Short:   "Put an adapter to work over the language model in use, at once where an appliance runs",
		Args:    exactly(1, "one name"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := daemon.UseAdapter(state, args[0]); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s is in use\n", args[0])
			return nil
		},
	}
	stateFlag(cmd, &state)
	return cmd
}

func newAdapterRollback() *cobra.Command {
	var state string
	cmd := &cobra.Command{
		Use:   "rollback --state DIR",
		Short: "Go back to the adapter that was in use before",
		Args:  exactly(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			name, err := daemon.RollBackAdapter(state)
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s is in use again\n", name)
			return nil
		},
	}
	stateFlag(cmd, &state)
	return cmd
}
