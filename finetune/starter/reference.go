package starter

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"llamaxr/inference/drift"
	"llamaxr/inference/engine"
	"llamaxr/inference/models"
	"llamaxr/inference/xrv"
)

// AddReference scores the held-out phantoms with the classifier in a folder, operating points and all, and keeps how the scores are
// distributed in its card: what drift is measured against.
func AddReference(ctx context.Context, eng *engine.Engine, folder string) error {
	weights, err := os.ReadFile(filepath.Join(folder, models.DenseNetWeights))
	if err != nil {
		return fmt.Errorf("starter: %w", err)
	}
	path := filepath.Join(folder, models.DenseNetCard)
	text, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("starter: %w", err)
	}
	card := new(xrv.Card) // as it stands, without the defaults of ParseCard
	if err := json.Unmarshal(text, card); err != nil {
		return fmt.Errorf("starter: card: %w", err)
	}
	taken := *card
	model, err := xrv.Load(eng, weights, &taken)
	if err != nil {
		return err
	}
	_, scores, err := scoreHeldOut(ctx, model)
	if err != nil {
		return err
	}
	card.Reference = drift.Of("held-out phantoms", scores)
	if text, err = json.MarshalIndent(card, "", " "); err != nil {
		return fmt.Errorf("starter: %w", err)
	}
	return writeFile(path, append(text, '\n'))
}
