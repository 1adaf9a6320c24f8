package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// licenceFile is how modules name what has to go with them.
var licenceFile = regexp.MustCompile(`(?i)^(licen[cs]es?|copying|notice|patents|unlicense)([.-].*)?$`)

// module is a part of the program that others wrote.
type module struct {
	Path, Version, Dir string
	Main               bool
}

// licences copies the licence texts of everything that is linked into the program, and writes the copyright file. A module without one is an
// error: it could not be passed on.
func (r *release) licences(ctx context.Context, arch string) error {
	out, err := output(r.command(ctx, target("linux", arch), "go", "list", "-deps", "-json=Dir,Module,Standard", "./daemon/llamaxr"))
	if err != nil {
		return err
	}
	folder := filepath.Join(r.tree(arch), documents, "licences")
	versions, texts := map[string]string{}, map[string]int{}
	packages := json.NewDecoder(strings.NewReader(string(out)))
	for packages.More() {
		var p struct {
			Dir      string
			Standard bool
			Module   *module
		}
		if err := packages.Decode(&p); err != nil {
			return fmt.Errorf("go list: %w", err)
		}
		if p.Standard || p.Module == nil {
			continue
		}
		n, err := copyLicences(p.Dir, p.Module.Dir, filepath.Join(folder, filepath.FromSlash(p.Module.Path)))
		if err != nil {
			return err
		}
		if !p.Module.Main {
			versions[p.Module.Path] = p.Module.Version
			texts[p.Module.Path] += n
		}
	}
	for path := range versions {
		if texts[path] == 0 {
			return fmt.Errorf("%s %s has no licence file", path, versions[path])
		}
	}
	goroot, err := output(r.command(ctx, nil, "go", "env", "GOROOT"))
	if err != nil {
		return err
	}
	root := strings.TrimSpace(string(goroot))
	if n, err := copyLicences(root, root, filepath.Join(folder, "go")); err != nil || n == 0 {
		return fmt.Errorf("go itself: %d licence files in GOROOT: %w", n, err)
	}
	return r.copyright(arch, versions)
}

// copyLicences copies the licence files of a package's folder and of those above it, to the module's.
func copyLicences(dir, module, to string) (int, error) {
	if below, err := filepath.Rel(module, dir); err != nil || strings.HasPrefix(below, "..") {
		return 0, fmt.Errorf("%s is not below its module's folder %s", dir, module)
	}
	n := 0
	for {
		entries, err := os.ReadDir(dir)
		if err != nil {
			return n, err
		}
		for _, entry := range entries {
			if !entry.Type().IsRegular() || !licenceFile.MatchString(entry.Name()) || strings.HasSuffix(entry.Name(), ".go") {
				continue
			}
			below, err := filepath.Rel(module, filepath.Join(dir, entry.Name()))
			if err != nil {
				return n, err
			}
			text, err := os.ReadFile(filepath.Join(dir, entry.Name()))
			if err != nil {
				return n, err
			}
			if err := write(filepath.Join(to, below), text); err != nil {
				return n, err
			}
			n++
		}
		if dir == module {
			return n, nil
		}
		dir = filepath.Dir(dir)
	}
}

// copyright writes Debian's copyright file (policy 12.5).
func (r *release) copyright(arch string, versions map[string]string) error {
	var text strings.Builder
	text.WriteString("llamaxr\n\nCopyright and licence: not stated. The owner of the project has not published terms for it; ask before you pass it on.\n" +
		"The starter models inside are made by the project, on synthetic phantoms, and are under the same.\n\n" +
		"Linked into the program, each under its own licence, whose text is in licences/ beside this file:\n\n  Go's standard library and runtime (licences/go)\n")
	names := make([]string, 0, len(versions))
	for path := range versions {
		names = append(names, path)
	}
	slices.Sort(names)
	for _, path := range names {
		fmt.Fprintf(&text, "  %s %s\n", path, versions[path])
	}
	text.WriteString("\nAlso inside: words of WordNet 3.0 (licences/llamaxr/finetune/metrics/wordnet).\nsbom.cdx.json lists the same for programs.\n")
	return write(filepath.Join(r.tree(arch), documents, "copyright"), []byte(text.String()))
}
