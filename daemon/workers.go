package daemon

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"llamaxr/daemon/metrics"
	"llamaxr/dicomnet/dimse"
	"llamaxr/inference"
	"llamaxr/queue"
)

// leaseTime is how long a worker may hold a job without a word; the longest stage takes seconds. What is sent by DICOM says that it is at work.
const leaseTime = 5 * time.Minute

// deliverers is how many deliveries run at once: a destination that is down must not hold up the others.
const deliverers = 4

// leaseAgain is the wait after the database did not give a job out.
const leaseAgain = time.Second

// giveWay is how long looking at an object's pixels waits while many objects arrive: each job takes two commits, which their senders would wait for.
const giveWay = 100 * time.Millisecond

// gainTogether is how many times the drafts a minute are made at once that are made one after another, in per cent: about the least of what was
// measured (docs/BENCHMARKS.md, "Studies that wait").
const gainTogether = 115

// backlog is how many studies must wait so that the draft of one is begun beside so many others: drafts at once end sooner in all, each takes longer.
// Where n are to be made, with those under way, one after another in a time t each, the mean study waits (n+1)t/2; k at once, g times as fast, it
// waits (n+k)t/2g, which is no longer from n = (k-g)/(g-1) on: of 6 studies two are drafted at once, of 13 three, of 19 four.
func backlog(others int) int {
	const g, step = gainTogether, gainTogether - 100
	n := (100*(others+1) - g + step - 1) / step
	return max(1, n-others)
}

// stages are the workers: how many serve which kinds of jobs. As many studies are drafted at once as texts share the passes of a language model,
// when that many wait (backlog); looking at pixels uses what cores there are.
var stages = []struct {
	workers int
	kinds   []string
}{
	{2, []string{kindExamine}},
	{1, []string{kindComplete}},
	{inference.MostTogether, []string{kindDraft}},
	{1, []string{kindReport, kindWithdraw, kindForget, kindRecord}},
	{deliverers, []string{kindDeliver, kindRetract}},
	{1, []string{kindSign}},
	{deliverers, []string{kindDeliverSigned}},
	{deliverers, []string{kindCommit}},
	{2, []string{kindPromise}},
	{1, []string{kindExpire}},
	{deliverers, []string{kindHL7}},
	{deliverers, []string{kindFHIR}},
	{deliverers, []string{kindWebhook}},
	{deliverers, []string{kindMail}},
	{1, []string{kindEscalate}},
	{1, []string{kindReadReport}},
	{deliverers, []string{kindFetch}},
}

// allKinds are the kinds of jobs that are done here, which are the stages of the metrics.
func allKinds() (kinds []string) {
	for _, s := range stages {
		kinds = append(kinds, s.kinds...)
	}
	return kinds
}

// startWorkers runs the stages.
func (a *Appliance) startWorkers(ctx context.Context, wg *sync.WaitGroup) {
	for _, s := range stages {
		for i := range s.workers {
			least := 1
			if s.kinds[0] == kindDraft {
				least = backlog(i)
			}
			wg.Go(func() { a.work(ctx, s.kinds, least) })
		}
	}
}

// pause waits; false when ctx was cancelled meanwhile.
func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// work leases and performs jobs, while at least so many are ready, until ctx is cancelled.
func (a *Appliance) work(ctx context.Context, kinds []string, least int) {
	for {
		if kinds[0] == kindExamine && a.receiver.Bulk() {
			pause(ctx, giveWay)
		}
		lease, err := a.db.LeaseFrom(ctx, leaseTime, least, kinds...)
		if err != nil {
			if ctx.Err() != nil || isShutdown(err) {
				return
			}
			a.log.Error("leasing a job", "error", err)
			pause(ctx, leaseAgain)
			continue
		}
		started := time.Now()
		err = a.perform(ctx, lease)
		if nobodyThere(lease.Job, err) {
			err = a.letGo(lease, err)
		}
		took := time.Since(started)
		a.traceJob(lease.Job, started, err != nil)
		switch {
		case err == nil:
			a.metrics.Job(lease.Job.Kind, metrics.Done, took)
			a.log.Debug("job done", "kind", lease.Job.Kind, "study", lease.Job.Study, "took", took.String())
		case errors.Is(err, queue.ErrLeaseLost), isShutdown(err):
		case ctx.Err() != nil:
		default:
			a.metrics.Job(lease.Job.Kind, a.fail(lease, err), took)
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
	case kindExamine, kindDraft, kindReport:
		a.readers.giveWay(ctx)
	}
	switch lease.Job.Kind {
	case kindDraft, kindReport, // a slow machine under load
		kindDeliver, kindDeliverSigned, kindCommit, kindRetract: // by DICOM a peer may take its time with each object
		defer lease.Keep()()
	}
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
	case kindCommit:
		return a.commit(ctx, lease)
	case kindPromise:
		return a.promise(ctx, lease)
	case kindExpire:
		return a.expire(lease)
	case kindHL7, kindFHIR, kindWebhook, kindMail:
		return a.tell(ctx, lease)
	case kindEscalate:
		return a.escalate(lease)
	case kindReadReport:
		return a.readReport(ctx, lease)
	case kindRecord:
		return a.enterAct(lease)
	case kindFetch:
		return a.fetchJob(ctx, lease)
	}
	return queue.Permanent(fmt.Errorf("daemon: job of unknown kind %q", lease.Job.Kind))
}

