// Command trainer makes the starter models again from their seeds, into inference/models/starter.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"

	"llamaxr/finetune/starter"
	"llamaxr/inference/engine"
)

func main() {
	model := flag.String("model", "all", "viewnet, densenet, reference (of the densenet that is there), llama, adapter (over the llama that is there), manifest or all")
	out := flag.String("out", "inference/models/starter", "folder that receives the models")
	want := flag.String("engine", engine.Auto, "engine: auto, xla:cpu, xla:cuda or go")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *model, *out, *want); err != nil {
		fmt.Fprintln(os.Stderr, "trainer:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, model, out, want string) error {
	eng, err := engine.Open(want)
	if err != nil {
		return err
	}
	fmt.Printf("engine %s: %s\n", eng.Name, eng.Why)
	if model == "viewnet" || model == "all" {
		if err := starter.TrainViewNet(starter.ViewNetFile, os.Stdout); err != nil {
			return err
		}
		if model == "viewnet" {
			return nil
		}
	}
	if model == "densenet" || model == "all" {
		if err := starter.TrainDenseNet(ctx, eng, starter.DefaultDenseNet(out, os.Stdout)); err != nil {
			return err
		}
	}
	if model == "densenet" || model == "reference" || model == "all" {
		if err := starter.AddReference(ctx, eng, out); err != nil {
			return err
		}
	}
	if model == "llama" || model == "all" {
		if err := starter.TrainLlama(ctx, eng, starter.DefaultLlama(out, os.Stdout)); err != nil {
			return err
		}
	}
	if model == "adapter" {
		if err := starter.TrainAdapter(ctx, eng, starter.DefaultLlama(out, os.Stdout)); err != nil {
			return err
		}
	}
	return starter.WriteManifest(out)
}
