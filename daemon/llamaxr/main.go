// Command llamaxr is the appliance: `llamaxr run` is the service, the other commands are the tools around it.
// Exit status 0 done, 1 failed, 2 wrong usage.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"
	"unicode"

	"github.com/spf13/cobra"
)

// version is set by the linker for a release.
var version = "0.1.0-dev"

// Exit statuses.
const (
	exitFailed = 1
	exitUsage  = 2
)

// usageError marks a command line that cannot be understood, against a command that failed.
type usageError struct{ error }

// collectAt is the share by which the heap grows before it is collected. What is live is mostly a model's arrays, which are cheap to mark and
// which the usual 100 % would double.
const collectAt = 30

func main() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(collectAt)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(execute(ctx, os.Args[1:]))
}

func execute(ctx context.Context, args []string) int {
	root := newRoot()
	root.SetArgs(args)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return 0
	}
	fmt.Fprintln(os.Stderr, "llamaxr:", printable(err.Error()))
	var usage usageError
	if errors.As(err, &usage) || cmd.ValidateRequiredFlags() != nil {
		fmt.Fprintln(os.Stderr, "see llamaxr --help")
		return exitUsage
	}
	return exitFailed
}

// printable puts question marks for what is not: an error may quote a file from outside, and a terminal would obey its control characters.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if r != '\n' && r != '\t' && !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, text)
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:     "llamaxr",
		Version: version,
		Short:   "Drafts chest radiograph reports on a hospital's own machine",
		Long: "llamaxr receives chest studies by DICOM C-STORE, pairs the frontal and lateral view, scores 18 findings a view,\n" +
			"writes a report draft that follows the scores and stores it back as a DICOM SR.",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.AddCommand(
		newRun(), newEcho(), newSend(), newFetch(), newStudies(), newShow(), newInspect(), newDraft(), newLabel(), newEvaluate(), newQueue(),
		newModels(), newAdapter(), newCorrections(), newFinetune(), newUser(), newAudit(), newConfig(), newFsck(), newEncryption(), newSigningKey(), newBundle(), newConformance(), newBackup(), newRestore(), newUpgrade(), newDoctor(), newSetup(), newService(),
		newDemo(), newPhantom(), newVersion(), newManual(),
	)
	group(root)
	return root
}

// group has commands that only hold others print their help, and refuse a word that is none of those: a script must not take a mistyped command for
// one that has done its work.
func group(cmd *cobra.Command) {
	if !cmd.HasSubCommands() {
		return
	}
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 {
			return usageError{fmt.Errorf("unknown command %q", strings.TrimPrefix(cmd.CommandPath()+" "+args[0], "llamaxr "))}
		}
		return nil
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
	for _, sub := range cmd.Commands() {
		group(sub)
	}
}

// exactly wraps cobra's argument count so that a wrong count is wrong usage.
func exactly(n int, what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) != n {
			return usageError{fmt.Errorf("%s takes %s", cmd.CommandPath(), what)}
		}
		return nil
	}
}

func atLeastOne(what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return usageError{fmt.Errorf("%s takes %s", cmd.CommandPath(), what)}
		}
		return nil
	}
}

// input opens a file, or with - what the command reads.
func input(cmd *cobra.Command, path string) (io.ReadCloser, error) {
	if path == "-" {
		return io.NopCloser(cmd.InOrStdin()), nil
	}
	return os.Open(path)
}

// printList prints a list as one JSON document: [] when there is nothing in it.
func printList[T any](out io.Writer, list []T) error {
	if list == nil {
		list = []T{}
	}
	return json.NewEncoder(out).Encode(list)
}
