package main

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"time"

	"llamaxr/daemon"
	"llamaxr/daemon/trial"
	"llamaxr/dicomnet"
	"llamaxr/inference"
	"llamaxr/inference/engine"
	"llamaxr/ingest/phantom"
	"llamaxr/study"
)

// turned is the time from the last image's acknowledgement to the narrative at the receiver.
type turned struct {
	Studies int     `json:"studies"`
	Median  float64 `json:"median_s"`
	P95     float64 `json:"p95_s"`
}

func turnaround(ctx context.Context, opts options) (*turned, error) {
	pacs, err := trial.StartReceiver(ctx)
	if err != nil {
		return nil, err
	}
	defer pacs.Stop()
	state, images := filepath.Join(opts.scratch, "turnaround"), filepath.Join(opts.scratch, "images")
	a, err := trial.Start(ctx, trial.Options{Program: opts.program, State: state, Log: filepath.Join(opts.scratch, "turnaround.log"), Destination: pacs.Address})
	if err != nil {
		return nil, err
	}
	defer a.Stop()
	if err := os.MkdirAll(images, 0o755); err != nil {
		return nil, err
	}
	var seconds []float64
	for i := range opts.studies + 1 {
		if i%10 == 0 {
			say("turnaround: %d of %d studies", i, opts.studies)
		}
		habit := phantom.Habits()[i%len(phantom.Habits())]
		patient := phantom.NewRandom(firstSeed + uint64(i))
		paths, err := patient.WriteDICOM(images, habit)
		if err != nil {
			return nil, err
		}
		if err := daemon.Send(ctx, dicomnet.Client{CallingAETitle: "MODALITY", CalledAETitle: trial.AETitle}, a.Address, paths, nil); err != nil {
			return nil, err
		}
		sent := time.Now()
		_, narrative, err := pacs.Wait(ctx, patient.StudyUID(), io.Discard)
		if err != nil {
			return nil, err
		}
		if i > 0 { // the first study finds everything cold
			seconds = append(seconds, narrative.Sub(sent).Seconds())
		}
	}
	return &turned{Studies: opts.studies, Median: median(seconds), P95: quantile(seconds, 0.95)}, nil
}

// firstSeed is far from the phantoms that the models were trained on.
const firstSeed = uint64(1) << 58

// speed is what the models do alone.
type speed struct {
	Engine       string  `json:"engine"`
	DenseNet     float64 `json:"densenet_ms_per_study"` // two views, scores and heat maps
	Tokens       float64 `json:"tokens_per_s"`          // written, without the prompt
	Prefill      float64 `json:"prefill_ms"`
	Report       float64 `json:"report_ms"` // prompt to last token
	ReportTokens int     `json:"report_tokens"`
}

const repeats = 20

func modelSpeed(ctx context.Context) (*speed, error) {
	eng, err := engine.Open(engine.Auto)
	if err != nil {
		return nil, err
	}
	reader, err := inference.OpenStarter(eng)
	if err != nil {
		return nil, err
	}
	say("models on %s", reader.Engine)
	var scoring, prefill, report, rate []float64
	s := &speed{Engine: reader.Engine}
	for i := range repeats + 1 { // the first finds everything cold
		views := viewsOf(firstSeed + uint64(i)) // another study each time: of its prompt only the head is kept
		started := time.Now()
		scores, _, err := reader.Score(ctx, views[0], views[1])
		if err != nil {
			return nil, err
		}
		scored := time.Now()
		written, err := reader.Write(ctx, scores, nil)
		if err != nil {
			return nil, err
		}
		if i == 0 {
			continue
		}
		scoring = append(scoring, scored.Sub(started).Seconds()*1000)
		report = append(report, time.Since(scored).Seconds()*1000)
		prefill = append(prefill, written.Prefill.Seconds()*1000)
		rate = append(rate, float64(written.NewTokens)/written.Decode.Seconds())
		s.ReportTokens = written.NewTokens
	}
	s.DenseNet, s.Prefill, s.Report, s.Tokens = median(scoring), median(prefill), median(report), median(rate)
	return s, nil
}

// viewsOf are both views of a phantom as the classifier takes them.
func viewsOf(seed uint64) []*study.Normalised {
	views := make([]*study.Normalised, 2)
	for v, view := range []study.Projection{study.Frontal, study.Lateral} {
		img := phantom.NewRandom(seed).Project(view, study.InputSize)
		views[v] = &study.Normalised{Pixels: make([]float32, len(img.Pixels)), Geometry: study.Geometry{Scale: 1, Columns: study.InputSize, Rows: study.InputSize}}
		for i, p := range img.Pixels {
			views[v].Pixels[i] = (2*p - 1) * 1024
		}
	}
	return views
}
