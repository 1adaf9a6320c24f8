package main

import (
	"bytes"
	"context"
	_ "embed" // models.py
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"llamaxr/finetune/experiment"
	"llamaxr/inference/llama"
	"llamaxr/inference/prompt"
	"llamaxr/study"
)

//go:embed models.py
var modelsScript string

// Where the setup scripts and the repository put what is measured, from the folder of go.mod.
const (
	benchPython   = ".cache/bench/bin/python"
	smolLM2       = ".cache/models/SmolLM2-135M-Instruct.Q4_1.gguf"
	classifier    = "inference/models/starter/densenet121.safetensors"
	textTokens    = 100  // of the report that is written, about
	learntReports = 2000 // that speculation has seen, at most: a site's own of some months

	experimentFolder = "out/experiment" // has the wording that is searched for drafts
)

// compared is a language model that is measured beside llama.cpp. Without a shape it is SmolLM2, else random weights.
type compared struct {
	Name  string
	shape *llama.Config
}

var comparedModels = []compared{
	{"SmolLM2-135M", nil},
	{"1B", &llama.Config{
		HiddenSize: 2048, IntermediateSize: 8192, Layers: 16, Heads: 32, KVHeads: 8, HeadDim: 64, VocabSize: 128256, MaxPositions: 4096,
		NormEpsilon: 1e-5, RopeTheta: 500000, EOS: llama.TokenIDs{2},
	}},
	{"8B", &llama.Config{
		HiddenSize: 4096, IntermediateSize: 14336, Layers: 32, Heads: 32, KVHeads: 8, HeadDim: 128, VocabSize: 128256, MaxPositions: 4096,
		NormEpsilon: 1e-5, RopeTheta: 500000, EOS: llama.TokenIDs{2},
	}},
}

// kind is drafts of one kind, each a prompt and what is written after it.
type kind struct {
	Template string   `json:"template"`
	Seen     []string `json:"seen"` // texts that speculation has learnt
	Drafts   []draft  `json:"drafts"`
}

type draft struct {
	Scores study.PairScores `json:"scores"`
	Text   string           `json:"text"`
}

// Kinds of drafts, in their order.
const (
	paperHuman    = iota // the paper's prompt, a human report
	groundedHuman        // grounded/2, the same report
	groundedOwn          // grounded/2, the reports that an adapter learns to write
	kinds
)

// drafted is one model with one number of threads: theirs, ours, seconds and MB.
type drafted struct {
	Model   string         `json:"model"`
	Threads int            `json:"threads"`
	Prompts [kinds]float64 `json:"prompt_tokens"` // means, as all that follows
	Kept    [kinds]float64 `json:"kept_tokens"`   // of the prompt, the same for all
	Texts   [kinds]float64 `json:"text_tokens"`
	Ours    ourTimes       `json:"ours"`
	Peer    peerTimes      `json:"llama_cpp"`
}

type peerTimes struct {
	Load   float64 `json:"load_s"`
	PeakMB float64 `json:"peak_mb"`
	Kinds  []struct {
		Prefill  float64 `json:"prefill_s"`
		HeadKept float64 `json:"head_kept_s"`
		Decode   float64 `json:"decode_s"`
	} `json:"kinds"`
}

// drafting measures every model in turn, ours and llama.cpp's, with one thread and with two.
func drafting(ctx context.Context, opts options) ([]drafted, error) {
	drafts, err := draftsOf(opts.reports)
	if err != nil {
		return nil, err
	}
	var table []drafted
	for _, c := range comparedModels {
		if !opts.wants(c.Name) {
			continue
		}
		if opts.layers > 0 && c.shape != nil {
			shape := *c.shape
			c.Name, c.shape, shape.Layers = fmt.Sprintf("%s, %d of %d layers", c.Name, opts.layers, shape.Layers), &shape, opts.layers
		}
		folder := filepath.Join(opts.scratch, c.Name)
		say("%s: making its files", c.Name)
		if err := c.make(ctx, opts, folder); err != nil {
			return nil, fmt.Errorf("%s: %w", c.Name, err)
		}
		for _, threads := range []int{1, 2} {
			say("%s, threads %d", c.Name, threads)
			row, err := c.measure(ctx, opts, folder, threads, drafts)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", c.Name, err)
			}
			say("  prefill %.2f s, llama.cpp %.2f; %.0f tokens %.2f s, llama.cpp %.2f; drafts %.2f s, llama.cpp %.2f", row.Ours.Prefill, row.Peer.Kinds[paperHuman].Prefill,
				row.Texts[paperHuman], row.Ours.Decode, row.Peer.Kinds[paperHuman].Decode, row.Ours.Drafts, row.Peer.whole(paperHuman))
			table = append(table, *row)
		}
		if err := os.RemoveAll(folder); err != nil { // up to 10 GB
			return nil, err
		}
	}
	return table, nil
}

