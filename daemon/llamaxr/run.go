package main

import (
	"context"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"llamaxr/daemon"
	"llamaxr/daemon/config"
	"llamaxr/daemon/web"

	"github.com/coreos/go-systemd/v22/journal"
	"github.com/spf13/cobra"
)

func newRun() *cobra.Command {
	var file, state, listen, aeTitle, health string
	var destinations []string
	var quiet time.Duration
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Run the appliance: receive studies, draft reports, send them to the PACS",
		Long: "Runs the appliance until it is told to stop; it then drains. On SIGHUP it reads --config again: what can change while running does at\n" +
			"once, and a file that is wrong or needs a restart is refused whole, with the reason in the log. What other options say stays.",
		Args: exactly(0, "no arguments"),
	}
	f := cmd.Flags()
	f.StringVar(&file, "config", "", "configuration file; see llamaxr config explain")
	f.StringVar(&state, "state", "", "folder for images, ledger and drafts")
	f.StringVar(&listen, "listen", "", "HOST:PORT where studies arrive")
	f.StringVar(&aeTitle, "ae-title", "", "our AE title")
	f.StringArrayVar(&destinations, "destination", nil, "AET@HOST:PORT that receives drafts; may be given again")
	f.DurationVar(&quiet, "quiet-time", 0, "a study is complete when nothing came for this long")
	f.StringVar(&health, "http", "", "HOST:PORT of the reading room and /healthz")
	load := func() (config.Config, error) {
		cfg := config.Default()
		if file != "" {
			var err error
			if cfg, err = config.Load(file); err != nil {
				return config.Config{}, err
			}
		}
		set := func(name string, apply func()) {
			if f.Changed(name) {
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
					return config.Config{}, usageError{err}
				}
				cfg.Destinations = append(cfg.Destinations, d)
			}
		}
		if err := cfg.Check(); err != nil {
			return config.Config{}, usageError{err}
		}
		return cfg, nil
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return run(cmd.Context(), file, load, cmd.ErrOrStderr()) }
	return cmd
}

// run opens the appliance with what load says and serves until the service manager or a signal stops it.
func run(ctx context.Context, file string, load func() (config.Config, error), out io.Writer) error {
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP) // before anything takes time: unheard it would end the program
	signal.Ignore(syscall.SIGPIPE)         // who reads the log may go: that ends no service
	cfg, err := load()
	if err != nil {
		return err
	}
	if err := keepPrivate(); err != nil {
		return err
	}
	level := new(slog.LevelVar)
	setLevel(level, cfg)
	log := newLog(cfg, level, out)
	appliance, err := daemon.Open(cfg, version, log)
	if err != nil {
		return err
	}
	room, err := web.New(appliance, log)
	if err != nil {
		return err
	}
	appliance.Handle(room)
	go func() {
		for range hangups {
			reload(appliance, file, load, level, log)
		}
	}()
	return serve(ctx, appliance, log)
}

// reload reads the configuration again and puts it in force, or says why not.
func reload(a *daemon.Appliance, file string, load func() (config.Config, error), level *slog.LevelVar, log *slog.Logger) {
	defer reloading(log)()
	if file == "" {
		log.Warn("no configuration to read again: the appliance was started without --config")
		return
	}
	cfg, err := load()
	var changed []string
	if err == nil {
		changed, err = a.Reload(cfg)
	}
	if err != nil {
		log.Error("the changed configuration is refused; the one from before stays in force", "file", file, "error", err)
		return
	}
	setLevel(level, cfg)
	log.Info("configuration read again", "file", file, "changed", changed)
}

func setLevel(level *slog.LevelVar, cfg config.Config) {
	_ = level.UnmarshalText([]byte(cfg.LogLevel)) // checked by Config.Check
}

func newLog(cfg config.Config, level slog.Leveler, w io.Writer) *slog.Logger {
	build := func(w io.Writer, options *slog.HandlerOptions) slog.Handler { return slog.NewTextHandler(w, options) }
	if cfg.LogFormat == "json" {
		build = func(w io.Writer, options *slog.HandlerOptions) slog.Handler { return slog.NewJSONHandler(w, options) }
	}
	options := slog.HandlerOptions{Level: level}
	if is, err := journal.StderrIsJournalStream(); err == nil && is {
		return slog.New(newJournalHandler(w, options, build))
	}
	return slog.New(build(w, &options))
}
