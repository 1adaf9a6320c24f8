package config

import (
	"strings"
	"testing"
)

// TestModes: the switch of a source decides, "*" for those not listed, and shadow lets nothing out whatever they say.
func TestModes(t *testing.T) {
	for _, test := range []struct{ text, calling, want string }{
		{"", "CR1", ModeDraft},
		{"shadow: true", "CR1", ModeShadow},
		{"sources: [{ae_title: CR1, mode: shadow}]", "CR1 ", ModeShadow},
		{"sources: [{ae_title: CR1, mode: shadow}]", "CR2", ModeDraft},
		{"sources: [{ae_title: CR1, mode: draft}, {ae_title: '*', mode: store}]", "CR1", ModeDraft},
		{"sources: [{ae_title: CR1, mode: draft}, {ae_title: '*', mode: store}]", "CR2", ModeStore},
		{"shadow: true\nsources: [{ae_title: CR1, mode: draft}]", "CR1", ModeShadow},
		{"shadow: true\nsources: [{ae_title: CR1, mode: store}]", "CR1", ModeStore},
	} {
		cfg, err := Parse(strings.NewReader(test.text))
		if err != nil {
			t.Fatal(err)
		}
		if err := cfg.Check(); err != nil {
			t.Errorf("%q: %v", test.text, err)
		}
		if got := cfg.Mode(test.calling); got != test.want {
			t.Errorf("%q: %s is %s, want %s", test.text, test.calling, got, test.want)
		}
	}
	for text, want := range map[string]string{
		"sources: [{ae_title: CR1, mode: on}]":                                    "sources[0].mode",
		"sources: [{ae_title: CR1}]":                                              "sources[0].mode",
		"sources: [{mode: draft}]":                                                "sources[0].ae_title",
		"sources: [{ae_title: A, mode: draft}, {ae_title: 'A ', mode: store}]":    "sources[1].ae_title",
		"sources: [{ae_title: ABCDEFGHIJKLMNOPQ, mode: draft}]\nshadow: true\n\n": "sources[0].ae_title",
	} {
		cfg, err := Parse(strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		if err := cfg.Check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want a fault of %s", text, err, want)
		}
	}
}
