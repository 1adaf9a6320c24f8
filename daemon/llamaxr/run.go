package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"time"

	"llamaxr/daemon"
	"llamaxr/daemon/config"
	"llamaxr/daemon/web"

	"github.com/kardianos/service"
	"github.com/spf13/cobra"
)

// program is the service that kardianos/service starts and stops.
type program struct {
	appliance *daemon.Appliance
	cancel    context.CancelFunc
	done      chan error
}

// Start implements service.Interface.
func (p *program) Start(service.Service) error {
	ctx, cancel := context.WithCancel(context.Background())
	p.cancel, p.done = cancel, make(chan error, 1)
	go func() { p.done <- p.appliance.Run(ctx) }()
	return nil
}

// Stop implements service.Interface: it drains.
func (p *program) Stop(service.Service) error {
	p.cancel()
	return <-p.done
}

func newRun() *cobra.Command {
	var file, state, listen, aeTitle, health string
	var destinations []string
	var quiet time.Duration
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Run the appliance: receive studies, draft reports, send them to the PACS",
		Args:  exactly(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg := config.Default()
			if file != "" {
				var err error
				if cfg, err = config.Load(file); err != nil {
					return err
				}
			}
			set := func(name string, apply func()) {
				if cmd.Flags().Changed(name) {
					apply()
				}
			}
			set("state", func() { cfg.State = state })
			set("listen", func() { cfg.Listen = listen })
			set("ae-title", func() { cfg.AETitle = aeTitle })
			set("quiet-time", func() { cfg.QuietTime = quiet })
			set("http", func() { cfg.HTTP = health })
			if len(destinations) > 0 {
				cfg.Destinations = nil
				for _, text := range destinations {
					d, err := config.ParseDestination(text)
					if err != nil {
						return usageError{err}
					}
					cfg.Destinations = append(cfg.Destinations, d)
				}
			}
			if err := cfg.Check(); err != nil {
				return usageError{err}
			}
			log := newLog(cfg, cmd.ErrOrStderr())
			appliance, err := daemon.Open(cfg, version, log)
			if err != nil {
				return err
			}
			room, err := web.New(appliance, log)
			if err != nil {
				return err
			}
			appliance.Handle(room)
			svc, err := service.New(&program{appliance: appliance}, &service.Config{Name: "llamaxr", DisplayName: "llamaxr"})
			if err != nil {
				return fmt.Errorf("service: %w", err)
			}
			return svc.Run()
		},
	}
	f := cmd.Flags()
	f.StringVar(&file, "config", "", "configuration file; see llamaxr config explain")
	f.StringVar(&state, "state", "", "folder for images, ledger and drafts")
	f.StringVar(&listen, "listen", "", "HOST:PORT where studies arrive")
	f.StringVar(&aeTitle, "ae-title", "", "our AE title")
	f.StringArrayVar(&destinations, "destination", nil, "AET@HOST:PORT that receives drafts; may be given again")
	f.DurationVar(&quiet, "quiet-time", 0, "a study is complete when nothing came for this long")
	f.StringVar(&health, "http", "", "HOST:PORT of the reading room and /healthz")
	return cmd
}

func newLog(cfg config.Config, w io.Writer) *slog.Logger {
	var level slog.Level
	_ = level.UnmarshalText([]byte(cfg.LogLevel)) // checked by Config.Check
	options := &slog.HandlerOptions{Level: level}
	if cfg.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}
