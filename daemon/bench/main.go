// Command bench measures the built appliance and writes the figures into docs/BENCHMARKS.md: receiving beside DCMTK's storescp on the
// same disk in the same run, from a complete study to its delivered drafts, and the models alone.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/signal"
)

func main() {
	opts := options{}
	flag.StringVar(&opts.program, "program", "bin/llamaxr", "the built appliance")
	flag.StringVar(&opts.out, "out", "docs/BENCHMARKS.md", "file whose sections are replaced")
	flag.StringVar(&opts.scratch, "scratch", "out/bench", "folder on the disk to measure")
	flag.IntVar(&opts.rounds, "rounds", 3, "rounds of receiving; medians are printed")
	flag.IntVar(&opts.studies, "studies", 40, "studies of the turnaround")
	asJSON := flag.Bool("json", false, "print one JSON document too")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	report, err := run(ctx, opts)
	if err == nil {
		err = report.write(opts.out)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
	if *asJSON {
		_ = json.NewEncoder(os.Stdout).Encode(report)
	}
}

type options struct {
	program, out, scratch string
	rounds, studies       int
}

func run(ctx context.Context, opts options) (*report, error) {
	if err := os.MkdirAll(opts.scratch, 0o755); err != nil {
		return nil, err
	}
	defer os.RemoveAll(opts.scratch)
	r := &report{Machine: machine(), Rounds: opts.rounds}
	var err error
	if r.Receiving, err = receiving(ctx, opts); err != nil {
		return nil, err
	}
	if r.Turnaround, err = turnaround(ctx, opts); err != nil {
		return nil, err
	}
	if r.Models, err = modelSpeed(ctx); err != nil {
		return nil, err
	}
	return r, nil
}

// say prints progress to the terminal.
func say(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }
