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

// ourTimes are medians of rounds, means of a round's drafts. A draft has the head of its prompt kept and speculates.
type ourTimes struct {
	Engine        string         `json:"engine"`
	Load          float64        `json:"load_s"`
	FirstToken    float64        `json:"first_token_s"`          // of the first kind's first draft, from the start of loading, the head kept on disk
	FirstGrounded float64        `json:"first_grounded_token_s"` // the same of a grounded draft
	PeakMB        float64        `json:"peak_mb"`
	Prefill       float64        `json:"prefill_s"` // of the first kind's first draft, nothing kept
	Decode        float64        `json:"decode_s"`  // of the same, without speculation
	Speculated    [kinds]float64 `json:"speculated_s"`
	Drafts        [kinds]float64 `json:"draft_s"`
	Passes        [kinds]float64 `json:"passes"` // of a draft, after the prompt
}

// measureOurs is the process that is measured: it reads kinds of drafts from standard input and prints times. In no rounds it only begins.
func measureOurs(ctx context.Context, folder string, rounds int) (*ourTimes, error) {
	var drafts []kind
	if err := json.NewDecoder(os.Stdin).Decode(&drafts); err != nil {
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
	model.Speculate(false)
	var template prompt.Template
	replay := func(d draft, text string) (passes int) {
		var result *llama.Result
		if err == nil {
			if result, err = model.Replay(ctx, template.Fill(d.Scores), text); err == nil {
				passes = result.Passes
			}
		}
		return passes
	}
	keep := func(name string) {
		if err == nil {
			template, err = prompt.ByName(name)
		}
		model.SetHead(&llama.Head{Folder: filepath.Join(folder, "heads"), Text: template.Head, Key: llama.HeadKey{Model: folder, Prompt: template.Digest()}})
	}
	for i, k := range drafts {
		keep(k.Template)
		replay(k.Drafts[0], "")
		if i == 0 {
			t.FirstToken = now() - started
		}
	}
	if rounds == 0 {
		return t, err
	}
	keep(drafts[0].Template)
	first := drafts[0].Drafts[0]
	var prefill, decode []float64
	for range rounds {
		model.SetHead(nil)
		if _, err := model.Replay(ctx, "forget", ""); err != nil { // begins otherwise: nothing of the prompt stays
			return nil, err
		}
		began := now()
		replay(first, "")
		read := now()
		replay(first, first.Text) // the prompt is there
		prefill, decode = append(prefill, read-began), append(decode, now()-read)
	}
	t.Prefill, t.Decode = median(prefill), median(decode)
	model.Speculate(true)
	for i, k := range drafts {
		model.Learn(k.Seen)
		keep(k.Template)
		var whole, texts []float64
		for range rounds {
			passes, spent, writing := 0, 0.0, 0.0
			for _, d := range k.Drafts {
				replay(draft{Scores: otherScores()}, "") // of the prompt only the head is kept
				began := now()
				replay(d, "")
				read := now()
				passes += replay(d, d.Text)
				spent, writing = spent+now()-began, writing+now()-read
			}
			n := float64(len(k.Drafts))
			whole, texts = append(whole, spent/n), append(texts, writing/n)
			t.Passes[i] = float64(passes) / n
		}
		t.Drafts[i], t.Speculated[i] = median(whole), median(texts)
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
