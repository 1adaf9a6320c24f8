package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"llamaxr/daemon"
	"llamaxr/ingest/atrest"
	"llamaxr/internal/durable"

	"github.com/spf13/cobra"
)

func newEncryption() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "encryption",
		Short: "Keys and state of encryption at rest",
		Long: "Images, documents, pictures and drafts are encrypted on disk where encryption.key names a key. The files are those of age: with the key,\n" +
			"age -d -i KEY FILE opens each. Without the key nothing opens them: keep a copy of it apart from the backups.",
		Args: exactly(0, "a command"),
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newKey(), newEncryptionStatus(), newRewrite(false), newRewrite(true))
	return cmd
}

func newKey() *cobra.Command {
	return &cobra.Command{
		Use:   "new-key FILE",
		Short: "Make a key, in a file that only the owner may read",
		Long: "Makes a key, in a new file that only the owner may read; made by root in a folder that root shares with one group alone, such as /etc/llamaxr,\n" +
			"that group too, which is the service's.",
		Args: exactly(1, "one file"),
		RunE: func(cmd *cobra.Command, args []string) error {
			key, err := atrest.NewKey()
			if err != nil {
				return err
			}
			file, err := os.OpenFile(args[0], os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
			if err != nil {
				return err
			}
			if err = shareWithGroup(file); err == nil {
				_, err = file.WriteString(key.Text())
			}
			if err = errors.Join(err, file.Sync(), file.Close(), durable.Names(filepath.Dir(args[0]))); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "key %s in %s; keep a copy of it apart from this machine and its backups\n", key.Public(), args[0])
			return nil
		},
	}
}

// groupReads is the mode of a file that the service reads and root alone changes.
const groupReads = 0o640

// shareWithGroup lets the group of a folder that is closed to all others read a file that root makes in it: the service does not run as root.
func shareWithGroup(file *os.File) error {
	info, err := os.Stat(filepath.Dir(file.Name()))
	if os.Geteuid() != 0 || err != nil {
		return err
	}
	folder, ok := info.Sys().(*syscall.Stat_t)
	if !ok || folder.Uid != 0 || folder.Gid == 0 || info.Mode().Perm()&0o007 != 0 {
		return nil
	}
	return errors.Join(file.Chown(-1, int(folder.Gid)), file.Chmod(groupReads))
}

func newEncryptionStatus() *cobra.Command {
	var state string
	cmd := &cobra.Command{
		Use:   "status --state DIR",
		Short: "Tell whether a state is encrypted, with which key, and how many of its files are still plain",
		Args:  exactly(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			claimed, err := atrest.Claimed(state)
			if err != nil {
				return err
			}
			plain, all, err := daemon.CountPlain(cmd.Context(), state)
			if err != nil {
				return err
			}
			if claimed == "" {
				claimed = "none"
			}
			fmt.Fprintf(cmd.OutOrStdout(), "key: %s\nfiles: %d, of them plain: %d\n", claimed, all, plain)
			return nil
		},
	}
	stateFlag(cmd, &state)
	return cmd
}

// newRewrite is `apply`, or with decrypt `remove`.
func newRewrite(decrypt bool) *cobra.Command {
	var state, keyFile string
	cmd := &cobra.Command{
		Use:   "apply --state DIR --key FILE",
		Short: "Encrypt the files of a stopped appliance that are still plain",
		Long: "New files are encrypted as soon as encryption.key is set; this encrypts those from before. Run it as the service's user with the appliance\n" +
			"stopped. One that is broken off is run again. What the plain files said may stay in unused blocks of the disk until they are written over.",
		Args: exactly(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			key, err := atrest.ReadKey(keyFile)
			if err != nil {
				return err
			}
			changed, err := daemon.Encrypt(cmd.Context(), state, key, decrypt)
			fmt.Fprintf(cmd.OutOrStdout(), "%d files written anew\n", changed)
			return err
		},
	}
	if decrypt {
		cmd.Use, cmd.Short = "remove --state DIR --key FILE", "Make the encrypted files of a stopped appliance plain again"
		cmd.Long = "Afterwards take encryption.key out of the configuration. A key is exchanged by removing the old one and applying the new one."
	}
	stateFlag(cmd, &state)
	cmd.Flags().StringVar(&keyFile, "key", "", "file with the key")
	_ = cmd.MarkFlagRequired("key")
	return cmd
}
