package main

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"llamaxr/daemon"
	"llamaxr/finetune/corrections"

	"github.com/spf13/cobra"
)

// longestHeader is where the first line of a CSV file is looked for.
const longestHeader = 1024

// maxCorrections bounds one file of corrections; a year of a busy site has fewer.
const maxCorrections = 200_000

func newCorrections() *cobra.Command {
	cmd := &cobra.Command{Use: "corrections", Short: "Import and list the reports that radiologists signed"}
	cmd.AddCommand(newCorrectionsImport(), newCorrectionsList())
	return cmd
}

func newCorrectionsImport() *cobra.Command {
	var state string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "import FILE --state DIR",
		Short: "Import signed reports from JSONL or CSV",
		Long: "Each line of JSONL, or row of CSV with a header, has study_instance_uid or accession_number, report (with the headings FINDINGS:\n" +
			"and IMPRESSION:) or findings and impression, and where known role and time (RFC 3339). Only final, signed text belongs here.\n" +
			"Names, dates and numbers are masked before anything is kept. A report that fits no draft is kept aside, with the reason.",
		Args: exactly(1, "one file, or - for standard input"),
		RunE: func(cmd *cobra.Command, args []string) error {
			list, err := readCorrections(cmd, args[0])
			if err != nil {
				return err
			}
			outcomes, err := daemon.ImportCorrections(state, list)
			if err != nil {
				return err
			}
			if asJSON {
				if err := json.NewEncoder(cmd.OutOrStdout()).Encode(outcomes); err != nil {
					return err
				}
			}
			kept, aside, failed := 0, 0, 0
			for i, o := range outcomes {
				switch {
				case o.Error != "":
					failed++
					fmt.Fprintf(cmd.ErrOrStderr(), "report %d: %s\n", i+1, o.Error)
				case o.Aside != "":
					aside++
					fmt.Fprintf(cmd.ErrOrStderr(), "report %d: kept aside: %s\n", i+1, o.Aside)
				default:
					kept++
				}
			}
			if !asJSON {
				fmt.Fprintf(cmd.OutOrStdout(), "%d kept, %d kept aside, %d not taken\n", kept, aside, failed)
			}
			if failed > 0 {
				return fmt.Errorf("%d of %d reports were not taken", failed, len(outcomes))
			}
			return nil
		},
	}
	stateFlags(cmd, &state, &asJSON)
	return cmd
}

// correctionRow is one report as a file holds it.
type correctionRow struct {
	daemon.CorrectionInput
	Findings   string `json:"findings"`
	Impression string `json:"impression"`
}

func (r correctionRow) input(source string) daemon.CorrectionInput {
	in := r.CorrectionInput
	if in.Report == "" {
		in.Report = corrections.Report{Findings: r.Findings, Impression: r.Impression}.String()
	}
	in.StudyInstanceUID, in.AccessionNumber = strings.TrimSpace(in.StudyInstanceUID), strings.TrimSpace(in.AccessionNumber)
	in.Source = source
	return in
}

func readCorrections(cmd *cobra.Command, path string) ([]daemon.CorrectionInput, error) {
	in, err := input(cmd, path)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	source := "file " + filepath.Base(path)
	text := bufio.NewReader(in)
	if mark, err := text.Peek(len(byteOrderMark)); err == nil && string(mark) == byteOrderMark {
		_, _ = text.Discard(len(byteOrderMark))
	}
	if strings.EqualFold(filepath.Ext(path), ".csv") {
		return readCorrectionsCSV(text, source)
	}
	lines := bufio.NewScanner(text)
	lines.Buffer(nil, longestLine)
	var out []daemon.CorrectionInput
	n := 1
	for ; lines.Scan(); n++ {
		if strings.TrimSpace(lines.Text()) == "" {
			continue
		}
		var row correctionRow
		if err := json.Unmarshal(lines.Bytes(), &row); err != nil {
			return nil, fmt.Errorf("%s: line %d: %w", filepath.Base(path), n, readable(err))
		}
		if len(out) == maxCorrections {
			return nil, fmt.Errorf("%s: more than %d reports", filepath.Base(path), maxCorrections)
		}
		out = append(out, row.input(source))
	}
	if err := lines.Err(); errors.Is(err, bufio.ErrTooLong) {
		return nil, fmt.Errorf("%s: line %d is longer than %d KiB", filepath.Base(path), n, longestLine>>10)
	} else if err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Base(path), err)
	}
	return out, nil
}

