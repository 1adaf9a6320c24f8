package main

import (
	"encoding/json"
	"fmt"
	"runtime"

	"llamaxr/inference/models"

	"github.com/spf13/cobra"
)

func newVersion() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Print the version of the program and of its starter models",
		Args:  exactly(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			bundle, err := models.Starter()
			if err != nil {
				return err
			}
			out := cmd.OutOrStdout()
			if asJSON {
				return json.NewEncoder(out).Encode(map[string]any{
					"version": version, "go": runtime.Version(), "platform": runtime.GOOS + "/" + runtime.GOARCH, "starter": bundle.Manifest,
				})
			}
			fmt.Fprintf(out, "llamaxr %s (%s, %s/%s)\nstarter models %s\n", version, runtime.Version(), runtime.GOOS, runtime.GOARCH,
				bundle.Manifest.Version)
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON document")
	return cmd
}
