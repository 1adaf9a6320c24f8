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
	"llamaxr/reporting/guard"
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
	// Others are what it offered in the place of sentences that contradict the scores, of both texts; nil where it was not asked.
	Others *[2][]Offer `json:"others,omitempty"`
}

// Offer are the sentences that the model wrote in the place of text[From:To], the last as it was taken, if one was.
type Offer struct {
	From      int      `json:"from"`
	To        int      `json:"to"`
	Sentences []string `json:"sentences"`
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
	missing := slices.DeleteFunc(slices.Clone(tests), func(t Report) bool { return written[t.UID].Others != nil })
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
		w, err := r.writeAbout(ctx, model, t, written[t.UID])
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

// writeAbout has the model write about a study, and about it with one finding's scores changed, unless it has.
func (r *run) writeAbout(ctx context.Context, model *llama.Model, t Report, w Written) (Written, error) {
	changed, f := r.simulator.Changed(t)
	prompts := [2]string{r.condition.Template.Fill(r.simulator.Scores(t)), r.condition.Template.Fill(changed)}
	began := time.Now()
	if w.UID != t.UID {
		w = Written{UID: t.UID, Finding: f}
		first, err := model.Generate(ctx, prompts[0], maxReportTokens)
		if err != nil {
			return w, err
		}
		second, err := model.Generate(ctx, prompts[1], maxReportTokens)
		if err != nil {
			return w, err
		}
		w.Text, w.Finished, w.Changed = first.Text, first.Finished, second.Text
	}
	w.Others = new([2][]Offer)
	for i, scores := range []study.PairScores{r.simulator.Scores(t), changed} {
		text := [2]string{w.Text, w.Changed}[i]
		_, err := guard.CheckAgain(text, scores, nil, func(from, to int, worth, takes func(string) bool) error {
			o := Offer{From: from, To: to}
			err := model.Others(ctx, prompts[i], text, from, to, worth, func(sentence string) bool {
				o.Sentences = append(o.Sentences, sentence)
				return takes(sentence)
			})
			w.Others[i] = append(w.Others[i], o)
			return err
		})
		if err != nil {
			return w, err
		}
	}
	w.Seconds += time.Since(began).Seconds()
	return w, nil
}

// others offers again what the model offered in the place of a sentence of one of its texts.
func (w Written) others(of int) guard.Others {
	return func(from, to int, _, takes func(string) bool) error {
		if w.Others == nil {
			return nil
		}
		for _, o := range w.Others[of] {
			if o.From == from && o.To == to {
				_ = slices.ContainsFunc(o.Sentences, takes) // up to the one that it takes
			}
		}
		return nil
	}
}
