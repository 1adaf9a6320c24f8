package tune

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"time"

	"llamaxr/finetune/corrections"
	"llamaxr/finetune/qlora"
	"llamaxr/finetune/rows"
	"llamaxr/finetune/starter"
	"llamaxr/inference/engine"
	"llamaxr/inference/llama"
	"llamaxr/inference/prompt"
	"llamaxr/study"

	"github.com/google/renameio/v2"
)

// LeastCorrections is how many corrections a run needs to train on; with fewer there is no habit to learn and no gate to pass.
const LeastCorrections = 20

// Options are what a run needs.
type Options struct {
	ID     string
	Folder string // of this run: record, checkpoint, adapter
	Preset Preset
	Seed   uint64
	// Base and Adapter are the language model in use and its adapter (nil when there is none); Digest is the model's, Before the adapter's.
	Base, Adapter  fs.FS
	Template       prompt.Template
	Digest, Before string
	Corrections    []*study.Correction
	Past           []*Record // earlier runs
	GateVectors    int       // score vectors of the grounding measurement; DefaultGateVectors when 0
	Now            func() time.Time
	Yield          func(context.Context) error // before each step and each gate report
	Progress       func(*Record)               // after each step
}

// Point is one entry of a curve.
type Point struct {
	Step int     `json:"step"`
	Loss float64 `json:"loss"`
}

// States of a run.
const (
	Running  = "running"
	Judging  = "judging"  // and, once there is a verdict, being put where the verdict says
	Promoted = "promoted" // by the gate, or by a person
	Kept     = "kept"     // the gate said no, or it is a whole model; what was learnt is there, marked and explained
	Stopped  = "stopped"
	Failed   = "failed"
)

// Record is what is known of a run; it lies beside its adapter as record.json.
type Record struct {
	ID          string    `json:"id"`
	State       string    `json:"state"`
	Error       string    `json:"error,omitempty"`
	Preset      Preset    `json:"preset"`
	Seed        uint64    `json:"seed"`
	Engine      string    `json:"engine"`
	Started     time.Time `json:"started"`
	Ended       time.Time `json:"ended,omitzero"`
	Base        string    `json:"base_sha256"`
	Before      string    `json:"adapter_before_sha256,omitempty"` // which the gate compares with
	Template    string    `json:"template"`
	Train       int       `json:"train_corrections"`
	HeldOut     int       `json:"held_out_corrections"`
	Unusable    int       `json:"unusable_corrections"` // nothing was left to learn after masking
	TooLong     int       `json:"too_long_corrections"` // longer with their prompt than max_tokens
	Composed    int       `json:"composed_reports"`
	Step        int       `json:"step"`
	Steps       int       `json:"steps"`
	Loss        float64   `json:"loss"`
	TokensASec  float64   `json:"tokens_per_second"`
	SecondsLeft float64   `json:"seconds_left"`
	Losses      []Point   `json:"losses"`
	Validation  []Point   `json:"validation"`
	BestStep    int       `json:"best_step"`
	Verdict     *Verdict  `json:"verdict,omitempty"`
	Adapter     string    `json:"adapter,omitempty"` // its name in the registry
	Model       string    `json:"model,omitempty"`   // the folder of a whole model, which a person imports
}

// Files of a run's folder.
const (
	RecordFile     = "record.json"
	checkpointFile = "checkpoint.safetensors"
	AdapterFolder  = "adapter"
	ModelFolder    = "model" // in the adapter's place, of a run that trained the whole model
)

// example is one prompt with the report that is learnt.
type example struct {
	scores study.PairScores
	text   string
}

