package daemon

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"llamaxr/daemon/config"
	"llamaxr/inference"
	"llamaxr/ingest/pairing"
	"llamaxr/queue"
	"llamaxr/study"
)

// examine looks at one object's pixels: what the picture says of its view.
func (a *Appliance) examine(ctx context.Context, lease *queue.Lease) error {
	uid, err := payloadOf[string](lease)
	if err != nil {
		return err
	}
	instance, err := a.instance(uid)
	if err != nil || instance == nil {
		return fmt.Errorf("daemon: instance %s: %w", uid, err)
	}
	if err := a.whole(instance); err != nil {
		return err
	}
	var looked *queue.Examination // of a file that is gone nothing is kept: it is looked at when it comes again
	if instance.Gone == "" {
		looked = &queue.Examination{Reason: pairing.Unsuited(instance.Header, a.pairing())}
	}
	if looked != nil && looked.Reason == "" {
		seen := Examine(ctx, a.views, a.picture, a.spool.Path(instance.Path))
		if seen.Fault != nil {
			return seen.Fault
		}
		looked = seen.Examination()
	}
	if err := ctx.Err(); err != nil {
		return err // a stop is no property of the picture: the job is here again at the next start
	}
	return a.done(lease, func(tx *queue.Tx) error {
		instance, err := tx.Instance(uid)
		if err != nil || instance == nil {
			return err
		}
		if instance.Gone == "" {
			if looked == nil {
				return errCameBack
			}
			instance.Examined = looked
			if err := tx.PutInstance(instance); err != nil {
				return err
			}
		}
		s, err := tx.Study(instance.Header.StudyInstanceUID)
		if err != nil || s == nil || s.State == queue.Receiving || slices.Contains(s.Drafted, uid) {
			return err
		}
		s.State, s.Reason = queue.Receiving, "" // looking at it had been given up
		if err := tx.Postpone(completionJob(s.UID, tx.Now(), false)); err != nil {
			return err
		}
		return tx.PutStudy(s)
	})
}

// errCameBack has an object looked at that came again while it was found to be gone.
var errCameBack = errors.New("daemon: the object came again")

func (a *Appliance) pairing() pairing.Config {
	return pairing.Config{MinimumAge: a.cfg().MinimumAge, Captures: a.cfg().Captures}
}

func candidateOf(i *queue.Instance) pairing.Candidate {
	c := pairing.Candidate{Header: i.Header, Received: i.Received}
	if i.Gone != "" {
		c.NoImage = "its file is gone: " + i.Gone
	} else if e := i.Examined; e != nil {
		if e.Reason != "" {
			c.NoImage = e.Reason
		} else {
			c.Picture = &pairing.Picture{LogOddsLateral: e.LogOddsLateral, POther: e.POther, Inverted: e.Inverted, Doubts: e.Doubts}
		}
	}
	return c
}

// askAgain is how soon a study whose pixels are still being looked at is asked about again.
const askAgain = 50 * time.Millisecond

