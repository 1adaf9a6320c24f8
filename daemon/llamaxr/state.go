package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"syscall"

	"github.com/spf13/cobra"
)

// stateFlags declares --state and --json.
func stateFlags(cmd *cobra.Command, state *string, asJSON *bool) {
	stateFlag(cmd, state)
	cmd.Flags().BoolVar(asJSON, "json", false, "print one JSON document")
}

// stateFlag declares the --state that a command works on.
func stateFlag(cmd *cobra.Command, state *string) {
	stateOption(cmd, state, "state folder of the appliance")
	_ = cmd.MarkFlagRequired("state")
}

// stateOption declares a --state that can be left out, and has the folder looked at before the command runs.
func stateOption(cmd *cobra.Command, state *string, usage string) {
	cmd.Flags().StringVar(state, "state", "", usage)
	cmd.PreRunE = func(cmd *cobra.Command, _ []string) error {
		if !cmd.Flags().Changed("state") {
			return nil
		}
		return errors.Join(isThere(*state), mayChange(cmd, *state))
	}
}

// isThere refuses a state folder that does not exist: a command would make the mistyped one, or say of it that nothing is in it.
func isThere(state string) error {
	switch info, err := os.Stat(state); {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%s is not there, and --state names the appliance's state folder; make it if you mean it", state)
	case err != nil:
		return fmt.Errorf("the state folder: %w", err)
	case !info.IsDir():
		return fmt.Errorf("%s is no folder", state)
	}
	return nil
}

// mayChange refuses root in another's state folder: the service can neither open nor back up what root makes there.
func mayChange(cmd *cobra.Command, state string) error {
	info, err := os.Stat(state)
	if os.Geteuid() != 0 || err != nil { // isThere tells
		return nil
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	if !ok || owner.Uid == 0 {
		return nil
	}
	id := fmt.Sprint(owner.Uid)
	whose, as := "user "+id, "'#"+id+"'"
	if found, err := user.LookupId(id); err == nil {
		whose, as = found.Username, found.Username
	}
	return fmt.Errorf("%s is %s's: run it as that user (sudo -u %s %s ...)", state, whose, as, cmd.CommandPath())
}
