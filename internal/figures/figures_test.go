package figures

import (
	"os"
	"path/filepath"
	"testing"
)

// TestReplace: a section takes the place of the one with its title, wherever that stands, or goes to the end; all else is left alone.
func TestReplace(t *testing.T) {
	made := Begin("Sending (`make x`)")
	made.Line("%d MB/s", 7)
	const section = "## Sending (`make x`)\n7 MB/s\n"
	for name, c := range map[string]struct{ old, want string }{
		"no file":        {"", section},
		"none before":    {"# Figures\nIntro.\n\n## Other\nkept\n", "# Figures\nIntro.\n\n## Other\nkept\n\n" + section},
		"in the middle":  {"# Figures\n\n## Sending (`make x`)\nold\n### Of it\nold\n\n## Other\nkept\n\n## Third\nkept\n", "# Figures\n\n" + section + "\n## Other\nkept\n\n## Third\nkept\n"},
		"the last":       {"# Figures\n\n## Other\nkept\n\n## Sending (`make x`)\nold", "# Figures\n\n## Other\nkept\n\n" + section},
		"a longer title": {"# Figures\n\n## Sending (`make x`) again\nkept\n", "# Figures\n\n## Sending (`make x`) again\nkept\n\n" + section},
	} {
		path := filepath.Join(t.TempDir(), "figures.md")
		if c.old != "" {
			if err := os.WriteFile(path, []byte(c.old), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		for range 2 { // again it is the same
			if err := made.Replace(path); err != nil {
				t.Fatal(err)
			}
			if got, err := os.ReadFile(path); err != nil || string(got) != c.want {
				t.Errorf("%s: %v\n%s\nwant\n%s", name, err, got, c.want)
			}
		}
	}
}

// TestProcessorTime: what is computed takes time.
func TestProcessorTime(t *testing.T) {
	began, n := ProcessorTime(), 0
	for ProcessorTime() <= began {
		if n++; n > 10_000_000 {
			t.Fatal("the processor's time stands still")
		}
	}
}
