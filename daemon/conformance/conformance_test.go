package conformance

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"llamaxr/internal/peertest"
)

var update = flag.Bool("update", false, "write docs/CONFORMANCE.md")

// TestStatementIsTheProgram: the statement that is handed out is what the program's tables say now. -update writes it.
func TestStatementIsTheProgram(t *testing.T) {
	var now bytes.Buffer
	if err := Write(&now); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(peertest.Root(t), "docs", "CONFORMANCE.md")
	if *update {
		if err := os.WriteFile(path, now.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	kept, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(kept, now.Bytes()) {
		a, b := strings.Split(string(kept), "\n"), strings.Split(now.String(), "\n")
		for i := range min(len(a), len(b)) {
			if a[i] != b[i] {
				t.Errorf("docs/CONFORMANCE.md is not what `llamaxr conformance` prints: line %d is\n%s\nand should be\n%s", i+1, a[i], b[i])
				return
			}
		}
		t.Errorf("docs/CONFORMANCE.md has %d lines, `llamaxr conformance` prints %d", len(a), len(b))
	}
}

// sections are the headings of PS3.2 annex N, which a statement must have in this order.
var sections = []string{
	"## 1 Overview", "### 1.1 Content and Transfer", "#### 1.1.1 Structured Reporting Root Template IDs", "### 1.2 DIMSE Services", "### 1.3 DICOM Web Services",
	"### 1.4 Media Services", "### 1.5 Real-Time Video Service", "### 1.6 De-identification Profiles", "### 1.7 Specific Character Sets", "## 2 Table of Contents",
	"## 3 Introduction", "### 3.1 Revision History", "### 3.2 Audience", "### 3.3 Remarks", "### 3.4 Terms and Definitions", "### 3.5 Abbreviations",
	"### 3.6 References", "## 4 Implementation Model", "### 4.1 Application Entities and Data Flow", "## 5 Service and Interoperability Description",
	"### 5.1 Mapping of Services to Application Entities", "### 5.2 DIMSE Services", "### 5.3 DICOM Web Services", "### 5.4 Media Services",
	"### 5.5 Real-Time Video Services", "### 5.6 Cross-Service Considerations", "### 5.7 Specific Character Sets", "## 6 Configuration",
	"## 7 Network and Media Communication Details", "#### 7.1.1 General Association Parameters", "### 7.2 Specifications", "### 7.3 Status Codes", "## 8 Security",
	"### 8.1 Introduction", "### 8.2 External Network Requirements", "### 8.3 TCP Port Configuration", "### 8.4 DICOM Security Profiles Support",
	"### 8.5 User Identity Negotiation Support", "### 8.6 Web Services Security Features", "### 8.7 Other Security Features",
	"## Annex A.A Information Object Definitions", "## Annex A.B Structured Report Content Encoding", "## Annex A.C Security Details",
	"## Annex A.D Mapping of Attributes", "## Annex A.E Code Sets",
}

// TestStatementHasTheStandardsForm: the headings are there, in order, and no table has a row of another width than its head.
func TestStatementHasTheStandardsForm(t *testing.T) {
	var b bytes.Buffer
	if err := Write(&b); err != nil {
		t.Fatal(err)
	}
	rest, width := b.String(), 0
	for _, s := range sections {
		_, after, found := strings.Cut(rest, "\n"+s+"\n")
		if !found {
			t.Fatalf("no heading %q behind the one before", s)
		}
		rest = "\n" + after
	}
	for i, line := range strings.Split(b.String(), "\n") {
		cells := strings.Count(strings.ReplaceAll(line, `\|`, ""), "|")
		if !strings.HasPrefix(line, "|") {
			width = 0
			continue
		}
		if width == 0 {
			width = cells
		}
		if cells != width {
			t.Errorf("line %d has %d cells, its table %d: %s", i+1, cells-1, width-1, line)
		}
	}
}

// TestAttributes: what the tables say of attributes whose presence and source PS3.3 and the code leave no doubt of.
func TestAttributes(t *testing.T) {
	rows := map[string]attribute{}
	for _, o := range objects {
		list, err := o.attributes()
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range list {
			rows[o.Title+" "+a.Name] = a
		}
	}
	for name, want := range map[string][3]string{
		"Narrative draft Verification Flag":                   {"UNVERIFIED", "ALWAYS", "AUTO"},
		"Narrative draft Preliminary Flag":                    {"PRELIMINARY", "ALWAYS", "AUTO"},
		"Signed report Verification Flag":                     {"VERIFIED", "ALWAYS", "AUTO"},
		"Signed report >Verifying Observer Name":              {"", "ALWAYS", "USER"},
		"Narrative draft Patient ID":                          {"", "VNAP", "IMAGE"},
		"Narrative draft Patient's Age":                       {"", "ANAP", "IMAGE"},
		"Narrative draft Predecessor Documents Sequence":      {"", "ANAP", ""},
		"Signed report >>>>Code Value":                        {"", "ALWAYS", "AUTO"}, // replaced or preliminary
		"Narrative draft SOP Instance UID":                    {"", "ALWAYS", "AUTO"},
		"Narrative draft Study Instance UID":                  {"", "ALWAYS", "IMAGE"},
		"Narrative draft Manufacturer":                        {"", "ALWAYS", "CONFIG"},
		"Pictures Burned In Annotation":                       {"YES", "ALWAYS", "AUTO"},
		"Scores Referenced Performed Procedure Step Sequence": {"", "EMPTY", ""},
	} {
		if a := rows[name]; [3]string{a.Value, a.Presence, a.Source} != want {
			t.Errorf("%s is %+v, want %v", name, a, want)
		}
	}
}
