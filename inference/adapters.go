package inference

import (
	"context"
	"errors"
	"fmt"

	"llamaxr/inference/models"
	"llamaxr/study"
)

// ErrNoSuchAdapter is returned for an adapter that the language model in use cannot take.
var ErrNoSuchAdapter = errors.New("inference: no such adapter for the language model in use")

// Adapters names the adapters that the language model in use can take, the starter's first. It is empty for a model that runs without one:
// an adapter can be exchanged, not taken off.
func (r *Reader) Adapters(store *models.Store) ([]string, error) {
	chosen := r.inUse.Load()
	if chosen.adapter == nil {
		return nil, nil
	}
	starter, err := choose(nil)
	if err != nil {
		return nil, err
	}
	var names []string
	if starter.language.card.Digest == chosen.language.card.Digest {
		names = append(names, models.StarterName)
	}
	all, err := store.List()
	for _, m := range all {
		if m.Kind == models.KindAdapter && m.Base != nil && m.Base.Digest == chosen.language.card.Digest {
			names = append(names, m.Name)
		}
	}
	return names, err
}

// WriteAs is Write with another adapter, one that Adapters names. Whatever comes of it, the next text is written with the adapter in use.
func (r *Reader) WriteAs(ctx context.Context, scores study.PairScores, store *models.Store, adapter string, read Reading) (*Written, error) {
	part, err := r.adapterPart(store, adapter)
	if err != nil {
		return nil, err
	}
	r.writing.Lock()
	defer r.writing.Unlock()
	other := *r.inUse.Load().parts
	if other.adapter == nil || other.language.card.Digest != part.base {
		return nil, fmt.Errorf("%w: %s", ErrNoSuchAdapter, adapter)
	}
	other.adapter = &part.part
	if err := r.lay(&other); err != nil {
		return nil, errors.Join(err, r.goBack())
	}
	written, err := r.write(ctx, scores, read)
	if back := r.goBack(); back != nil {
		return nil, errors.Join(err, back)
	}
	return written, err
}

// goBack puts the adapter in use over the model again after a text by another; writing is held.
func (r *Reader) goBack() error {
	in := r.inUse.Load()
	if r.laid == in {
		return nil
	}
	if err := r.lay(in.parts); err != nil {
		return fmt.Errorf("inference: going back to the adapter in use: %w", err)
	}
	r.laid = in
	return nil
}

// goBackAlone is goBack for who does not hold writing.
func (r *Reader) goBackAlone() error {
	r.writing.Lock()
	defer r.writing.Unlock()
	return r.goBack()
}

// adapterFor is an adapter with the digest of its language model.
type adapterFor struct {
	part part
	base string
}

func (r *Reader) adapterPart(store *models.Store, name string) (*adapterFor, error) {
	if name == models.StarterName {
		starter, err := choose(nil)
		if err != nil {
			return nil, err
		}
		return &adapterFor{*starter.adapter, starter.language.card.Digest}, nil
	}
	m, err := store.Get(name)
	if errors.Is(err, models.ErrUnknown) || err == nil && (m.Kind != models.KindAdapter || m.Base == nil) {
		return nil, fmt.Errorf("%w: %s", ErrNoSuchAdapter, name)
	}
	if err == nil {
		err = store.Verify(context.Background(), m, nil)
	}
	if err != nil {
		return nil, fmt.Errorf("inference: adapter %s: %w", name, err)
	}
	return &adapterFor{part{files: store.Open(m), card: m.Card()}, m.Base.Digest}, nil
}