// Run trains, judges and records. A run whose folder holds a checkpoint goes on from it. One that came to a verdict is left Judging: its end is what whoever called
// makes of that.
func Run(ctx context.Context, eng *engine.Engine, opts Options) (*Record, error) {
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.Yield == nil {
		opts.Yield = func(context.Context) error { return nil }
	}
	if opts.GateVectors == 0 {
		opts.GateVectors = DefaultGateVectors
	}
	if err := os.MkdirAll(opts.Folder, 0o700); err != nil {
		return nil, fmt.Errorf("tune: %w", err)
	}
	r := &run{opts: opts, eng: eng, record: &Record{
		ID: opts.ID, State: Running, Preset: opts.Preset, Seed: opts.Seed, Engine: eng.Name, Started: opts.Now().UTC(), Base: opts.Digest, Before: opts.Before, Template: opts.Template.Name,
	}}
	err := r.all(ctx)
	r.record.Ended = opts.Now().UTC()
	switch {
	case err == nil:
	case errors.Is(err, context.Canceled):
		r.record.State, r.record.Error = Stopped, "stopped before its end"
	default:
		r.record.State, r.record.Error = Failed, err.Error()
	}
	if ctx.Err() != nil && err != nil {
		return r.record, err // what is on disk says that the run goes on; whoever stopped it writes otherwise
	}
	if saved := r.save(); err == nil {
		err = saved
	}
	return r.record, err
}

type run struct {
	opts   Options
	eng    *engine.Engine
	record *Record
	config *llama.Config
	tokens *llama.Tokenizer
}

func (r *run) all(ctx context.Context) error {
	if err := r.load(); err != nil {
		return err
	}
	train, heldOut, err := r.divide()
	if err != nil {
		return err
	}
	if len(train) < LeastCorrections {
		return fmt.Errorf("tune: %d corrections to learn from, at least %d are needed", len(train), LeastCorrections)
	}
	if len(heldOut) == 0 {
		return errors.New("tune: no patient is in the held-out part: the gate would have nothing to judge by")
	}
	choosing, judging := parted(heldOut)
	learnt, err := r.train(ctx, train, choosing)
	if err != nil {
		return err
	}
	if err := r.write(learnt); err != nil {
		return err
	}
	r.record.State = Judging
	if err := r.save(); err != nil {
		return err
	}
	if r.record.Verdict, err = r.judge(ctx, judging); err != nil {
		return err
	}
	r.record.Ended = r.opts.Now().UTC()
	if err := r.save(); err != nil {
		return err
	}
	return os.Remove(filepath.Join(r.opts.Folder, checkpointFile)) // what has a verdict is not trained again
}

// parted are the held-out corrections that choose the step whose weights are kept, and those that the gate judges by: others where there are enough, since weights
// look better than they are on what chose them. Fewer are not divided: they would hardly tell anything.
func parted(heldOut []example) (choosing, judging []example) {
	judging = heldOut[:min(len(heldOut), mostHeldOut)]
	if choosing = heldOut[len(judging):]; len(choosing) < leastChoosing {
		choosing = heldOut
	}
	return choosing, judging
}

// mostTooLong is the most corrections of a hundred that are left out for their length: with more of them left out only the short ones would be learnt.
const mostTooLong = 10

// divide makes examples of the corrections, by patient. One that does not fit whole is left out: cut off, it would teach to stop before the impression.
func (r *run) divide() (train, heldOut []example, err error) {
	longest := 0
	for _, c := range r.opts.Corrections {
		report, err := corrections.ParseReport(c.Final)
		e := example{scores: c.Scores}
		if err == nil {
			e.text = corrections.TrainingText(report)
		}
		if e.text == "" {
			r.record.Unusable++
			continue
		}
		row := r.row(e)
		longest = max(longest, row.Asked())
		switch {
		case row.Asked() > r.opts.Preset.MaxTokens:
			r.record.TooLong++
		case corrections.HeldOut(c.Patient, r.opts.Preset.HeldOut):
			heldOut = append(heldOut, e)
		default:
			train = append(train, e)
		}
	}
	r.record.Train, r.record.HeldOut = len(train), len(heldOut)
	if all := len(train) + len(heldOut) + r.record.TooLong; 100*r.record.TooLong > mostTooLong*all {
		return nil, nil, fmt.Errorf("tune: %d of %d reports are longer with their prompt than max_tokens=%d; max_tokens=%d takes all of them", r.record.TooLong, all, r.opts.Preset.MaxTokens, longest)
	}
	return train, heldOut, nil
}

// row is an example as it trains.
func (r *run) row(e example) rows.Row {
	return rows.Make(r.tokens, r.opts.Template.Fill(e.scores), e.text, r.opts.Preset.Weights)
}

