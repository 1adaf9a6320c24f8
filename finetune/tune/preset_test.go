package tune

import (
	"strings"
	"testing"
)

// TestPresetSettings: each field can be set, the name says so, the preset stays as it was; what no run works with is refused by name.
func TestPresetSettings(t *testing.T) {
	got, err := PresetByName("site", "rank=8", "alpha=32", "peak_rate=5e-4", "continue=false", `weights={"decision":2}`)
	if err != nil {
		t.Fatal(err)
	}
	want := Site
	want.Name = `site with rank=8, alpha=32, peak_rate=5e-4, continue=false, weights={"decision":2}`
	want.Rank, want.Alpha, want.PeakRate, want.Continue, want.Weights.Decision = 8, 32, 5e-4, false, 2
	if got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	for _, p := range Presets {
		if err := p.check(); err != nil {
			t.Error(err)
		}
	}
	for setting, says := range map[string]string{
		"rank": "form", "=8": "form", "rank=": "form", "name=x": "form", "rang=8": "rang", "rank=x": "neither", "rank=1.5": "rank=1.5", "rank=-1": "rank -1 is outside 0 to 256",
		"batch=0": "batch 0", "held_out=1": "held_out 1", "peak_rate=0": "peak_rate 0", "prefix=20": "not both", "alpha=0": "nothing", "rank=8 alpha=9": "neither",
		`weights={"decision":-1}`: "weights.decision", "validate_every=0": "validate_every", `rank=1,"batch":0`: "neither", "max_tokens=1e9": "max_tokens",
	} {
		if _, err := PresetByName("site", setting); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: error %v, want one with %q", setting, err, says)
		}
	}
}
