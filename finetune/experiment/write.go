package experiment

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"

	"llamaxr/inference/llama"
	"llamaxr/study"
)

// maxReportTokens bounds a text, as the appliance does.
const maxReportTokens = 220

// Written is what the model wrote about one test study, and about its scores with one finding's changed.
type Written struct {
	UID      int           `json:"uid"`
	Text     string        `json:"text"`
	Finished bool          `json:"finished"` // the model ended it
	Finding  study.Finding `json:"finding"`
	Changed  string        `json:"changed"`
	Seconds  float64       `json:"seconds"`
}

// write writes about the test studies that have not been written about; it returns what is written, by UID.
func (r *run) write(ctx context.Context, tests []Report) (map[int]Written, error) {
	data, err := os.ReadFile(r.path(writtenFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("experiment: %w", err)
	}
	written := map[int]Written{}
	for line := range bytes.Lines(data) {
		var w Written
		if json.Unmarshal(line, &w) == nil { // a line that was cut by a kill is written again
			written[w.UID] = w
		}
	}
	missing := slices.DeleteFunc(slices.Clone(tests), func(t Report) bool { _, ok := written[t.UID]; return ok })
	if len(missing) == 0 {
		return written, nil
	}
	model, err := llama.Load(r.opts.Engine, os.DirFS(r.opts.Base))
	if err != nil {
		return nil, err
	}
	if err := model.SetAdapter(os.DirFS(r.path(adapterFolder))); err != nil {
		return nil, err
	}
	file, err := os.OpenFile(r.path(writtenFile), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("experiment: %w", err)
	}
	defer file.Close()
	if len(data) > 0 && data[len(data)-1] != '\n' {
		if _, err := file.WriteString("\n"); err != nil {
			return nil, fmt.Errorf("experiment: %w", err)
		}
	}
	for i, t := range missing {
		w, err := r.writeAbout(ctx, model, t)
		if err != nil {
			return nil, err
		}
		line, err := json.Marshal(w)
		if err != nil {
			return nil, fmt.Errorf("experiment: %w", err)
		}
		if _, err := file.Write(append(line, '\n')); err != nil {
			return nil, fmt.Errorf("experiment: %w", err)
		}
		written[t.UID] = w
		r.opts.Log("%s: %d of %d test studies written about, %.1f s", r.condition.Name, i+1, len(missing), w.Seconds)
	}
	return written, nil
}

// writeAbout has the model write about a study, and about it with one finding's scores changed.
func (r *run) writeAbout(ctx context.Context, model *llama.Model, t Report) (w Written, err error) {
	changed, f := r.simulator.Changed(t)
	began := time.Now()
	first, err := model.Generate(ctx, r.condition.Template.Fill(r.simulator.Scores(t)), maxReportTokens)
	if err != nil {
		return w, err
	}
	second, err := model.Generate(ctx, r.condition.Template.Fill(changed), maxReportTokens)
	if err != nil {
		return w, err
	}
	return Written{t.UID, first.Text, first.Finished, f, second.Text, time.Since(began).Seconds()}, nil
}
