package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"llamaxr/daemon"
	"llamaxr/daemon/backup"
	"llamaxr/inference/models"
	"llamaxr/internal/durable"

	"github.com/google/renameio/v2"
	"github.com/spf13/cobra"
)

const (
	// backupName is what a backup in a folder is named, by its time: names sort as they were made.
	backupName = "llamaxr-20060102T150405Z.tar"
	// brokenPattern are those that were broken off as they were written, when nothing was added to them for brokenAfter.
	brokenPattern = ".llamaxr-*.tar*"
	brokenAfter   = time.Hour
)

func newBackup() *cobra.Command {
	var state, to string
	var keep int
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "backup --state DIR --to FILE|FOLDER",
		Short: "Keep a state folder in one file, while the appliance runs or not",
		Long: "Writes the database, images, drafts, users, audit log, models and runs to one tar file, as they are at one moment, with a checksum of each.\n" +
			"A running appliance goes on working. The file is read back as it is written, and takes its name only when it is whole. In a folder it\n" +
			"is named by the time, and --keep says how many are kept there. It holds patients' images: keep it as safe as the state.",
		Args: exactly(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if keep < 0 {
				return usageError{errors.New("--keep cannot be negative")}
			}
			header, to, err := backUp(cmd, state, to, keep)
			if err != nil {
				return err
			}
			return printBackup(cmd.OutOrStdout(), header, to, asJSON)
		},
	}
	stateFlags(cmd, &state, &asJSON)
	cmd.Flags().StringVar(&to, "to", "", "file to write, or folder to write one into")
	cmd.Flags().IntVar(&keep, "keep", 0, "in a folder: remove all but this many of the newest backups afterwards; 0 removes none")
	_ = cmd.MarkFlagRequired("to")
	return cmd
}

// backUp writes a backup to a file, or into a folder of which it keeps that many, and returns the file.
func backUp(cmd *cobra.Command, state, to string, keep int) (header backup.Header, path string, err error) {
	folder := ""
	if info, err := os.Stat(to); err == nil && info.IsDir() {
		folder, to = to, filepath.Join(to, time.Now().UTC().Format(backupName))
	} else if err == nil {
		return header, "", fmt.Errorf("%s is there already", to)
	}
	if keep > 0 && folder == "" {
		return header, "", usageError{errors.New("--keep needs a folder in --to")}
	}
	if within(state, to) {
		return header, "", usageError{errors.New("--to lies in the state folder: a backup would hold those before it")}
	}
	if header, err = writeBackup(cmd, state, to); err != nil {
		return header, "", err
	}
	if keep > 0 {
		err = keepNewest(to, keep)
	}
	return header, to, err
}

// within reports whether a path lies below a folder.
func within(folder, path string) bool {
	folder, err := filepath.Abs(folder)
	if err != nil {
		return false
	}
	path, err = filepath.Abs(path)
	if err != nil {
		return false
	}
	relative, err := filepath.Rel(folder, path)
	return err == nil && filepath.IsLocal(relative)
}

// writeBackup writes the file and verifies what is written on its way.
func writeBackup(cmd *cobra.Command, state, to string) (backup.Header, error) {
	out, err := renameio.NewPendingFile(to, renameio.WithPermissions(0o600))
	if err != nil {
		return backup.Header{}, err
	}
	defer func() { _ = out.Cleanup() }()
	r, w := io.Pipe()
	ctx, cancel := context.WithCancel(cmd.Context())
	defer cancel()
	written := make(chan error, 1)
	go func() {
		err := daemon.Backup(ctx, state, version, io.MultiWriter(out, w))
		w.CloseWithError(err)
		written <- err
	}()
	progress, done := backupBar(cmd, "backing up")
	header, err := backup.Verify(r, progress)
	done()
	_ = r.CloseWithError(err)
	if failed := <-written; failed != nil {
		return backup.Header{}, failed
	}
	if err == nil {
		err = out.CloseAtomicallyReplace()
	}
	if err == nil {
		err = durable.Names(filepath.Dir(to))
	}
	return header, err
}

// keepNewest removes the oldest backups beside the one that was just made until n are left with it, and what is left of one that was killed. Those with a
// later time than it are the oldest: the clock was put back since.
func keepNewest(made string, n int) error {
	folder, newest := filepath.Split(made)
	entries, err := os.ReadDir(folder)
	var later, found []string
	for _, entry := range entries { // by name
		switch name := entry.Name(); {
		case !entry.Type().IsRegular() || !isBackup(name):
		case name > newest:
			later = append(later, name)
		default:
			found = append(found, name)
		}
	}
	found = append(later, found...)
	for _, old := range found[:max(len(found)-n, 0)] {
		err = errors.Join(err, os.Remove(filepath.Join(folder, old)))
	}
	broken, _ := fs.Glob(os.DirFS(folder), brokenPattern) // the pattern is sound
	for _, name := range broken {
		path := filepath.Join(folder, name)
		if info, gone := os.Stat(path); gone == nil && time.Since(info.ModTime()) > brokenAfter {
			err = errors.Join(err, os.Remove(path))
		}
	}
	return err
}

// isBackup reports whether a file was named by backUp, and not by a person.
func isBackup(name string) bool {
	_, err := time.Parse(backupName, name)
	return err == nil
}

func newRestore() *cobra.Command {
	var state string
	var asJSON, check bool
	cmd := &cobra.Command{
		Use:   "restore FILE --state NEWDIR | restore FILE --check",
		Short: "Make a state folder from a backup, or only verify the backup",
		Long: "Makes a state folder, which must be empty (but for lost+found) or not be there, from a backup. Every file is held against its checksum; the\n" +
			"folder stays as it was unless all are whole. Run it as the service's user, with the appliance stopped. --check only reads and verifies.",
		Args: exactly(1, "one file"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if check == (state != "") {
				return usageError{errors.New("restore takes --state or --check")}
			}
			file, err := os.Open(args[0])
			if err != nil {
				return err
			}
			defer file.Close()
			progress, done := backupBar(cmd, "verifying")
			var header backup.Header
			where := args[0]
			if check {
				header, err = backup.Verify(file, progress)
			} else {
				header, err = backup.Restore(file, state, progress)
				where = state
			}
			done()
			if err != nil {
				return err
			}
			return printBackup(cmd.OutOrStdout(), header, where, asJSON)
		},
	}
	cmd.Flags().StringVar(&state, "state", "", "folder to make")
	cmd.Flags().BoolVar(&check, "check", false, "only verify the backup")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON document")
	return cmd
}

func backupBar(cmd *cobra.Command, what string) (backup.Progress, func()) {
	show, done := bar(cmd.ErrOrStderr())
	return func(n, total int64) { show(models.Progress{What: what, Done: n, Total: total}) }, done
}

func printBackup(out io.Writer, header backup.Header, where string, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(out).Encode(struct {
			backup.Header
			Path string `json:"path"`
		}{header, where})
	}
	_, err := fmt.Fprintf(out, "%s: %d studies, %d objects, %.1f MB in %d files, as of %s; every checksum fits\n", where, header.Studies, header.Instances,
		float64(header.Bytes)/1e6, header.Files, header.Made.Format(time.RFC3339))
	return err
}