func (r *run) load() error {
	read := func(name string) ([]byte, error) { return fs.ReadFile(r.opts.Base, name) }
	var err error
	if r.config, err = configOf(r.opts.Base); err != nil {
		return err
	}
	if err := r.opts.Preset.fits(r.config); err != nil {
		return err
	}
	text, err := read(llama.TokenizerFile)
	if err != nil {
		return fmt.Errorf("tune: the language model: %w", err)
	}
	if r.tokens, err = llama.ParseTokenizer(text); err != nil {
		return err
	}
	return r.tokens.Fit(r.config)
}

// composed are reports in the site's own words for scores that it never saw, in pairs that differ in one finding.
func (r *run) composed(ctx context.Context, train []example) ([]example, error) {
	pairs := int(r.opts.Preset.Composed*float64(len(train))) / 2
	if pairs == 0 {
		return nil, nil
	}
	rng := rand.New(rand.NewPCG(r.opts.Seed, 51))
	model, err := r.modelInUse()
	if err != nil {
		return nil, err
	}
	var texts, own []string
	for _, e := range train {
		texts = append(texts, e.text)
	}
	for range ownReports {
		text, err := r.generate(ctx, model, starter.RandomScores(rng))
		if err != nil {
			return nil, err
		}
		own = append(own, text)
	}
	bank := NewBank(texts, own)
	findings, err := voiceOf(train, bank, rand.New(rand.NewPCG(r.opts.Seed, 53)))
	if err != nil {
		return nil, err
	}
	conclude, err := r.concludesAlike(ctx, model, bank, train)
	if err != nil {
		return nil, err
	}
	var out []example
	for range pairs {
		scores := starter.RandomScores(rng)
		flipped := starter.Flip(scores, study.Finding(rng.IntN(study.NumFindings)), rng)
		words := rng.Uint64() // both draw the same of the site's sentences
		for _, s := range []study.PairScores{scores, flipped} {
			impression := ""
			if conclude {
				if impression, err = r.impression(ctx, model, bank, s); err != nil {
					return nil, err
				}
			}
			out = append(out, example{s, report(findings(s, rand.New(rand.NewPCG(words, 1))), impression)})
		}
	}
	return out, nil
}

const (
	// ownReports is how many reports of the adapter in use are searched for its ways of saying what the site never said.
	ownReports = 40
	// comparedImpressions is how many of the site's impressions are held against those of the adapter in use.
	comparedImpressions = 20
)

// concludesAlike reports whether the site's impressions are, most of them and but for spelling, those of the adapter in use: then composed
// reports conclude as it does. Else they have no impression, and how the site concludes is learnt from its own reports alone.
func (r *run) concludesAlike(ctx context.Context, model *llama.Model, bank *Bank, train []example) (bool, error) {
	compared := train[:min(len(train), comparedImpressions)]
	alike := 0
	for _, e := range compared {
		own, err := r.impression(ctx, model, bank, e.scores)
		if err != nil {
			return false, err
		}
		if report, err := corrections.ParseReport(e.text); err == nil && report.Impression == own {
			alike++
		}
	}
	return 2*alike > len(compared), nil
}

// impression is what the adapter in use concludes of scores, in the site's spelling.
func (r *run) impression(ctx context.Context, model *llama.Model, bank *Bank, scores study.PairScores) (string, error) {
	text, err := r.generate(ctx, model, scores)
	if err != nil {
		return "", err
	}
	report, err := corrections.ParseReport(text)
	if err != nil {
		return "", nil // it wrote none
	}
	return bank.spell(report.Impression), nil
}

// modelInUse is the language model with the adapter that drafts are written with.
func (r *run) modelInUse() (*llama.Model, error) {
	model, err := llama.Load(r.eng, r.opts.Base)
	if err != nil || r.opts.Adapter == nil {
		return model, err
	}
	return model, model.SetAdapter(r.opts.Adapter)
}

