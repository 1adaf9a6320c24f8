package queue

import (
	"context"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// TestTheClockIsSet: set back while it runs, or while it does not, the clock makes no job wait until it is where it was: what is ready is taken,
// what waits waits for as long as it was to. Set forward, it makes them ready.
func TestTheClockIsSet(t *testing.T) {
	for name, restart := range map[string]bool{"running": false, "between two starts": true} {
		for _, by := range []time.Duration{-2 * time.Second, -3 * time.Hour, -20 * 365 * 24 * time.Hour, 3 * time.Hour} {
			path := filepath.Join(t.TempDir(), "db")
			c := &clock{now: time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)}
			db := open(t, path, c)
			take := func() string {
				ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
				defer cancel()
				lease, err := db.Lease(ctx, time.Minute, "k")
				if err != nil {
					return ""
				}
				if err := lease.Done(nil); err != nil {
					t.Errorf("%s by %s: %v", name, by, err)
				}
				return lease.Job.ID
			}
			if got := take(); got != "" { // the clock was looked at
				t.Fatal(got)
			}
			enqueue(t, db, "held")
			if _, err := db.Lease(t.Context(), time.Minute, "k"); err != nil {
				t.Fatal(err)
			}
			enqueue(t, db, "ready")
			err := db.Update(func(tx *Tx) error {
				return tx.Postpone(Job{ID: "waits", Kind: "k", NotBefore: tx.Now().Add(30 * time.Second)})
			})
			if err != nil {
				t.Fatal(err)
			}
			c.add(by)
			order := []string{"ready", "", "waits", "", "held"} // empty: the clock goes on for half a minute
			if restart {
				if err := db.Close(); err != nil {
					t.Fatal(err)
				}
				db = open(t, path, c)
				order = []string{"held", "ready", "", "waits"}
			}
			if by > 0 { // all of it is over
				order = slices.DeleteFunc(order, func(id string) bool { return id == "" })
			}
			for _, want := range order {
				if got := take(); got != want {
					t.Errorf("%s by %s: %q is taken, want %q", name, by, got, want)
				}
				if want == "" {
					c.add(31 * time.Second)
				}
			}
			check(t, db)
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
}
