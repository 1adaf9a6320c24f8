package ingest

import (
	"testing"
	"time"
)

// TestPace: an examination's images are no bulk, an archive's are, until a moment after the last.
func TestPace(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, test := range []struct {
		name    string
		objects int
		every   time.Duration
		after   time.Duration
		want    bool
	}{
		{"nothing", 0, 0, 0, false},
		{"two views", 2, 10 * time.Millisecond, 0, false},
		{"one a second", 100, time.Second, 0, false},
		{"a hundred at once", 100, time.Millisecond, 0, true},
		{"a hundred, half a second later", 100, time.Millisecond, 500 * time.Millisecond, true},
		{"a hundred, later", 100, time.Millisecond, time.Second, false},
	} {
		var p pace
		now := start
		for range test.objects {
			now = now.Add(test.every)
			p.note(now)
		}
		if got := p.bulk(now.Add(test.after)); got != test.want {
			t.Errorf("%s: bulk %v", test.name, got)
		}
	}
}