// complete decides whether a study is whole: quiet for long enough, or both views there and the association released.
func (a *Appliance) complete(lease *queue.Lease) error {
	c, err := payloadOf[completion](lease)
	if err != nil {
		return err
	}
	uid := lease.Job.Study
	p, err := a.pairOf(uid)
	if err != nil {
		return err
	}
	lacks, err := a.asksArchive(uid, p)
	if err != nil {
		return err
	}
	both := c.Released && p.pair.Frontal != "" && p.pair.Lateral != "" && p.pair.ViewsCertain()
	var first time.Time // of a study that is complete for the first time
	err = lease.Done(func(tx *queue.Tx) error {
		first = time.Time{}
		s, err := tx.Study(uid)
		if err != nil || s == nil {
			return err
		}
		if s.State == queue.Failed && lease.Job.LastError != "" && p.looked && len(p.unseen) == 0 {
			s.State, s.Reason = queue.Receiving, "" // this had been given up
			if err := tx.PutStudy(s); err != nil {
				return err
			}
		}
		if s.State != queue.Receiving {
			return nil
		}
		now := tx.Now()
		if s.Last.After(now) { // the clock was set back since
			s.Last = now.UTC()
			if err := tx.PutStudy(s); err != nil {
				return err
			}
		}
		quiet := s.Last.Add(a.cfg().QuietTime)
		switch {
		case !p.looked:
			return tx.Postpone(completionJob(uid, now.Add(askAgain), c.Released))
		case !both && now.Before(quiet):
			return tx.Postpone(completionJob(uid, quiet, c.Released))
		}
		if until, err := a.awaitArchive(tx, s, lacks); err != nil {
			return err
		} else if !until.IsZero() {
			if err := tx.PutStudy(s); err != nil {
				return err
			}
			return tx.Postpone(completionJob(uid, until, c.Released))
		}
		s.State = queue.Complete
		if ahead, err := a.drafts.ahead(tx, s, p.pair); err != nil {
			return err
		} else if ahead {
			a.drafts.regain(s)
		}
		if s.Revision++; s.Revision == 1 {
			first = s.First
		}
		s.Drafted = slices.DeleteFunc(slices.Clone(s.Instances), func(sop string) bool { return slices.Contains(p.unseen, sop) })
		why := "nothing more came for " + a.cfg().QuietTime.String()
		if both {
			why = "both views are there and the association was released"
		}
		s.Note(now, fmt.Sprintf("complete for revision %d with %d objects: %s", s.Revision, len(s.Instances), why))
		// A study whose record was lost may have had this revision before.
		if err := anew(tx, draftJob(s)); err != nil {
			return err
		}
		return tx.PutStudy(s)
	})
	if err == nil && !first.IsZero() {
		a.traceStudy(uid, first)
	}
	return err
}

// errNotExamined makes a draft wait for the pixels to be looked at.
var errNotExamined = errors.New("daemon: an object of the study was not looked at yet")

