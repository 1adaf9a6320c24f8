package main

import (
	"llamaxr/daemon/conformance"

	"github.com/spf13/cobra"
)

func newConformance() *cobra.Command {
	return &cobra.Command{
		Use:   "conformance",
		Short: "Print the DICOM Conformance Statement (PS3.2) of this program, in Markdown",
		Args:  exactly(0, "no arguments"),
		RunE:  func(cmd *cobra.Command, _ []string) error { return conformance.Write(cmd.OutOrStdout()) },
	}
}
