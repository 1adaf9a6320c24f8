package queue

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"llamaxr/study"
)

// clock is time as an input.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time { c.mu.Lock(); defer c.mu.Unlock(); return c.now }
func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func open(t *testing.T, path string, c *clock) *DB {
	t.Helper()
	db, err := Open(path, Options{Now: c.Now, Rand: func() float64 { return 0.5 }, MaxAttempts: 3, FirstRetry: time.Second, LastRetry: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	return db
}

func check(t *testing.T, db *DB) {
	t.Helper()
	if err := db.View(func(tx *Tx) error { return tx.Check() }); err != nil {
		t.Fatal(err)
	}
}

func enqueue(t *testing.T, db *DB, id string) {
	t.Helper()
	if err := db.Update(func(tx *Tx) error { return tx.Enqueue(Job{ID: id, Kind: "k", Study: "1"}) }); err != nil {
		t.Fatal(err)
	}
	check(t, db)
}

// TestLeaseFrom: who leases from so many jobs on waits until so many are ready, and is woken then; jobs that somebody holds or that are put off are not.
func TestLeaseFrom(t *testing.T) {
	c := &clock{now: time.Unix(1000, 0)}
	db := open(t, filepath.Join(t.TempDir(), "db"), c)
	defer db.Close()
	for _, id := range []string{"a", "b", "c"} {
		enqueue(t, db, id)
	}
	if lease, err := db.LeaseFrom(t.Context(), time.Minute, 3, "k"); err != nil || lease.Job.ID != "a" {
		t.Fatalf("of three: %+v, %v", lease, err)
	}
	err := db.Update(func(tx *Tx) error {
		return tx.Postpone(Job{ID: "later", Kind: "k", NotBefore: tx.Now().Add(time.Second)})
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if lease, err := db.LeaseFrom(ctx, time.Minute, 3, "k"); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("of two: %+v, %v", lease, err)
	}
	got := make(chan *Lease)
	go func() {
		lease, err := db.LeaseFrom(t.Context(), time.Minute, 3, "k")
		if err != nil {
			t.Error(err)
		}
		got <- lease
	}()
	time.Sleep(20 * time.Millisecond) // it waits
	enqueue(t, db, "d")
	if lease := <-got; lease == nil || lease.Job.ID != "b" {
		t.Errorf("of three again: %+v", lease)
	}
}

func TestAJobIsDoneOnce(t *testing.T) {
	c := &clock{now: time.Unix(1000, 0)}
	db := open(t, filepath.Join(t.TempDir(), "db"), c)
	defer db.Close()
	enqueue(t, db, "a")
	enqueue(t, db, "a")
	lease, err := db.Lease(t.Context(), time.Minute, "k")
	if err != nil {
		t.Fatal(err)
	}
	if err := lease.Done(func(tx *Tx) error { return tx.Enqueue(Job{ID: "b", Kind: "next", Study: "1"}) }); err != nil {
		t.Fatal(err)
	}
	enqueue(t, db, "a") // asked for again after it was done
	err = db.View(func(tx *Tx) error {
		jobs, err := tx.Jobs("1")
		if len(jobs) != 1 || jobs[0].ID != "b" {
			t.Errorf("jobs %+v, want b alone", jobs)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	if err := lease.Done(nil); !errors.Is(err, ErrLeaseLost) {
		t.Errorf("ending a job twice gives %v", err)
	}
}

func TestFailuresBackOffAndEndAsDeadLetter(t *testing.T) {
	c := &clock{now: time.Unix(1000, 0)}
	db := open(t, filepath.Join(t.TempDir(), "db"), c)
	defer db.Close()
	enqueue(t, db, "a")
	for attempt, wait := range []time.Duration{time.Second, 2 * time.Second, 0} {
		lease, err := db.Lease(t.Context(), time.Minute, "k")
		if err != nil {
			t.Fatal(err)
		}
		dead := false
		if err := lease.Fail(errors.New("no luck"), func(_ *Tx, d bool) error { dead = d; return nil }); err != nil {
			t.Fatal(err)
		}
		if dead != (attempt == 2) {
			t.Errorf("attempt %d: dead %v", attempt, dead)
		}
		if id, left := db.peek([]string{"k"}, 1); attempt < 2 && (id != "" || left != wait) {
			t.Errorf("attempt %d: %q is ready, %s left, want %s", attempt, id, left, wait)
		}
		c.add(wait)
	}
	if err := db.Update(func(tx *Tx) error { return tx.Resend("a") }); err != nil {
		t.Fatal(err)
	}
	lease, err := db.Lease(t.Context(), time.Minute, "k")
	if err != nil {
		t.Fatal(err)
	}
	dead := false
	if err := lease.Fail(Permanent(errors.New("never")), func(_ *Tx, d bool) error { dead = d; return nil }); err != nil || !dead {
		t.Errorf("a permanent error: dead %v, %v", dead, err)
	}
	check(t, db)
}

// TestAJobPutOffWasNotTried: it comes back at its time, however often, and never becomes a dead letter for it.
func TestAJobPutOffWasNotTried(t *testing.T) {
	c := &clock{now: time.Unix(1000, 0)}
	db := open(t, filepath.Join(t.TempDir(), "db"), c)
	defer db.Close()
	enqueue(t, db, "told/1/a")
	enqueue(t, db, "told/1/b")
	enqueue(t, db, "told/11/a")
	for range 5 {
		lease, err := db.Lease(t.Context(), time.Minute, "k")
		if err != nil || lease.Job.Attempts != 1 {
			t.Fatalf("%+v, %v", lease, err)
		}
		if err := lease.PutOff(c.Now().Add(time.Second)); err != nil {
			t.Fatal(err)
		}
		if err := lease.PutOff(c.Now()); !errors.Is(err, ErrLeaseLost) {
			t.Errorf("a job that nobody holds is put off: %v", err)
		}
		c.add(time.Second)
		check(t, db)
	}
	err := db.View(func(tx *Tx) error {
		jobs, err := tx.JobsUnder("told/1/")
		if len(jobs) != 2 || jobs[0].ID != "told/1/a" || jobs[1].ID != "told/1/b" || jobs[0].Dead || jobs[0].Attempts != 0 {
			t.Errorf("jobs of told/1/: %+v", jobs)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestReportsKeptAsideAreBounded: the oldest goes.
func TestReportsKeptAsideAreBounded(t *testing.T) {
	db := open(t, filepath.Join(t.TempDir(), "db"), &clock{now: time.Unix(1000, 0)})
	defer db.Close()
	err := db.Update(func(tx *Tx) error {
		for i := range MaxAside + 2 {
			c := &AsideCorrection{ID: fmt.Sprint(-i), Time: time.Unix(int64(i), 0)}
			if i < MaxAside-1 {
				if err := put(tx, bucketCorrectionsAside, c.ID, c); err != nil {
					return err
				}
				continue
			}
			if err := tx.SetCorrectionAside(c); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	err = db.View(func(tx *Tx) error {
		n, oldest := 0, time.Unix(1<<40, 0)
		err := tx.EachAsideCorrection(func(c *AsideCorrection) error {
			if n++; c.Time.Before(oldest) {
				oldest = c.Time
			}
			return nil
		})
		if n != MaxAside || oldest.Unix() != 2 {
			t.Errorf("%d are kept, the oldest of %d", n, oldest.Unix())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestLeasesRunOutAndDieWithTheirProcess(t *testing.T) {
	c := &clock{now: time.Unix(1000, 0)}
	path := filepath.Join(t.TempDir(), "db")
	db := open(t, path, c)
	enqueue(t, db, "a")
	first, err := db.Lease(t.Context(), time.Minute, "k")
	if err != nil {
		t.Fatal(err)
	}
	c.add(2 * time.Minute)
	second, err := db.Lease(t.Context(), time.Hour, "k")
	if err != nil {
		t.Fatal(err)
	}
	if err := first.Done(nil); !errors.Is(err, ErrLeaseLost) {
		t.Errorf("a lease that ran out ends the job: %v", err)
	}
	_ = second
	if err := db.Close(); err != nil { // as a crash would: the lease is still held
		t.Fatal(err)
	}
	db = open(t, path, c)
	defer db.Close()
	if _, err := db.Lease(t.Context(), time.Minute, "k"); err != nil {
		t.Errorf("after a restart: %v", err)
	}
}

// TestUpdatesShareCommits: many writers at once, each told the truth of its own change.
func TestUpdatesShareCommits(t *testing.T) {
	db := open(t, filepath.Join(t.TempDir(), "db"), &clock{now: time.Unix(1000, 0)})
	defer db.Close()
	refused := errors.New("refused")
	var wg sync.WaitGroup
	for i := range 200 {
		wg.Go(func() {
			uid := fmt.Sprintf("1.%d", i)
			err := db.Update(func(tx *Tx) error {
				s := &Study{UID: "2." + uid, Instances: []string{uid}}
				if err := tx.PutStudy(s); err != nil {
					return err
				}
				if i%10 == 0 {
					return refused
				}
				return tx.PutInstance(&Instance{Instance: study.Instance{Header: study.Header{SOPInstanceUID: uid, StudyInstanceUID: "2." + uid}}})
			})
			if (i%10 == 0) != errors.Is(err, refused) {
				t.Errorf("update %d: %v", i, err)
			}
		})
	}
	wg.Wait()
	check(t, db)
	n := 0
	if err := db.View(func(tx *Tx) error { return tx.EachStudy(func(*Study) error { n++; return nil }) }); err != nil || n != 180 {
		t.Errorf("%d studies, %v; want the 180 that were not refused", n, err)
	}
}

// TestAJobWaitsForAWord: a job that is put off is there again when the wait is over, with what is left of it; the word that it waits for ends it,
// or counts as its failure, whoever holds it.
func TestAJobWaitsForAWord(t *testing.T) {
	c := &clock{now: time.Unix(1000, 0)}
	db := open(t, filepath.Join(t.TempDir(), "db"), c)
	defer db.Close()
	take := func() *Lease {
		t.Helper()
		lease, err := db.Lease(t.Context(), time.Minute, "k")
		if err != nil {
			t.Fatal(err)
		}
		return lease
	}
	later := func(l *Lease) error {
		return l.Later(time.Hour, []byte(`"rest"`), func(*Tx) error { return nil })
	}
	no := func() (j *Job) {
		t.Helper()
		err := db.Update(func(tx *Tx) (err error) {
			if j, err = tx.Job("a"); err != nil {
				return err
			}
			return tx.FailJob(j, errors.New("no"), []byte(`"left"`))
		})
		if err != nil {
			t.Fatal(err)
		}
		check(t, db)
		return j
	}
	enqueue(t, db, "a")
	if err := later(take()); err != nil {
		t.Fatal(err)
	}
	if id, left := db.peek([]string{"k"}, 1); id != "" || left != time.Minute { // the longest sleep
		t.Errorf("%q is ready, %s left", id, left)
	}
	c.add(time.Hour)
	held := take()
	if string(held.Job.Payload) != `"rest"` || held.Job.Attempts != 2 {
		t.Errorf("after the wait: %+v", held.Job)
	}
	if j := no(); j.Dead || string(j.Payload) != `"left"` {
		t.Errorf("after a no: %+v", j)
	}
	for _, end := range []error{later(held), held.Done(nil), held.Fail(errors.New("x"), nil)} {
		if !errors.Is(end, ErrLeaseLost) {
			t.Errorf("who held it may go on: %v", end)
		}
	}
	c.add(time.Minute)
	held = take()
	if j := no(); !j.Dead {
		t.Errorf("the third no of three: %+v", j)
	}
	if err := db.Update(func(tx *Tx) error { return tx.End("a") }); err != nil {
		t.Fatal(err)
	}
	check(t, db)
	if err := later(held); !errors.Is(err, ErrLeaseLost) {
		t.Errorf("who held a job that ended: %v", err)
	}
	enqueue(t, db, "a")
	if id, _ := db.peek([]string{"k"}, 1); id != "" {
		t.Errorf("%q was done and is there again", id)
	}
}

// TestWhoStopsLeavesWhatIsReady: a worker whose context ended gets no job, however many are ready.
func TestWhoStopsLeavesWhatIsReady(t *testing.T) {
	db, err := Open(filepath.Join(t.TempDir(), "db"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.Update(func(tx *Tx) error { return tx.Enqueue(Job{ID: "a", Kind: "k", Study: "1"}) }); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if lease, err := db.Lease(ctx, time.Minute, "k"); !errors.Is(err, context.Canceled) {
		t.Errorf("%v, %v", lease, err)
	}
}

// TestAKeptLeaseDoesNotRunOut: however long the work takes nobody else gets the job, and once it is let go somebody does.
func TestAKeptLeaseDoesNotRunOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db, err := Open(filepath.Join(t.TempDir(), "db"), Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		enqueue(t, db, "a")
		const ttl = 5 * time.Minute
		lease, err := db.Lease(t.Context(), ttl, "k")
		if err != nil {
			t.Fatal(err)
		}
		taken := func() error {
			ctx, cancel := context.WithTimeout(t.Context(), 4*ttl)
			defer cancel()
			_, err := db.Lease(ctx, ttl, "k")
			return err
		}
		stop := lease.Keep()
		if err := taken(); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("while it is kept: %v", err)
		}
		stop()
		if err := taken(); err != nil {
			t.Errorf("after it was let go: %v", err)
		}
		lease.Keep()() // of a lease that was lost
	})
}
