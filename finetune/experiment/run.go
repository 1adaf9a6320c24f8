package experiment

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"time"

	"llamaxr/finetune/metrics"
	"llamaxr/finetune/qlora"
	"llamaxr/finetune/tune"
	"llamaxr/finetune/wording"
	"llamaxr/inference/engine"
	"llamaxr/inference/llama"
	"llamaxr/internal/figures"
	"llamaxr/study"

	"github.com/google/renameio/v2"
)

// Options are what a condition's run needs.
type Options struct {
	Folder string // of all conditions; each has its own in it
	Base   string // folder of the language model, as Import leaves it
	Seed   uint64
	Engine *engine.Engine
	Meteor string // folder of METEOR 1.5, "" for none
	Log    func(format string, args ...any)
}

// Result is what a condition came to; it lies in its folder as result.json.
type Result struct {
	Condition    Condition    `json:"condition"`
	Engine       string       `json:"engine"`
	Reports      int          `json:"training_reports"`
	Trained      Trained      `json:"trained"`
	Studies      int          `json:"studies"`
	Own          Figures      `json:"own"`       // of the model's text
	Delivered    Figures      `json:"delivered"` // of what leaves the guard
	Guard        float64      `json:"guard"`     // share of the delivered sentences that the guard wrote
	Rewritten    float64      `json:"rewritten"` // share of the delivered sentences that the model wrote anew
	Removed      float64      `json:"removed"`   // share of the model's sentences that the guard took out
	Distinct     int          `json:"distinct"`  // texts of the model
	Vectors      int          `json:"vectors"`   // distinct score vectors, as many as studies
	Unfinished   int          `json:"unfinished"`
	WriteSeconds float64      `json:"write_seconds"`
	Example      [][2]string  `json:"example,omitempty"`
	Losses       []tune.Point `json:"losses"`
	Validation   []tune.Point `json:"validation"`
}

// Trained is what training cost.
type Trained struct {
	Steps      int     `json:"steps"`
	Rows       int     `json:"rows"`
	Tokens     int     `json:"tokens"` // padding included
	Seconds    float64 `json:"seconds"`
	CPUSeconds float64 `json:"cpu_seconds"` // of both cores
	MedianStep float64 `json:"median_step_seconds"`
}

// Figures are a metrics report without its single pairs.
type Figures struct {
	Paper     map[string]float64                            `json:"paper"`
	Coco      map[string]float64                            `json:"coco"`
	Clinical  map[string]float64                            `json:"clinical"`
	Grounding map[string]float64                            `json:"grounding"`
	Intervals map[metrics.Group]map[string]metrics.Interval `json:"intervals"`
}

func figuresOf(r *metrics.Report) Figures {
	return Figures{r.Paper, r.Coco, r.Clinical, r.Grounding, r.Intervals}
}

// Files of a condition's folder.
const (
	resultFile     = "result.json"
	progressFile   = "training.json"
	checkpointFile = "checkpoint.safetensors"
	writtenFile    = "written.jsonl"
	adapterFolder  = "adapter"
)

// checkpointEvery is in steps: what a kill costs.
const checkpointEvery = 10

// ErrOtherSettings is returned for a folder that holds a run with other settings.
var ErrOtherSettings = errors.New("experiment: the folder holds a run with other settings: remove it, or name another")

// Run trains the condition's adapter and writes about the test studies. A folder that holds a part of it is gone on from; one that holds more
// test studies than are asked for keeps them.
func Run(ctx context.Context, c Condition, all []Report, opts Options) (*Result, error) {
	r := &run{condition: c, opts: opts, folder: filepath.Join(opts.Folder, c.Name), train: split(all, toTrain)}
	if err := os.MkdirAll(r.folder, 0o755); err != nil {
		return nil, fmt.Errorf("experiment: %w", err)
	}
	if err := r.load(); err != nil {
		return nil, err
	}
	r.simulator = NewSimulator(r.train, opts.Seed)
	if err := r.learn(ctx, split(all, toValidate)); err != nil {
		return nil, err
	}
	tests := TestStudies(all, c.Studies)
	written, err := r.write(ctx, tests)
	if err != nil {
		return nil, err
	}
	result, err := judge(ctx, r.simulator, opts, tests, func(t Report) Written { return written[t.UID] })
	if err != nil {
		return nil, err
	}
	result.Condition, result.Engine, result.Reports, result.Trained = c, opts.Engine.Name, len(r.train), r.progress.Trained
	result.Losses, result.Validation = r.progress.Losses, r.progress.Validation
	return result, r.putJSON(resultFile, result)
}

