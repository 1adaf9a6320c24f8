package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"llamaxr/daemon/config"
	"llamaxr/queue"
)

// leaseTime is how long a worker may hold a job without a word; the longest stage takes seconds, a slow PACS minutes.
const leaseTime = 5 * time.Minute

// deliverers is how many deliveries run at once: a destination that is down must not hold up the others.
const deliverers = 4

// startWorkers runs the stages. Drafting is one at a time, as the engine is; looking at pixels uses what cores there are.
func (a *Appliance) startWorkers(ctx context.Context, wg *sync.WaitGroup) {
	for _, w := range []struct {
		count int
		kinds []string
	}{
		{2, []string{kindExamine}},
		{1, []string{kindComplete}},
		{1, []string{kindDraft}},
		{1, []string{kindReport, kindWithdraw, kindForget}},
		{deliverers, []string{kindDeliver, kindRetract}},
		{1, []string{kindSign}},
		{deliverers, []string{kindDeliverSigned}},
	} {
		for range w.count {
			wg.Go(func() { a.work(ctx, w.kinds) })
		}
	}
}

// work leases and performs jobs until ctx is cancelled.
func (a *Appliance) work(ctx context.Context, kinds []string) {
	for {
		lease, err := a.db.Lease(ctx, leaseTime, kinds...)
		if err != nil {
			if ctx.Err() == nil && !isShutdown(err) {
				a.log.Error("leasing a job", "error", err)
				time.Sleep(time.Second)
				continue
			}
			return
		}
		started := time.Now()
		err = a.perform(ctx, lease)
		switch {
		case err == nil:
			a.log.Debug("job done", "kind", lease.Job.Kind, "study", lease.Job.Study, "took", time.Since(started).String())
		case errors.Is(err, queue.ErrLeaseLost), isShutdown(err):
		case ctx.Err() != nil:
		default:
			a.fail(lease, err)
		}
	}
}

// perform runs one job; a panic is the job's error.
func (a *Appliance) perform(ctx context.Context, lease *queue.Lease) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = queue.Permanent(fmt.Errorf("daemon: stage %s panicked: %v", lease.Job.Kind, r))
		}
	}()
	switch lease.Job.Kind {
	case kindExamine:
		return a.examine(ctx, lease)
	case kindComplete:
		return a.complete(lease)
	case kindDraft:
		return a.draft(ctx, lease)
	case kindReport:
		return a.report(ctx, lease)
	case kindDeliver:
		return a.deliver(ctx, lease)
	case kindSign:
		return a.sign(ctx, lease)
	case kindDeliverSigned:
		return a.deliverSigned(ctx, lease)
	case kindWithdraw:
		return a.withdraw(lease)
	case kindRetract:
		return a.retract(ctx, lease)
	case kindForget:
		return a.forget(lease)
	}
	return queue.Permanent(fmt.Errorf("daemon: job of unknown kind %q", lease.Job.Kind))
}

// fail gives a job back or makes it a dead letter, and the study says so.
func (a *Appliance) fail(lease *queue.Lease, cause error) {
	err := lease.Fail(cause, func(tx *queue.Tx, dead bool) error {
		s, err := tx.Study(lease.Job.Study)
		if err != nil || s == nil {
			return err
		}
		if dead {
			s.State, s.Reason = queue.Failed, fmt.Sprintf("%s: %v", lease.Job.Kind, cause)
			s.Note(tx.Now(), fmt.Sprintf("%s given up: %v", lease.Job.Kind, cause))
		} else if lease.Job.Attempts == 1 {
			s.Note(tx.Now(), fmt.Sprintf("%s failed, will be tried again: %v", lease.Job.Kind, cause))
		}
		switch to := destinationOf(lease.Job); lease.Job.Kind {
		case kindDeliver:
			if d := s.Deliveries[to]; d != nil {
				d.Error = cause.Error()
			}
		case kindRetract:
			for _, w := range s.Withdrawn {
				if d := w.Deliveries[to]; d != nil && d.Sent.IsZero() {
					d.Error = cause.Error()
				}
			}
		}
		return tx.PutStudy(s)
	})
	if err != nil && !isShutdown(err) {
		a.log.Error("giving a job back", "job", lease.Job.ID, "error", err)
	}
	a.log.Warn("job failed", "kind", lease.Job.Kind, "study", lease.Job.Study, "attempt", lease.Job.Attempts, "error", cause)
}

// askAgain is how soon a study whose pixels are still being looked at is asked about again.
const askAgain = 50 * time.Millisecond

// complete decides whether a study is whole: quiet for long enough, or both views there and the association released.
func (a *Appliance) complete(lease *queue.Lease) error {
	var c completion
	if err := json.Unmarshal(lease.Job.Payload, &c); err != nil {
		return queue.Permanent(fmt.Errorf("daemon: completion: %w", err))
	}
	uid := lease.Job.Study
	p, err := a.pairOf(uid)
	if err != nil {
		return err
	}
	both := c.Released && p.pair.Frontal != "" && p.pair.Lateral != "" && p.pair.Doubt == ""
	return lease.Done(func(tx *queue.Tx) error {
		s, err := tx.Study(uid)
		if err != nil || s == nil || s.State != queue.Receiving {
			return err
		}
		now := tx.Now()
		quiet := s.Last.Add(a.cfg().QuietTime)
		switch {
		case !p.looked:
			return tx.Postpone(completionJob(uid, now.Add(askAgain), c.Released))
		case !both && now.Before(quiet):
			return tx.Postpone(completionJob(uid, quiet, c.Released))
		}
		s.State = queue.Complete
		s.Revision++
		s.Drafted = slices.Clone(s.Instances)
		why := "nothing more came for " + a.cfg().QuietTime.String()
		if both {
			why = "both views are there and the association was released"
		}
		s.Note(now, fmt.Sprintf("complete for revision %d with %d objects: %s", s.Revision, len(s.Instances), why))
		id := fmt.Sprintf("%s/%s/%d", kindDraft, uid, s.Revision)
		if err := tx.Enqueue(queue.Job{ID: id, Kind: kindDraft, Study: uid, Payload: mustJSON(s.Revision)}); err != nil {
			return err
		}
		return tx.PutStudy(s)
	})
}

// destinationOf returns the destination of a delivery.
func destinationOf(j queue.Job) string {
	var d delivery
	if json.Unmarshal(j.Payload, &d) != nil {
		return ""
	}
	return d.Destination
}

// destination finds a configured destination by its text.
func (a *Appliance) destination(text string) (config.Destination, bool) {
	for _, d := range a.cfg().Destinations {
		if d.String() == text {
			return d, true
		}
	}
	return config.Destination{}, false
}
