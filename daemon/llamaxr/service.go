package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"llamaxr/daemon/config"
	"llamaxr/systemd"

	"github.com/google/renameio/v2"
	"github.com/kardianos/service"
	"github.com/spf13/cobra"
)

func newService() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "service",
		Short: "Install the appliance as a service of the system, start and stop it",
		Long: "Under systemd or launchd. The deb and rpm packages bring the service with them: there only start,\n" +
			"stop, restart and status are needed. All but status need an administrator's rights.",
	}
	cmd.PersistentPreRunE = func(cmd *cobra.Command, _ []string) error {
		if cmd.HasSubCommands() {
			return nil
		}
		return managed()
	}
	cmd.AddCommand(newServiceInstall())
	for _, c := range []struct{ name, short, done string }{
		{"uninstall", "Stop the service and remove it; configuration and state stay", "is removed"},
		{"start", "Start the service", "is started"},
		{"stop", "Stop the service; it drains", "is stopped"},
		{"restart", "Stop the service, if it runs, and start it", "is started again"},
	} {
		cmd.AddCommand(&cobra.Command{
			Use: c.name, Short: c.short, Args: exactly(0, "no arguments"),
			RunE: func(cmd *cobra.Command, _ []string) error {
				svc, err := service.New(&program{}, definition(runtime.GOOS, installation{}))
				if err != nil {
					return err
				}
				if c.name == "uninstall" {
					if err := packaged(); err != nil {
						return err
					}
					_ = svc.Stop() // it may not run
				}
				if err := service.Control(svc, c.name); err != nil {
					return err
				}
				if c.name == "uninstall" {
					if err := removeBackup(cmd.Context()); err != nil {
						return err
					}
				}
				fmt.Fprintln(cmd.OutOrStdout(), "the service", c.done)
				return nil
			},
		})
	}
	cmd.AddCommand(newServiceStatus())
	return cmd
}

func newServiceInstall() *cobra.Command {
	in := defaultInstallation(runtime.GOOS)
	cmd := &cobra.Command{
		Use:   "install",
		Short: "Install this program as a service that starts with the machine",
		Args:  exactly(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := packaged(); err != nil {
				return err
			}
			var err error
			if in.program, err = os.Executable(); err != nil {
				return err
			}
			if _, err := os.Stat(in.config); err != nil {
				return fmt.Errorf("the configuration file: %w; `llamaxr config explain` prints one to start from", err)
			}
			if !cmd.Flags().Changed("state") {
				if in.state, err = configuredState(in.config, in.state); err != nil {
					return err
				}
			}
			for _, path := range []*string{&in.config, &in.state} {
				if *path, err = filepath.Abs(*path); err != nil {
					return err
				}
			}
			if err := errors.Join(makeUser(cmd, in.user), in.handOver()); err != nil {
				return err
			}
			svc, err := service.New(&program{}, definition(runtime.GOOS, in))
			if err != nil {
				return err
			}
			if err := svc.Install(); err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), "the service is installed and starts with the machine; `llamaxr service start` starts it now")
			if !bySystemd() {
				fmt.Fprintln(cmd.OutOrStdout(), "have the system's scheduler run this every night, as the service's user:", nightly(in))
				return nil
			}
			if err := installBackup(cmd.Context(), in); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "a backup is made every night once `systemctl enable --now %s` was said\n", backupTimer)
			return nil
		},
	}
	cmd.Flags().StringVar(&in.config, "config", in.config, "configuration file")
	cmd.Flags().StringVar(&in.state, "state", in.state, "folder for images, ledger and drafts; when not given, that of the configuration file")
	cmd.Flags().StringVar(&in.user, "user", in.user, "account that it runs as")
	return cmd
}

// configuredState is the state folder that a configuration file names, or the usual one where it names none. The unit gives --state, which goes before
// the file's key: setup proved the models of that one.
func configuredState(file, usual string) (string, error) {
	cfg, err := config.Read(file)
	if err != nil {
		return "", fmt.Errorf("%s: %w", file, err)
	}
	if cfg.State == config.Default().State {
		return usual, nil
	}
	return cfg.State, nil
}

// The units of the nightly backup, and where an administrator's own lie (systemd.unit(5)).
const (
	unitFolder    = "/etc/systemd/system"
	backupService = "llamaxr-backup.service"
	backupTimer   = "llamaxr-backup.timer"
)

// managed refuses a Linux without systemd, where another manager's script would run the appliance as root.
func managed() error {
	if runtime.GOOS == "linux" && !bySystemd() {
		return errors.New("systemd does not run here; have what starts services here run `llamaxr run --config FILE` as a user of its own")
	}
	return nil
}

