package daemon

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// TestDraftingGivesWay: a step waits while any reader's answer is made, not longer than is allowed, and not at all when nobody reads.
func TestDraftingGivesWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r readers
		waited := func(ctx context.Context) time.Duration {
			began := time.Now()
			r.giveWay(ctx)
			return time.Since(began)
		}
		if got := waited(t.Context()); got != 0 {
			t.Errorf("nobody reads, and it waits %s", got)
		}
		first, second := r.enter(), r.enter()
		time.AfterFunc(40*time.Millisecond, first)
		time.AfterFunc(90*time.Millisecond, second)
		if got := waited(t.Context()); got != 90*time.Millisecond {
			t.Errorf("two read for 90 ms, and it waits %s", got)
		}
		third := r.enter()
		if got := waited(t.Context()); got != maxGiveWay {
			t.Errorf("somebody always reads, and it waits %s", got)
		}
		stopped, stop := context.WithCancel(t.Context())
		stop()
		if got := waited(stopped); got != 0 {
			t.Errorf("it is to stop, and waits %s", got)
		}
		third()
		if got := waited(t.Context()); got != 0 {
			t.Errorf("all have left, and it waits %s", got)
		}
	})
}
