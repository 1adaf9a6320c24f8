package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"llamaxr/queue"
)

// health is the HTTP side: /healthz says in JSON whether the appliance works and what waits.
type health struct {
	listener net.Listener
	server   *http.Server
}

// httpTimeout bounds a request to /healthz.
const httpTimeout = 5 * time.Second

func listenHealth(address string, a *Appliance) (*health, error) {
	if address == "" {
		return nil, nil
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("daemon: listening for HTTP: %w", err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		status := a.status()
		w.Header().Set("Content-Type", "application/json")
		if status.Status != "ok" {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		_ = json.NewEncoder(w).Encode(status)
	})
	return &health{listener, &http.Server{Handler: mux, ReadTimeout: httpTimeout, WriteTimeout: httpTimeout}}, nil
}

func (h *health) serve(log *slog.Logger) {
	if h == nil {
		return
	}
	if err := h.server.Serve(h.listener); err != nil && !errors.Is(err, http.ErrServerClosed) {
		log.Error("serving HTTP", "error", err)
	}
}

func (h *health) close() {
	if h == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), httpTimeout)
	defer cancel()
	_ = h.server.Shutdown(ctx)
}

// Status is what /healthz says.
type Status struct {
	Status      string         `json:"status"` // ok, or what is wrong
	Engine      string         `json:"engine"`
	Listen      string         `json:"listen"`
	Jobs        map[string]int `json:"jobs"` // waiting, by kind
	DeadLetters int            `json:"dead_letters"`
	// Certificates that the configuration names, the first to expire in front.
	Certificates []CertificateStatus `json:"certificates,omitempty"`
}

func (a *Appliance) status() Status {
	s := Status{Status: "ok", Engine: a.reader.Engine, Listen: a.Address(), Jobs: map[string]int{}}
	err := a.db.View(func(tx *queue.Tx) error {
		jobs, err := tx.Jobs("")
		for _, j := range jobs {
			if j.Dead {
				s.DeadLetters++
			} else {
				s.Jobs[j.Kind]++
			}
		}
		return err
	})
	if err != nil {
		s.Status = "state cannot be read: " + err.Error()
	}
	if s.Certificates, err = a.certificates(time.Now()); err != nil {
		s.Status = err.Error()
	}
	return s
}
