package daemon

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"llamaxr/daemon/access"
	"llamaxr/daemon/backup"
	"llamaxr/daemon/chain"
	"llamaxr/daemon/config"
	"llamaxr/daemon/metrics"
	"llamaxr/daemon/trace"
	"llamaxr/dicomnet"
	"llamaxr/inference"
	"llamaxr/inference/engine"
	"llamaxr/inference/signing"
	"llamaxr/ingest"
	"llamaxr/ingest/atrest"
	"llamaxr/ingest/pairing/viewnet"
	"llamaxr/ingest/spool"
	"llamaxr/queue"
	"llamaxr/reporting/sr"
	"llamaxr/study"
)

// drain is how long a shutdown waits for associations that are open; systemd's TimeoutStopSec is longer.
const drain = 20 * time.Second

// databaseFile is the state's bbolt file.
const databaseFile = "llamaxr.db"

// ModelFolder is the state's registry of models.
const ModelFolder = "models"

// Appliance is the running service.
type Appliance struct {
	// settings are in force now; Reload exchanges them whole.
	settings  atomic.Pointer[config.Config]
	reloading sync.Mutex

	log   *slog.Logger
	db    *queue.DB
	spool *spool.Spool
	key   *atrest.Key // of the state's files; nil leaves them plain
	// trusted are the keys that adapters must be signed by; empty asks for none.
	trusted []ed25519.PublicKey
	views   *viewnet.Net
	reader  *inference.Reader
	engine  *engine.Engine
	tuner   tuner
	// adapting is held while the adapter in use is changed: what the registry says is in use is what drafts.
	adapting sync.Mutex
	drafts   drafts
	// drafting are the studies whose drafts are being written.
	drafting turns
	device   sr.Device
	room     room
	// readers are people whom drafting gives way to.
	readers  readers
	pictures pictureRoom
	// outlets are the systems that are told of results and events.
	outlets []outlet
	results *hl7Listener
	record  *chain.Log // of drafts

	metrics  *metrics.Metrics
	tracer   *trace.Exporter // nil without a collector
	draining atomic.Bool

	strangers *access.Rate // of refused associations in the audit log

	deciding    sync.Mutex // one association at a time has us read files for storage commitment
	credentials credentials
	receiver    *ingest.Receiver
	server      *dicomnet.Server
	listener    net.Listener
	health      *health
}

// Open prepares everything and listens; Run serves. version is the program's.
func Open(cfg config.Config, version string, log *slog.Logger) (*Appliance, error) {
	if err := cfg.Check(); err != nil {
		return nil, err
	}
	started := time.Now()
	for _, dir := range []string{cfg.State, filepath.Join(cfg.State, "drafts")} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, fmt.Errorf("daemon: state folder: %w", err)
		}
	}
	key, err := atrest.ReadKey(cfg.Encryption.Key)
	if err != nil {
		return nil, fmt.Errorf("configuration: encryption.key: %w", err)
	}
	if err := key.Check(cfg.State); err != nil {
		return nil, err
	}
	trusted, err := signing.ReadPublic(cfg.Adapters.TrustedKeys...)
	if err != nil {
		return nil, fmt.Errorf("configuration: adapters.trusted_keys: %w", err)
	}
	a := &Appliance{
		log: log, key: key, trusted: trusted, drafts: drafts{filepath.Join(cfg.State, "drafts"), key}, device: device(version),
		credentials: credentials{log: log, own: cfg.TLS}, strangers: strangerRate(), pictures: newPictureRoom(),
	}
	a.settings.Store(&cfg)
	a.newMetrics(version)
	options := upgrading(cfg.State, version, func(from queue.Form, kept string) {
		log.Warn("the state of an older program is converted", "from", from.Format, "to", queue.Format, "way_back", "llamaxr upgrade --back "+kept)
	})
	options.MaxAttempts = cfg.Limits.Attempts
	if a.db, err = queue.Open(filepath.Join(cfg.State, databaseFile), options); err != nil {
		return nil, err
	}
	debug.FreeOSMemory() // the whole ledger was read to check it
	if err := a.openTracing(version); err != nil {
		a.db.Close()
		return nil, err
	}
	if err := a.prepare(); err != nil {
		a.db.Close()
		return nil, err
	}
	log.Info("ready", "listen", a.listener.Addr().String(), "ae_title", cfg.AETitle, "tls", cfg.TLS.On(), "state", cfg.State, "destinations", len(cfg.Destinations),
		"took", time.Since(started).Round(time.Millisecond).String())
	return a, nil
}

