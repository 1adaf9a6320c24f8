package config

import (
	"fmt"
	"slices"
	"strings"
)

// Modes: what is done with studies.
const (
	ModeDraft  = "draft"  // drafted and sent
	ModeShadow = "shadow" // drafted and scored; nothing is sent
	ModeStore  = "store"  // stored; no draft
)

// modes from the least careful on.
var modes = []string{ModeDraft, ModeShadow, ModeStore}

// anySource stands for every source that is not listed.
const anySource = "*"

// Source is the switch of one sender.
type Source struct {
	AETitle string `yaml:"ae_title" explain:"the calling AE title; * is every one that is not listed"`
	Mode    string `yaml:"mode" explain:"draft: drafts are sent; shadow: drafted and scored, nothing is sent; store: stored, no draft"`
}

// MoreCareful reports whether mode a does less than mode b.
func MoreCareful(a, b string) bool { return slices.Index(modes, a) > slices.Index(modes, b) }

// Mode is what is done with an object of a calling AE title. Where shadow is true nothing is sent, whatever the sources say.
func (c Config) Mode(calling string) string {
	mode := ModeDraft
	for _, s := range c.Sources {
		if s.AETitle == anySource {
			mode = s.Mode
		}
	}
	for _, s := range c.Sources {
		if strings.TrimSpace(s.AETitle) == strings.TrimSpace(calling) {
			mode = s.Mode
		}
	}
	if c.Shadow && MoreCareful(ModeShadow, mode) {
		return ModeShadow
	}
	return mode
}

// checkSources reports what is wrong with the switches.
func (c Config) checkSources(fault func(key, format string, args ...any)) {
	for i, s := range c.Sources {
		key := fmt.Sprintf("sources[%d]", i)
		if err := checkAETitle(s.AETitle); err != nil {
			fault(key+".ae_title", "%w", err)
		}
		if !slices.Contains(modes, s.Mode) {
			fault(key+".mode", "%q is not one of %s", s.Mode, strings.Join(modes, ", "))
		}
		if slices.ContainsFunc(c.Sources[:i], func(o Source) bool { return strings.TrimSpace(o.AETitle) == strings.TrimSpace(s.AETitle) }) {
			fault(key+".ae_title", "%s is listed twice", s.AETitle)
		}
	}
}
