package queue

import (
	"maps"
	"path/filepath"
	"slices"
	"testing"
)

// TestFollowersLearnWhatCommitsChanged: every committed change of a study or reading is told once it is durable, a failed one never.
func TestFollowersLearnWhatCommitsChanged(t *testing.T) {
	db, err := Open(filepath.Join(t.TempDir(), "test.db"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var told []string
	stop := db.Follow(func(uids map[string]bool) {
		for _, uid := range slices.Sorted(maps.Keys(uids)) {
			err := db.View(func(tx *Tx) error {
				s, err := tx.Study(uid)
				if s == nil {
					t.Errorf("told of %s before it is there", uid)
				}
				return err
			})
			if err != nil {
				t.Error(err)
			}
			told = append(told, uid)
		}
	})
	put := func(uid string, fail error) error {
		return db.Update(func(tx *Tx) error {
			if err := tx.PutStudy(&Study{UID: uid, State: Receiving}); err != nil {
				return err
			}
			return fail
		})
	}
	for _, step := range []struct {
		uid  string
		fail error
	}{{"1", nil}, {"2", ErrLeaseLost}, {"3", nil}} {
		if err := put(step.uid, step.fail); err != step.fail {
			t.Fatal(err)
		}
	}
	if err := db.Update(func(tx *Tx) error { return tx.PutReading(&Reading{StudyInstanceUID: "1", Version: 1}) }); err != nil {
		t.Fatal(err)
	}
	stop()
	if err := put("4", nil); err != nil {
		t.Fatal(err)
	}
	if want := []string{"1", "3", "1"}; !slices.Equal(told, want) {
		t.Errorf("told %v, want %v", told, want)
	}
	if err := db.View((*Tx).Check); err != nil {
		t.Error(err)
	}
}
