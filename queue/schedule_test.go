package queue

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"testing"
	"time"

	"go.etcd.io/bbolt"
)

// TestScheduleIsWhatIsStored: after any jobs asked for, put off, leased, done, failed and resent, the schedule in memory holds exactly the
// jobs that are stored and not dead, each from the time on that its record says, and so it does after the file is opened again.
func TestScheduleIsWhatIsStored(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 9))
	c := &clock{now: time.Unix(1000, 0)}
	path := filepath.Join(t.TempDir(), "db")
	db := open(t, path, c)
	defer func() { db.Close() }()
	var leases []*Lease
	for step := range 600 {
		id, kind := fmt.Sprint("job ", rng.IntN(12)), []string{"k", "l"}[rng.IntN(2)]
		var err error
		switch rng.IntN(8) {
		case 0, 1, 2:
			err = db.Update(func(tx *Tx) error { return tx.Again(Job{ID: id, Kind: kind}) })
		case 3:
			err = db.Update(func(tx *Tx) error {
				return tx.Postpone(Job{ID: id, Kind: kind, NotBefore: tx.Now().Add(time.Duration(rng.IntN(5)) * time.Second)})
			})
		case 4:
			if job, _ := db.peek([]string{kind}, 1); job != "" {
				var lease *Lease
				if lease, err = db.take(job, time.Minute); lease != nil {
					leases = append(leases, lease)
				}
			}
		case 5, 6:
			if len(leases) == 0 {
				continue
			}
			lease := leases[0]
			leases = leases[1:]
			switch rng.IntN(3) {
			case 0:
				err = lease.Done(nil)
			case 1:
				err = lease.PutOff(c.Now().Add(time.Duration(rng.IntN(5)) * time.Second))
			default:
				err = lease.Fail(errors.New("no luck"), nil)
			}
			if errors.Is(err, ErrLeaseLost) {
				err = nil
			}
		default:
			c.add(time.Duration(rng.IntN(3)) * time.Second)
			_ = db.Update(func(tx *Tx) error { return tx.Resend(id) }) // most are not dead
		}
		if err != nil {
			t.Fatal(err)
		}
		if step%100 == 99 {
			db.Close()
			db, leases = open(t, path, c), nil
		}
		scheduled(t, db)
	}
}

// TestALostJobHoldsUpNone: a job whose record goes bad while it waits, and is set aside, or is gone, is no longer waited for: the next is taken.
func TestALostJobHoldsUpNone(t *testing.T) {
	for name, lose := range map[string]func(*bbolt.Bucket) error{
		"damaged": func(jobs *bbolt.Bucket) error {
			raw := bytes.Clone(jobs.Get([]byte("a")))
			raw[sealLength] ^= 1
			return jobs.Put([]byte("a"), raw)
		},
		"gone": func(jobs *bbolt.Bucket) error { return jobs.Delete([]byte("a")) },
	} {
		db := open(t, filepath.Join(t.TempDir(), "db"), &clock{now: time.Unix(1000, 0)})
		defer db.Close()
		enqueue(t, db, "a")
		enqueue(t, db, "b")
		if err := db.bolt.Update(func(tx *bbolt.Tx) error { return lose(tx.Bucket(bucketJobs)) }); err != nil {
			t.Fatal(err)
		}
		if moved, err := db.SetDamagedAside(); err != nil || len(moved) > 1 || (len(moved) == 1) != (name == "damaged") {
			t.Fatalf("%s: set aside are %v, %v", name, moved, err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if lease, err := db.Lease(ctx, time.Minute, "k"); err != nil || lease.Job.ID != "b" {
			t.Fatalf("%s: the next job is not taken: %v", name, err)
		}
		scheduled(t, db)
	}
}

// scheduled compares the schedule with the records.
func scheduled(t *testing.T, db *DB) {
	t.Helper()
	want := map[string]time.Time{}
	err := db.View(func(tx *Tx) error {
		jobs, err := tx.Jobs("")
		for _, j := range jobs {
			at := j.Created
			if j.NotBefore.After(at) {
				at = j.NotBefore
			}
			if j.Leased.After(at) {
				at = j.Leased
			}
			if !j.Dead {
				want[j.ID] = at
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	db.mu.Lock()
	defer db.mu.Unlock()
	n := 0
	for _, h := range db.schedule.kinds {
		n += h.Len()
	}
	if len(db.schedule.byID) != len(want) || n != len(want) {
		t.Fatalf("%d jobs are scheduled, %d in heaps, %d stored", len(db.schedule.byID), n, len(want))
	}
	for id, at := range want {
		if w := db.schedule.byID[id]; w == nil || !w.at.Equal(at) {
			t.Fatalf("job %s is scheduled as %+v, want from %s on", id, w, at)
		}
	}
}
