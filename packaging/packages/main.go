package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// formats are what can be made, in the order of making.
var formats = []string{"deb", "rpm", "tarball", "image"}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "packages:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	r := release{messages: out}
	f := flag.NewFlagSet("packages", flag.ContinueOnError)
	root := f.String("root", ".", "the project's folder")
	folder := f.String("out", "out/packages", "folder to write into; what this program wrote there before is replaced")
	arches := f.String("arch", "amd64,arm64", "architectures")
	what := f.String("formats", strings.Join(formats, ","), "what to make")
	f.StringVar(&r.version, "version", os.Getenv("VERSION"), "semantic version; by default what git and the program say")
	f.StringVar(&r.maintainer, "maintainer", or(os.Getenv("MAINTAINER"), "llamaxr packages <packages@llamaxr.invalid>"), "who answers for the packages, NAME <ADDRESS>")
	if err := f.Parse(args); err != nil {
		return err
	}
	var err error
	if r.root, err = filepath.Abs(*root); err != nil {
		return err
	}
	if r.out, err = filepath.Abs(*folder); err != nil {
		return err
	}
	r.arches, r.formats = strings.Split(*arches, ","), strings.Split(*what, ",")
	for _, format := range r.formats {
		if !slices.Contains(formats, format) {
			return fmt.Errorf("unknown format %q; there are %s", format, strings.Join(formats, ", "))
		}
	}
	if r.epoch, err = r.commitTime(ctx); err != nil {
		return err
	}
	if r.version == "" {
		if r.version, err = r.ownVersion(ctx); err != nil {
			return err
		}
	}
	return r.make(ctx)
}

func or(value, otherwise string) string {
	if value == "" {
		return otherwise
	}
	return value
}

// release is one run.
type release struct {
	root, out, version, maintainer string
	arches, formats                []string
	epoch                          time.Time
	messages                       io.Writer

	work string   // what is gone at the end
	made []string // names in out
}

// make makes everything, or says at which part it failed.
func (r *release) make(ctx context.Context) error {
	if err := r.clear(); err != nil {
		return err
	}
	var err error
	if r.work, err = os.MkdirTemp(r.out, ".work-"); err != nil {
		return err
	}
	defer os.RemoveAll(r.work)
	program, err := r.hostProgram(ctx)
	if err != nil {
		return fmt.Errorf("program: %w", err)
	}
	for _, arch := range r.arches {
		if err := r.stage(ctx, arch, program); err != nil {
			return fmt.Errorf("%s: %w", arch, err)
		}
		for _, format := range r.formats {
			switch format {
			case "deb", "rpm":
				err = r.nfpm(ctx, format, arch)
			case "tarball":
				err = r.tarball(arch)
			}
			if err != nil {
				return fmt.Errorf("%s of %s: %w", format, arch, err)
			}
		}
	}
	if slices.Contains(r.formats, "image") { // one for all architectures
		if err := r.image(); err != nil {
			return fmt.Errorf("image: %w", err)
		}
	}
	return r.sums()
}

// clear makes the folder and takes out what an earlier run left: a file of an older version beside new sums would mislead.
func (r *release) clear() error {
	if err := os.MkdirAll(r.out, 0o755); err != nil {
		return err
	}
	for _, pattern := range []string{"llamaxr_*.deb", "llamaxr-*.rpm", "llamaxr-*.tar.gz", "llamaxr-*.cdx.json", "llamaxr-*.oci.tar", sumsName, ".work-*"} {
		old, err := filepath.Glob(filepath.Join(r.out, pattern))
		if err != nil {
			return err
		}
		for _, path := range old {
			if err := os.RemoveAll(path); err != nil {
				return err
			}
		}
	}
	return nil
}

// command is a program in the project's folder whose surroundings are the release's.
func (r *release) command(ctx context.Context, environment []string, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = r.root
	cmd.Env = append(os.Environ(), fmt.Sprintf("SOURCE_DATE_EPOCH=%d", r.epoch.Unix()), "TZ=UTC", "LC_ALL=C.UTF-8")
	cmd.Env = append(cmd.Env, environment...)
	return cmd
}

// output runs a command and returns what it printed; what it says of a failure is in the error.
func output(cmd *exec.Cmd) ([]byte, error) {
	out, err := cmd.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return out, fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, exit.Stderr)
	}
	return out, err
}
