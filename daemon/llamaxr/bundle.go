package main

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"llamaxr/daemon/bundle"
	"llamaxr/inference/models"
	"llamaxr/inference/signing"

	"github.com/google/renameio/v2"
	"github.com/spf13/cobra"
)

func newBundle() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "bundle",
		Short: "Carry models, adapters and the program to a site without the internet, in one signed file",
	}
	cmd.AddCommand(newBundleCreate(), newBundleVerify(), newBundleInstall())
	return cmd
}

func newBundleCreate() *cobra.Command {
	var state, keyFile, to string
	var what bundle.Content
	cmd := &cobra.Command{
		Use:   "create --to FILE --key FILE [--state DIR --model NAME]... [--program FILE]",
		Short: "Write a bundle of models and adapters of a registry, and a program",
		Args:  exactly(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if len(what.Models) == 0 && what.Program == "" {
				return usageError{errors.New("a bundle needs --model or --program")}
			}
			key, err := signing.ReadPrivate(keyFile)
			if err != nil {
				return err
			}
			if _, err := os.Lstat(to); err == nil {
				return fmt.Errorf("%s is there already", to)
			}
			out, err := renameio.NewPendingFile(to, renameio.WithPermissions(0o644))
			if err != nil {
				return err
			}
			defer func() { _ = out.Cleanup() }() // does nothing once it has its name
			what.By, what.Now = "llamaxr "+version, time.Now()
			m, err := bundle.Create(out, store(state), what, key)
			if err != nil {
				return err
			}
			if err := out.CloseAtomicallyReplace(); err != nil {
				return err
			}
			return printBundle(cmd.OutOrStdout(), m)
		},
	}
	stateOption(cmd, &state, "state folder whose models it is made of")
	cmd.Flags().StringArrayVar(&what.Models, "model", nil, "model or adapter, as `llamaxr models list` names it; may be given again")
	cmd.Flags().StringVar(&what.Program, "program", "", "file with the program")
	cmd.Flags().StringVar(&keyFile, "key", "", "file with the private key (llamaxr signing-key)")
	cmd.Flags().StringVar(&to, "to", "", "file to write")
	_ = cmd.MarkFlagRequired("key")
	_ = cmd.MarkFlagRequired("to")
	return cmd
}

// readBundle opens a bundle for what reads it, with the public keys that are trusted.
func readBundle(path string, trust []string, read func(io.Reader, []ed25519.PublicKey) (*bundle.Manifest, error)) (*bundle.Manifest, error) {
	trusted, err := signing.ReadPublic(trust...)
	if err != nil {
		return nil, err
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return read(file, trusted)
}

func newBundleVerify() *cobra.Command {
	var trust []string
	cmd := &cobra.Command{
		Use:   "verify FILE --trust FILE...",
		Short: "Hold a bundle against its signature and every file against its digest",
		Args:  exactly(1, "one file"),
		RunE: func(cmd *cobra.Command, args []string) error {
			m, err := readBundle(args[0], trust, bundle.Verify)
			if err != nil {
				return err
			}
			return printBundle(cmd.OutOrStdout(), m)
		},
	}
	trustFlag(cmd, &trust)
	return cmd
}

func newBundleInstall() *cobra.Command {
	var state string
	var trust []string
	var older string
	var target bundle.Target
	cmd := &cobra.Command{
		Use:   "install FILE --state DIR --trust FILE... [--program-to FILE] [--older DATE]",
		Short: "Put a bundle's models into a registry, and its program into its place, when all of it is what was signed",
		Long: "Run it as the service's user, or with --program-to as root: the state's files stay that user's. A model of the same name is replaced; one in use\n" +
			"stays in use until another is chosen: `llamaxr models use`, `llamaxr adapter use`. The program is installed only with --program-to, whose folder\n" +
			"must be writable; restart the service afterwards.\n" +
			"What a newer bundle brought is kept: to go back, name the older one by when it was made, as `llamaxr bundle verify` says.",
		Args: exactly(1, "one file"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if older != "" {
				var err error
				if target.Older, err = time.Parse(time.RFC3339, older); err != nil {
					return usageError{fmt.Errorf("--older: %w", err)}
				}
			}
			m, err := readBundle(args[0], trust, func(r io.Reader, trusted []ed25519.PublicKey) (*bundle.Manifest, error) {
				return bundle.Install(r, store(state), trusted, target)
			})
			err = errors.Join(err, handOver(state))
			var isOlder *models.OlderError
			if errors.As(err, &isOlder) {
				return fmt.Errorf("%w; --older %s installs it all the same", err, isOlder.Made.Format(time.RFC3339))
			}
			if err != nil {
				return err
			}
			if m.Program() && target.Program == "" {
				fmt.Fprintln(cmd.ErrOrStderr(), "the bundle holds a program, which is not installed: --program-to says where")
			}
			return printBundle(cmd.OutOrStdout(), m)
		},
	}
	stateFlag(cmd, &state)
	look := cmd.PreRunE
	cmd.PreRunE = func(cmd *cobra.Command, args []string) error {
		if target.Program != "" && state != "" { // root alone writes to /usr/bin, and hands over what it makes in the state
			return isThere(state)
		}
		return look(cmd, args)
	}
	trustFlag(cmd, &trust)
	cmd.Flags().StringVar(&target.Program, "program-to", "", "file that the bundle's program takes the place of")
	cmd.Flags().StringVar(&older, "older", "", "when a bundle was made that may take the place of a newer one, as 2026-01-31T12:00:00Z")
	return cmd
}

func trustFlag(cmd *cobra.Command, trust *[]string) {
	cmd.Flags().StringArrayVar(trust, "trust", nil, "file with a public key; may be given again")
	_ = cmd.MarkFlagRequired("trust")
}

func printBundle(out io.Writer, m *bundle.Manifest) error {
	for _, model := range m.Models {
		fmt.Fprintf(out, "%s: %s, digest %.16s\n", model.Name, model.Kind, model.Digest)
	}
	size := int64(0)
	for _, f := range m.Files {
		size += f.Size
	}
	program := ""
	if m.Program() {
		program = ", a program among them"
	}
	_, err := fmt.Fprintf(out, "%d files of %d bytes%s, made by %s at %s\n", len(m.Files), size, program, m.By, m.Created.Format(time.RFC3339))
	return err
}
