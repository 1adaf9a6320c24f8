package daemon

import (
	"errors"
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

// clockDoubt is when the appliance, of the time that it runs, looked at a clock that is not believed; why and for how long it ran by it is in the database, since
// some are switched off every night.
type clockDoubt struct{ last time.Duration }

// believeClock reports whether the clock may be taken to say what is old, after the appliance ran for so long by a clock that nobody sets.
func (a *Appliance) believeClock(doubt *clockDoubt, running time.Duration) (believed bool, err error) {
	var now, seen, former time.Time
	var behind *queue.Span
	var doubted queue.ClockDoubt
	var leap time.Duration
	since := running - doubt.last
	doubt.last = running
	first := false
	err = a.db.Update(func(tx *queue.Tx) error {
		now = tx.Now().UTC()
		if seen, err = tx.ClockSeen(); err != nil {
			return err
		}
		if seen.IsZero() {
			seen = now // nothing speaks against the first
		}
		leap = now.Sub(seen)
		if former, err = tx.ClockFormer(); err != nil {
			return err
		}
		if doubted, err = tx.ClockDoubt(); err != nil {
			return err
		}
		why := ""
		switch {
		case leap > clockLeap:
			why = "the clock was set ahead, or the appliance was off for long"
		case leap < -clockSlack:
			why = "the clock is behind what it was"
			if err := tx.PutClockBehind(now); err != nil {
				return err
			}
		}
		if first = doubted.Why != why; first {
			doubted = queue.ClockDoubt{Why: why}
		} else {
			doubted.Ran += since
		}
		if behind, err = tx.ClockBehind(); err != nil {
			return err
		}
		return tx.PutClockDoubt(doubted)
	})
	if err != nil {
		return false, err
	}
	if first && doubted.Why != "" {
		a.log.Warn("nothing is removed: "+doubted.Why+"; it is believed when it stays for a day", "clock", now, "before", seen)
	}
	if doubted.Why != "" && doubted.Ran < clockProof {
		return false, nil
	}
	switch {
	case leap < -clockSlack: // it was ahead
		err = a.putRight(now)
	case behind != nil: // it was wrong, and is right again
		err = a.redate(queue.Span{From: behind.From, To: behind.To.Add(clockSlack)}, now.Sub(behind.To), now)
	}
	if err == nil && leap > clockLeap {
		until := seen
		if former.After(seen) && now.Sub(former) > clockLeap { // of a clock that was behind twice
			until = former
		}
		err = a.redate(queue.Span{To: until.Add(clockSlack)}, leap, now)
	}
	if err != nil {
		return false, err
	}
	return true, a.db.Update(func(tx *queue.Tx) error {
		if leap >= -clockSlack {
			now = later(now, seen) // an hour less is no time that was wrong
		}
		return errors.Join(tx.ClearClockBehind(), tx.PutClockDoubt(queue.ClockDoubt{}), tx.PutClockSeen(now))
	})
}

// redate makes what happened at a time that the clock was wrong, or before the appliance was off, younger by so much, and keeps what was promised then for as long.
func (a *Appliance) redate(when queue.Span, by time.Duration, now time.Time) error {
	happened := func(s *queue.Study) bool {
		last := lastEvent(s)
		return !last.Before(when.From) && !last.After(when.To)
	}
	return a.eachHeld(happened, func(tx *queue.Tx, s *queue.Study) error {
		s.AgesFrom = earlier(lastEvent(s).Add(by), now)
		return a.promiseAnew(tx, s, func(until time.Time) time.Time {
			return later(until, earlier(until.Add(by), a.keptUntil(now)))
		})
	})
}

// putRight lets what is stamped by a clock that was ahead age from now on, and keeps what was promised then for no longer than what is promised now.
func (a *Appliance) putRight(now time.Time) error {
	ahead := func(s *queue.Study) bool { return lastEvent(s).After(now.Add(clockSlack)) }
	return a.eachHeld(ahead, func(tx *queue.Tx, s *queue.Study) error {
		s.AgesFrom = now
		return a.promiseAnew(tx, s, func(until time.Time) time.Time {
			if until.Equal(queue.Forever) {
				return until
			}
			return earlier(until, a.keptUntil(now))
		})
	})
}

// eachHeld changes studies whose files are there.
func (a *Appliance) eachHeld(which func(*queue.Study) bool, change func(*queue.Tx, *queue.Study) error) error {
	var found []string
	err := a.db.View(func(tx *queue.Tx) error {
		return tx.EachStudy(func(s *queue.Study) error {
			if s.Removed.IsZero() && which(s) {
				found = append(found, s.UID)
			}
			return nil
		})
	})
	for part := range slices.Chunk(found, redateAtOnce) {
		if err == nil {
			err = a.db.Update(func(tx *queue.Tx) error {
				for _, uid := range part {
					s, err := tx.Study(uid)
					if err != nil {
						return err
					}
					if s == nil || !s.Removed.IsZero() || !which(s) {
						continue
					}
					if err := errors.Join(change(tx, s), tx.PutStudy(s)); err != nil {
						return err
					}
				}
				return nil
			})
		}
	}
	return err
}

// promiseAnew changes until when a study's objects are promised to be kept.
func (a *Appliance) promiseAnew(tx *queue.Tx, s *queue.Study, anew func(until time.Time) time.Time) error {
	for _, sop := range s.Instances {
		i, err := tx.Instance(sop)
		if err != nil {
			return err
		}
		if i == nil || i.PromisedUntil.IsZero() {
			continue
		}
		if until := anew(i.PromisedUntil); !until.Equal(i.PromisedUntil) {
			i.PromisedUntil = until
			if err := tx.PutInstance(i); err != nil {
				return err
			}
		}
	}
	return nil
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
