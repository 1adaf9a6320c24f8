package queue

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"llamaxr/study"
)

// TestWindow: the newest studies stay, a revision takes the place of the one before, and an older time does not come in front.
func TestWindow(t *testing.T) {
	db, err := Open(filepath.Join(t.TempDir(), "db"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	begin := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	add := func(uid string, after time.Duration, score float32) {
		t.Helper()
		err := db.Update(func(tx *Tx) error {
			return tx.AddScores(ScoredStudy{Study: uid, Time: begin.Add(after), Scores: study.PairScores{Frontal: &study.Scores{study.Mass: score}}}, 3)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for i, uid := range []string{"1.1", "1.2", "1.3", "1.4"} {
		add(uid, time.Duration(i)*time.Millisecond, 0.1)
	}
	add("1.3", time.Hour, 0.9)
	var got []string
	err = db.View(func(tx *Tx) error {
		recent, err := tx.RecentScores()
		for _, s := range recent {
			got = append(got, fmt.Sprintf("%s %.1f", s.Study, s.Scores.Frontal[study.Mass]))
		}
		return err
	})
	if want := "[1.2 0.1 1.4 0.1 1.3 0.9]"; err != nil || fmt.Sprint(got) != want {
		t.Errorf("%v, want %s; %v", got, want, err)
	}
}
