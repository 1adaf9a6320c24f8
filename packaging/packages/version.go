package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// commitTime is SOURCE_DATE_EPOCH where it is set, else when the commit was made.
func (r *release) commitTime(ctx context.Context) (time.Time, error) {
	text := os.Getenv("SOURCE_DATE_EPOCH")
	if text == "" {
		out, err := r.git(ctx, "log", "-1", "--format=%ct")
		if err != nil {
			return time.Time{}, fmt.Errorf("neither SOURCE_DATE_EPOCH nor a commit says what time it is: %w", err)
		}
		text = out
	}
	seconds, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return time.Time{}, fmt.Errorf("SOURCE_DATE_EPOCH %q is not a number of seconds", text)
	}
	return time.Unix(seconds, 0).UTC(), nil
}

// ownVersion is that of the tag at the commit; else the program's own, with the commit's time first, so that a later build upgrades an earlier one.
func (r *release) ownVersion(ctx context.Context) (string, error) {
	if tag, err := r.git(ctx, "describe", "--tags", "--exact-match", "--match", "v[0-9]*"); err == nil {
		return strings.TrimPrefix(tag, "v"), nil
	}
	version, err := sourceVersion(filepath.Join(r.root, "daemon", "llamaxr", "main.go"))
	if err != nil {
		return "", err
	}
	version += "+" + r.epoch.Format("20060102150405")
	commit, err := r.git(ctx, "rev-parse", "--short=10", "HEAD")
	if err != nil {
		return version, nil // sources without git
	}
	version += ".g" + commit
	if changed, err := r.git(ctx, "status", "--porcelain", "--untracked-files=no"); err == nil && changed != "" {
		version += ".modified"
	}
	return version, nil
}

// sourceVersion reads the version that the program has when no linker sets one.
func sourceVersion(file string) (string, error) {
	source, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	found := regexp.MustCompile(`(?m)^var version = "([0-9][^"]*)"$`).FindSubmatch(source)
	if found == nil {
		return "", fmt.Errorf("%s says no version", file)
	}
	return string(found[1]), nil
}

// debian is a semantic version as nfpm writes it in a deb: "~" makes a pre-release older than its release.
func debian(version string) string {
	core, metadata, _ := strings.Cut(version, "+")
	core = strings.Replace(core, "-", "~", 1)
	if metadata != "" {
		core += "+" + metadata
	}
	return core + "-1"
}

func (r *release) git(ctx context.Context, args ...string) (string, error) {
	out, err := output(r.command(ctx, nil, "git", args...))
	return strings.TrimSpace(string(out)), err
}
