package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"llamaxr/daemon/config"
	"llamaxr/internal/peertest"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// TestManual: man(1) sets every page without a warning, and what a reader sees has each command, each option with its meaning and each line of the
// configuration. Markdown on the way could swallow what is in angle brackets.
func TestManual(t *testing.T) {
	t.Setenv("SOURCE_DATE_EPOCH", "1700000000")
	folder := t.TempDir()
	if err := writeManual(newRoot(), folder); err != nil {
		t.Fatal(err)
	}
	see := func(page string) string {
		cmd := exec.Command(peertest.Program(t, "man"), "--warnings", "--encoding=UTF-8", "--local-file", filepath.Join(folder, page))
		cmd.Env = append(os.Environ(), "MANWIDTH=500", "LC_ALL=C.UTF-8", "MAN_KEEP_FORMATTING=")
		var said strings.Builder
		cmd.Stderr = &said
		out, err := cmd.Output()
		if err != nil || said.Len() > 0 {
			t.Errorf("%s: %v %s", page, err, said.String())
		}
		return strings.Join(strings.Fields(string(out)), " ")
	}
	pages := 0
	var visit func(*cobra.Command)
	visit = func(cmd *cobra.Command) {
		for _, sub := range cmd.Commands() {
			if sub.IsAvailableCommand() {
				visit(sub)
			}
		}
		pages++
		page := see(filepath.Join("man1", strings.ReplaceAll(cmd.CommandPath(), " ", "-")+".1"))
		want := []string{cmd.CommandPath(), cmd.Short, cmd.Long}
		cmd.NonInheritedFlags().VisitAll(func(f *pflag.Flag) { want = append(want, "--"+f.Name, f.Usage) })
		for _, text := range want {
			text = strings.ReplaceAll(text, "`", "") // code stands in another type there
			if text = strings.Join(strings.Fields(text), " "); !strings.Contains(page, text) {
				t.Errorf("the page of %s does not say %q", cmd.CommandPath(), text)
			}
		}
	}
	visit(newRoot())
	if written, err := filepath.Glob(filepath.Join(folder, "man1", "*")); err != nil || len(written) != pages || pages < 40 {
		t.Errorf("%d pages of %d commands, %v", len(written), pages, err)
	}
	var explained strings.Builder
	if err := config.Explain(&explained); err != nil {
		t.Fatal(err)
	}
	page := see("man5/llamaxr.yaml.5")
	for line := range strings.Lines(explained.String()) {
		if line = strings.Join(strings.Fields(line), " "); !strings.Contains(page, line) {
			t.Errorf("llamaxr.yaml(5) does not say %q", line)
		}
	}
}
