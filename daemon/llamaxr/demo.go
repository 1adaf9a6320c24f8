package main

import (
	"fmt"
	"os"

	"llamaxr/daemon/demo"
	"llamaxr/ingest/phantom"
	"llamaxr/study"

	"github.com/spf13/cobra"
)

func newDemo() *cobra.Command {
	var out string
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Push two phantom studies through a running appliance and show the result",
		Args:  exactly(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			program, err := os.Executable()
			if err != nil {
				return err
			}
			return demo.Run(cmd.Context(), demo.Options{Program: program, Out: out, Version: version, Log: cmd.OutOrStdout()})
		},
	}
	cmd.Flags().StringVar(&out, "out", "out/demo", "folder that receives pictures, objects and index.html")
	return cmd
}

func newPhantom() *cobra.Command {
	var out, habit string
	var seed uint64
	var findings []string
	cmd := &cobra.Command{
		Use:   "phantom --out DIR",
		Short: "Write a synthetic chest study as DICOM objects, for tests",
		Args:  exactly(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			var want []study.Finding
			for _, name := range findings {
				f, err := study.ParseFinding(name)
				if err != nil {
					return usageError{err}
				}
				want = append(want, f)
			}
			for _, h := range phantom.Habits() {
				if h.Name != habit {
					continue
				}
				if err := os.MkdirAll(out, 0o755); err != nil {
					return err
				}
				paths, err := phantom.New(seed, want...).WriteDICOM(out, h)
				for _, path := range paths {
					fmt.Fprintln(cmd.OutOrStdout(), path)
				}
				return err
			}
			return usageError{fmt.Errorf("unknown habit %q", habit)}
		},
	}
	cmd.Flags().StringVar(&out, "out", "", "folder for the objects")
	cmd.Flags().Uint64Var(&seed, "seed", 1, "number of the synthetic patient")
	cmd.Flags().StringArrayVar(&findings, "finding", nil, "finding to draw; may be given again")
	cmd.Flags().StringVar(&habit, "habit", "dx-12", "vendor's habit: dx-12, cr-mono1-10, cr-15-bare, dx-14-mono1 or cr-16-lying")
	_ = cmd.MarkFlagRequired("out")
	return cmd
}
