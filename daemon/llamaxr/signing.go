package main

import (
	"fmt"

	"llamaxr/inference/signing"

	"github.com/spf13/cobra"
)

func newSigningKey() *cobra.Command {
	return &cobra.Command{
		Use:   "signing-key FILE",
		Short: "Make a site's key for adapters and bundles: FILE, and FILE" + signing.PublicSuffix + " with the public half",
		Long: "FILE is the private half: keep it away from the appliance, and sign where it is kept. The public half goes into adapters.trusted_keys and\n" +
			"to whoever verifies bundles. openssl genpkey -algorithm ed25519 makes such keys too.",
		Args: exactly(1, "one file"),
		RunE: func(cmd *cobra.Command, args []string) error {
			public, err := signing.NewKey(args[0])
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "key %s in %s, its public half in %s%s\n", signing.Fingerprint(public), args[0], args[0], signing.PublicSuffix)
			return err
		},
	}
}

func newAdapterSign() *cobra.Command {
	var state, keyFile string
	cmd := &cobra.Command{
		Use:   "sign NAME --state DIR --key FILE",
		Short: "Sign an adapter by the site's key",
		Long:  "Signs the adapter's content, its language model and its template, after holding its files against their digests.",
		Args:  exactly(1, "one name"),
		RunE: func(cmd *cobra.Command, args []string) error {
			key, err := signing.ReadPrivate(keyFile)
			if err != nil {
				return err
			}
			m, err := store(state).Sign(cmd.Context(), args[0], key)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s is signed\n%s", m.Name, m.Statement())
			return err
		},
	}
	stateFlag(cmd, &state)
	cmd.Flags().StringVar(&keyFile, "key", "", "file with the private key")
	_ = cmd.MarkFlagRequired("key")
	return cmd
}

func newAdapterVerify() *cobra.Command {
	var state string
	var trust []string
	cmd := &cobra.Command{
		Use:   "verify NAME --state DIR --trust FILE...",
		Short: "Hold an adapter's files against their digests, and its signatures against public keys",
		Args:  exactly(1, "one name"),
		RunE: func(cmd *cobra.Command, args []string) error {
			trusted, err := signing.ReadPublic(trust...)
			if err != nil {
				return err
			}
			s := store(state)
			m, err := s.Get(args[0])
			if err != nil {
				return err
			}
			if err := s.Verify(cmd.Context(), m, nil); err != nil {
				return err
			}
			by, err := s.SignedBy(m, trusted)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s is whole and signed by %s\n", m.Name, by)
			return err
		},
	}
	stateFlag(cmd, &state)
	trustFlag(cmd, &trust)
	return cmd
}
