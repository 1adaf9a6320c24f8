package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"llamaxr/queue"

	"github.com/spf13/cobra"
)

// TestCorrectionFiles: files as spreadsheets and scripts write them are read, and of one that cannot be the message says where and what is wanted.
func TestCorrectionFiles(t *testing.T) {
	const row = `{"accession_number":" A1 ","report":"FINDINGS: Clear.\nIMPRESSION: Normal."}`
	for _, test := range []struct {
		file, text string
		reports    int
		fails      string
	}{
		{"a.jsonl", row + "\n\n" + row, 2, ""},
		{"mark.jsonl", byteOrderMark + row + "\r\n", 1, ""},
		{"time.jsonl", row + "\n" + `{"accession_number":"A1","time":"2026-01-03"}`, 0, `line 2: time: "2026-01-03" is not of the form`},
		{"long.jsonl", row + "\n" + strings.Repeat("x", longestLine), 0, "line 2 is longer than 256 KiB"},
		{"a.csv", "accession_number,report\nA1,\"FINDINGS: Clear.\nIMPRESSION: Normal.\"\n", 1, ""},
		{"mark.csv", byteOrderMark + "Accession_Number,findings,impression\r\nA1,Clear.,Normal.\r\n", 1, ""},
		{"semicolons.CSV", "accession_number;findings;impression\nA1;Clear.;Normal.\n", 1, ""},
		{"columns.csv", "study,text\n1,2\n", 0, "its columns are study, text; study_instance_uid or accession_number is needed"},
		{"time.csv", "accession_number,report,time\nA1,x,yesterday\n", 0, `report 1: time: "yesterday" is not of the form`},
		{"empty.csv", "", 0, "it is empty"},
		{"ragged.csv", "accession_number,report\nA1,x,y\n", 0, "line 2"},
	} {
		path := filepath.Join(t.TempDir(), test.file)
		if err := os.WriteFile(path, []byte(test.text), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := readCorrections(new(cobra.Command), path)
		if len(got) != test.reports || (err == nil) != (test.fails == "") || err != nil && !strings.Contains(err.Error(), test.fails) {
			t.Errorf("%s: %d reports, %v; want %d, %q", test.file, len(got), err, test.reports, test.fails)
		}
		for _, in := range got {
			if in.AccessionNumber != "A1" || !strings.Contains(in.Report, "Clear.") {
				t.Errorf("%s: %+v", test.file, in)
			}
		}
	}
}

// TestImportOfWhatIsNotTakenFails: with --json too.
func TestImportOfWhatIsNotTakenFails(t *testing.T) {
	path := filepath.Join(t.TempDir(), "signed.jsonl")
	if err := os.WriteFile(path, []byte(`{"accession_number":"A1","report":"no headings"}`+"\n"+`{"accession_number":"A1","report":"FINDINGS: Clear.\nIMPRESSION: Normal."}`), 0o600); err != nil {
		t.Fatal(err)
	}
	state := t.TempDir()
	db, err := queue.Open(filepath.Join(state, "llamaxr.db"), queue.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{nil, {"--json"}} {
		out, err := command(t, append([]string{"corrections", "import", path, "--state", state}, args...)...)
		if err == nil || !strings.Contains(err.Error(), "1 of 2 reports were not taken") {
			t.Errorf("%v: %v", args, err)
		}
		if args != nil && (strings.Count(out, "\n") != 1 || !strings.HasPrefix(out, "[{")) {
			t.Errorf("%v: %q is not one document", args, out)
		}
	}
}
