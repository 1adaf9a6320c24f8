package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"llamaxr/daemon/backup"
)

// answerBackup streams the state as it is now. A stream that fails is broken off: it has no end by which a reader knows that it is whole.
func (a *Appliance) answerBackup(w http.ResponseWriter, r *http.Request) {
	header, err := backup.Write(r.Context(), w, a.cfg().State, a.db, a.device.SoftwareVersion)
	if err != nil {
		a.log.Error("backup", "error", err)
		panic(http.ErrAbortHandler)
	}
	a.log.Info("backup made", "files", header.Files, "bytes", header.Bytes, "studies", header.Studies)
}

// Backup writes a backup of a state folder to w, by its running daemon or, when none runs, by itself.
func Backup(ctx context.Context, state, version string, w io.Writer) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://daemon/backup", nil)
	if err != nil {
		return err
	}
	response, running, err := knock(state, request)
	if err != nil {
		return err
	}
	if running {
		defer response.Body.Close()
		if response.StatusCode != http.StatusOK {
			said, _ := io.ReadAll(io.LimitReader(response.Body, maxErrorAnswer))
			return fmt.Errorf("daemon: backup: %s", strings.TrimSpace(string(said)))
		}
		if _, err = io.Copy(w, response.Body); errors.Is(err, io.ErrUnexpectedEOF) {
			err = errors.New("the daemon broke it off; its log says why")
		}
		if err != nil {
			return fmt.Errorf("daemon: backup: %w", err)
		}
		return nil
	}
	db, err := openStopped(state)
	if err != nil {
		return err
	}
	defer db.Close()
	if err := settle(state); err != nil { // after a power cut some objects may lie in the journal alone
		return err
	}
	_, err = backup.Write(ctx, w, state, db, version)
	return err
}

// maxErrorAnswer bounds what a daemon says instead of an answer.
const maxErrorAnswer = 64 << 10