const (
	ourFolder = "ours"
	peerFile  = "model.gguf"
)

// make writes a model as llama.cpp reads it and as ours does.
func (c compared) make(ctx context.Context, opts options, folder string) error {
	if err := c.makeOurs(filepath.Join(folder, ourFolder)); err != nil {
		return err
	}
	peer := filepath.Join(folder, peerFile)
	if c.shape == nil {
		_, err := peerScript(ctx, opts, nil, 0, "requantise", smolLM2, peer)
		return err
	}
	shape, err := json.Marshal(c.shape)
	if err != nil {
		return err
	}
	_, err = peerScript(ctx, opts, nil, 0, "random", string(shape), smolLM2, peer)
	return err
}

// makeOurs writes a model's folder.
func (c compared) makeOurs(ours string) error {
	if err := os.MkdirAll(ours, 0o755); err != nil {
		return err
	}
	source, err := llama.OpenSource(smolLM2)
	if err != nil {
		return err
	}
	defer source.Close()
	config := source.Config
	if c.shape != nil {
		config = c.shape
	}
	text, err := json.Marshal(config)
	if err != nil {
		return err
	}
	for name, data := range map[string][]byte{llama.ConfigFile: text, llama.TokenizerFile: source.Tokenizer} {
		if err := os.WriteFile(filepath.Join(ours, name), data, 0o600); err != nil {
			return err
		}
	}
	file, err := os.Create(filepath.Join(ours, llama.WeightsFile))
	if err != nil {
		return err
	}
	defer file.Close()
	if c.shape == nil {
		err = packTo(source, file)
	} else {
		err = llama.WriteRandomNF4(config, 8, file)
	}
	if err != nil {
		return err
	}
	return file.Close()
}

func packTo(source *llama.Source, to io.Writer) error {
	packing, err := source.Pack(llama.NF4)
	for step := 0; err == nil && step < packing.Steps(); step++ {
		err = packing.Write(step, to)
	}
	return err
}

// peerWork is what llama.cpp does: the same prompts, the same texts, as tokens.
type peerWork struct {
	Rounds int        `json:"rounds"`
	Kinds  []peerKind `json:"kinds"`
}

type peerKind struct {
	Head   int         `json:"head"` // constant tokens
	Drafts []peerDraft `json:"drafts"`
}

type peerDraft struct {
	Prompt []int `json:"prompt"`
	Text   []int `json:"text"`
}

// whole is a draft with nothing kept.
func (p *peerTimes) whole(kind int) float64 { return p.Kinds[kind].Prefill + p.Kinds[kind].Decode }

// kept is a draft with the head of the prompt kept.
func (p *peerTimes) kept(kind int) float64 { return p.Kinds[kind].HeadKept + p.Kinds[kind].Decode }

func (c compared) measure(ctx context.Context, opts options, folder string, threads int, drafts []kind) (*drafted, error) {
	ours := filepath.Join(folder, ourFolder)
	file, err := os.ReadFile(filepath.Join(ours, llama.TokenizerFile))
	if err != nil {
		return nil, err
	}
	tokenizer, err := llama.ParseTokenizer(file)
	if err != nil {
		return nil, err
	}
	work := peerWork{Rounds: opts.roundsOf(c)}
	row := &drafted{Model: c.Name, Threads: threads}
	for i, k := range drafts {
		template, err := prompt.ByName(k.Template)
		if err != nil {
			return nil, err
		}
		peer := peerKind{Head: len(tokenizer.Prompt(template.Head)) - 1}
		row.Kept[i] = float64(peer.Head)
		for _, d := range k.Drafts {
			ids, text := tokenizer.Prompt(template.Fill(d.Scores)), tokenizer.Encode(d.Text)
			peer.Drafts = append(peer.Drafts, peerDraft{ids, text})
			row.Prompts[i] += float64(len(ids)) / float64(len(k.Drafts))
			row.Texts[i] += float64(len(text)) / float64(len(k.Drafts))
		}
		work.Kinds = append(work.Kinds, peer)
	}
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	measured := func(rounds int, drafts []kind) (t ourTimes, err error) {
		input, err := json.Marshal(drafts)
		if err != nil {
			return t, err
		}
		out, err := pinned(ctx, threads, input, program, "-measure", ours, "-rounds", strconv.Itoa(rounds))
		if err != nil {
			return t, err
		}
		return t, json.Unmarshal(out, &t)
	}
	// The first leaves the heads of the prompts on disk, the next says how soon a grounded draft begins.
	if _, err := measured(0, drafts); err != nil {
		return nil, err
	}
	grounded, err := measured(0, drafts[groundedOwn:])
	if err != nil {
		return nil, err
	}
	if row.Ours, err = measured(work.Rounds, drafts); err != nil {
		return nil, err
	}
	row.Ours.FirstGrounded = grounded.FirstToken
	input, err := json.Marshal(work)
	if err != nil {
		return nil, err
	}
	out, err := peerScript(ctx, opts, input, threads, "llama", filepath.Join(folder, peerFile), strconv.Itoa(threads))
	if err == nil {
		err = json.Unmarshal(out, &row.Peer)
	}
	return row, err
}

