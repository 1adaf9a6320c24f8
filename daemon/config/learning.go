package config

import (
	"fmt"
	"strings"
	"time"

	"llamaxr/finetune/tune"
)

// Learning says when fine-tuning begins by itself, with neither of the first keys when a person asks for it, and how it is done.
type Learning struct {
	Hours string `yaml:"hours" reload:"yes" explain:"hours of the day in which a run may begin by itself, local time, as 22:00-05:00; empty: at any hour, where after_corrections is set"`
	After int    `yaml:"after_corrections" reload:"yes" explain:"a run begins by itself when this many corrections are new since the last; 0: in hours, when one is"`
	// Preset and Set are of every run that is not begun with others.
	Preset string   `yaml:"preset" reload:"yes" explain:"settings of runs: site, prefix, full or paper; see docs/FINETUNING.md"`
	Set    []string `yaml:"set" reload:"yes" explain:"settings in place of the preset's own, as [rank=8, max_steps=200]"`
}

// Due reports whether a run should begin at a time, with so many corrections that no run has learnt from.
func (l Learning) Due(at time.Time, fresh int) bool {
	if l.Hours == "" {
		return l.After > 0 && fresh >= l.After
	}
	from, to, err := parseHours(l.Hours)
	if err != nil {
		return false // Check refuses it
	}
	minute := at.Hour()*60 + at.Minute()
	within := minute >= from && minute < to
	if from > to { // over midnight
		within = minute >= from || minute < to
	}
	return within && fresh >= max(l.After, 1)
}

// parseHours reads two times of the day, in minutes since midnight.
func parseHours(text string) (from, to int, err error) {
	first, second, _ := strings.Cut(text, "-")
	for _, side := range []struct {
		text string
		into *int
	}{{first, &from}, {second, &to}} {
		at, err := time.Parse("15:04", side.text)
		if err != nil {
			return 0, 0, fmt.Errorf("%q is not two times of the day, as 22:00-05:00", text)
		}
		*side.into = at.Hour()*60 + at.Minute()
	}
	if from == to {
		return 0, 0, fmt.Errorf("%q ends where it begins: leave hours empty for the whole day", text)
	}
	return from, to, nil
}

// maxAfter bounds after_corrections.
const maxAfter = 1_000_000

func (c Config) checkLearning(fault func(key, format string, args ...any)) {
	if n := c.Learning.After; n < 0 || n > maxAfter {
		fault("learning.after_corrections", "%d is outside 0 to %d", n, maxAfter)
	}
	if _, err := tune.PresetByName(c.Learning.Preset); err != nil {
		fault("learning.preset", "%w", err)
	} else if _, err := tune.PresetByName(c.Learning.Preset, c.Learning.Set...); err != nil {
		fault("learning.set", "%w", err)
	}
	if c.Learning.Hours != "" {
		if _, _, err := parseHours(c.Learning.Hours); err != nil {
			fault("learning.hours", "%w", err)
		}
	}
}
