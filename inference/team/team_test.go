package team

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestEveryPartIsDoneOnce: by callers one after another, at once, and after the workers fell asleep.
func TestEveryPartIsDoneOnce(t *testing.T) {
	check := func(n int) {
		parts := make([]atomic.Int32, n)
		Share(n, func(at int) { parts[at].Add(1) })
		for at := range parts {
			if got := parts[at].Load(); got != 1 {
				t.Errorf("part %d of %d was done %d times", at, n, got)
			}
		}
	}
	for n := range 300 {
		check(n)
		if n%100 == 99 {
			time.Sleep(10 * patience)
		}
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for n := range 300 {
				check(n)
			}
		})
	}
	wg.Wait()
}