// draft pairs, scores, writes and guards one revision; those of a study one after another.
func (a *Appliance) draft(ctx context.Context, lease *queue.Lease) error {
	uid := lease.Job.Study
	revision, err := payloadOf[int](lease)
	if err != nil {
		return err
	}
	give, err := a.drafting.take(ctx, uid)
	if err != nil {
		return err
	}
	defer give()
	if later, err := a.overtook(lease.Job.Kind, uid, revision); err != nil {
		return err
	} else if later > 0 {
		return a.staysHere(lease, notDrafted(revision, later))
	}
	p, err := a.pairOf(uid)
	if err != nil {
		return err
	}
	if !p.looked {
		return errNotExamined
	}
	if p.partner == uid {
		give() // no two studies wait for each other
		// A draft that is just being written may not have found this view: whether it did is known when it is there.
		home, err := a.drafting.take(ctx, p.home)
		if err != nil {
			return err
		}
		defer home()
		return lease.Done(func(tx *queue.Tx) error { return a.elsewhere(tx, p, uid, revision) })
	}
	if reads, err := a.readElsewhere(uid, p); err != nil {
		return err
	} else if reads {
		return lease.PutOff(time.Now().Add(putOff))
	}
	mode, source, err := a.modeOf(uid, p)
	if err != nil {
		return err
	}
	pair := p.pair
	if pair.Refusal == "" && mode == config.ModeStore {
		pair.Refusal = storeOnly(source)
	}
	if home, err := a.broughtFor(uid); err != nil {
		return err
	} else if home != "" && p.partner == "" && pair.Refusal == "" {
		pair.Refusal = "it was brought from the archive for study " + home + ", which is not read with it"
	}
	if pair.Refusal != "" {
		a.log.Info("no draft", "study", uid, "reason", pair.Refusal)
		a.metrics.Refused.Inc()
		return lease.Done(func(tx *queue.Tx) error {
			if err := errors.Join(a.apart(tx, uid, p), a.lookBack(tx, uid, revision)); err != nil {
				return err
			}
			return a.setState(tx, uid, revision, queue.Refused, pair.Refusal, func(s *queue.Study) { s.Pair, s.Summary, s.Mode = &pair, nil, sentMode(mode) })
		})
	}
	frontal, lateral, err := a.instances(pair)
	if err != nil {
		return err
	}
	for _, i := range []*queue.Instance{frontal, lateral} {
		if err := a.whole(i); err != nil {
			return err
		}
	}
	path := func(i *queue.Instance) string {
		if i == nil {
			return ""
		}
		return a.spool.Path(i.Path)
	}
	write, err := a.writing(uid, revision)
	if err != nil {
		return err
	}
	politely := func(ctx context.Context, scores study.PairScores, read inference.Reading) (*inference.Written, error) {
		a.readers.giveWay(ctx)
		return write(ctx, scores, read)
	}
	record, err := MakeDraft(ctx, a.reader, politely, pair, a.picture, path(frontal), path(lateral))
	if err != nil {
		return err
	}
	record.Draft.StudyInstanceUID, record.Draft.Revision = uid, revision
	if err := a.saysFetch(record); err != nil {
		return err
	}
	record.PDF, record.HeatMap, record.Sections = a.cfg().PDF, heatMapOf(a.cfg().HeatMap, record), a.cfg().Sections
	record.Shadow = mode == config.ModeShadow
	record.latestPatient(frontal, lateral)
	for _, v := range []struct {
		i    *queue.Instance
		into *string
	}{{frontal, &record.FrontalPath}, {lateral, &record.LateralPath}} {
		if v.i != nil {
			*v.into = v.i.Path
		}
	}
	if err := a.drafts.save(record); err != nil {
		return err
	}
	if err := a.enterDraft(record, frontal, lateral); err != nil {
		return err
	}
	said := summary(record)
	err = lease.Done(func(tx *queue.Tx) error {
		scored := queue.ScoredStudy{Study: uid, Time: tx.Now(), Classifier: a.classifierDigest(), Scores: record.Draft.Scores}
		if err := errors.Join(tx.AddScores(scored, scoreWindow), a.apart(tx, uid, p)); err != nil {
			return err
		}
		err := a.setState(tx, uid, revision, queue.Complete, "", func(s *queue.Study) {
			s.Pair, s.Summary, s.Mode = &pair, said, sentMode(mode)
			s.Note(tx.Now(), fmt.Sprintf("revision %d drafted: %d sentences, %s", revision, len(record.Draft.Sentences), record.Draft.Engine))
		})
		if err != nil {
			return err
		}
		if err := readHere(tx, p); err != nil {
			return err
		}
		if err := a.lookBack(tx, uid, revision); err != nil {
			return err
		}
		return anew(tx, reportJob(uid, revision)) // also of a draft that was lost and made again
	})
	if err == nil {
		a.counted(record, said.Changed)
	}
	return err
}

// overtook returns a later revision for which the same was done, 0 when there is none: an earlier one would then seem newer than it, and neither names
// the other.
func (a *Appliance) overtook(kind, uid string, revision int) (later int, err error) {
	err = a.db.View(func(tx *queue.Tx) error {
		s, err := tx.Study(uid)
		if err != nil || s == nil {
			return err
		}
		for r := revision + 1; r <= s.Revision; r++ {
			if tx.IsDone(stageJob(kind, uid, r).ID) {
				later = r
			}
		}
		return nil
	})
	return later, err
}

func notDrafted(revision, later int) string {
	return fmt.Sprintf("no draft of revision %d is made: there is one of revision %d", revision, later)
}

// lookBack has the earlier drafts of a study held against what is known now.
func (a *Appliance) lookBack(tx *queue.Tx, uid string, revision int) error {
	if revision == 1 {
		return nil
	}
	return anew(tx, withdrawJob(uid, strconv.Itoa(revision)))
}

// setState changes a study unless it has moved on to another revision.
func (a *Appliance) setState(tx *queue.Tx, uid string, revision int, state, reason string, change func(*queue.Study)) error {
	s, err := tx.Study(uid)
	if err != nil || s == nil {
		return err
	}
	if change != nil {
		change(s)
	}
	if s.Revision == revision && s.State != queue.Receiving {
		s.State, s.Reason = state, reason
		if state == queue.Refused {
			s.Note(tx.Now(), "no draft: "+reason)
		}
	}
	return tx.PutStudy(s)
}
