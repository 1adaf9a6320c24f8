package daemon

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"llamaxr/daemon/config"
	"llamaxr/daemon/dicomweb"
	"llamaxr/queue"
)

// health is the HTTP side: /healthz says in JSON whether the appliance works and what waits; the rest is what Handle was given.
type health struct {
	listener net.Listener
	server   *http.Server
	mux      *http.ServeMux
	leaving  context.CancelFunc // ends answers that go on for ever
}

// Limits of HTTP. A page's images are some 30 MB; what streams lifts its own deadline.
const (
	httpTimeout      = 5 * time.Second
	httpReadTimeout  = 15 * time.Second
	httpWriteTimeout = 2 * time.Minute
	httpIdleTimeout  = 2 * time.Minute
	maxHTTPHeader    = 32 << 10
)

func listenHealth(cfg config.Config, a *Appliance) (*health, error) {
	if cfg.HTTP == "" {
		return nil, nil
	}
	listener, err := net.Listen("tcp", cfg.HTTP)
	if err != nil {
		return nil, fmt.Errorf("daemon: listening for HTTP: %w", err)
	}
	if cfg.HTTPCert != "" {
		if listener, err = secure(listener, cfg.HTTPCert, cfg.HTTPKey); err != nil {
			return nil, err
		}
	}
	a.log.Info("reading room", "address", listener.Addr().String(), "tls", cfg.HTTPCert != "")
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		status := a.status()
		w.Header().Set("Content-Type", "application/json")
		if status.Status != "ok" {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		_ = json.NewEncoder(w).Encode(status)
	})
	if cfg.DICOMweb {
		mux.Handle(dicomweb.Path+"/", a.webServices())
		a.log.Info("DICOMweb", "path", dicomweb.Path, "open_to_this_machine", cfg.DICOMwebOpen)
	}
	a.handleProbes(mux)
	base, leaving := context.WithCancel(context.Background())
	return &health{listener, &http.Server{
		Handler: mux, ReadHeaderTimeout: httpTimeout, ReadTimeout: httpReadTimeout, WriteTimeout: httpWriteTimeout, IdleTimeout: httpIdleTimeout,
		MaxHeaderBytes: maxHTTPHeader, ConnState: newConnections(maxHTTPConnections).note, BaseContext: func(net.Listener) context.Context { return base },
		ErrorLog: slog.NewLogLogger(a.log.Handler(), slog.LevelDebug),
	}, mux, leaving}, nil
}

// secure puts TLS 1.2 or later before a listener. The files are read anew for each connection: a renewed certificate is in force at once.
func secure(listener net.Listener, certificate, key string) (net.Listener, error) {
	load := func() (*tls.Certificate, error) {
		pair, err := tls.LoadX509KeyPair(certificate, key)
		if err != nil {
			return nil, fmt.Errorf("daemon: certificate of the reading room: %w", err)
		}
		return &pair, nil
	}
	if _, err := load(); err != nil {
		listener.Close()
		return nil, err
	}
	return tls.NewListener(listener, &tls.Config{
		MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return load() },
	}), nil
}

// Handle adds the reading room to the HTTP side; call it before Run.
func (a *Appliance) Handle(room http.Handler) {
	if a.health != nil {
		a.health.mux.Handle("/", room)
	}
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
	h.leaving()
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