// bySystemd reports whether systemd is the service manager here.
func bySystemd() bool { return service.Platform() == "linux-systemd" }

// nightly is the command of a backup where we know no way to have it run.
func nightly(in installation) string {
	return fmt.Sprintf("%q backup --state %q --to FOLDER --keep 7", in.program, in.state)
}

// installBackup brings the timer, which the administrator enables: he knows the disk.
func installBackup(ctx context.Context, in installation) error {
	for name, text := range map[string]string{backupService: systemd.Backup(in.program, in.state, in.user), backupTimer: systemd.BackupTimer} {
		if err := renameio.WriteFile(filepath.Join(unitFolder, name), []byte(text), 0o644); err != nil {
			return fmt.Errorf("the backup's timer: %w", err)
		}
	}
	return systemctl(ctx, "daemon-reload")
}

// removeBackup takes the timer away; backups stay.
func removeBackup(ctx context.Context) error {
	if _, err := os.Stat(filepath.Join(unitFolder, backupTimer)); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err := systemctl(ctx, "disable", "--now", backupTimer); err != nil {
		return err
	}
	for _, name := range []string{backupTimer, backupService} {
		if err := os.Remove(filepath.Join(unitFolder, name)); err != nil {
			return fmt.Errorf("the backup's timer: %w", err)
		}
	}
	return systemctl(ctx, "daemon-reload")
}

func systemctl(ctx context.Context, args ...string) error {
	if out, err := exec.CommandContext(ctx, "systemctl", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("systemctl %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return nil
}

// packagedUnit is there when a package installed the service.
const packagedUnit = "/usr/lib/systemd/system/llamaxr.service"

// packaged refuses to put a second service beside the package's.
func packaged() error {
	if _, err := os.Stat(packagedUnit); err == nil {
		return fmt.Errorf("the service belongs to the package (%s): install and remove that", packagedUnit)
	}
	return nil
}

// makeUser makes the service's account where the system has a way that we know; elsewhere it has to be there.
func makeUser(cmd *cobra.Command, name string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	_, err := user.Lookup(name)
	var unknown user.UnknownUserError
	if !errors.As(err, &unknown) {
		return err
	}
	if sysusers, lookErr := exec.LookPath("systemd-sysusers"); lookErr == nil && name == systemd.User {
		make := exec.CommandContext(cmd.Context(), sysusers, "-")
		make.Stdin = strings.NewReader(systemd.Sysusers)
		if out, err := make.CombinedOutput(); err != nil {
			return fmt.Errorf("making the user %s: %w: %s", name, err, out)
		}
		return nil
	}
	return fmt.Errorf("there is no user %s; add one, or name another by --user", name)
}

// handOver lets the service's account read a configuration that `llamaxr setup` wrote for root alone, before there was that account, and makes it a
// state folder when there is none.
func (in installation) handOver() error {
	group := readers(in.user)
	if group < 0 { // we are not root, or it is Windows
		return nil
	}
	if info, err := os.Stat(in.config); err != nil {
		return err
	} else if info.Mode().Perm()&0o077 == 0 {
		if err := errors.Join(os.Chown(in.config, -1, group), os.Chmod(in.config, groupReads)); err != nil {
			return err
		}
	}
	if _, err := os.Stat(in.state); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	account, err := user.Lookup(in.user)
	if err != nil {
		return err
	}
	owner, err := strconv.Atoi(account.Uid)
	if err != nil {
		return err
	}
	return errors.Join(os.MkdirAll(in.state, 0o700), os.Chown(in.state, owner, group))
}

// Exit status 1 of `service status` is for all that is not running.
var errNotRunning = errors.New("the service does not run")

func newServiceStatus() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Say whether the service runs; exit status 1 when it does not",
		Args:  exactly(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			svc, err := service.New(&program{}, definition(runtime.GOOS, installation{}))
			if err != nil {
				return err
			}
			is, said := stateOf(svc.Status())
			if said != nil {
				return said
			}
			if asJSON {
				err = json.NewEncoder(cmd.OutOrStdout()).Encode(map[string]string{"service": is, "platform": service.Platform()})
			} else {
				_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s (%s)\n", is, service.Platform())
			}
			if err == nil && is != "running" {
				err = errNotRunning
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON document")
	return cmd
}

// stateOf puts what the service manager says into a word.
func stateOf(status service.Status, err error) (string, error) {
	switch {
	case errors.Is(err, service.ErrNotInstalled), errors.Is(err, fs.ErrNotExist):
		return "not installed", nil
	case err != nil && strings.Contains(err.Error(), "failed state"):
		return "failed", nil
	case err != nil:
		return "", err
	case status == service.StatusRunning:
		return "running", nil
	}
	return "stopped", nil
}
