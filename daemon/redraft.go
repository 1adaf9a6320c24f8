package daemon

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"llamaxr/inference"
	"llamaxr/inference/models"
	"llamaxr/queue"
	"llamaxr/study"
)

// Errors of redrafting that a reader can mend.
var (
	ErrOnItsWay  = errors.New("daemon: images or a newer draft of the study are on their way")
	ErrNoAdapter = errors.New("daemon: there is no such adapter for the language model in use")
)

// Adapters names the adapters that a study can be drafted with.
func (a *Appliance) Adapters() ([]string, error) { return a.reader.Adapters(a.models()) }

// Redraft asks for the next revision of a draft, written by a named adapter. The text as it stands stays with its revision, and a reader who
// did not see it as it stands is refused, as he is who saves.
func (a *Appliance) Redraft(uid string, by Hand, adapter string, e Edit) (*queue.Reading, error) {
	names, err := a.Adapters()
	if err != nil {
		return nil, err
	}
	if !slices.Contains(names, adapter) {
		return nil, ErrNoAdapter
	}
	return a.changeReading(uid, by, e, func(tx *queue.Tx, r *queue.Reading, s *queue.Study) error {
		switch {
		case r.State != queue.ReadingOpen:
			return ErrNotOpen
		case !a.rests(s) || s.Revision != e.Revision:
			return ErrOnItsWay
		}
		a.drafts.regain(s)
		s.Revision++
		s.State, s.Reason = queue.Complete, ""
		s.Redraft = &queue.Redraft{Revision: s.Revision, Adapter: adapter, By: by.User}
		s.Note(tx.Now(), fmt.Sprintf("%s asked for revision %d of the draft by adapter %s", by.User, s.Revision, adapter))
		if err := tx.PutStudy(s); err != nil {
			return err
		}
		return anew(tx, draftJob(s))
	})
}

// rests reports whether a study's draft is written and nothing is on its way: a draft that could not be sent somewhere can be made anew as well.
func (a *Appliance) rests(s *queue.Study) bool {
	return s.State == queue.Drafted || s.State == queue.Delivered || s.State == queue.Failed && a.Drafted(s.UID, s.Revision)
}

// writing is what writes a revision: the adapter in use, or the one that a reader asked for. An adapter that is gone is no reason to try again.
func (a *Appliance) writing(uid string, revision int) (write Writing, err error) {
	var s *queue.Study
	if err := a.db.View(func(tx *queue.Tx) (err error) { s, err = tx.Study(uid); return err }); err != nil {
		return nil, err
	}
	if s == nil || s.Redraft == nil || s.Redraft.Revision != revision {
		return a.reader.Write, nil
	}
	return func(ctx context.Context, scores study.PairScores, read inference.Reading) (*inference.Written, error) {
		written, err := a.reader.WriteAs(ctx, scores, a.models(), s.Redraft.Adapter, read)
		if errors.Is(err, inference.ErrNoSuchAdapter) || errors.Is(err, models.ErrDamaged) {
			err = queue.Permanent(err)
		}
		return written, err
	}, nil
}

// Drafted reports whether a revision's draft is written.
func (a *Appliance) Drafted(uid string, revision int) bool { return a.drafts.has(uid, revision) }