// generate lets a model write about scores, once the appliance has nothing better to do.
func (r *run) generate(ctx context.Context, model *llama.Model, scores study.PairScores) (string, error) {
	if err := r.opts.Yield(ctx); err != nil {
		return "", err
	}
	result, err := model.Generate(ctx, r.opts.Template.Fill(scores), longestReport)
	if err != nil {
		return "", err
	}
	return result.Text, nil
}

func (r *run) train(ctx context.Context, train, heldOut []example) (*qlora.Result, error) {
	base, err := llama.SourceIn(r.opts.Base)
	if err != nil {
		return nil, fmt.Errorf("tune: the language model: %w", err)
	}
	defer base.Close()
	composed, err := r.composed(ctx, train)
	if err != nil {
		return nil, err
	}
	composed = slices.DeleteFunc(composed, func(e example) bool { return r.row(e).Asked() > r.opts.Preset.MaxTokens })
	r.record.Composed = len(composed)
	all := append(train, composed...)
	p := r.opts.Preset
	r.record.Steps = p.steps(len(all))
	validate, err := batches(heldOut, p.Batch, r.row, p.MaxTokens, r.tokens.EOS)
	if err != nil {
		return nil, err
	}
	tokens, started, first := 0, r.opts.Now(), -1
	opts := qlora.Options{
		Config: r.config, Source: base, Checkpointing: p.Checkpointing, Mixed: p.Mixed, Rank: p.Rank, Alpha: p.Alpha, Prefix: p.Prefix, Seed: r.opts.Seed, Steps: r.record.Steps, Accumulate: p.Accumulate, PeakRate: p.PeakRate,
		Schedule: p.schedule(), Decay: p.Decay, Beta2: p.Beta2, EightBit: p.EightBit, Validate: validate, ValidateEvery: p.ValidateEvery,
		Patience: p.Patience, CheckpointEvery: p.Checkpoint, Checkpoint: r.checkpoint, Yield: r.opts.Yield,
		Next: func(number int) qlora.Batch {
			perEpoch := (len(all) + p.Batch - 1) / p.Batch
			order := rand.New(rand.NewPCG(r.opts.Seed, 1000+uint64(number/perEpoch))).Perm(len(all))
			var list []rows.Row
			for k := range p.Batch {
				list = append(list, r.row(all[order[(number%perEpoch*p.Batch+k)%len(all)]]))
			}
			b := rows.Batch(list, p.MaxTokens, r.tokens.EOS)
			tokens += b.Size * b.Length
			return b
		},
		Progress: func(step int, loss float64) {
			if first < 0 {
				first = step
			}
			took := r.opts.Now().Sub(started).Seconds()
			r.record.Step, r.record.Loss, r.record.TokensASec = step+1, loss, float64(tokens)/took
			r.record.SecondsLeft = took / float64(step+1-first) * float64(r.record.Steps-step-1)
			r.record.Losses = append(r.record.Losses, Point{step, loss})
			r.report()
		},
		Validated: func(steps int, loss float64, best bool) {
			r.record.Validation = append(r.record.Validation, Point{steps, loss})
			if best {
				r.record.BestStep = steps
			}
			r.report()
		},
	}
	if p.Continue {
		adapter, err := r.adapterInUse()
		if err != nil {
			return nil, err
		}
		switch {
		case adapter == nil:
		case p.full():
			if opts.Base, err = base.Weights(); err != nil {
				return nil, err
			}
			adapter.Merge(r.config, opts.Base)
		case adapter.Rank == p.Rank && adapter.Alpha == p.Alpha && adapter.Prefix.Tokens == p.Prefix && (p.Rank == 0 || len(adapter.A) == len(r.config.Linears())):
			opts.Adapter = adapter
		}
	}
	if data, err := os.ReadFile(filepath.Join(r.opts.Folder, checkpointFile)); err == nil {
		if opts.Resume, err = qlora.DecodeState(data); err != nil {
			return nil, err
		}
	}
	return qlora.Train(ctx, r.eng, opts)
}

func batches(list []example, size int, row func(example) rows.Row, longest, padding int) ([]qlora.Batch, error) {
	var out []qlora.Batch
	for len(list) > 0 {
		n := min(size, len(list))
		var made []rows.Row
		for _, e := range list[:n] {
			made = append(made, row(e))
		}
		out, list = append(out, rows.Batch(made, longest, padding)), list[n:]
	}
	return out, nil
}