// TestStudies are n of the reports that never train, all when 0, always the same first.
func TestStudies(all []Report, n int) []Report {
	tests := split(all, toTest)
	rand.New(rand.NewPCG(1, streamOrder)).Shuffle(len(tests), func(i, j int) { tests[i], tests[j] = tests[j], tests[i] })
	if n > 0 && n < len(tests) {
		tests = tests[:n]
	}
	return tests
}

type run struct {
	condition Condition
	opts      Options
	folder    string
	config    *llama.Config
	weights   llama.Weights
	tokens    *llama.Tokenizer
	train     []Report
	simulator *Simulator
	progress  progress
}

// progress is what is known of the training; it lies beside the checkpoint.
type progress struct {
	Condition  Condition    `json:"condition"`
	Seed       uint64       `json:"seed"`
	Done       bool         `json:"done"`
	Trained    Trained      `json:"trained"`
	Steps      []float64    `json:"step_seconds"`
	Losses     []tune.Point `json:"losses"`
	Validation []tune.Point `json:"validation"`
}

func (r *run) load() error {
	read := map[string][]byte{}
	for _, name := range []string{llama.ConfigFile, llama.TokenizerFile, llama.WeightsFile} {
		data, err := os.ReadFile(filepath.Join(r.opts.Base, name))
		if err != nil {
			return fmt.Errorf("experiment: the language model: %w", err)
		}
		read[name] = data
	}
	var err error
	if r.config, err = llama.ParseConfig(read[llama.ConfigFile]); err != nil {
		return err
	}
	if r.weights, err = llama.ReadWeights(r.config, read[llama.WeightsFile]); err != nil {
		return err
	}
	if r.tokens, err = llama.ParseTokenizer(read[llama.TokenizerFile]); err != nil {
		return err
	}
	return r.tokens.Fit(r.config)
}

// learn trains the adapter, or goes on with it.
func (r *run) learn(ctx context.Context, validation []Report) error {
	if err := r.begun(); err != nil || r.progress.Done {
		return err
	}
	var words *wording.Wording
	if r.condition.Levers.Composed {
		var err error
		if words, err = r.opts.wording(r.train, r.simulator); err != nil {
			return err
		}
	}
	options := r.training(newLessons(r.condition, r.opts.Seed, r.simulator, words, r.train, r.tokens), validation)
	if data, err := os.ReadFile(r.path(checkpointFile)); err == nil {
		if options.Resume, err = qlora.DecodeState(data); err != nil {
			return err
		}
		r.progress.cut(options.Resume.Step)
	}
	r.weights = nil // the trainer has them
	trained, err := qlora.Train(ctx, r.opts.Engine, options)
	if err != nil {
		return err
	}
	if err := r.putAdapter(trained.Adapter); err != nil {
		return err
	}
	slices.Sort(r.progress.Steps)
	r.progress.Trained.MedianStep, r.progress.Steps = r.progress.Steps[len(r.progress.Steps)/2], nil
	r.progress.Done = true
	return r.putJSON(progressFile, r.progress)
}

// wording is what was learnt of the training reports, which is kept: the search takes a minute.
func (o Options) wording(train []Report, s *Simulator) (*wording.Wording, error) {
	path := filepath.Join(o.Folder, fmt.Sprintf("wording-%d.json", o.Seed))
	w := new(wording.Wording)
	text, err := os.ReadFile(path)
	if err == nil {
		return w, json.Unmarshal(text, w)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("experiment: %w", err)
	}
	o.Log("choosing the training reports' wording")
	if w, err = wording.New(examplesOf(train, s.Scores)); err != nil {
		return nil, err
	}
	if text, err = json.MarshalIndent(w, "", " "); err != nil {
		return nil, fmt.Errorf("experiment: %w", err)
	}
	if err := os.MkdirAll(o.Folder, 0o755); err != nil {
		return nil, fmt.Errorf("experiment: %w", err)
	}
	if err := renameio.WriteFile(path, append(text, '\n'), 0o644); err != nil {
		return nil, fmt.Errorf("experiment: %w", err)
	}
	return w, nil
}

func examplesOf(reports []Report, scores func(Report) study.PairScores) (out []wording.Example) {
	for _, r := range reports {
		out = append(out, wording.Example{Report: r.Text, Scores: scores(r)})
	}
	return out
}

// begun reads how far the training came, which must have had the same settings.
func (r *run) begun() error {
	condition := plain(r.condition)
	condition.Studies = 0 // they are not trained on
	text, err := os.ReadFile(r.path(progressFile))
	if errors.Is(err, fs.ErrNotExist) {
		r.progress = progress{Condition: condition, Seed: r.opts.Seed}
		return nil
	}
	if err != nil {
		return fmt.Errorf("experiment: %w", err)
	}
	if err := json.Unmarshal(text, &r.progress); err != nil {
		return fmt.Errorf("experiment: %s: %w", progressFile, err)
	}
	if !reflect.DeepEqual(r.progress.Condition, condition) || r.progress.Seed != r.opts.Seed {
		return fmt.Errorf("%w: %s", ErrOtherSettings, r.folder)
	}
	return nil
}

