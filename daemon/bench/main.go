// Command bench measures the built appliance and writes the figures into docs/BENCHMARKS.md: receiving beside DCMTK's storescp on the
// same disk in the same run (or beside Orthanc and pynetdicom too), sending, from a complete study to its delivered drafts, and the models alone.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

func main() {
	opts := options{}
	flag.StringVar(&opts.program, "program", "bin/llamaxr", "the built appliance")
	flag.StringVar(&opts.out, "out", "docs/BENCHMARKS.md", "file whose sections are replaced")
	flag.StringVar(&opts.scratch, "scratch", "out/bench", "folder on the disk to measure")
	flag.IntVar(&opts.rounds, "rounds", 3, "rounds of receiving; medians are printed")
	flag.IntVar(&opts.studies, "studies", 40, "studies of the turnaround")
	flag.BoolVar(&opts.peers, "peers", false, "measure models and receiving beside other programs instead")
	flag.BoolVar(&opts.send, "send", false, "measure the sender instead")
	flag.StringVar(&opts.sink, "sink", "", "be a sink at this address, which -send starts")
	flag.IntVar(&opts.part, "part", 1, "send only the part of the objects that this divides")
	flag.BoolVar(&opts.receiving, "receiving", false, "with -peers: only receiving")
	flag.StringVar(&opts.only, "models", "", "with -peers: only these models (DenseNet121, and the language models' names), and no receiving; with -training: this one, without a peer")
	flag.BoolVar(&opts.gpu, "gpu", false, "hold a GPU to the CPU and measure it instead")
	flag.StringVar(&opts.measure, "measure", "", "as a process that is measured: time the language model in this folder")
	flag.IntVar(&opts.layers, "layers", 0, "with -peers: only so many layers of the models with random weights, on a machine that is too busy for all")
	flag.BoolVar(&opts.training, "training", false, "measure training beside PEFT instead")
	flag.StringVar(&opts.train, "train", "", "as a process that is measured: time training on the language model in this folder")
	flag.StringVar(&opts.reports, "reports", "../shared/data/reports/iu_reports.jsonl", "with -peers: human reports to write and to speculate from")
	flag.BoolVar(&opts.score, "score", false, "as a process that is measured: time the classifier")
	asJSON := flag.Bool("json", false, "print one JSON document too")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	result, err := run(ctx, opts)
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
	if *asJSON || opts.score || opts.measure != "" || opts.train != "" {
		_ = json.NewEncoder(os.Stdout).Encode(result)
	}
}

type options struct {
	program, out, scratch string
	rounds, studies, part int
	layers                int
	peers, send           bool
	score, gpu            bool
	receiving             bool
	training              bool
	only, measure, sink   string
	train                 string
	reports               string
}

// wants reports whether a model is to be measured.
func (o options) wants(model string) bool { return o.only == "" || strings.Contains(o.only, model) }

func run(ctx context.Context, opts options) (result any, err error) {
	switch {
	case opts.sink != "":
		return nil, serveSink(ctx, opts.sink)
	case opts.score:
		return scoreOurs(ctx)
	case opts.gpu:
		return checkGPU(ctx, opts)
	case opts.measure != "":
		return measureOurs(ctx, opts.measure, opts.rounds)
	case opts.train != "":
		return trainOurs(ctx, opts.train)
	}
	if opts.scratch, err = filepath.Abs(opts.scratch); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(opts.scratch, 0o755); err != nil {
		return nil, err
	}
	defer os.RemoveAll(opts.scratch)
	spread(opts.scratch)
	switch {
	case opts.send:
		table, err := sending(ctx, opts)
		if err != nil {
			return nil, err
		}
		return table, sendSection(table, opts).Replace(opts.out)
	case opts.training:
		return besidePEFT(ctx, opts)
	case opts.peers:
		return comparison(ctx, opts)
	}
	r := &report{Machine: machine(), Rounds: opts.rounds}
	if r.Receiving, err = receiving(ctx, opts); err != nil {
		return nil, err
	}
	if r.Turnaround, err = turnaround(ctx, opts); err != nil {
		return nil, err
	}
	if r.Models, err = modelSpeed(ctx); err != nil {
		return nil, err
	}
	return r, r.section().Replace(opts.out)
}

// comparison is with the peers: models, then receiving.
func comparison(ctx context.Context, opts options) (any, error) {
	if opts.receiving {
		return receivingBesidePeers(ctx, opts)
	}
	r := &modelsReport{Load: fmt.Sprint(loadAverage())}
	var err error
	if opts.wants(classifierName) {
		if r.Scoring, err = scoring(ctx, opts); err != nil {
			return nil, err
		}
	}
	if r.Drafting, err = drafting(ctx, opts); err != nil {
		return nil, err
	}
	r.Load += fmt.Sprintf(" before, %g after", loadAverage())
	if opts.only != "" {
		fmt.Fprint(os.Stderr, r.section())
		return r, nil
	}
	if err := r.section().Replace(opts.out); err != nil {
		return nil, err
	}
	table, err := receivingBesidePeers(ctx, opts)
	return []any{r, table}, err
}

func receivingBesidePeers(ctx context.Context, opts options) ([]taken, error) {
	table, err := besidePeers(ctx, opts)
	if err != nil {
		return nil, err
	}
	return table, peersSection(table, opts).Replace(opts.out)
}

// spread has the file system put each folder that is made in folder far from the others, where it can (ext4, as chattr +T does): without a journal it
// looks past every file deleted in the last minutes for each that it makes nearby, so that one receiver's round would slow the next one's.
func spread(folder string) {
	const topDirectory = 0x20000 // FS_TOPDIR_FL
	file, err := os.Open(folder)
	if err != nil {
		return
	}
	defer file.Close()
	if flags, err := unix.IoctlGetInt(int(file.Fd()), unix.FS_IOC_GETFLAGS); err == nil {
		_ = unix.IoctlSetPointerInt(int(file.Fd()), unix.FS_IOC_SETFLAGS, flags|topDirectory)
	}
}

// say prints progress to the terminal.
func say(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }
