package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"llamaxr/daemon/auditmessage"
	"llamaxr/finetune/tune"
	"llamaxr/inference/models"
	"llamaxr/inference/signing"
	"llamaxr/queue"
	"llamaxr/study"

	"github.com/google/renameio/v2"
)

// Folders and files of fine-tuning in the state.
const (
	tuneFolder      = "finetune"
	correctionsFile = "corrections.json" // of a run: the identifiers of what it learns from
	maxTuneRequest  = 64 << 20
)

// Errors of fine-tuning.
var (
	ErrNoRun     = errors.New("daemon: no such fine-tuning run")
	errTuning    = errors.New("daemon: a fine-tuning run is under way; `llamaxr finetune stop` ends it")
	errOvertaken = errors.New("daemon: another adapter came into use while the run was under way: the gate did not compare with it")
	errNoTuner   = errors.New("daemon: no appliance runs on this state: start it with `llamaxr run`")
)

// tuner runs one fine-tuning at a time beside the drafting, which always goes first.
type tuner struct {
	mu      sync.Mutex
	running string // the run's identifier
	stop    context.CancelFunc
	live    tune.Record // of the run under way
	wg      sync.WaitGroup
	ctx     context.Context // of the appliance
}

func (a *Appliance) tuneRoot() string { return filepath.Join(a.cfg().State, tuneFolder) }

// StartTuning begins a run on all corrections, with settings in place of the preset's own; its identifier is returned at once. No preset
// is what the configuration says.
func (a *Appliance) StartTuning(presetName string, settings ...string) (string, error) {
	if learning := a.cfg().Learning; presetName == "" {
		presetName, settings = learning.Preset, append(slices.Clone(learning.Set), settings...)
	}
	preset, err := tune.PresetByName(presetName, settings...)
	if err != nil {
		return "", err
	}
	base, _, _, _ := a.reader.LanguageModel()
	if err := preset.Check(base); err != nil {
		return "", err
	}
	list, err := ledger{a.db, a.drafts}.corrections()
	if err != nil {
		return "", err
	}
	teach, err := a.standing(list.teachable())
	if err != nil {
		return "", err
	}
	if len(teach) < tune.LeastCorrections {
		return "", fmt.Errorf("daemon: corrections of %d studies are kept, a run needs at least %d", len(teach), tune.LeastCorrections)
	}
	id := time.Now().UTC().Format("20060102-150405")
	return id, a.tune(id, preset, teach, nil)
}

// tune runs in the background; a run that a crash ended goes on from its checkpoint, and judged, where not nil, is one that had its verdict. What it
// learns from is written once nothing else runs: it is not new for the next run any more.
func (a *Appliance) tune(id string, preset tune.Preset, list []*study.Correction, judged *tune.Record) error {
	a.adapting.Lock()
	base, adapter, template, digest := a.reader.LanguageModel()
	before := a.adapterInUse()
	a.adapting.Unlock()
	past, err := a.tuningRuns()
	if err != nil {
		a.log.Warn("the gate does not know what earlier adapters reached", "error", err)
	}
	t := &a.tuner
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.running != "" {
		return errTuning
	}
	folder := filepath.Join(a.tuneRoot(), id)
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return fmt.Errorf("daemon: %w", err)
	}
	var ids []string
	for _, c := range list {
		ids = append(ids, c.ID)
	}
	if err := renameio.WriteFile(filepath.Join(folder, correctionsFile), mustJSON(ids), 0o600); err != nil {
		return fmt.Errorf("daemon: %w", err)
	}
	ctx, stop := context.WithCancel(t.ctx)
	t.running, t.stop, t.live = id, stop, tune.Record{ID: id, State: tune.Running, Preset: preset}
	opts := tune.Options{
		ID: id, Folder: folder, Preset: preset, Seed: 1, Base: base, Adapter: adapter, Template: template, Digest: digest, Before: before,
		Corrections: list, Past: past, Yield: a.yield,
		Progress: func(r *tune.Record) {
			t.mu.Lock()
			defer t.mu.Unlock()
			t.live = *r
			t.live.Losses, t.live.Validation = slices.Clone(r.Losses), slices.Clone(r.Validation)
		},
	}
	a.log.Info("fine-tuning begins", "run", id, "preset", preset.Name, "corrections", len(list))
	t.wg.Go(func() {
		defer stop()
		record, err := judged, error(nil)
		if record == nil {
			record, err = tune.Run(ctx, a.engine, opts)
		}
		if err != nil && t.ctx.Err() != nil {
			record = nil // the appliance stops: the run goes on when it is started again
		}
		if record != nil {
			a.settleTuning(ctx, record, err)
		}
		t.mu.Lock()
		defer t.mu.Unlock()
		t.running = ""
	})
	return nil
}

// registryWaits is how often a run that ended looks whether the registry is free: a large model's import holds it for hours.
const registryWaits = 5 * time.Second

// untilFree tries again while others change the registry, until ctx is cancelled.
func untilFree(ctx context.Context, change func() error) error {
	for {
		if err := change(); !errors.Is(err, models.ErrBusy) || !pause(ctx, registryWaits) {
			return err
		}
	}
}

// settleTuning puts the new adapter into the registry and, when the gate lets it, to work; the run has ended once that is written. What the appliance's own end
// cuts short is done at the next start.
func (a *Appliance) settleTuning(ctx context.Context, record *tune.Record, err error) {
	folder := filepath.Join(a.tuneRoot(), record.ID)
	if err == nil {
		record.State = tune.Kept
		if record.Model == "" { // a whole model needs a restart and a person
			err = a.installLearnt(ctx, record, filepath.Join(folder, tune.AdapterFolder))
		}
		if errors.Is(err, models.ErrBusy) && a.tuner.ctx.Err() != nil {
			return
		}
		if err != nil {
			record.State, record.Error = tune.Failed, err.Error()
		}
	}
	if err := record.Write(folder); err != nil {
		a.log.Error("writing a run's record", "run", record.ID, "error", err)
	}
	a.log.Info("fine-tuning ended", "run", record.ID, "state", record.State, "adapter", record.Adapter, "error", record.Error)
}

// installLearnt imports what a run learnt and puts it to work when it may.
func (a *Appliance) installLearnt(ctx context.Context, record *tune.Record, folder string) error {
	store := a.models()
	name := "site-" + record.ID
	err := untilFree(ctx, func() error {
		_, err := store.ImportAdapter(models.AdapterImport{From: folder, Name: name, Base: store.LanguageModelName(), Now: record.Ended})
		return err
	})
	if err != nil {
		return err
	}
	if record.Adapter = name; !record.Verdict.Pass {
		return nil
	}
	err = untilFree(ctx, func() error { return a.promote(name, record.Before) })
	switch {
	case err == nil:
		record.State = tune.Promoted
	case errors.Is(err, signing.ErrUntrusted), errors.Is(err, errOvertaken): // the gate has judged it; somebody with the site's key, or who chose the other, has the last word
		record.Error, err = err.Error(), nil
	}
	return err
}

func (a *Appliance) models() *models.Store {
	return models.OpenStore(filepath.Join(a.cfg().State, ModelFolder)).Trusting(a.trusted)
}

// UseAdapter chooses an adapter of the registry, or the starter's by the name "starter", and puts it to work at once.
func (a *Appliance) UseAdapter(name string) error {
	a.adapting.Lock()
	defer a.adapting.Unlock()
	_, err := a.useAdapter(named(name))
	return err
}

// named chooses an adapter by its name.
func named(name string) func(*models.Store) (string, error) {
	return func(s *models.Store) (string, error) { return name, s.UseAdapter(name) }
}

// promote is UseAdapter of what a run learnt, unless another adapter is in use than the one that the gate compared with.
func (a *Appliance) promote(name, before string) error {
	a.adapting.Lock()
	defer a.adapting.Unlock()
	learnt, err := a.models().Get(name)
	if err != nil {
		return err
	}
	if now := a.adapterInUse(); now != before && now != learnt.Digest() { // which an earlier try put there
		return errOvertaken
	}
	_, err = a.useAdapter(named(name))
	return err
}

// adapterInUse is the digest of the adapter in use, empty where there is none.
func (a *Appliance) adapterInUse() string {
	cards := a.reader.Cards()
	if i := slices.IndexFunc(cards, func(c study.ModelCard) bool { return c.Role == string(models.RoleAdapter) }); i >= 0 {
		return cards[i].Digest
	}
	return ""
}

// useAdapter puts what is chosen to work and returns its name; adapting is held.
func (a *Appliance) useAdapter(choose func(*models.Store) (string, error)) (string, error) {
	store := a.models()
	name, err := choose(store)
	if err != nil {
		return "", err
	}
	if err := a.reader.Adapt(store); err != nil {
		return "", err
	}
	a.log.Info("adapter in use", "name", name)
	a.auditSetting(auditmessage.ActAdapter, name)
	return name, nil
}

// tuningWaits is how often a run that yields looks whether the drafting is done.
const tuningWaits = 100 * time.Millisecond

// yield waits while a study is being looked at, drafted or reported.
func (a *Appliance) yield(ctx context.Context) error {
	for {
		busy := false
		err := a.db.View(func(tx *queue.Tx) error {
			jobs, err := tx.Jobs("")
			for _, j := range jobs {
				ready := !j.Dead && !j.NotBefore.After(tx.Now())
				busy = busy || ready && (j.Kind == kindExamine || j.Kind == kindDraft || j.Kind == kindReport)
			}
			return err
		})
		if err != nil || !busy {
			return err
		}
		if !pause(ctx, tuningWaits) {
			return ctx.Err()
		}
	}
}

