package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"llamaxr/daemon"
	"llamaxr/daemon/config"
	"llamaxr/dicomnet"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// callingAETitle is ours as a tool.
const callingAETitle = "LLAMAXR"

func newEcho() *cobra.Command {
	var security tlsFlags
	cmd := &cobra.Command{
		Use:   "echo AET@HOST:PORT",
		Short: "Ask a peer whether it is there (C-ECHO)",
		Args:  exactly(1, "one AET@HOST:PORT"),
		RunE: func(cmd *cobra.Command, args []string) error {
			client, peer, err := security.client(callingAETitle, args[0])
			if err != nil {
				return err
			}
			took, err := daemon.Echo(cmd.Context(), client, peer.Address)
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s answers (%s)\n", peer, took.Round(time.Millisecond))
			return nil
		},
	}
	security.add(cmd)
	return cmd
}

// perAssociation is how many objects go over one association: a long send loses little when a peer breaks off.
const perAssociation = 200

func newSend() *cobra.Command {
	var to, calling string
	var security tlsFlags
	cmd := &cobra.Command{
		Use:   "send PATH... --to AET@HOST:PORT",
		Short: "Send files or folders to a peer (C-STORE)",
		Args:  atLeastOne("files or folders"),
		RunE: func(cmd *cobra.Command, args []string) error {
			client, peer, err := security.client(calling, to)
			if err != nil {
				return err
			}
			paths, err := walk(args)
			if err != nil {
				return err
			}
			bar := newBar(cmd, len(paths), "sending")
			sent, failed := 0, 0
			var failures []error
			for len(paths) > 0 {
				group := paths[:min(len(paths), perAssociation)]
				paths = paths[len(group):]
				done := 0
				err := daemon.Send(cmd.Context(), client, peer.Address, group, func(path string, err error) {
					done++
					if err == nil {
						sent++
					} else {
						failed++
						fmt.Fprintf(cmd.ErrOrStderr(), "%s: %v\n", path, err)
					}
					_ = bar.Add(1)
				})
				if err != nil && done < len(group) {
					return fmt.Errorf("%d sent, %d failed, %d not tried: %w", sent, failed, len(group)-done+len(paths), err)
				}
				if err != nil {
					failures = append(failures, err)
				}
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%d sent, %d failed\n", sent, failed)
			if len(failures) > 0 {
				return fmt.Errorf("%d of %d objects were not stored", failed, sent+failed)
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&to, "to", "", "AET@HOST:PORT of the peer")
	cmd.Flags().StringVar(&calling, "calling", callingAETitle, "our AE title")
	security.add(cmd)
	_ = cmd.MarkFlagRequired("to")
	return cmd
}

// tlsFlags are how a tool speaks TLS.
type tlsFlags config.ClientTLS

func (t *tlsFlags) add(cmd *cobra.Command) {
	f := cmd.Flags()
	f.BoolVar(&t.On, "tls", false, "speak TLS to the peer")
	f.StringVar(&t.CA, "tls-ca", "", "PEM file of who signs the peer's certificate; whom the system trusts when absent")
	f.StringVar(&t.Certificate, "tls-certificate", "", "PEM file of our certificate, for peers that ask for one")
	f.StringVar(&t.Key, "tls-key", "", "PEM file of its private key")
	f.BoolVar(&t.AnyName, "tls-any-name", false, "take any certificate that --tls-ca signed, whatever host it names")
}

// client calls the peer that is named as AET@HOST:PORT; what cannot be understood is wrong usage.
func (t tlsFlags) client(calling, named string) (client dicomnet.Client, peer config.Destination, err error) {
	if peer, err = config.ParseDestination(named); err != nil {
		return client, peer, usageError{err}
	}
	client = dicomnet.Client{CallingAETitle: calling, CalledAETitle: peer.AETitle}
	if client.TLS, err = t.credentials(); err != nil {
		return client, peer, usageError{err}
	}
	return client, peer, nil
}

// credentials are nil for plain TCP.
func (t tlsFlags) credentials() (*dicomnet.Credentials, error) {
	if !t.On && t != (tlsFlags{}) {
		return nil, errors.New("the other --tls options need --tls")
	}
	c := config.ClientTLS(t).Credentials(config.TLS{})
	if c == nil {
		return nil, nil
	}
	return c, c.Check()
}

// walk lists the files at and below the given paths.
func walk(args []string) ([]string, error) {
	var out []string
	for _, arg := range args {
		err := filepath.WalkDir(arg, func(path string, entry fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if entry.Type().IsRegular() {
				out = append(out, path)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	if len(out) == 0 {
		return nil, errors.New("no files there")
	}
	return out, nil
}

// newBar shows progress on a terminal and nothing elsewhere.
func newBar(cmd *cobra.Command, total int, what string) *progressbar.ProgressBar {
	return progressbar.NewOptions(total,
		progressbar.OptionSetWriter(cmd.ErrOrStderr()), progressbar.OptionSetDescription(what), progressbar.OptionShowCount(),
		progressbar.OptionShowIts(), progressbar.OptionSetPredictTime(true), progressbar.OptionClearOnFinish(),
		progressbar.OptionSetVisibility(term.IsTerminal(int(os.Stderr.Fd()))),
	)
}