// training is what the trainer is asked for; what each step cost goes into the progress.
func (r *run) training(l *lessons, validation []Report) qlora.Options {
	c, p := r.condition, r.condition.Preset
	at, cpu, tokens := time.Now(), figures.ProcessorTime(), 0 // of the step under way
	return qlora.Options{
		Config: r.config, Base: r.weights, Rank: p.Rank, Alpha: p.Alpha, Seed: r.opts.Seed, Steps: c.Steps, Accumulate: p.Accumulate, PeakRate: p.PeakRate,
		Schedule: qlora.Linear(p.Warmup), Decay: p.Decay, Beta2: p.Beta2, EightBit: p.EightBit, CheckpointEvery: checkpointEvery, Checkpoint: r.checkpoint,
		Validate: l.validate(validation), ValidateEvery: max(c.Steps/4, 1),
		Next: func(number int) qlora.Batch {
			b := l.batch(l.drawn(number))
			tokens += b.Size * b.Length
			return b
		},
		Progress: func(step int, loss float64) {
			took, used := time.Since(at).Seconds(), (figures.ProcessorTime() - cpu).Seconds()
			t := &r.progress.Trained
			t.Steps, t.Rows, t.Tokens = step+1, t.Rows+p.Batch*max(p.Accumulate, 1), t.Tokens+tokens
			t.Seconds, t.CPUSeconds = t.Seconds+took, t.CPUSeconds+used
			at, cpu, tokens = time.Now(), figures.ProcessorTime(), 0
			r.progress.Steps = append(r.progress.Steps, took)
			r.progress.Losses = append(r.progress.Losses, tune.Point{Step: step, Loss: loss})
			r.opts.Log("%s: step %d of %d, loss %.3f, %.1f s, %.1f s of processor time", c.Name, step+1, c.Steps, loss, took, used)
		},
		Validated: func(steps int, loss float64, _ bool) {
			r.progress.Validation = append(r.progress.Validation, tune.Point{Step: steps, Loss: loss})
			r.opts.Log("%s: validation loss %.3f after %d steps", c.Name, loss, steps)
			at, cpu = time.Now(), figures.ProcessorTime()
		},
	}
}

// checkpoint keeps the trainer's state, then how far that is.
func (r *run) checkpoint(s *qlora.State) error {
	data, err := s.Encode()
	if err != nil {
		return err
	}
	if err := r.put(checkpointFile, data); err != nil {
		return err
	}
	return r.putJSON(progressFile, r.progress)
}

// cut forgets what was done after the checkpoint.
func (p *progress) cut(steps int) {
	p.Steps, p.Losses = p.Steps[:min(steps, len(p.Steps))], p.Losses[:min(steps, len(p.Losses))]
	p.Validation = slices.DeleteFunc(p.Validation, func(v tune.Point) bool { return v.Step > steps })
}

// plain is a condition as it comes back from its file.
func plain(c Condition) (out Condition) {
	text, err := json.Marshal(c)
	if err == nil {
		err = json.Unmarshal(text, &out)
	}
	if err != nil {
		panic(err) // plain values
	}
	return out
}

func (r *run) path(name string) string { return filepath.Join(r.folder, name) }

func (r *run) put(name string, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(r.path(name)), 0o755); err != nil {
		return fmt.Errorf("experiment: %w", err)
	}
	if err := renameio.WriteFile(r.path(name), data, 0o644); err != nil {
		return fmt.Errorf("experiment: %w", err)
	}
	return nil
}

func (r *run) putJSON(name string, v any) error {
	text, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		return fmt.Errorf("experiment: %w", err)
	}
	return r.put(name, append(text, '\n'))
}

func (r *run) putAdapter(a *llama.Adapter) error {
	config, data, err := llama.WriteAdapter(r.config, a, "SmolLM2-135M-Instruct")
	if err != nil {
		return err
	}
	if err := r.put(filepath.Join(adapterFolder, llama.AdapterConfigFile), config); err != nil {
		return err
	}
	if err := r.putJSON(filepath.Join(adapterFolder, llama.AdapterManifestFile), llama.AdapterManifest{Template: r.condition.Template.Name}); err != nil {
		return err
	}
	return r.put(filepath.Join(adapterFolder, llama.AdapterWeightsFile), data)
}
