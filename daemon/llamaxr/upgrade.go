package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"llamaxr/daemon"
	"llamaxr/queue"

	"github.com/spf13/cobra"
)

func newUpgrade() *cobra.Command {
	var state, to, back string
	var asJSON, check bool
	cmd := &cobra.Command{
		Use:   "upgrade --state DIR [--check | --to FILE|FOLDER | --back FILE]",
		Short: "Convert a stopped appliance's state to this program's format, or go back",
		Long: "Says which format the state has and converts it to the one that this program writes, as the appliance does at its first start. The database\n" +
			"from before is kept in the state folder (before-format-*.tar, with checksums); --to makes a whole backup first. --check changes nothing: exit\n" +
			"status 0 when the state has this program's format, 1 else. --back FILE goes back to a kept database, or to that of a whole backup, once every\n" +
			"checksum fits; objects that came since then are put into a folder from which `llamaxr send` sends them to the older program.",
		Args: exactly(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case check && (to != "" || back != ""), to != "" && back != "":
				return usageError{errors.New("upgrade takes one of --check, --to and --back")}
			case check:
				return upgradeCheck(cmd.OutOrStdout(), state, asJSON)
			case back != "":
				return upgradeBack(cmd.OutOrStdout(), state, back, asJSON)
			case to != "":
				if _, err := daemon.FormatOf(state); err != nil { // of a running appliance: no backup is left behind
					return err
				}
				if _, _, err := backUp(cmd, state, to, 0); err != nil {
					return err
				}
			}
			done, err := daemon.Upgrade(state, version)
			if err != nil {
				return err
			}
			if asJSON {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(done)
			}
			if done.Kept == "" {
				_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s has format %d already\n", state, done.From.Format)
			} else {
				_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s is converted from format %d to %d; the way back: llamaxr upgrade --state %[1]s --back %[4]s\n",
					state, done.From.Format, done.Writes, done.Kept)
			}
			return err
		},
	}
	stateFlags(cmd, &state, &asJSON)
	cmd.Flags().BoolVar(&check, "check", false, "only say which format the state has")
	cmd.Flags().StringVar(&to, "to", "", "make a whole backup first: file to write, or folder to write one into")
	cmd.Flags().StringVar(&back, "back", "", "go back to the database of this archive")
	return cmd
}

func upgradeCheck(out io.Writer, state string, asJSON bool) error {
	found, err := daemon.FormatOf(state)
	if err != nil {
		return err
	}
	if asJSON {
		err = json.NewEncoder(out).Encode(found)
	} else {
		_, err = fmt.Fprintf(out, "%s has %s; this program writes format %d\n", state, found.From, found.Writes)
	}
	switch {
	case err != nil:
		return err
	case found.From.Format > found.Writes:
		return &queue.NewerError{Form: found.From}
	case found.From.Format < found.Writes:
		return &queue.OlderError{Form: found.From}
	}
	return nil
}

func upgradeBack(out io.Writer, state, archive string, asJSON bool) error {
	r, err := daemon.Back(state, archive)
	if err != nil {
		return err
	}
	if asJSON {
		return json.NewEncoder(out).Encode(r)
	}
	_, err = fmt.Fprintf(out, "%s has format %d again; the database of format %d is %s\n", state, r.Format, r.From, r.Set)
	if err == nil && r.Objects > 0 {
		_, err = fmt.Fprintf(out, "%d objects came since: when the older program runs, llamaxr send %s --to AET@HOST:PORT\n", r.Objects, r.Since)
	}
	if err == nil && r.Gone > 0 {
		_, err = fmt.Fprintf(out, "%d objects that it knows have no file any more; the older program's fsck tells which\n", r.Gone)
	}
	return err
}
