package queue

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// Job is a piece of work for one stage. Its ID says what it is, so that asking twice is asking once.
type Job struct {
	ID        string          `json:"id"`
	Kind      string          `json:"kind"`
	Study     string          `json:"study"`
	Payload   json.RawMessage `json:"payload,omitempty"`
	NotBefore time.Time       `json:"not_before"`
	Created   time.Time       `json:"created"`
	Attempts  int             `json:"attempts"`
	LastError string          `json:"last_error,omitempty"`
	// Leased is when the present lease runs out; zero when there is none.
	Leased time.Time `json:"leased"`
	Lease  uint64    `json:"lease,omitempty"` // number of the present lease
	Dead   bool      `json:"dead,omitempty"`
}

// maxPayload bounds a job's payload: what is large lies in a file.
const maxPayload = 64 << 10

// maxErrorText bounds the reason kept with a job.
const maxErrorText = 1024

type permanentError struct{ error }

func (e permanentError) Unwrap() error { return e.error }

// Permanent marks an error that trying again cannot mend: the job becomes a dead letter at once.
func Permanent(err error) error { return permanentError{err} }

// Enqueue adds a job. A job of that ID that waits, is leased, is dead or was done before is left as it is.
func (tx *Tx) Enqueue(j Job) error {
	if j.ID == "" || j.Kind == "" || len(j.Payload) > maxPayload {
		return fmt.Errorf("queue: job %q of kind %q with a payload of %d bytes", j.ID, j.Kind, len(j.Payload))
	}
	if tx.bolt.Bucket(bucketJobs).Get([]byte(j.ID)) != nil || tx.bolt.Bucket(bucketDone).Get([]byte(j.ID)) != nil {
		return nil
	}
	j.Created = tx.Now().UTC()
	return put(tx, bucketJobs, j.ID, j)
}

// Postpone moves a waiting job to a later time, or adds it: the quiet time of a study begins anew with every image.
func (tx *Tx) Postpone(j Job) error {
	old, err := get[Job](tx, bucketJobs, j.ID)
	if err != nil {
		return err
	}
	if old != nil {
		j.Created, j.Attempts = old.Created, old.Attempts
	} else {
		j.Created = tx.Now().UTC()
	}
	return put(tx, bucketJobs, j.ID, j)
}

// Again adds a job even when it was done before: its result was lost.
func (tx *Tx) Again(j Job) error {
	if err := tx.set(bucketDone, []byte(j.ID), nil); err != nil {
		return err
	}
	return tx.Enqueue(j)
}

// Cancel ends a job that nobody holds as if it had been done; one under way stays.
func (tx *Tx) Cancel(id string) error {
	j, err := get[Job](tx, bucketJobs, id)
	if err != nil || j == nil || j.Leased.After(tx.Now()) {
		return err
	}
	return tx.finish(id)
}

// End ends a job as done, whoever holds it: the word that it waited for came. Its holder loses it.
func (tx *Tx) End(id string) error {
	if j, err := tx.Job(id); err != nil || j == nil {
		return err
	}
	return tx.finish(id)
}

// Job returns a job that is not done, nil when there is none.
func (tx *Tx) Job(id string) (*Job, error) { return get[Job](tx, bucketJobs, id) }

// IsDone reports whether a job was done, or ended.
func (tx *Tx) IsDone(id string) bool { return tx.bolt.Bucket(bucketDone).Get([]byte(id)) != nil }

// JobsSetAside are the identifiers of jobs whose records were damaged and that were neither made again nor done since.
func (tx *Tx) JobsSetAside() (ids []string, err error) {
	b := tx.bolt.Bucket(bucketDamaged)
	if b == nil {
		return nil, nil // a state of an older program, opened to read
	}
	prefix := append(bytes.Clone(bucketJobs), '/')
	c := b.Cursor()
	for k, _ := c.Seek(prefix); bytes.HasPrefix(k, prefix); k, _ = c.Next() {
		id := string(k[len(prefix):])
		if j, err := tx.Job(id); err != nil && !errors.Is(err, ErrDamaged) {
			return nil, err
		} else if j == nil && !tx.IsDone(id) {
			ids = append(ids, id)
		}
	}
	return ids, nil
}

// finish moves a job to those that are done.
func (tx *Tx) finish(id string) error {
	if err := tx.set(bucketJobs, []byte(id), nil); err != nil {
		return err
	}
	return put(tx, bucketDone, id, tx.Now().UTC())
}

// Jobs returns all jobs that are not done, those of a study when uid is not empty.
func (tx *Tx) Jobs(uid string) (out []*Job, err error) {
	err = each(tx, bucketJobs, func(_ string, j *Job) error {
		if uid == "" || j.Study == uid {
			out = append(out, j)
		}
		return nil
	})
	return out, err
}

