package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"llamaxr/systemd"
)

// Where a package puts what it documents, below the tree.
const (
	documents = "usr/share/doc/llamaxr"
	shared    = "usr/share/llamaxr"
)

// tree is the folder whose files are installed under /, and by the one for what only a deb or an rpm installs.
func (r *release) tree(arch string) string { return filepath.Join(r.work, arch, "tree") }
func (r *release) by(arch string) string   { return filepath.Join(r.work, arch, "by") }

// build compiles the program without cgo, so that it runs on any Linux of its architecture.
func (r *release) build(ctx context.Context, goos, arch, path string) error {
	_, err := output(r.command(ctx, target(goos, arch), "go", "build", "-trimpath", "-buildvcs=false",
		"-ldflags", "-s -w -buildid= -X main.version="+r.version, "-o", path, "./daemon/llamaxr"))
	return err
}

// target is the environment in which Go builds for a machine.
func target(goos, arch string) []string {
	return []string{"GOOS=" + goos, "GOARCH=" + arch, "CGO_ENABLED=0", "GOEXPERIMENT=simd", "GOFLAGS=", "GOAMD64=v1", "GOARM64=v8.0"}
}

// hostProgram builds the program for this machine: it says how it is used, which is the same on all.
func (r *release) hostProgram(ctx context.Context) (string, error) {
	path := filepath.Join(r.work, "llamaxr")
	return path, r.build(ctx, runtime.GOOS, runtime.GOARCH, path)
}