// roundsOf a large model is one: a round takes a minute.
func (o options) roundsOf(c compared) int {
	if c.shape != nil {
		return 1
	}
	return o.rounds
}

// pinned runs a program on so many cores, 0 for all.
func pinned(ctx context.Context, threads int, input []byte, program string, args ...string) ([]byte, error) {
	if threads > 0 {
		args = append([]string{"-c", "0-" + strconv.Itoa(threads-1), program}, args...)
		program = "taskset"
	}
	cmd := exec.CommandContext(ctx, program, args...)
	var out, faults bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(input), &out, &faults
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("%s: %w: %s", filepath.Base(program), err, lastOf(faults.String()))
	}
	return out.Bytes(), nil
}

// lastOf is the end of what a program said.
func lastOf(text string) string { return text[max(0, len(text)-500):] }

func peerScript(ctx context.Context, opts options, input []byte, threads int, args ...string) ([]byte, error) {
	script := filepath.Join(opts.scratch, "models.py")
	if err := os.WriteFile(script, []byte(modelsScript), 0o600); err != nil {
		return nil, err
	}
	return pinned(ctx, threads, input, benchPython, append([]string{script}, args...)...)
}

// otherScores are a study's that is like none that is drafted.
func otherScores() study.PairScores {
	var frontal, lateral study.Scores
	for i := range frontal {
		frontal[i], lateral[i] = float32(i*37%100)/100+0.003, float32(i*53%100)/100+0.007
	}
	return study.PairScores{Frontal: &frontal, Lateral: &lateral}
}

// draftsOf makes the drafts of each kind of the public reports. Those of groundedOwn are what `make experiment` teaches (its scores are simulated)
// of test studies of which a quarter, half and three quarters take less; the human report is drafted with the scores of the middle one.
func draftsOf(path string) ([]kind, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	all, err := experiment.ReadReports(file)
	if err != nil {
		return nil, err
	}
	train, test, err := experiment.Taught(all, experiment.Options{Folder: experimentFolder, Seed: 1, Log: say})
	if err != nil {
		return nil, err
	}
	var learnt []string
	for _, lesson := range train[:learntReports] {
		learnt = append(learnt, lesson.Text)
	}
	size := func(l experiment.Lesson) int { return len(prompt.Planned.Fill(l.Scores)) + len(l.Text) }
	slices.SortStableFunc(test, func(a, b experiment.Lesson) int { return size(a) - size(b) })
	typical := func(quarter int) draft { return draft(test[len(test)*quarter/4]) }
	human := humanTexts(all)
	written := []draft{{typical(2).Scores, human[0]}}
	return []kind{
		paperHuman:    {prompt.Paper.Name, human[1:], written},
		groundedHuman: {prompt.Planned.Name, human[1:], written},
		groundedOwn:   {prompt.Planned.Name, learnt, []draft{typical(1), typical(2), typical(3)}},
	}, nil
}

// humanTexts are human reports: first one of the usual length, which is written, then others, which speculation has seen.
func humanTexts(all []experiment.Report) []string {
	var texts []string
	for _, r := range all {
		if text := r.Plain(); !strings.Contains(text, "XXXX") { // what was taken out is no text
			texts = append(texts, text)
		}
	}
	const characters = 4.5 * textTokens
	for i, text := range texts {
		if i > len(texts)/2 && len(text) > characters && len(text) < 1.1*characters {
			texts[0], texts[i] = texts[i], texts[0]
			break
		}
	}
	return texts[:min(len(texts), 1+learntReports)]
}
