package main

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// sumsName is checked by `sha256sum -c`.
const sumsName = "SHA256SUMS"

// nfpm makes a deb or an rpm and names it by that format's custom.
func (r *release) nfpm(ctx context.Context, format, arch string) error {
	into := filepath.Join(r.work, arch, format)
	if err := os.MkdirAll(into, 0o755); err != nil {
		return err
	}
	cmd := r.command(ctx, []string{"VERSION=" + r.version, "ARCH=" + arch, "MAINTAINER=" + r.maintainer, "TREE=" + r.tree(arch), "BY=" + r.by(arch)},
		"go", "tool", tools, "nfpm", "package", "--config", "packaging/nfpm.yaml", "--packager", format, "--target", into+"/")
	if _, err := output(cmd); err != nil {
		return err
	}
	made, err := filepath.Glob(filepath.Join(into, "*."+format))
	if err != nil || len(made) != 1 {
		return fmt.Errorf("nfpm made %d files: %w", len(made), err)
	}
	name := filepath.Base(made[0])
	r.made = append(r.made, name)
	return os.Rename(made[0], filepath.Join(r.out, name))
}

// tarball is for machines without deb and rpm: what lies below usr, to be unpacked into /usr/local or /opt. `llamaxr service install` makes the unit
// for where the program lies, so none is in it.
func (r *release) tarball(arch string) error {
	name := fmt.Sprintf("llamaxr-%s-linux-%s", r.version, arch)
	return r.create(name+".tar.gz", func(out io.Writer) error {
		z, err := gzip.NewWriterLevel(out, gzip.DefaultCompression)
		if err != nil {
			return err
		}
		t := tar.NewWriter(z)
		usr := filepath.Join(r.tree(arch), "usr")
		err = addTree(t, usr, r.epoch, func(path string) string {
			if path == "lib" || strings.HasPrefix(path, "lib/") {
				return ""
			}
			return filepath.Join(name, path)
		})
		if err == nil {
			err = addTree(t, filepath.Join(r.by(arch), "rpm/usr/share/zsh"), r.epoch, func(path string) string { return filepath.Join(name, "share/zsh", path) })
		}
		return errors.Join(err, t.Close(), z.Close())
	})
}

// addTree adds a folder in the order of its names, owned by root and with one time. renamed says what a path below it is called; empty leaves it out.
func addTree(t *tar.Writer, folder string, when time.Time, renamed func(string) string) error {
	return filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		below, err := filepath.Rel(folder, path)
		if err != nil {
			return err
		}
		name := renamed(filepath.ToSlash(below))
		if name == "" {
			return nil
		}
		if entry.IsDir() {
			return t.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: name + "/", Mode: 0o755, ModTime: when})
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		if err := t.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Size: info.Size(), Mode: int64(info.Mode().Perm()), ModTime: when}); err != nil {
			return err
		}
		file, err := os.Open(path)
		if err != nil {
			return err
		}
		defer file.Close()
		_, err = io.Copy(t, file)
		return err
	})
}

// create writes a file of the release.
func (r *release) create(name string, fill func(io.Writer) error) error {
	file, err := os.Create(filepath.Join(r.out, name))
	if err != nil {
		return err
	}
	if err := errors.Join(fill(file), file.Close()); err != nil {
		return err
	}
	r.made = append(r.made, name)
	return nil
}

// sums writes SHA256SUMS and prints a line for each file.
func (r *release) sums() error {
	slices.Sort(r.made)
	var sums strings.Builder
	for _, name := range r.made {
		sum, size, err := sumOf(filepath.Join(r.out, name))
		if err != nil {
			return err
		}
		fmt.Fprintf(&sums, "%s  %s\n", sum, name)
		fmt.Fprintf(r.messages, "%-70s %6.1f MB  %s\n", name, float64(size)/1e6, sum[:16])
	}
	return os.WriteFile(filepath.Join(r.out, sumsName), []byte(sums.String()), 0o644)
}

func sumOf(path string) (string, int64, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", 0, err
	}
	defer file.Close()
	digest := sha256.New()
	n, err := io.Copy(digest, file)
	return hex.EncodeToString(digest.Sum(nil)), n, err
}