// stage lays out what the packages of an architecture install.
func (r *release) stage(ctx context.Context, arch, program string) error {
	tree := r.tree(arch)
	binary := filepath.Join(tree, "usr/bin/llamaxr")
	if err := os.MkdirAll(filepath.Dir(binary), 0o755); err != nil {
		return err
	}
	if runtime.GOOS == "linux" && arch == runtime.GOARCH {
		if err := os.Link(program, binary); err != nil {
			return err
		}
	} else if err := r.build(ctx, "linux", arch, binary); err != nil {
		return err
	}
	steps := []func() error{
		func() error { return r.manual(ctx, tree, program) },
		func() error { return r.completions(ctx, arch, program) },
		func() error { return r.configuration(ctx, tree, program) },
		func() error { return r.service(tree) },
		func() error { return r.bill(ctx, arch, program) },
		func() error { return r.licences(ctx, arch) },
		func() error { return r.documents(arch) },
		func() error { return r.settle(filepath.Join(r.work, arch)) },
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// manual writes the pages of the program's own commands.
func (r *release) manual(ctx context.Context, tree, program string) error {
	pages := filepath.Join(tree, "usr/share/man")
	if _, err := output(r.command(ctx, nil, program, "manual", "--out", pages)); err != nil {
		return err
	}
	return filepath.WalkDir(pages, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if err := write(path+".gz", zipped(text)); err != nil {
			return err
		}
		return os.Remove(path)
	})
}

// completions writes what shells complete; zsh's folder is another on Debian than elsewhere.
func (r *release) completions(ctx context.Context, arch, program string) error {
	for shell, path := range map[string]string{
		"bash": filepath.Join(r.tree(arch), "usr/share/bash-completion/completions/llamaxr"),
		"fish": filepath.Join(r.tree(arch), "usr/share/fish/vendor_completions.d/llamaxr.fish"),
		"zsh":  filepath.Join(r.by(arch), "rpm/usr/share/zsh/site-functions/_llamaxr"),
	} {
		script, err := output(r.command(ctx, nil, program, "completion", shell))
		if err != nil {
			return err
		}
		if err := write(path, script); err != nil {
			return err
		}
		if shell == "zsh" {
			if err := write(filepath.Join(r.by(arch), "deb/usr/share/zsh/vendor-completions/_llamaxr"), script); err != nil {
				return err
			}
		}
	}
	return nil
}

// configuration writes the explained defaults, with the state where the service has it.
func (r *release) configuration(ctx context.Context, tree, program string) error {
	text, err := output(r.command(ctx, nil, program, "config", "explain"))
	if err != nil {
		return err
	}
	const folder = "\nstate: \"llamaxr-state\"\n"
	if !bytes.Contains(text, []byte(folder)) {
		return fmt.Errorf("config explain says no%s", folder)
	}
	text = bytes.Replace(text, []byte(folder), []byte("\nstate: \""+systemd.State+"\"\n"), 1)
	path := filepath.Join(tree, shared, "llamaxr.yaml")
	if err := write(path, text); err != nil {
		return err
	}
	_, err = output(r.command(ctx, nil, program, "config", "check", path))
	return err
}

// service writes the units and the user that they run as.
func (r *release) service(tree string) error {
	for path, text := range map[string]string{
		"usr/lib/systemd/system/llamaxr.service":        systemd.Service,
		"usr/lib/systemd/system/llamaxr-backup.service": systemd.BackupService,
		"usr/lib/systemd/system/llamaxr-backup.timer":   systemd.BackupTimer,
		"usr/lib/sysusers.d/llamaxr.conf":               systemd.Sysusers,
	} {
		if err := write(filepath.Join(tree, path), []byte(text)); err != nil {
			return err
		}
	}
	return nil
}

// documents copies what an administrator reads, and what monitoring takes.
func (r *release) documents(arch string) error {
	tree := r.tree(arch)
	for pattern, folder := range map[string]string{
		"README.md": documents, "docs/*.md": documents + "/docs", "docs/*.png": documents + "/docs", "packaging/monitoring/*.json": shared + "/monitoring", "packaging/monitoring/*.rules.yml": shared + "/monitoring",
	} {
		paths, err := filepath.Glob(filepath.Join(r.root, pattern))
		if err != nil || len(paths) == 0 {
			return fmt.Errorf("%s: none found: %w", pattern, err)
		}
		for _, path := range paths {
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			if err := write(filepath.Join(tree, folder, filepath.Base(path)), text); err != nil {
				return err
			}
		}
	}
	changes, err := os.ReadFile(filepath.Join(r.root, "CHANGELOG.md"))
	if err != nil {
		return err
	}
	if err := write(filepath.Join(tree, documents, "changelog.gz"), zipped(changes)); err != nil {
		return err
	}
	// Debian policy 12.7 and 4.4; lintian(1) for the overrides.
	entry := fmt.Sprintf("llamaxr (%s) unstable; urgency=medium\n\n  * The changes are in changelog.gz.\n\n -- %s  %s\n",
		debian(r.version), r.maintainer, r.epoch.Format("Mon, 02 Jan 2006 15:04:05 -0700"))
	if err := write(filepath.Join(r.by(arch), "deb", documents, "changelog.Debian.gz"), zipped([]byte(entry))); err != nil {
		return err
	}
	overrides, err := os.ReadFile(filepath.Join(r.root, "packaging/lintian-overrides"))
	if err != nil {
		return err
	}
	return write(filepath.Join(r.by(arch), "deb/usr/share/lintian/overrides/llamaxr"), overrides)
}

// settle gives every file the mode that it is installed with, whatever the umask, and the release's time.
func (r *release) settle(folder string) error {
	return filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		mode := fs.FileMode(0o644)
		if entry.IsDir() || strings.HasSuffix(path, "/usr/bin/llamaxr") {
			mode = 0o755
		}
		if err := os.Chmod(path, mode); err != nil {
			return err
		}
		return os.Chtimes(path, r.epoch, r.epoch)
	})
}

// write writes a file and the folders above it.
func write(path string, content []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, content, 0o644)
}

// zipped is gzip -9n.
func zipped(content []byte) []byte {
	var out bytes.Buffer
	z, _ := gzip.NewWriterLevel(&out, gzip.BestCompression) // the level is a valid one
	_, _ = z.Write(content)                                 // a buffer takes everything
	_ = z.Close()
	return out.Bytes()
}
