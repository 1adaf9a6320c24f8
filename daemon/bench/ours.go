package main

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"llamaxr/inference/engine"
	"llamaxr/inference/llama"
	"llamaxr/inference/prompt"
	"llamaxr/internal/figures"
)

// ourTimes are medians. A draft has the head of its prompt kept and speculates.
type ourTimes struct {
	Engine     string     `json:"engine"`
	Load       float64    `json:"load_s"`
	FirstToken float64    `json:"first_token_s"` // from the start of loading, the head kept on disk
	PeakMB     float64    `json:"peak_mb"`
	Prefill    float64    `json:"prefill_s"`    // of the paper's prompt, nothing kept
	Decode     float64    `json:"decode_s"`     // without speculation
	Speculated float64    `json:"speculated_s"` // the text of the draft by the paper's prompt
	Drafts     [2]float64 `json:"draft_s"`
	Passes     int        `json:"passes"` // of the draft by the paper's prompt, after it
}

// measureOurs is the process that is measured: it reads the reports from standard input and prints times.
func measureOurs(ctx context.Context, folder string, rounds int) (*ourTimes, error) {
	var reports []string
	if err := json.NewDecoder(os.Stdin).Decode(&reports); err != nil {
		return nil, err
	}
	eng, err := engine.Open(engine.Go)
	if err != nil {
		return nil, err
	}
	now := clock()
	started := now()
	model, err := llama.Load(eng, os.DirFS(folder))
	if err != nil {
		return nil, err
	}
	t := &ourTimes{Engine: model.Engine(), Load: now() - started}
	keep := func(t prompt.Template) {
		model.SetHead(&llama.Head{Folder: filepath.Join(folder, "heads"), Text: t.Head, Key: llama.HeadKey{Model: folder, Prompt: t.Digest()}})
	}
	keep(prompt.Paper)
	model.Speculate(false)
	replay := func(text string, template prompt.Template, n int) (result *llama.Result) {
		if err == nil {
			result, err = model.Replay(ctx, template.Fill(benchScores(n)), text)
		}
		return result
	}
	replay("", prompt.Paper, 1)
	t.FirstToken = now() - started
	var prefill, decode []float64
	for range rounds {
		model.SetHead(nil)
		if _, err := model.Replay(ctx, "forget", ""); err != nil { // begins otherwise: nothing of the prompt stays
			return nil, err
		}
		began := now()
		replay("", prompt.Paper, 0)
		read := now()
		replay(reports[0], prompt.Paper, 0) // the prompt is there
		prefill, decode = append(prefill, read-began), append(decode, now()-read)
	}
	t.Prefill, t.Decode = median(prefill), median(decode)
	model.Learn(reports[1:])
	model.Speculate(true)
	for i, template := range templates {
		keep(template)
		replay("", template, 0)
		var drafts, texts []float64
		for round := range rounds {
			began := now()
			replay("", template, round+1)
			read := now()
			result := replay(reports[0], template, round+1)
			drafts, texts = append(drafts, now()-began), append(texts, now()-read)
			if i == 0 && err == nil {
				t.Passes = result.Passes
			}
		}
		t.Drafts[i] = median(drafts)
		if i == 0 {
			t.Speculated = median(texts)
		}
	}
	if err != nil {
		return nil, err
	}
	if t.PeakMB, err = status(os.Getpid(), "VmHWM"); err != nil {
		return nil, err
	}
	return t, nil
}

// clock is in seconds: of the processor where there is one thread, which other work on the machine does not lengthen, else of the wall.
func clock() func() float64 {
	if runtime.GOMAXPROCS(0) > 1 {
		began := time.Now()
		return func() float64 { return time.Since(began).Seconds() }
	}
	return func() float64 { return figures.ProcessorTime().Seconds() }
}
