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
	"strconv"
	"strings"

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
	learntReports = 2000 // that speculation has seen: a site's own of some months
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

// templates are the prompts of a draft, the paper's first.
var templates = []prompt.Template{prompt.Paper, prompt.Grounded}

// drafted is one model with one number of threads: theirs, ours, seconds and MB.
type drafted struct {
	Model   string    `json:"model"`
	Threads int       `json:"threads"`
	Prompts [2]int    `json:"prompt_tokens"`
	Text    int       `json:"text_tokens"`
	Ours    ourTimes  `json:"ours"`
	Peer    peerTimes `json:"llama_cpp"`
}

type peerTimes struct {
	Load    float64 `json:"load_s"`
	PeakMB  float64 `json:"peak_mb"`
	Prompts []struct {
		Prefill  float64 `json:"prefill_s"`
		HeadKept float64 `json:"head_kept_s"`
		Decode   float64 `json:"decode_s"`
	} `json:"prompts"`
}

// drafting measures every model in turn, ours and llama.cpp's, with one thread and with two.
func drafting(ctx context.Context, opts options) ([]drafted, error) {
	reports, err := reportTexts(opts.reports)
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
			row, err := c.measure(ctx, opts, folder, threads, reports)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", c.Name, err)
			}
			say("  prefill %.2f s, llama.cpp %.2f; %d tokens %.2f s, llama.cpp %.2f; drafts %.2f s, llama.cpp %.2f", row.Ours.Prefill, row.Peer.Prompts[0].Prefill,
				row.Text, row.Ours.Decode, row.Peer.Prompts[0].Decode, row.Ours.Drafts, row.Peer.Prompts[0].Prefill+row.Peer.Prompts[0].Decode)
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
	ours, peer := filepath.Join(folder, ourFolder), filepath.Join(folder, peerFile)
	if err := os.MkdirAll(ours, 0o755); err != nil {
		return err
	}
	source, err := llama.OpenSource(smolLM2)
	if err != nil {
		return err
	}
	defer source.Close()
	config := source.Config
	if c.shape == nil {
		if _, err := peerScript(ctx, opts, nil, 0, "requantise", smolLM2, peer); err != nil {
			return err
		}
	} else {
		config = c.shape
		shape, err := json.Marshal(config)
		if err != nil {
			return err
		}
		if _, err := peerScript(ctx, opts, nil, 0, "random", string(shape), smolLM2, peer); err != nil {
			return err
		}
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

// promptWork is a prompt for the peer.
type promptWork struct {
	IDs  []int `json:"ids"`
	Head int   `json:"head"` // constant tokens
}

// work is what both write: the same prompts, the same text.
type work struct {
	Rounds  int          `json:"rounds"`
	Prompts []promptWork `json:"prompts"`
	Text    []int        `json:"text"`
}

func (c compared) measure(ctx context.Context, opts options, folder string, threads int, reports []string) (*drafted, error) {
	ours := filepath.Join(folder, ourFolder)
	file, err := os.ReadFile(filepath.Join(ours, llama.TokenizerFile))
	if err != nil {
		return nil, err
	}
	tokenizer, err := llama.ParseTokenizer(file)
	if err != nil {
		return nil, err
	}
	w := work{Rounds: opts.roundsOf(c), Text: tokenizer.Encode(reports[0])}
	row := &drafted{Model: c.Name, Threads: threads, Text: len(w.Text)}
	for i, t := range templates {
		ids := tokenizer.Prompt(t.Fill(benchScores(0)))
		w.Prompts = append(w.Prompts, promptWork{ids, len(tokenizer.Prompt(t.Head)) - 1})
		row.Prompts[i] = len(ids)
	}
	input, err := json.Marshal(w)
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(reports)
	if err != nil {
		return nil, err
	}
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	runs := 1
	if threads == 1 {
		runs = 2 // the first leaves the head of the prompt on disk
	}
	for range runs {
		out, err := pinned(ctx, threads, text, program, "-measure", ours, "-rounds", strconv.Itoa(w.Rounds))
		if err == nil {
			err = json.Unmarshal(out, &row.Ours)
		}
		if err != nil {
			return nil, err
		}
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

// benchScores are another study's each time.
func benchScores(n int) study.PairScores {
	var frontal, lateral study.Scores
	for i := range frontal {
		frontal[i], lateral[i] = float32((i*37+n*11)%100)/100+0.003, float32((i*53+n*29)%100)/100+0.007
	}
	return study.PairScores{Frontal: &frontal, Lateral: &lateral}
}

// reportTexts are human reports: first one of the usual length, which is written, then others, which speculation has seen.
func reportTexts(path string) ([]string, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var texts []string
	for line := range strings.Lines(string(data)) {
		var report struct{ Findings, Impression string }
		if err := json.Unmarshal([]byte(line), &report); err != nil {
			return nil, err
		}
		if report.Findings != "" && !strings.Contains(report.Findings+report.Impression, "XXXX") { // what was taken out is no text
			texts = append(texts, report.Findings+" "+report.Impression)
		}
	}
	const characters = 4.5 * textTokens
	for i, text := range texts {
		if i > len(texts)/2 && len(text) > characters && len(text) < 1.1*characters {
			texts[0], texts[i] = texts[i], texts[0]
			break
		}
	}
	return texts[:min(len(texts), 1+learntReports)], nil
}
