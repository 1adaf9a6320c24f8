package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"

	"llamaxr/daemon"
	"llamaxr/daemon/access"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

func newUser() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "user",
		Short: "Manage who may log in to the reading room or use DICOMweb",
		Long: "Roles: reader sees studies and edits drafts, signer also signs and rejects, trainer runs fine-tuning and chooses adapters, admin sees\n" +
			"queues, destinations and the audit log. A password comes from standard input or --password-file, never from the command line. A machine\n" +
			"uses DICOMweb: as a sender it stores objects, as a reader it finds and retrieves them. It shows a token, which is printed once.",
	}
	cmd.AddCommand(newUserAdd(), newUserList(), newUserPasswd(), newUserToken(), newUserRemove())
	return cmd
}

func newUserAdd() *cobra.Command {
	var state, file, name string
	var roles []string
	var machine bool
	cmd := &cobra.Command{
		Use:   "add NAME --role ROLE --full-name DOE^JANE^^DR --state DIR",
		Short: "Add a user, or with --machine a program, whose token is printed",
		Args:  exactly(1, "one user name"),
		RunE: func(cmd *cobra.Command, args []string) error {
			user := access.User{Name: args[0], FullName: name}
			for _, text := range roles {
				role, err := access.ParseRole(text)
				if err != nil {
					return usageError{err}
				}
				user.Roles = append(user.Roles, role)
			}
			if machine {
				return printToken(cmd, state, "add machine", user)
			}
			password, err := readPassword(cmd, file)
			if err != nil {
				return err
			}
			_, err = daemon.ChangeUsers(state, "add", daemon.UserChange{User: user, Secret: password})
			return err
		},
	}
	userFlags(cmd, &state, &file)
	cmd.Flags().StringSliceVar(&roles, "role", nil, "reader, signer, trainer or admin, of a machine sender or reader; may be given again")
	cmd.Flags().BoolVar(&machine, "machine", false, "a program that uses DICOMweb: it gets a token, no password")
	cmd.Flags().StringVar(&name, "full-name", "", "DICOM person name, as it stands on signed reports: Doe^Jane^^Dr")
	_ = cmd.MarkFlagRequired("role")
	return cmd
}

func newUserPasswd() *cobra.Command {
	var state, file string
	cmd := &cobra.Command{
		Use:   "passwd NAME --state DIR",
		Short: "Set a user's password; his sessions end",
		Args:  exactly(1, "one user name"),
		RunE: func(cmd *cobra.Command, args []string) error {
			password, err := readPassword(cmd, file)
			if err != nil {
				return err
			}
			_, err = daemon.ChangeUsers(state, "passwd", daemon.UserChange{User: access.User{Name: args[0]}, Secret: password})
			return err
		},
	}
	userFlags(cmd, &state, &file)
	return cmd
}

func newUserToken() *cobra.Command {
	var state string
	cmd := &cobra.Command{
		Use:   "token NAME --state DIR",
		Short: "Give a machine another token and print it; the one from before ends",
		Args:  exactly(1, "one machine's name"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return printToken(cmd, state, "token", access.User{Name: args[0]})
		},
	}
	stateFlag(cmd, &state)
	return cmd
}

func printToken(cmd *cobra.Command, state, act string, machine access.User) error {
	token, err := daemon.ChangeUsers(state, act, daemon.UserChange{User: machine})
	if err == nil {
		_, err = fmt.Fprintln(cmd.OutOrStdout(), token)
	}
	return err
}

func newUserRemove() *cobra.Command {
	var state string
	cmd := &cobra.Command{
		Use:   "remove NAME --state DIR",
		Short: "Remove a user; his sessions end",
		Args:  exactly(1, "one user name"),
		RunE: func(_ *cobra.Command, args []string) error {
			_, err := daemon.ChangeUsers(state, "remove", daemon.UserChange{User: access.User{Name: args[0]}})
			return err
		},
	}
	stateFlag(cmd, &state)
	return cmd
}

func newUserList() *cobra.Command {
	var state string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list --state DIR",
		Short: "List the users and their roles",
		Args:  exactly(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			users, err := daemon.UserList(state)
			if err != nil {
				return err
			}
			if asJSON {
				return printList(cmd.OutOrStdout(), users)
			}
			table := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 4, 2, ' ', 0)
			fmt.Fprintln(table, "USER\tNAME\tROLES\tPASSWORD OR TOKEN SET")
			for _, u := range users {
				var roles []string
				for _, r := range u.Roles {
					roles = append(roles, string(r))
				}
				fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", u.Name, u.DisplayName(), strings.Join(roles, ", "), u.Changed.Format("2006-01-02"))
			}
			return table.Flush()
		},
	}
	stateFlags(cmd, &state, &asJSON)
	return cmd
}

func userFlags(cmd *cobra.Command, state, file *string) {
	stateFlag(cmd, state)
	cmd.Flags().StringVar(file, "password-file", "", "file whose first line is the password; standard input when not given")
}

// maxPasswordLine bounds what is read as a password.
const maxPasswordLine = 4 << 10

// readPassword takes the first line of a file or of standard input; a person at a terminal is asked, without an echo.
func readPassword(cmd *cobra.Command, file string) (string, error) {
	in := cmd.InOrStdin()
	if file != "" {
		f, err := os.Open(file)
		if err != nil {
			return "", err
		}
		defer f.Close()
		in = f
	} else if fd := int(os.Stdin.Fd()); in == os.Stdin && term.IsTerminal(fd) {
		fmt.Fprint(cmd.ErrOrStderr(), "password: ")
		typed, err := term.ReadPassword(fd)
		fmt.Fprintln(cmd.ErrOrStderr())
		return string(typed), err
	}
	line, err := bufio.NewReader(io.LimitReader(in, maxPasswordLine)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", err
	}
	if line = strings.TrimRight(line, "\r\n"); line == "" {
		return "", errors.New("no password was given on standard input")
	}
	return line, nil
}
