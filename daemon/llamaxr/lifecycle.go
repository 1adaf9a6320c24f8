package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"sync"
	"time"

	"llamaxr/daemon"

	systemd "github.com/coreos/go-systemd/v22/daemon"
	"github.com/kardianos/service"
)

// serve runs the appliance until ctx is cancelled or, under Windows' service control manager, until that says stop; it then drains.
func serve(ctx context.Context, a *daemon.Appliance, log *slog.Logger) error {
	if runtime.GOOS != "windows" || service.Interactive() {
		return supervised(ctx, a, log)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	svc, err := service.New(&program{appliance: a, log: log, ctx: ctx, cancel: cancel, done: make(chan error, 1)}, definition("windows", installation{}))
	if err != nil {
		return fmt.Errorf("service: %w", err)
	}
	return svc.Run()
}

// program is what Windows' service control manager starts and stops.
type program struct {
	appliance *daemon.Appliance
	log       *slog.Logger
	ctx       context.Context
	cancel    context.CancelFunc
	done      chan error
}

// Start implements service.Interface. An appliance that ends unasked ends the process, so that it is started again.
func (p *program) Start(service.Service) error {
	go func() {
		err := p.appliance.Run(p.ctx)
		if p.ctx.Err() == nil {
			p.log.Error("the appliance ended by itself", "error", err)
			os.Exit(exitFailed)
		}
		p.done <- err
	}()
	return nil
}

// Stop implements service.Interface.
func (p *program) Stop(service.Service) error {
	p.cancel()
	return <-p.done
}

// supervised runs the appliance and tells systemd how it is (sd_notify(3)): ready, alive, stopping. Without systemd the words go nowhere.
func supervised(ctx context.Context, a *daemon.Appliance, log *slog.Logger) error {
	tell := teller(log)
	stopping := sync.OnceFunc(func() { tell(systemd.SdNotifyStopping) })
	defer context.AfterFunc(ctx, stopping)()
	watched, stop := context.WithCancel(context.WithoutCancel(ctx)) // a drain is watched too
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		watch(watched, a, tell, log)
	}()
	err := a.Run(ctx)
	if ctx.Err() != nil {
		stopping() // which a short drain overtakes
	}
	stop()
	<-ended
	return err
}

// watch says ready once the appliance is alive, and then at half of the watchdog's interval, where the unit sets one, that it still is. When
// the appliance is stuck nothing is said, and systemd starts it again.
func watch(ctx context.Context, a *daemon.Appliance, tell func(string), log *slog.Logger) {
	alive := func() bool {
		err := a.Alive()
		if err != nil && ctx.Err() == nil {
			log.Error("the database does not commit", "error", err)
		}
		return err == nil
	}
	alive()
	tell(systemd.SdNotifyReady + "\nSTATUS=takes studies at " + a.Address())
	every, err := systemd.SdWatchdogEnabled(false)
	if err != nil || every == 0 {
		return
	}
	tick := time.NewTicker(every / 2)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if alive() {
				tell(systemd.SdNotifyWatchdog)
			}
		}
	}
}

// reloading tells systemd that the configuration is read again; call what it returns when that is done.
func reloading(log *slog.Logger) (done func()) {
	tell := teller(log)
	tell(systemd.SdNotifyReloading + "\n" + systemd.SdNotifyMonotonicUsec())
	return func() { tell(systemd.SdNotifyReady) }
}

// teller returns what sends a word to the service manager.
func teller(log *slog.Logger) func(string) {
	return func(word string) {
		if _, err := systemd.SdNotify(false, word); err != nil {
			log.Warn("telling the service manager", "error", err)
		}
	}
}