// done ends a job with the changes that it made; its study is well again where that was the last thing to hold it up.
func (a *Appliance) done(lease *queue.Lease, also func(*queue.Tx) error) error {
	return lease.Done(func(tx *queue.Tx) error {
		if also != nil {
			if err := also(tx); err != nil {
				return err
			}
		}
		s, err := tx.Study(lease.Job.Study)
		if err != nil || s == nil {
			return err
		}
		before := s.State
		if err := a.mendState(tx, s); err != nil || s.State == before {
			return err
		}
		return tx.PutStudy(s)
	})
}

// mendState makes a study what it comes to, which has arrived everywhere or was failed, once it has no dead letter and nothing of its next draft is under way.
func (a *Appliance) mendState(tx *queue.Tx, s *queue.Study) error {
	state, reason := queue.Drafted, ""
	switch {
	case s.State != queue.Drafted && s.State != queue.Failed:
		return nil
	case s.Pair != nil && s.Pair.Refusal != "":
		state, reason = queue.Refused, s.Pair.Refusal
	case lent(s):
		state, reason = queue.Refused, readWith(s.ReadWith)
	case s.Revision == 0 && len(s.Instances) > 0:
		return nil // it is not drafted yet
	case s.Revision == 0:
		state, reason = queue.Refused, "no image came"
	case s.Mode == queue.Shadow:
		state = queue.Shadow
	case a.delivered(s, s.Revision):
		state = queue.Delivered
	}
	if state == s.State {
		return nil
	}
	jobs, err := tx.Jobs(s.UID)
	holds := func(j *queue.Job) bool {
		return j.Dead || slices.Contains([]string{kindExamine, kindComplete, kindDraft, kindReport}, j.Kind)
	}
	if err == nil && !slices.ContainsFunc(jobs, holds) {
		s.State, s.Reason = state, reason
	}
	return err
}

// payloadOf reads what a job says; one that cannot be read is not tried again.
func payloadOf[T any](lease *queue.Lease) (payload T, err error) {
	if err := json.Unmarshal(lease.Job.Payload, &payload); err != nil {
		return payload, queue.Permanent(fmt.Errorf("daemon: payload of %s: %w", lease.Job.Kind, err))
	}
	return payload, nil
}

// fail gives a job back or makes it a dead letter, and the study says so. It returns which, as the metrics name it.
func (a *Appliance) fail(lease *queue.Lease, cause error) (result string) {
	err := lease.Fail(cause, func(tx *queue.Tx, dead bool) error {
		if result = metrics.Retried; dead {
			result = metrics.Dead
		}
		job := lease.Job
		job.Dead = dead
		return a.noteFailure(tx, job, cause)
	})
	if errors.Is(err, queue.ErrLeaseLost) {
		return metrics.Retried // what it waited for came all the same
	}
	if err != nil && !isShutdown(err) {
		a.log.Error("giving a job back", "job", lease.Job.ID, "error", err)
	}
	if result == metrics.Dead {
		a.unreadable(lease.Job, cause)
	}
	a.log.Warn("job failed", "kind", lease.Job.Kind, "study", lease.Job.Study, "attempt", lease.Job.Attempts, "error", unquoted(cause))
	return cmp.Or(result, metrics.Retried)
}

// unquoted is what an error says without the words of peers: an Error Comment (PS3.7, annex C) may quote the patient. Logs and events get it so; the
// job and the study have it whole.
func unquoted(err error) string {
	text := err.Error()
	for _, comment := range comments(err) {
		text = strings.ReplaceAll(text, ": "+comment, "")
	}
	return text
}

// comments are the Error Comments in an error and all that it wraps.
func comments(err error) (all []string) {
	switch e := err.(type) {
	case *dimse.StatusError:
		if e.Comment != "" {
			all = append(all, e.Comment)
		}
	case interface{ Unwrap() error }:
		all = comments(e.Unwrap())
	case interface{ Unwrap() []error }:
		for _, one := range e.Unwrap() {
			all = append(all, comments(one)...)
		}
	}
	return all
}

// noteFailure lets a study say what became of a job of its.
func (a *Appliance) noteFailure(tx *queue.Tx, job queue.Job, cause error) error {
	if job.Kind == kindCommit {
		if err := noteUncommitted(tx, job, cause); err != nil {
			return err
		}
	}
	s, err := tx.Study(job.Study)
	if err != nil || s == nil {
		return err
	}
	switch {
	case job.Dead:
		// Without a mail the draft stands. What was given up of an earlier revision stops no study that waits for its next.
		waits := s.State == queue.Receiving && job.Kind != kindExamine && job.Kind != kindComplete
		if job.Kind != kindMail && !waits {
			s.State, s.Reason = queue.Failed, fmt.Sprintf("%s: %v", job.Kind, cause)
		}
		if job.Kind == kindDraft {
			s.Summary = nil // an older draft's
		}
		s.Note(tx.Now(), fmt.Sprintf("%s given up: %v", job.Kind, cause))
		if err := a.announceDead(tx, s, job, cause); err != nil {
			return err
		}
	case job.Attempts == 1:
		s.Note(tx.Now(), fmt.Sprintf("%s failed, will be tried again: %v", job.Kind, cause))
	}
	switch to := destinationOf(job); job.Kind {
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
}
