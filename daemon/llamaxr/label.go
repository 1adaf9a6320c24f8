package main

import (
	"bufio"
	"encoding/json"
	"fmt"

	"llamaxr/reporting/labeler"
	"llamaxr/study"

	"github.com/spf13/cobra"
)

// maxLabelLine bounds one JSONL line of `llamaxr label`; the longest real report is under 10 KiB.
const maxLabelLine = 1 << 20

func newLabel() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "label",
		Short: "Say which findings a report calls present, absent or uncertain",
		Long:  `Reads JSONL lines {"id": ..., "text": "..."} from standard input and prints {"id": ..., "findings": {"Effusion": "present"}}.`,
		Args:  exactly(0, "no arguments: reports come on standard input"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			lines := bufio.NewScanner(cmd.InOrStdin())
			lines.Buffer(nil, maxLabelLine)
			out := json.NewEncoder(cmd.OutOrStdout())
			for n := 1; lines.Scan(); n++ {
				if len(lines.Bytes()) == 0 {
					continue
				}
				var report struct {
					ID   json.RawMessage `json:"id"`
					Text string          `json:"text"`
				}
				if err := json.Unmarshal(lines.Bytes(), &report); err != nil {
					return fmt.Errorf("standard input, line %d: %w", n, err)
				}
				findings := map[string]study.Polarity{}
				for f, p := range labeler.Label(report.Text) {
					findings[f.String()] = p
				}
				if err := out.Encode(map[string]any{"id": report.ID, "findings": findings}); err != nil {
					return err
				}
			}
			if err := lines.Err(); err != nil {
				return fmt.Errorf("standard input: %w", err)
			}
			return nil
		},
	}
	cmd.Flags().Bool("json", true, "JSONL, the only form there is")
	return cmd
}
