package daemon

import (
	"slices"
	"time"

	"llamaxr/queue"
)

// Retention goes by the clock, which may be wrong: set ahead, all is old enough to go; behind, as without a battery before a time server is heard,
// what comes is old as soon as the clock is put right.

const (
	// clockLeap: a clock that is this much further than when retention looked last was set ahead, or the appliance was off for long.
	clockLeap = 7 * 24 * time.Hour
	// clockSlack: a clock that is this much behind what it showed before was set back. Retention looks more often than that, also when it has work.
	clockSlack = time.Hour
	// clockProof is for how long the appliance must then run, the clock where it is, before it is believed.
	clockProof = 24 * time.Hour
	// redateAtOnce bounds the studies of one commit.
	redateAtOnce = 500
)

// clockDoubt is why and since when a clock is not believed.
type clockDoubt struct {
	why   string        // empty when it is
	since time.Duration // of the time that the appliance runs
}

// believeClock reports whether the clock may be taken to say what is old, after the appliance ran for so long by a clock that nobody sets.
func (a *Appliance) believeClock(doubt *clockDoubt, running time.Duration) (believed bool, err error) {
	var now, seen time.Time
	var behind *queue.Span
	why := ""
	err = a.db.Update(func(tx *queue.Tx) error {
		now, why = tx.Now().UTC(), ""
		if seen, err = tx.ClockSeen(); err != nil {
			return err
		}
		switch leap := now.Sub(seen); {
		case seen.IsZero():
		case leap > clockLeap:
			why = "the clock was set ahead, or the appliance was off for long"
		case leap < -clockSlack:
			why = "the clock is behind what it was"
			if err := tx.PutClockBehind(now); err != nil {
				return err
			}
		}
		behind, err = tx.ClockBehind()
		return err
	})
	if err != nil {
		return false, err
	}
	if why != "" && doubt.why != why {
		*doubt = clockDoubt{why, running}
		a.log.Warn("nothing is removed: "+why+"; it is believed when it stays for a day", "clock", now, "before", seen)
	}
	if why != "" && running-doubt.since < clockProof {
		return false, nil
	}
	*doubt = clockDoubt{}
	if behind != nil && !now.Before(seen.Add(-clockSlack)) { // it was wrong, and is right again
		if err := a.redate(queue.Span{From: behind.From, To: behind.To.Add(clockSlack)}, now.Sub(behind.To), now); err != nil {
			return false, err
		}
	}
	if leap := now.Sub(seen); !seen.IsZero() && leap > clockLeap {
		if err := a.redate(queue.Span{To: seen.Add(clockSlack)}, leap, now); err != nil {
			return false, err
		}
	}
	return true, a.db.Update(func(tx *queue.Tx) error {
		if seen.Sub(now) > 0 && seen.Sub(now) <= clockSlack {
			now = seen
		}
		if err := tx.ClearClockBehind(); err != nil {
			return err
		}
		return tx.PutClockSeen(now)
	})
}

// redate makes what happened at a time that the clock was wrong, or before the appliance was off, younger by so much, and keeps what was promised then for as long.
func (a *Appliance) redate(when queue.Span, by time.Duration, now time.Time) error {
	var found []string
	err := a.db.View(func(tx *queue.Tx) error {
		return tx.EachStudy(func(s *queue.Study) error {
			if happened(s, when) {
				found = append(found, s.UID)
			}
			return nil
		})
	})
	for part := range slices.Chunk(found, redateAtOnce) {
		if err == nil {
			err = a.db.Update(func(tx *queue.Tx) error {
				for _, uid := range part {
					if err := a.redateStudy(tx, uid, when, by, now); err != nil {
						return err
					}
				}
				return nil
			})
		}
	}
	return err
}

// happened reports whether the last that happened to a study whose files are there did so in a span of time.
func happened(s *queue.Study, when queue.Span) bool {
	last := lastEvent(s)
	return s.Removed.IsZero() && !last.Before(when.From) && !last.After(when.To)
}

func (a *Appliance) redateStudy(tx *queue.Tx, uid string, when queue.Span, by time.Duration, now time.Time) error {
	s, err := tx.Study(uid)
	if err != nil || s == nil || !happened(s, when) {
		return err
	}
	s.AgesFrom = earlier(lastEvent(s).Add(by), now)
	for _, sop := range s.Instances {
		i, err := tx.Instance(sop)
		if err != nil {
			return err
		}
		if i == nil || i.PromisedUntil.IsZero() {
			continue
		}
		if until := earlier(i.PromisedUntil.Add(by), a.keptUntil(now)); until.After(i.PromisedUntil) {
			i.PromisedUntil = until
			if err := tx.PutInstance(i); err != nil {
				return err
			}
		}
	}
	return tx.PutStudy(s)
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