func (a *Appliance) prepare() (err error) {
	defer func() {
		if err == nil {
			return
		}
		a.results.close()
		if a.spool != nil {
			a.spool.Close() // why it cannot be opened is told
		}
		if a.listener != nil {
			a.listener.Close()
		}
	}()
	if err := a.key.Claim(a.cfg().State); err != nil {
		return err
	}
	if err := objectsMounted(a.cfg().State, a.db); err != nil {
		return err
	}
	if a.spool, err = spool.Open(a.cfg().State, a.cfg().FreeSpace); err != nil {
		return err
	}
	a.spool.EncryptWith(a.key)
	if err := a.openOutlets(); err != nil {
		return err
	}
	a.receiver = a.newReceiver()
	if err := a.tidy(); err != nil {
		return err
	}
	if err := backup.Tidy(a.cfg().State); err != nil {
		return fmt.Errorf("daemon: removing a backup that was broken off: %w", err)
	}
	// Who connects while the models are read waits and is not refused.
	if a.listener, err = net.Listen("tcp", a.cfg().Listen); err != nil {
		return fmt.Errorf("daemon: listening: %w", err)
	}
	if a.views, err = viewnet.Shipped(); err != nil {
		return err
	}
	eng, err := engine.Open(a.cfg().Engine)
	if err != nil {
		return err
	}
	a.engine = eng
	a.log.Info("engine", "name", eng.Name, "why", eng.Why)
	if a.reader, err = inference.Open(eng, a.models()); err != nil {
		return err
	}
	a.reader.Wrote = func(w *inference.Written) {
		a.metrics.Tokens.Add(float64(w.NewTokens))
		a.metrics.Generation.WithLabelValues("prefill").Add(w.Prefill.Seconds())
		a.metrics.Generation.WithLabelValues("decode").Add(w.Decode.Seconds())
	}
	for _, c := range a.reader.Cards() {
		a.log.Info("model", "role", c.Role, "name", c.Name, "version", c.Version, "sha256", c.Digest[:16])
		if c.Starter {
			a.log.Warn(study.StarterWarning, "model", c.Name)
		}
	}
	a.server = &dicomnet.Server{
		AETitle: a.cfg().AETitle, AnyCalled: a.cfg().AnyCalled, Peers: a.cfg().ServerPeers(), TLS: a.cfg().TLS.Credentials(),
		MaxAssociations: a.cfg().Limits.Associations, MaxPDULength: a.cfg().Limits.PDULength, IdleTimeout: a.cfg().Limits.IdleTime,
		Accept: dicomnet.AcceptCommitment, NewSession: a.newSession, Stranger: a.auditStranger, Log: a.log,
	}
	if a.server.TLS != nil {
		a.server.TLS.Log = a.log
	}
	if err := a.listenResults(); err != nil {
		return err
	}
	if err := a.openRoom(); err != nil {
		return err
	}
	if err := a.metrics.Register(newGauges(a)); err != nil {
		return err
	}
	a.health, err = listenHealth(*a.cfg(), a)
	return err
}

// underWay is how many objects of an association may have been under way at a crash, and of the associations before it.
const underWay = 4

