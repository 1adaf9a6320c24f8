package config

import (
	"testing"
	"time"
)

// TestLearningIsDue: in the hours, over midnight too, and with enough that is new.
func TestLearningIsDue(t *testing.T) {
	for _, test := range []struct {
		learning Learning
		at       string
		fresh    int
		want     bool
	}{
		{Learning{}, "23:00", 1000, false},
		{Learning{Hours: "22:00-05:00"}, "22:00", 1, true},
		{Learning{Hours: "22:00-05:00"}, "04:59", 1, true},
		{Learning{Hours: "22:00-05:00"}, "05:00", 1, false},
		{Learning{Hours: "22:00-05:00"}, "21:59", 1, false},
		{Learning{Hours: "22:00-05:00"}, "23:00", 0, false},
		{Learning{Hours: "01:00-02:30"}, "02:29", 1, true},
		{Learning{Hours: "01:00-02:30"}, "23:00", 1, false},
		{Learning{Hours: "22:00-05:00", After: 50}, "23:00", 49, false},
		{Learning{Hours: "22:00-05:00", After: 50}, "23:00", 50, true},
		{Learning{Hours: "22:00-05:00", After: 50}, "12:00", 500, false},
		{Learning{After: 50}, "12:00", 50, true},
		{Learning{After: 50}, "12:00", 49, false},
	} {
		at, err := time.Parse("15:04", test.at)
		if err != nil {
			t.Fatal(err)
		}
		if got := test.learning.Due(at, test.fresh); got != test.want {
			t.Errorf("%+v at %s with %d new: %t", test.learning, test.at, test.fresh, got)
		}
	}
}

// TestLearningIsChecked: what is no two times of the day is refused by its key.
func TestLearningIsChecked(t *testing.T) {
	for _, learning := range []Learning{{Hours: "22-5"}, {Hours: "22:00"}, {Hours: "22:00-24:00"}, {Hours: "05:00-05:00"}, {Hours: "a-b"}, {After: -1}} {
		faults := 0
		learning.Preset = "site"
		Config{Learning: learning}.checkLearning(func(string, string, ...any) { faults++ })
		if faults != 1 {
			t.Errorf("%+v has %d faults", learning, faults)
		}
	}
}

// TestPresetIsChecked: an unknown preset, or a setting that no run works with, is refused by its key.
func TestPresetIsChecked(t *testing.T) {
	for _, test := range []struct {
		learning Learning
		key      string
	}{
		{Learning{Preset: "site", Set: []string{"rank=8", "max_steps=10"}}, ""},
		{Learning{Preset: "sight"}, "learning.preset"},
		{Learning{Preset: "site", Set: []string{"rank=-8"}}, "learning.set"},
		{Learning{Preset: "site", Set: []string{"rang=8"}}, "learning.set"},
	} {
		got := ""
		Config{Learning: test.learning}.checkLearning(func(key, _ string, _ ...any) { got += key })
		if got != test.key {
			t.Errorf("%+v: fault %q, want %q", test.learning, got, test.key)
		}
	}
}
