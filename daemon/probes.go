package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"llamaxr/queue"
)

// probeTime is how long a probe waits for the state.
const probeTime = 3 * time.Second

// handleProbes adds /livez, /readyz and /metrics. None of them says anything of a patient.
func (a *Appliance) handleProbes(mux *http.ServeMux) {
	answer := func(probe func(context.Context) error) http.HandlerFunc {
		return func(w http.ResponseWriter, q *http.Request) {
			ctx, cancel := context.WithTimeout(q.Context(), probeTime)
			defer cancel()
			said := struct {
				Status string `json:"status"`
			}{"ok"}
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Cache-Control", "no-store")
			if err := probe(ctx); err != nil {
				said.Status = err.Error()
				w.WriteHeader(http.StatusServiceUnavailable)
			}
			_ = json.NewEncoder(w).Encode(said)
		}
	}
	mux.HandleFunc("GET /livez", answer(a.alive))
	mux.HandleFunc("GET /readyz", answer(a.ready))
	mux.Handle("GET /metrics", a.metrics.Handler())
}

// within runs a step that takes no context and does not wait longer for it than ctx allows.
func within(ctx context.Context, what string, step func() error) error {
	done := make(chan error, 1)
	go func() { done <- step() }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return fmt.Errorf("%s does not answer", what)
	}
}

// alive says why only a restart can help: the writer of the state does not answer.
func (a *Appliance) alive(ctx context.Context) error {
	err := within(ctx, "the state's writer", a.Alive)
	if errors.Is(err, queue.ErrClosed) {
		return nil // it is stopping
	}
	if err != nil {
		return errors.New("the state cannot be written")
	}
	return nil
}

// ready says why studies cannot be taken now.
func (a *Appliance) ready(ctx context.Context) error {
	if a.draining.Load() {
		return errors.New("stopping")
	}
	if free, _ := a.Storage(); free >= 0 && free < a.cfg().FreeSpace {
		return fmt.Errorf("disk space is short: %d bytes are free, %d are kept", free, a.cfg().FreeSpace)
	}
	err := within(ctx, "the state's reader", func() error {
		return a.db.View(func(tx *queue.Tx) error { _, err := tx.Study("ready?"); return err })
	})
	if err != nil {
		return errors.New("the state cannot be read")
	}
	return a.alive(ctx)
}