// tidy takes in what a crash left on the disk before the ledger knew of it. When the database was damaged, is missing, or is an older one, so that it
// misses more than can have been under way at once, all else that it has lost is made again too.
func (a *Appliance) tidy() error {
	if damage := a.db.Damage(); len(damage) > 0 {
		for _, d := range damage {
			a.log.Error("the database is damaged", "where", d.Where, "what", d.What)
		}
		return a.mend()
	}
	known, err := ingest.Known(a.db)
	if err != nil {
		return err
	}
	unknown, err := a.spool.Unknown(known)
	if err != nil || len(unknown) == 0 {
		return err
	}
	if n := len(unknown); len(known) == 0 || n > underWay*a.cfg().Limits.Associations {
		a.log.Error("the database is not the one of these objects: they are taken in from their files", "known", len(known), "not_known", n)
		err := a.db.Update(func(tx *queue.Tx) error {
			return tx.NoteDamage(queue.Damage{Where: "database", What: "it did not know its objects"})
		})
		if err != nil {
			return err
		}
		return a.mend()
	}
	s := survey{a, new(FsckReport), true, false}
	return s.takeIn(unknown)
}

// mendAgain is the wait after damaged records could not be set aside.
const mendAgain = time.Second

// watchRecords sets records that go bad while we run aside, and makes what they said again.
func (a *Appliance) watchRecords(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-a.db.Damaged():
		}
		moved, err := a.db.SetDamagedAside()
		if err == nil && len(moved) > 0 {
			a.log.Error("records of the database are damaged and set aside", "records", fmt.Sprint(moved))
			err = a.mend()
		}
		if err != nil && !isShutdown(err) {
			a.log.Error("setting damaged records aside", "error", err)
			pause(ctx, mendAgain)
		}
	}
}

// cfg is the configuration in force. Who needs it to be the same for several steps keeps what it returned.
func (a *Appliance) cfg() *config.Config { return a.settings.Load() }

// Address is where studies are taken.
func (a *Appliance) Address() string { return a.listener.Addr().String() }

// Run serves until ctx is cancelled, then drains: open associations end, jobs under way finish or are left for the next start.
func (a *Appliance) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	work, stopWork := context.WithCancel(context.WithoutCancel(ctx))
	defer stopWork()
	a.tuner.ctx = work
	a.startWorkers(work, &wg)
	if err := a.resumeTuning(); err != nil {
		a.log.Error("going on with a fine-tuning run", "error", err)
	}
	wg.Go(func() { a.health.serve(a.log) })
	wg.Go(func() { a.followStudies(work) })
	wg.Go(func() { a.serveAnswers(work, a.log) })
	wg.Go(func() { a.watchCertificates(work) })
	wg.Go(func() { a.watchRecords(work) })
	wg.Go(func() { a.retain(work) })
	wg.Go(func() {
		a.spool.Run(work, func(err error) { a.log.Error("received objects stay in the journal", "error", err) })
	})
	wg.Go(func() { a.scheduleTuning(work) })
	wg.Go(func() { a.results.serve(work, a.log) })
	wg.Go(func() { a.tracer.Run(work) })
	trail := a.startAuditTrail()
	wg.Go(func() { trail.run(work) })
	err := a.server.Serve(ctx, a.listener, drain)
	a.draining.Store(true)
	a.log.Info("draining")
	stopWork()
	a.health.close()
	wg.Wait()
	a.tuner.wg.Wait()
	trail.stop()
	a.room.audit.Close()
	a.record.Close()
	err = errors.Join(err, a.spool.Close(), a.db.Close())
	a.log.Info("stopped")
	return err
}

func device(version string) sr.Device {
	host, _ := os.Hostname()
	host = host[:min(len(host), 16)]
	return sr.Device{
		Manufacturer: "llamaxr", Model: "llamaxr appliance", SerialNumber: host, SoftwareVersion: version,
		UID: sr.DeriveUID("device", host), StationName: host,
		ImplementationClassUID: dicomnet.ImplementationClassUID, ImplementationVersion: dicomnet.ImplementationVersionName,
	}
}

// isShutdown reports whether an error only says that we are stopping.
func isShutdown(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, queue.ErrClosed)
}
