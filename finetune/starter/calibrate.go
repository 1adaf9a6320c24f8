package starter

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"slices"

	"llamaxr/inference/engine"
	"llamaxr/inference/models"
	"llamaxr/inference/xrv"
	"llamaxr/study"
)

// heldOutFirst is where the seeds of held-out phantoms begin, far from every training seed; heldOutCases is their number.
const (
	heldOutFirst = uint64(1) << 60
	heldOutCases = 300
)

// export scores held-out phantoms with the weights as they will ship, sets the operating points and writes weights and card.
func (s *denseState) export(ctx context.Context, eng *engine.Engine, opts DenseNetOptions, record *DenseNetRecord) error {
	var weights bytes.Buffer
	if _, err := s.stateDict().WriteTo(&weights); err != nil {
		return fmt.Errorf("starter: %w", err)
	}
	half := 0.5
	card := &xrv.Card{Name: "llamaxr-starter-densenet121-res224"}
	for _, f := range study.Findings() {
		card.Labels = append(card.Labels, f.String())
		card.Thresholds = append(card.Thresholds, &half) // op_norm at 0.5 is the sigmoid itself
	}
	model, err := xrv.Load(eng, weights.Bytes(), card)
	if err != nil {
		return err
	}
	examples, scores, err := scoreHeldOut(ctx, model)
	if err != nil {
		return err
	}
	record.HeldOut = heldOutCases
	record.AUC, record.Frontal, record.Lateral = map[string]float64{}, map[string]float64{}, map[string]float64{}
	record.MeanAUC = 0
	for _, f := range study.Findings() {
		var truth []bool
		var both, frontal, lateral []float64
		for i, s := range scores {
			truth = append(truth, examples[2*i].labels[f])
			frontal, lateral = append(frontal, float64(s.Frontal[f])), append(lateral, float64(s.Lateral[f]))
			both = append(both, float64(max(s.Frontal[f], s.Lateral[f])))
		}
		record.AUC[f.String()], record.Frontal[f.String()], record.Lateral[f.String()] = auc(both, truth), auc(frontal, truth), auc(lateral, truth)
		record.MeanAUC += record.AUC[f.String()] / study.NumFindings
		threshold := clampf(bestF1(both, truth), 0.02, 0.98)
		card.Thresholds[f] = &threshold
		fmt.Fprintf(opts.Log, "  %-27s AUC study %.3f frontal %.3f lateral %.3f threshold %.3f\n", f, record.AUC[f.String()],
			record.Frontal[f.String()], record.Lateral[f.String()], threshold)
	}
	fmt.Fprintf(opts.Log, "  mean AUC %.3f on %d held-out phantoms\n", record.MeanAUC, heldOutCases)
	if card.Record, err = json.Marshal(record); err != nil {
		return fmt.Errorf("starter: %w", err)
	}
	text, err := json.MarshalIndent(card, "", " ")
	if err != nil {
		return fmt.Errorf("starter: %w", err)
	}
	if err := writeFile(opts.Out+"/"+models.DenseNetWeights, weights.Bytes()); err != nil {
		return err
	}
	return writeFile(opts.Out+"/"+models.DenseNetCard, append(text, '\n'))
}

// score gives both views of each case to the classifier.
func score(examples []example, classify func(frontal, lateral *study.Normalised) (study.PairScores, error)) ([]study.PairScores, error) {
	scores := make([]study.PairScores, len(examples)/2)
	for i := range scores {
		var views [2]study.Normalised
		for v := range views {
			views[v].Pixels = make([]float32, len(examples[2*i+v].pixels))
			for p, level := range examples[2*i+v].pixels {
				views[v].Pixels[p] = (2*float32(level)/255 - 1) * 1024
			}
		}
		var err error
		if scores[i], err = classify(&views[0], &views[1]); err != nil {
			return nil, err
		}
	}
	return scores, nil
}

func clampf(x, lo, hi float64) float64 { return min(max(x, lo), hi) }

// auc is the area under the ROC curve: the chance that a true case scores above a false one, ties counting half.
func auc(scores []float64, truth []bool) float64 {
	var wins, pairs float64
	for i, a := range scores {
		for j, b := range scores {
			if truth[i] && !truth[j] {
				pairs++
				if a > b {
					wins++
				} else if a == b {
					wins += 0.5
				}
			}
		}
	}
	if pairs == 0 {
		return math.NaN()
	}
	return wins / pairs
}

// bestF1 is the threshold with the highest F1, in the middle of its gap.
func bestF1(scores []float64, truth []bool) float64 {
	sorted := slices.Clone(scores)
	slices.Sort(sorted)
	best, at := -1.0, 0.5
	for k := 1; k < len(sorted); k++ {
		cut := (sorted[k-1] + sorted[k]) / 2
		var tp, fp, fn float64
		for i, s := range scores {
			switch {
			case s >= cut && truth[i]:
				tp++
			case s >= cut:
				fp++
			case truth[i]:
				fn++
			}
		}
		if f1 := 2 * tp / (2*tp + fp + fn); f1 > best {
			best, at = f1, cut
		}
	}
	return at
}

// scoreHeldOut scores the held-out phantoms: an example of each view, the frontal first, and the scores of each pair.
func scoreHeldOut(ctx context.Context, model *xrv.Model) ([]example, []study.PairScores, error) {
	examples := render(ctx, heldOutFirst, heldOutCases, study.InputSize, func(int) {})
	scores, err := score(examples, func(frontal, lateral *study.Normalised) (study.PairScores, error) {
		got, _, err := model.Score(ctx, []study.Normalised{*frontal, *lateral})
		if err != nil {
			return study.PairScores{}, err
		}
		return study.PairScores{Frontal: &got[0], Lateral: &got[1]}, nil
	})
	return examples, scores, err
}
