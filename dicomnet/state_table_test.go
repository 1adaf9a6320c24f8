package dicomnet

import (
	"os/exec"
	"strings"
	"testing"

	"llamaxr/internal/peertest"
)

// nextStates is table 9-10 of PS3.8 as printed there, an event a line: the states in which it can happen with the state that follows.
// "3/13" are the two ways on of AE-6, "9/10" those of AR-8.
var nextStates = map[event]string{
	evtAssociateRequest: "1:4",
	evtConnected:        "4:5",
	evtAssociateAC:      "2:13 3:13 5:6 6:13 7:13 8:13 9:13 10:13 11:13 12:13 13:13",
	evtAssociateRJ:      "2:13 3:13 5:1 6:13 7:13 8:13 9:13 10:13 11:13 12:13 13:13",
	evtConnection:       "1:2",
	evtAssociateRQ:      "2:3/13 3:13 5:13 6:13 7:13 8:13 9:13 10:13 11:13 12:13 13:13",
	evtAccept:           "3:6",
	evtReject:           "3:13",
	evtDataRequest:      "6:6 8:8",
	evtDataTF:           "2:13 3:13 5:13 6:6 7:7 8:13 9:13 10:13 11:13 12:13 13:13",
	evtReleaseRequest:   "6:7",
	evtReleaseRQ:        "2:13 3:13 5:13 6:8 7:9/10 8:13 9:13 10:13 11:13 12:13 13:13",
	evtReleaseRP:        "2:13 3:13 5:13 6:13 7:1 8:13 9:13 10:12 11:1 12:13 13:13",
	evtReleaseResponse:  "8:13 9:11 12:13",
	evtAbortRequest:     "3:13 4:1 5:13 6:13 7:13 8:13 9:13 10:13 11:13 12:13",
	evtAbort:            "2:1 3:1 5:1 6:1 7:1 8:1 9:1 10:1 11:1 12:1 13:1",
	evtClosed:           "2:1 3:1 4:1 5:1 6:1 7:1 8:1 9:1 10:1 11:1 12:1 13:1",
	evtARTIM:            "2:1 13:1",
	evtInvalid:          "2:13 3:13 5:13 6:13 7:13 8:13 9:13 10:13 11:13 12:13 13:13",
}

// TestStateTable: every cell's action is that of pynetdicom's table, every next state that of the standard's; what neither has cannot
// happen here.
func TestStateTable(t *testing.T) {
	const program = `
from pynetdicom.fsm import TRANSITION_TABLE
for (event, state), action in TRANSITION_TABLE.items():
    print(event[3:], state[3:], action)
`
	out, err := exec.Command(peertest.Python(t), "-c", program).Output()
	if err != nil {
		t.Fatal(err)
	}
	type cell struct {
		event event
		state state
	}
	actions := map[cell]action{}
	for line := range strings.Lines(string(out)) {
		part := strings.Fields(line)
		actions[cell{event(number(t, part[0])), state(number(t, part[1]))}] = action(strings.ReplaceAll(part[2], "_", "-"))
	}
	follows := map[cell]string{}
	for e, row := range nextStates {
		for _, pair := range strings.Fields(row) {
			from, to, _ := strings.Cut(pair, ":")
			follows[cell{e, state(number(t, from))}] = to
		}
	}
	cells := 0
	for e := evtAssociateRequest; e <= evtInvalid; e++ {
		for s := sta1; s <= sta13; s++ {
			for _, requestor := range []bool{true, false} {
				got, ok := next(s, e, requestor)
				at := cell{e, s}
				if _, want := follows[at]; ok != want {
					t.Errorf("event %d in Sta%d: possible %v, want %v", e, s, ok, want)
					continue
				}
				if !ok {
					continue
				}
				cells++
				if want := actions[at]; got.action != want {
					t.Errorf("event %d in Sta%d: action %s, pynetdicom has %s", e, s, got.action, want)
				}
				first, second, choice := strings.Cut(follows[at], "/")
				want := first
				if choice && e == evtReleaseRQ && !requestor {
					want = second
				}
				if got.next != state(number(t, want)) {
					t.Errorf("event %d in Sta%d: then Sta%d, want Sta%s", e, s, got.next, want)
				}
			}
		}
	}
	if cells != 2*len(actions) {
		t.Errorf("%d cells of each side, pynetdicom has %d", cells/2, len(actions))
	}
}

func number(t *testing.T, text string) int {
	t.Helper()
	n := 0
	for _, r := range text {
		if r < '0' || r > '9' {
			t.Fatalf("%q is no number", text)
		}
		n = 10*n + int(r-'0')
	}
	return n
}