// Resend gives a dead letter another round of attempts.
func (tx *Tx) Resend(id string) error {
	j, err := get[Job](tx, bucketJobs, id)
	if err != nil {
		return err
	}
	if j == nil || !j.Dead {
		return fmt.Errorf("queue: no dead letter %q", id)
	}
	j.Dead, j.Attempts, j.NotBefore = false, 0, time.Time{}
	return put(tx, bucketJobs, id, j)
}

// releaseLeases makes the jobs ready that somebody held when the process ended. A job from the future says that the clock was set back since.
func releaseLeases(tx *Tx) error {
	jobs, err := tx.Jobs("")
	if err != nil {
		return err
	}
	back := time.Duration(0)
	for _, j := range jobs {
		back = max(back, j.Created.Sub(tx.Now()))
		if !j.Leased.IsZero() {
			j.Leased = time.Time{}
			if err := put(tx, bucketJobs, j.ID, j); err != nil {
				return err
			}
		}
	}
	if back < noticed {
		return nil
	}
	return tx.setBack(back)
}

// setBack moves what waits as far as the clock was set: else each job, also one that is to be done at once, would wait until the clock is where
// it was.
func (tx *Tx) setBack(by time.Duration) error {
	jobs, err := tx.Jobs("")
	if err != nil {
		return err
	}
	for _, j := range jobs {
		for _, at := range []*time.Time{&j.Created, &j.NotBefore, &j.Leased} {
			if !at.IsZero() {
				*at = at.Add(-by)
			}
		}
		if err := put(tx, bucketJobs, j.ID, j); err != nil {
			return err
		}
	}
	return nil
}

// Lease is a job in somebody's hands until it runs out.
type Lease struct {
	Job Job
	db  *DB
	ttl time.Duration
}

// ErrLeaseLost is returned when a lease has run out and the job was given to another.
var ErrLeaseLost = errors.New("queue: the lease has run out")

// Lease waits for a job of one of the kinds and takes it for ttl.
func (db *DB) Lease(ctx context.Context, ttl time.Duration, kinds ...string) (*Lease, error) {
	return db.LeaseFrom(ctx, ttl, 1, kinds...)
}

// LeaseFrom is Lease from so many jobs on that are ready.
func (db *DB) LeaseFrom(ctx context.Context, ttl time.Duration, least int, kinds ...string) (*Lease, error) {
	for {
		if err := ctx.Err(); err != nil {
			return nil, err // whoever stops leaves what is ready to the next start
		}
		db.mu.Lock()
		wake := db.wake
		db.mu.Unlock()
		if err := db.followClock(); err != nil {
			return nil, err
		}
		job, ready := db.peek(kinds, least)
		if job != "" {
			lease, err := db.take(job, ttl)
			if errors.Is(err, ErrDamaged) {
				db.mu.Lock()
				db.schedule.remove(job) // it will be set aside
				db.mu.Unlock()
				continue
			}
			if err != nil {
				return nil, err
			}
			if lease != nil {
				return lease, nil
			}
			continue
		}
		timer := time.NewTimer(ready)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil, ctx.Err()
		case <-db.closing:
			timer.Stop()
			return nil, ErrClosed
		case <-wake:
			timer.Stop()
		case <-timer.C:
		}
	}
}

// longestWait bounds a sleep for want of a job: commits wake sleepers earlier.
const longestWait = time.Minute

// peek returns the id of the job that has waited longest among those that are ready, at least so many, or how long until they may be.
func (db *DB) peek(kinds []string, least int) (id string, wait time.Duration) {
	db.mu.Lock()
	defer db.mu.Unlock()
	return db.schedule.next(kinds, least, db.opts.Now())
}

// followClock has the jobs follow a clock that was set back since it was last looked at.
func (db *DB) followClock() error {
	db.mu.Lock()
	back := db.schedule.setBack(db.opts.Now())
	db.mu.Unlock()
	if back == 0 {
		return nil
	}
	err := db.Update(func(tx *Tx) error { return tx.setBack(back) })
	if err != nil {
		db.mu.Lock()
		db.schedule.seen = db.schedule.seen.Add(back) // the next look tries again
		db.mu.Unlock()
	}
	return err
}

// take leases the job unless somebody else just did.
func (db *DB) take(id string, ttl time.Duration) (*Lease, error) {
	var lease *Lease
	err := db.Update(func(tx *Tx) error {
		lease = nil
		j, err := get[Job](tx, bucketJobs, id)
		now := tx.Now()
		if err == nil && j == nil {
			tx.jobs[id] = nil // it is lost, and no longer scheduled
		}
		if err != nil || j == nil || j.Dead || j.Leased.After(now) || j.NotBefore.After(now) {
			return err
		}
		j.Leased = now.Add(ttl)
		j.Lease++
		j.Attempts++
		lease = &Lease{*j, db, ttl}
		return put(tx, bucketJobs, id, j)
	})
	return lease, err
}

