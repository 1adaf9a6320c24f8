package main

import (
	"context"
	"encoding/json"
	"os"
	"strconv"

	"llamaxr/inference/engine"
	"llamaxr/inference/xrv"
	"llamaxr/study"
)

// classifierName is what options call it.
const classifierName = "DenseNet121"

// scoringPeers are the engines that DenseNet121 is scored beside.
var scoringPeers = []string{"ONNX Runtime f32", "OpenVINO f32", "OpenVINO bf16"}

// scored are two views' times.
type scored struct {
	Threads int                `json:"threads"`
	Engine  string             `json:"engine"`
	OursMS  float64            `json:"ours_ms"`
	Peers   map[string]float64 `json:"peers_ms"`
}

// scoring measures the starter's DenseNet121, whose shape is torchxrayvision's.
func scoring(ctx context.Context, opts options) (table []scored, err error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	for _, threads := range []int{1, 2} {
		say("%s, threads %d", classifierName, threads)
		row := scored{Threads: threads}
		out, err := pinned(ctx, threads, nil, program, "-score")
		if err == nil {
			err = json.Unmarshal(out, &row)
		}
		if err != nil {
			return nil, err
		}
		if out, err = peerScript(ctx, opts, nil, threads, "densenet", classifier, strconv.Itoa(threads)); err == nil {
			err = json.Unmarshal(out, &row.Peers)
		}
		if err != nil {
			return nil, err
		}
		row.Threads = threads
		say("  ours %.1f ms, %v", row.OursMS, row.Peers)
		table = append(table, row)
	}
	return table, nil
}

// scoreOurs is the process that is measured.
func scoreOurs(ctx context.Context) (*scored, error) {
	eng, err := engine.Open(engine.Auto)
	if err != nil {
		return nil, err
	}
	weights, err := os.ReadFile(classifier)
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(classifier[:len(classifier)-len(".safetensors")] + ".json")
	if err != nil {
		return nil, err
	}
	card, err := xrv.ParseCard(text)
	if err != nil {
		return nil, err
	}
	model, err := xrv.Load(eng, weights, card)
	if err != nil {
		return nil, err
	}
	now := clock()
	var times []float64
	for i := range 30 {
		views := viewsOf(firstSeed + uint64(i%2))
		began := now()
		if _, _, err := model.Score(ctx, []study.Normalised{*views[0], *views[1]}); err != nil {
			return nil, err
		}
		if i > 0 { // the first finds everything cold
			times = append(times, 1000*(now()-began))
		}
	}
	return &scored{Engine: model.Engine(), OursMS: median(times)}, nil
}
