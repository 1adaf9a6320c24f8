package web

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestAnswersAreMadeOnce: readers who ask at once get the same answer from one making, an error is not kept, and what is kept is bounded
// in time and bytes.
func TestAnswersAreMadeOnce(t *testing.T) {
	var p answers
	now := time.Date(2026, 1, 2, 8, 0, 0, 0, time.UTC)
	var calls atomic.Int32
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if data, err := p.get("a", now, func() ([]byte, error) { calls.Add(1); return []byte("picture"), nil }); err != nil || string(data) != "picture" {
				t.Errorf("%q %v", data, err)
			}
		})
	}
	wg.Wait()
	if calls.Load() != 1 {
		t.Errorf("made %d times", calls.Load())
	}
	again := func(key string, at time.Time, size int, err error) bool {
		before := calls.Load()
		_, _ = p.get(key, at, func() ([]byte, error) { calls.Add(1); return make([]byte, size), err })
		return calls.Load() > before
	}
	if again("a", now.Add(answersFor-time.Second), 1, nil) || !again("a", now.Add(answersFor+time.Second), 1, nil) {
		t.Error("an answer is kept for a minute, no longer")
	}
	if !again("b", now, 0, errors.New("no picture")) || !again("b", now, 1, nil) {
		t.Error("an error was kept")
	}
	func() {
		defer func() { _ = recover() }()
		_, _ = p.get("c", now, func() ([]byte, error) { panic("broken") })
	}()
	if !again("c", now, 1, nil) {
		t.Error("a panic was kept")
	}
	for i := range 5 {
		again(string(rune('0'+i)), now, maxAnswersBytes/3, nil)
	}
	if !again("0", now, 1, nil) || again("4", now, 1, nil) {
		t.Error("the oldest answers leave when there are too many bytes, the newest stay")
	}
}