// held returns the job as stored, if the lease still holds it.
func (l *Lease) held(tx *Tx) (*Job, error) {
	j, err := get[Job](tx, bucketJobs, l.Job.ID)
	if err != nil {
		return nil, err
	}
	if j == nil || j.Lease != l.Job.Lease || j.Leased.IsZero() {
		return nil, ErrLeaseLost
	}
	return j, nil
}

// Done ends the job, with the changes it made to the ledger and the jobs that follow from it, all or nothing.
func (l *Lease) Done(also func(*Tx) error) error {
	return l.db.Update(func(tx *Tx) error {
		if _, err := l.held(tx); err != nil {
			return err
		}
		if err := tx.finish(l.Job.ID); err != nil {
			return err
		}
		if also == nil {
			return nil
		}
		return also(tx)
	})
}

// Fail gives the job back: to be tried again after a wait that doubles each time, or, when the error is Permanent or the attempts are
// used up, as a dead letter. dead is told to also, so that the ledger can say so.
func (l *Lease) Fail(cause error, also func(tx *Tx, dead bool) error) error {
	return l.db.Update(func(tx *Tx) error {
		j, err := l.held(tx)
		if err != nil {
			return err
		}
		if err := tx.fail(j, cause); err != nil {
			return err
		}
		if also == nil {
			return nil
		}
		return also(tx, j.Dead)
	})
}

// fail stores the job with what went wrong.
func (tx *Tx) fail(j *Job, cause error) error {
	text := cause.Error()
	j.LastError, j.Leased = text[:min(len(text), maxErrorText)], time.Time{}
	var permanent permanentError
	j.Dead = errors.As(cause, &permanent) || int64(j.Attempts) >= tx.db.attempts.Load()
	j.NotBefore = tx.Now().Add(tx.db.retryWait(j.Attempts))
	return put(tx, bucketJobs, j.ID, j)
}

// FailJob is Fail for a job that waits for somebody's word, when that word is no. payload is what is left to do. Who holds the job loses it.
func (tx *Tx) FailJob(j *Job, cause error, payload json.RawMessage) error {
	j.Payload = payload
	return tx.fail(j, cause)
}

// Later gives the job back to be taken after a wait, with what is left to do as its payload: it waits for somebody's word. The attempt
// counts.
func (l *Lease) Later(wait time.Duration, payload json.RawMessage, also func(*Tx) error) error {
	return l.db.Update(func(tx *Tx) error {
		j, err := l.held(tx)
		if err != nil {
			return err
		}
		j.NotBefore, j.Leased, j.Payload = tx.Now().Add(wait), time.Time{}, payload
		if err := put(tx, bucketJobs, j.ID, j); err != nil {
			return err
		}
		return also(tx)
	})
}

// Extend prolongs the lease: long work says that it is alive.
func (l *Lease) Extend(ttl time.Duration) error {
	return l.db.Update(func(tx *Tx) error {
		j, err := l.held(tx)
		if err != nil {
			return err
		}
		j.Leased = tx.Now().Add(ttl)
		return put(tx, bucketJobs, j.ID, j)
	})
}

// Keep extends the lease, for as long as it was taken, until stop is called: work has no end that could be told before. It ends where the lease is lost.
func (l *Lease) Keep() (stop func()) {
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(l.ttl / 4)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
			}
			if err := l.Extend(l.ttl); errors.Is(err, ErrLeaseLost) || errors.Is(err, ErrClosed) {
				return
			}
		}
	})
	return func() { close(done); wg.Wait() }
}

// retryWait is FirstRetry doubled with each attempt up to LastRetry, with a quarter of jitter either way.
func (db *DB) retryWait(attempts int) time.Duration {
	wait := db.opts.FirstRetry
	for range attempts - 1 {
		wait = min(2*wait, db.opts.LastRetry)
	}
	return time.Duration(float64(wait) * (0.75 + 0.5*db.opts.Rand()))
}

// Check holds the state against its invariants; tests call it after every step.
func (tx *Tx) Check() error {
	err := tx.EachStudy(func(s *Study) error {
		for _, uid := range s.Instances {
			i, err := tx.Instance(uid)
			if err != nil {
				return err
			}
			if i == nil || i.Header.StudyInstanceUID != s.UID {
				return fmt.Errorf("queue: study %s lists instance %s, which is missing or elsewhere", s.UID, uid)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	err = tx.EachInstance(func(i *Instance) error {
		s, err := tx.Study(i.Header.StudyInstanceUID)
		if err != nil {
			return err
		}
		uid := i.Header.SOPInstanceUID
		if s == nil || !slices.Contains(s.Instances, uid) && !slices.Contains(s.Notes, uid) {
			return fmt.Errorf("queue: instance %s is in no study", uid)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return each(tx, bucketJobs, func(key string, j *Job) error {
		if j.ID != key || tx.bolt.Bucket(bucketDone).Get([]byte(key)) != nil && j.Kind != "complete" {
			return fmt.Errorf("queue: job %s is stored as %s or done already", j.ID, key)
		}
		return nil
	})
}