const (
	byteOrderMark = "\ufeff" // which spreadsheets write
	longestLine   = 4 * corrections.MaxReport
)

// readable says of a time that is none which form is wanted.
func readable(err error) error {
	var wrong *time.ParseError
	if errors.As(err, &wrong) {
		return fmt.Errorf("time: %q is not of the form 2026-01-31T14:05:00Z", strings.Trim(wrong.Value, `"`))
	}
	return err
}

func readCorrectionsCSV(in *bufio.Reader, source string) ([]daemon.CorrectionInput, error) {
	rows := csv.NewReader(in)
	first, err := in.Peek(longestHeader)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%s: header: %w", source, err)
	}
	if line, _, _ := bytes.Cut(first, []byte("\n")); !bytes.Contains(line, []byte(",")) {
		rows.Comma = ';' // as spreadsheets write it where the comma is in numbers
	}
	header, err := rows.Read()
	if errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%s: it is empty", source)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: header: %w", source, err)
	}
	for i, name := range header {
		header[i] = strings.TrimSpace(strings.ToLower(name))
	}
	has := func(name string) bool { return slices.Contains(header, name) }
	if !has("study_instance_uid") && !has("accession_number") || !has("report") && (!has("findings") || !has("impression")) {
		return nil, fmt.Errorf("%s: its columns are %s; study_instance_uid or accession_number is needed, and report, or findings and impression", source, strings.Join(header, ", "))
	}
	var out []daemon.CorrectionInput
	for {
		record, err := rows.Read()
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", source, err)
		}
		if len(out) == maxCorrections {
			return nil, fmt.Errorf("%s: more than %d reports", source, maxCorrections)
		}
		var row correctionRow
		for i, name := range header {
			switch value := record[i]; name {
			case "study_instance_uid":
				row.StudyInstanceUID = value
			case "accession_number":
				row.AccessionNumber = value
			case "report":
				row.Report = value
			case "findings":
				row.Findings = value
			case "impression":
				row.Impression = value
			case "role":
				row.Role = value
			case "time":
				if value == "" {
					continue
				}
				if row.Time, err = time.Parse(time.RFC3339, value); err != nil {
					return nil, fmt.Errorf("%s: report %d: %w", source, len(out)+1, readable(err))
				}
			}
		}
		out = append(out, row.input(source))
	}
}

func newCorrectionsList() *cobra.Command {
	var state string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list --state DIR",
		Short: "List what is kept for fine-tuning, and what was kept aside",
		Args:  exactly(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			list, err := daemon.Corrections(state)
			if err != nil {
				return err
			}
			if asJSON {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(list)
			}
			table := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 4, 2, ' ', 0)
			fmt.Fprintln(table, "TIME\tSTUDY\tMASKED\tROLE\tSOURCE")
			for _, c := range list.Corrections {
				fmt.Fprintf(table, "%s\t%s\t%d\t%s\t%s\n", c.Time.Format("2006-01-02 15:04"), c.StudyInstanceUID, c.Masked, c.Role, c.Source)
			}
			for _, c := range list.Aside {
				fmt.Fprintf(table, "%s\t%s\t-\taside: %s\t%s\n", c.Time.Format("2006-01-02 15:04"), c.StudyInstanceUID, c.Reason, c.Source)
			}
			return table.Flush()
		},
	}
	stateFlags(cmd, &state, &asJSON)
	return cmd
}