// resumeTuning goes on with the newest run that a stop or a crash left under way.
func (a *Appliance) resumeTuning() error {
	records, err := a.tuningRuns()
	if err != nil || len(records) == 0 {
		return err
	}
	last := records[len(records)-1]
	if last.State != tune.Running && last.State != tune.Judging {
		return nil
	}
	data, err := os.ReadFile(filepath.Join(a.tuneRoot(), last.ID, correctionsFile))
	if err != nil {
		return fmt.Errorf("daemon: resuming run %s: %w", last.ID, err)
	}
	var ids []string
	if err := json.Unmarshal(data, &ids); err != nil {
		return fmt.Errorf("daemon: resuming run %s: %w", last.ID, err)
	}
	var list []*study.Correction
	err = a.db.View(func(tx *queue.Tx) error {
		for _, id := range ids {
			c, err := tx.Correction(id)
			if err != nil {
				return err
			}
			if c != nil {
				list = append(list, c)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	var judged *tune.Record
	if last.Verdict != nil {
		judged = last
	}
	return a.tune(last.ID, last.Preset, list, judged)
}

// tuningRuns reads all records, oldest first; the one under way as it stands.
func (a *Appliance) tuningRuns() ([]*tune.Record, error) {
	records, err := readRuns(a.tuneRoot())
	if err != nil {
		return nil, err
	}
	a.tuner.mu.Lock()
	defer a.tuner.mu.Unlock()
	if a.tuner.running == "" {
		return records, nil
	}
	live := a.tuner.live
	if i := slices.IndexFunc(records, func(r *tune.Record) bool { return r.ID == live.ID }); i >= 0 {
		if records[i].State == tune.Running {
			records[i] = &live
		}
		return records, nil
	}
	return append(records, &live), nil
}

func readRuns(root string) ([]*tune.Record, error) {
	entries, err := os.ReadDir(root)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("daemon: %w", err)
	}
	var out []*tune.Record
	for _, e := range entries {
		record, err := tune.ReadRecord(filepath.Join(root, e.Name()))
		if errors.Is(err, fs.ErrNotExist) {
			continue // begun, and nothing written yet
		}
		if err != nil {
			return nil, err
		}
		out = append(out, record)
	}
	return out, nil
}

// answerTuning adds the questions and commands of fine-tuning to the state's socket.
func (a *Appliance) answerTuning(mux *http.ServeMux, reply func(http.ResponseWriter, any, error)) {
	l := ledger{a.db, a.drafts}
	mux.HandleFunc("GET /corrections", func(w http.ResponseWriter, _ *http.Request) { out, err := l.corrections(); reply(w, out, err) })
	mux.HandleFunc("POST /corrections", func(w http.ResponseWriter, r *http.Request) {
		var list []CorrectionInput
		if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxTuneRequest)).Decode(&list); err != nil {
			reply(w, nil, fmt.Errorf("daemon: corrections: %w", err))
			return
		}
		reply(w, addCorrections(a.db, a.drafts, list), nil)
	})
	mux.HandleFunc("GET /finetune", func(w http.ResponseWriter, _ *http.Request) { out, err := a.tuningRuns(); reply(w, out, err) })
	mux.HandleFunc("POST /finetune/start", func(w http.ResponseWriter, r *http.Request) {
		id, err := a.StartTuning(r.URL.Query().Get("preset"), r.URL.Query()["set"]...)
		reply(w, id, err)
	})
	mux.HandleFunc("POST /finetune/stop", func(w http.ResponseWriter, _ *http.Request) {
		id, err := a.StopTuning()
		reply(w, id, err)
	})
	mux.HandleFunc("POST /adapter/use", func(w http.ResponseWriter, r *http.Request) {
		name := r.URL.Query().Get("name")
		reply(w, name, a.UseAdapter(name))
	})
	mux.HandleFunc("POST /adapter/rollback", func(w http.ResponseWriter, _ *http.Request) {
		name, err := a.RollBackAdapter()
		reply(w, name, err)
	})
}

// TuningRuns lists the fine-tuning runs of a state, oldest first.
func TuningRuns(state string) (out []*tune.Record, err error) {
	if running, err := ask(state, http.MethodGet, "/finetune", nil, &out); running {
		return out, err
	}
	return readRuns(filepath.Join(state, tuneFolder))
}

// StartTuning asks the running appliance to begin a run.
func StartTuning(state, preset string, settings ...string) (id string, err error) {
	return command(state, "/finetune/start?"+url.Values{"preset": {preset}, "set": settings}.Encode())
}

// StopTuning ends the run under way; what it has learnt so far is dropped.
func StopTuning(state string) (id string, err error) { return command(state, "/finetune/stop") }

// UseAdapter puts an adapter to work in the running appliance, or chooses it for the next start when none runs.
func UseAdapter(state, name string) error {
	_, err := command(state, "/adapter/use?name="+url.QueryEscape(name))
	if !errors.Is(err, errNoTuner) {
		return err
	}
	registry := filepath.Join(state, ModelFolder)
	if _, err := os.Stat(registry); err != nil { // nothing was imported: a state that uses the starter's, or a folder that is none
		if err := isState(state); err != nil {
			return err
		}
	}
	return models.OpenStore(registry).UseAdapter(name)
}

func command(state, path string) (said string, err error) {
	running, err := ask(state, http.MethodPost, path, nil, &said)
	if !running && err == nil {
		err = errNoTuner
	}
	if errors.Is(err, ErrNoStudy) {
		err = ErrNoRun
	}
	return strings.TrimSpace(said), err
}

// RollBackAdapter goes back to the adapter that was in use before the present one and returns its name.
func RollBackAdapter(state string) (name string, err error) {
	if name, err = command(state, "/adapter/rollback"); !errors.Is(err, errNoTuner) {
		return name, err
	}
	return models.OpenStore(filepath.Join(state, ModelFolder)).UsePreviousAdapter()
}
