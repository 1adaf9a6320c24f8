// Package figures is for commands that measure: what came of it is a section of a document, whose heading says how to measure it again.
package figures

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"time"
)

// level begins a heading of a section.
const level = "## "

// Section is one part of a document in Markdown, up to the next heading of its level.
type Section struct {
	title string
	text  strings.Builder
}

// Begin begins a section under a title.
func Begin(title string) *Section {
	s := &Section{title: title}
	s.Line("%s", level+title)
	return s
}

// Line adds a line.
func (s *Section) Line(format string, args ...any) { fmt.Fprintf(&s.text, format+"\n", args...) }

// String is the section with its heading.
func (s *Section) String() string { return s.text.String() }

// Replace puts the section in the place of the one with its title in the file at path, at the end when there is none; all else is left alone.
func (s *Section) Replace(path string) error {
	old, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("figures: %w", err)
	}
	before, after, _ := strings.Cut(string(old), level+s.title+"\n")
	_, after, found := strings.Cut(after, "\n"+level)
	if found {
		after = level + after
	}
	text := strings.TrimSpace(before) + "\n\n" + strings.TrimSpace(s.String()) + "\n\n" + after
	if err := os.WriteFile(path, []byte(strings.TrimSpace(text)+"\n"), 0o644); err != nil {
		return fmt.Errorf("figures: %w", err)
	}
	return nil
}

// ProcessorTime is what this process has used of all cores so far.
func ProcessorTime() time.Duration {
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		return 0
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}
