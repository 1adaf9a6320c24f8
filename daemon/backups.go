package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"llamaxr/daemon/backup"
)

// answerMoment holds the state as it is now until the asker hangs up: its process writes the backup, at the priority that it was given.
func (a *Appliance) answerMoment(w http.ResponseWriter, r *http.Request) {
	began := time.Now()
	state := a.cfg().State
	m, err := backup.Take(state, a.db)
	if err != nil {
		a.log.Error("backup", "error", err)
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	defer m.Release(state)
	if err := errors.Join(json.NewEncoder(w).Encode(m), http.NewResponseController(w).Flush()); err == nil {
		<-r.Context().Done()
	}
	a.log.Info("backup: the state was held for it", "files", len(m.Files), "took", time.Since(began).Round(time.Millisecond))
}

// Causes of a backup that ends early, when the daemon does while a backup of its state is written, or begins.
var (
	errLetGo   = errors.New("the appliance stopped meanwhile")
	errStarted = errors.New("the appliance was started meanwhile: make the backup again")
)

// Backup writes a backup of a state folder to w, as its running daemon holds it still or, when none runs, as it is.
func Backup(ctx context.Context, state, version string, w io.Writer) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://daemon/moment", nil)
	if err != nil {
		return err
	}
	response, running, err := knock(state, request)
	if err != nil {
		return err
	}
	if running {
		return backupHeld(ctx, response, state, version, w)
	}
	m, err := holdStopped(state)
	if err != nil {
		return err
	}
	defer m.Release(state)
	_, err = m.Write(ctx, w, state, version)
	if _, gone := os.Stat(filepath.Join(state, m.Folder)); err != nil && errors.Is(gone, fs.ErrNotExist) {
		return fmt.Errorf("daemon: backup: %w", errStarted)
	}
	return err
}

// holdStopped holds the state of an appliance that does not run. Its database is let go before the backup is written: a start does not wait for that, and
// tidies the moment away.
func holdStopped(state string) (*backup.Moment, error) {
	db, err := openStopped(state)
	if err != nil {
		return nil, err
	}
	defer db.Close()
	if err := settle(state); err != nil { // after a power cut some objects may lie in the journal alone
		return nil, err
	}
	return backup.Take(state, db)
}

// backupHeld writes the moment that the daemon answered with, which it keeps while the answer is open.
func backupHeld(ctx context.Context, response *http.Response, state, version string, w io.Writer) error {
	var watch sync.WaitGroup
	defer watch.Wait()
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		said, _ := io.ReadAll(io.LimitReader(response.Body, maxErrorAnswer))
		return fmt.Errorf("daemon: backup: %s", strings.TrimSpace(string(said)))
	}
	m := new(backup.Moment)
	if err := json.NewDecoder(response.Body).Decode(m); err != nil {
		return fmt.Errorf("daemon: backup: %w", err)
	}
	ctx, letGo := context.WithCancelCause(ctx)
	defer letGo(nil)
	watch.Go(func() {
		_, _ = io.Copy(io.Discard, response.Body) // it ends with the daemon, or with the backup
		letGo(errLetGo)
	})
	_, err := m.Write(ctx, w, state, version)
	return err
}

// maxErrorAnswer bounds what a daemon says instead of an answer.
const maxErrorAnswer = 64 << 10
