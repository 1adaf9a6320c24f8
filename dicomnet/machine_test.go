package dicomnet

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"llamaxr/internal/peertest"
)

// table is PS3.8, table 9-10, transcribed: a row an event, a column a state from Sta1 to Sta13, "-" where the table is empty.
const table = `
1  AE-1 -    -    -    -    -    -    -    -    -     -    -    -
2  -    -    -    AE-2 -    -    -    -    -    -     -    -    -
3  -    AA-1 AA-8 -    AE-3 AA-8 AA-8 AA-8 AA-8 AA-8  AA-8 AA-8 AA-6
4  -    AA-1 AA-8 -    AE-4 AA-8 AA-8 AA-8 AA-8 AA-8  AA-8 AA-8 AA-6
5  AE-5 -    -    -    -    -    -    -    -    -     -    -    -
6  -    AE-6 AA-8 -    AA-8 AA-8 AA-8 AA-8 AA-8 AA-8  AA-8 AA-8 AA-7
7  -    -    AE-7 -    -    -    -    -    -    -     -    -    -
8  -    -    AE-8 -    -    -    -    -    -    -     -    -    -
9  -    -    -    -    -    DT-1 -    AR-7 -    -     -    -    -
10 -    AA-1 AA-8 -    AA-8 DT-2 AR-6 AA-8 AA-8 AA-8  AA-8 AA-8 AA-6
11 -    -    -    -    -    AR-1 -    -    -    -     -    -    -
12 -    AA-1 AA-8 -    AA-8 AR-2 AR-8 AA-8 AA-8 AA-8  AA-8 AA-8 AA-6
13 -    AA-1 AA-8 -    AA-8 AA-8 AR-3 AA-8 AA-8 AR-10 AR-3 AA-8 AA-6
14 -    -    -    -    -    -    -    AR-4 AR-9 -     -    AR-4 -
15 -    -    AA-1 AA-2 AA-1 AA-1 AA-1 AA-1 AA-1 AA-1  AA-1 AA-1 -
16 -    AA-2 AA-3 -    AA-3 AA-3 AA-3 AA-3 AA-3 AA-3  AA-3 AA-3 AA-2
17 -    AA-5 AA-4 AA-4 AA-4 AA-4 AA-4 AA-4 AA-4 AA-4  AA-4 AA-4 AR-5
18 -    AA-2 -    -    -    -    -    -    -    -     -    -    AA-2
19 -    AA-1 AA-8 -    AA-8 AA-8 AA-8 AA-8 AA-8 AA-8  AA-8 AA-8 AA-7
`

// effect is what tables 9-6 to 9-9 have an action do that the other side can see, and where it leads.
type effect struct {
	sends  string // "user abort" and "provider abort" are A-ABORT by their source
	closes bool
	artim  bool // starts ARTIM
	next   state
}

var effects = map[action]effect{
	ae1: {next: sta4}, ae2: {sends: "A-ASSOCIATE-RQ", next: sta5}, ae3: {next: sta6}, ae4: {closes: true, next: sta1},
	ae5: {artim: true, next: sta2}, ae6: {next: sta3}, ae7: {sends: "A-ASSOCIATE-AC", next: sta6},
	ae8: {sends: "A-ASSOCIATE-RJ", artim: true, next: sta13},
	dt1: {sends: "P-DATA-TF", next: sta6}, dt2: {next: sta6},
	ar1: {sends: "A-RELEASE-RQ", next: sta7}, ar2: {next: sta8}, ar3: {closes: true, next: sta1},
	ar4: {sends: "A-RELEASE-RP", artim: true, next: sta13}, ar5: {closes: true, next: sta1}, ar6: {next: sta7},
	ar7: {sends: "P-DATA-TF", next: sta8}, ar8: {next: sta9}, ar9: {sends: "A-RELEASE-RP", next: sta11}, ar10: {next: sta12},
	aa1: {sends: "user abort", artim: true, next: sta13}, aa2: {closes: true, next: sta1}, aa3: {closes: true, next: sta1},
	aa4: {closes: true, next: sta1}, aa5: {closes: true, next: sta1}, aa6: {next: sta13},
	aa7: {sends: "provider abort", next: sta13}, aa8: {sends: "provider abort", artim: true, next: sta13},
}

// standard reads the transcription.
func standard(t *testing.T) map[event]map[state]action {
	t.Helper()
	all := map[event]map[state]action{}
	for line := range strings.Lines(strings.TrimSpace(table)) {
		fields := strings.Fields(line)
		var e event
		if _, err := fmt.Sscan(fields[0], &e); err != nil || len(fields) != 14 {
			t.Fatalf("row %q", line)
		}
		all[e] = map[state]action{}
		for i, name := range fields[1:] {
			if name != "-" {
				all[e][state(i+1)] = action(name)
			}
		}
	}
	return all
}

// TestTableIsTheStandards: every cell of the program's table, the empty ones too, is that of PS3.8.
func TestTableIsTheStandards(t *testing.T) {
	want := standard(t)
	for e := evtAssociateRequest; e <= evtInvalid; e++ {
		for s := sta1; s <= sta13; s++ {
			for _, requestor := range []bool{false, true} {
				got, ok := next(s, e, requestor)
				act := want[e][s]
				to := effects[act].next
				if act == ar8 && !requestor {
					to = sta10
				}
				if ok != (act != "") || got.action != act || got.next != to {
					t.Errorf("Evt%d in Sta%d, requestor %t: %s to Sta%d, want %s to Sta%d", e, s, requestor, got.action, got.next, act, to)
				}
			}
		}
	}
}

// TestTableIsPynetdicoms holds the transcription to another's reading of the standard.
func TestTableIsPynetdicoms(t *testing.T) {
	python := peertest.Python(t)
	out, err := exec.Command(python, "-c", `
from pynetdicom import fsm
for (e, s), a in fsm.TRANSITION_TABLE.items(): print(e[3:], s[3:], a)`).Output()
	if err != nil {
		t.Fatal(err)
	}
	want, cells := standard(t), 0
	for line := range strings.Lines(string(out)) {
		var e event
		var s state
		var act action
		if _, err := fmt.Sscan(line, &e, &s, &act); err != nil {
			t.Fatal(err)
		}
		cells++
		if want[e][s] != act {
			t.Errorf("Evt%d in Sta%d: transcribed %q, pynetdicom has %q", e, s, want[e][s], act)
		}
	}
	ours := 0
	for _, row := range want {
		ours += len(row)
	}
	if cells != ours {
		t.Errorf("%d cells transcribed, pynetdicom has %d", ours, cells)
	}
}