// adapterInUse is the adapter that drafts are written with; nil where there is none.
func (r *run) adapterInUse() (*llama.Adapter, error) {
	if r.opts.Adapter == nil {
		return nil, nil
	}
	config, err := fs.ReadFile(r.opts.Adapter, llama.AdapterConfigFile)
	if err != nil {
		return nil, fmt.Errorf("tune: the adapter in use: %w", err)
	}
	data, err := fs.ReadFile(r.opts.Adapter, llama.AdapterWeightsFile)
	if err != nil {
		return nil, fmt.Errorf("tune: the adapter in use: %w", err)
	}
	return llama.ReadAdapter(r.config, config, data)
}

func (r *run) checkpoint(s *qlora.State) error {
	data, err := s.Encode()
	if err != nil {
		return err
	}
	if err := renameio.WriteFile(filepath.Join(r.opts.Folder, checkpointFile), data, 0o600); err != nil {
		return fmt.Errorf("tune: %w", err)
	}
	return r.save()
}

// write puts what was learnt beside the record: an adapter as a PEFT folder with its manifest, a whole model as a Hugging Face folder.
func (r *run) write(learnt *qlora.Result) error {
	if learnt.Weights != nil {
		return r.writeModel(learnt.Weights)
	}
	config, data, err := llama.WriteAdapter(r.config, learnt.Adapter, "language model "+r.opts.Digest[:min(16, len(r.opts.Digest))])
	if err != nil {
		return err
	}
	manifest, err := json.Marshal(llama.AdapterManifest{Template: r.opts.Template.Name, Base: r.opts.Digest})
	if err != nil {
		return fmt.Errorf("tune: %w", err)
	}
	return r.put(AdapterFolder, map[string][]byte{llama.AdapterConfigFile: config, llama.AdapterWeightsFile: data, llama.AdapterManifestFile: manifest})
}

// writeModel keeps 16 bits of the weights: 4 would lose most of what few steps change.
func (r *run) writeModel(weights llama.Weights) error {
	files := map[string][]byte{}
	for _, name := range []string{llama.ConfigFile, llama.TokenizerFile} {
		data, err := fs.ReadFile(r.opts.Base, name)
		if err != nil {
			return fmt.Errorf("tune: the language model: %w", err)
		}
		files[name] = data
	}
	var whole bytes.Buffer
	if err := llama.WriteWeights(r.config, weights, llama.Full, &whole); err != nil {
		return err
	}
	files[llama.WeightsFile] = whole.Bytes()
	r.record.Model = filepath.Join(r.opts.Folder, ModelFolder)
	return r.put(ModelFolder, files)
}

// put writes files into a folder of the run's.
func (r *run) put(folder string, files map[string][]byte) error {
	folder = filepath.Join(r.opts.Folder, folder)
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return fmt.Errorf("tune: %w", err)
	}
	for name, content := range files {
		if err := renameio.WriteFile(filepath.Join(folder, name), content, 0o600); err != nil {
			return fmt.Errorf("tune: %w", err)
		}
	}
	return nil
}

func (r *run) report() {
	if r.opts.Progress != nil {
		r.opts.Progress(r.record)
	}
}

func (r *run) save() error { return r.record.Write(r.opts.Folder) }

// Write puts the record into its run's folder, whole.
func (r *Record) Write(folder string) error {
	text, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return fmt.Errorf("tune: %w", err)
	}
	if err := renameio.WriteFile(filepath.Join(folder, RecordFile), append(text, '\n'), 0o600); err != nil {
		return fmt.Errorf("tune: %w", err)
	}
	return nil
}

// ReadRecord reads a run's record.
func ReadRecord(folder string) (*Record, error) {
	data, err := os.ReadFile(filepath.Join(folder, RecordFile))
	if err != nil {
		return nil, fmt.Errorf("tune: %w", err)
	}
	record := new(Record)
	if err := json.Unmarshal(data, record); err != nil {
		return nil, fmt.Errorf("tune: %s: %w", filepath.Base(folder), err)
	}
	return record, nil
}
