package inference

import (
	"context"
	"fmt"
	"io/fs"

	"llamaxr/inference/models"
	"llamaxr/study"
)

// part is one model with what a draft says of it.
type part struct {
	files    fs.FS
	card     study.ModelCard
	template string // of a language model without an adapter
	// Of a classifier, the names of its files.
	weightsFile, cardFile string
}

type parts struct {
	classifier, language part
	adapter              *part
	// verifyLanguage reads the language model's files again, where a registry gave them.
	verifyLanguage func() error
}

// choose finds the model for each role: what a registry's `use` says, else the starter's. The starter's adapter goes with its own language model
// only. What a registry gives is verified first, but for the language model, which takes as long as reading it: whoever chooses calls
// verifyLanguage before anything is drafted. A draft never comes from weights that changed on disk.
func choose(store *models.Store) (*parts, error) {
	bundle, err := models.Starter()
	if err != nil {
		return nil, err
	}
	sub := func(folder string) fs.FS {
		files, _ := fs.Sub(bundle.Files, folder) // the name is valid
		return files
	}
	out := &parts{
		classifier: part{
			files: bundle.Files, card: bundle.Card("classifier", "", models.DenseNetWeights),
			weightsFile: models.DenseNetWeights, cardFile: models.DenseNetCard,
		},
		language: part{files: sub(models.LlamaFolder), card: bundle.Card("language model", "llamaxr-starter-llama", models.LlamaFolder)},
		adapter:  &part{files: sub(models.AdapterFolder), card: bundle.Card("adapter", "llamaxr-starter-adapter", models.AdapterFolder)},

		verifyLanguage: func() error { return nil },
	}
	if store == nil {
		return out, nil
	}
	for _, role := range models.Roles {
		m, err := store.InUse(role)
		if err != nil {
			return nil, err
		}
		if m == nil {
			continue
		}
		verify := func() error {
			if err := store.Verify(context.Background(), m, nil); err != nil {
				return fmt.Errorf("inference: the %s in use: %w", role, err)
			}
			return nil
		}
		if role == models.RoleLanguageModel {
			out.verifyLanguage = verify
		} else if err := verify(); err != nil {
			return nil, err
		}
		chosen := part{files: store.Open(m), card: m.Card(), template: m.Template}
		switch role {
		case models.RoleClassifier:
			chosen.weightsFile, chosen.cardFile = models.ClassifierWeights, models.ClassifierCard
			out.classifier = chosen
		case models.RoleLanguageModel:
			out.language, out.adapter = chosen, nil
		case models.RoleAdapter:
			if m.Base == nil || m.Base.Digest != out.language.card.Digest {
				continue // made for another language model, as after the starter's own was replaced by a newer one
			}
			if chosen.files, err = store.Hold(m); err != nil { // it is laid again after each text by another, though chosen no more and removed
				return nil, fmt.Errorf("inference: the %s in use: %w", role, err)
			}
			out.adapter = &chosen
		}
	}
	return out, nil
}
