package dimse

import (
	"encoding/hex"
	"os/exec"
	"reflect"
	"strings"
	"testing"

	"llamaxr/internal/peertest"
)

var commands = []*Command{
	{Field: EchoRQ, MessageID: 7, DataSetType: NoDataSet, AffectedSOPClassUID: "1.2.840.10008.1.1"},
	{Field: EchoRSP, RespondedTo: 7, DataSetType: NoDataSet, Status: Success, AffectedSOPClassUID: "1.2.840.10008.1.1"},
	{
		Field: StoreRQ, MessageID: 65535, Priority: 2, DataSetType: WithDataSet, AffectedSOPClassUID: "1.2.840.10008.5.1.4.1.1.1.1",
		AffectedSOPInstanceUID: "1.2.3.4", MoveOriginatorAETitle: "MOVER", MoveOriginatorMessageID: 3,
	},
	{
		Field: StoreRSP, RespondedTo: 65535, DataSetType: NoDataSet, Status: OutOfResources, ErrorComment: "disk is full",
		AffectedSOPClassUID: "1.2.840.10008.5.1.4.1.1.1.1", AffectedSOPInstanceUID: "1.2.3.4",
	},
	{Field: FindRQ, MessageID: 1, Priority: 1, DataSetType: WithDataSet, AffectedSOPClassUID: "1.2.840.10008.5.1.4.1.2.2.1"},
	{Field: FindRSP, RespondedTo: 1, DataSetType: WithDataSet, Status: Pending, AffectedSOPClassUID: "1.2.840.10008.5.1.4.1.2.2.1"},
	{Field: MoveRQ, MessageID: 2, DataSetType: WithDataSet, AffectedSOPClassUID: "1.2.840.10008.5.1.4.1.2.2.2", MoveDestination: "CHEST"},
	{
		Field: GetRSP, RespondedTo: 2, DataSetType: NoDataSet, Status: Pending, AffectedSOPClassUID: "1.2.840.10008.5.1.4.1.2.2.3",
		SubOperations: SubOperations{4, 3, 2, 1},
	},
	{Field: CancelRQ, RespondedTo: 2, DataSetType: NoDataSet},
	{
		Field: ActionRQ, MessageID: 3, DataSetType: WithDataSet, RequestedSOPClassUID: "1.2.840.10008.1.20.1",
		RequestedSOPInstanceUID: "1.2.840.10008.1.20.1.1", ActionTypeID: 1,
	},
	{
		Field: ActionRSP, RespondedTo: 3, DataSetType: NoDataSet, AffectedSOPClassUID: "1.2.840.10008.1.20.1",
		AffectedSOPInstanceUID: "1.2.840.10008.1.20.1.1", ActionTypeID: 1,
	},
	{
		Field: EventReportRQ, MessageID: 4, DataSetType: WithDataSet, AffectedSOPClassUID: "1.2.840.10008.1.20.1",
		AffectedSOPInstanceUID: "1.2.840.10008.1.20.1.1", EventTypeID: 2,
	},
	{
		Field: EventReportRSP, RespondedTo: 4, DataSetType: NoDataSet, Status: InvalidArgument, AffectedSOPClassUID: "1.2.840.10008.1.20.1",
		AffectedSOPInstanceUID: "1.2.840.10008.1.20.1.1", EventTypeID: 2,
	},
}

// TestReadByPydicom: pydicom reads each command set as it was meant, and what we wrote we read.
func TestReadByPydicom(t *testing.T) {
	const program = `
import io, sys
from pydicom.filereader import read_dataset
for line in sys.stdin:
    data = bytes.fromhex(line.strip())
    ds = read_dataset(io.BytesIO(data), True, True)
    assert ds.CommandGroupLength == len(data) - 12
    print("|".join(str(ds.get(k, "")) for k in ("CommandField", "MessageID", "MessageIDBeingRespondedTo", "Priority",
        "CommandDataSetType", "Status", "ErrorComment", "AffectedSOPClassUID", "AffectedSOPInstanceUID", "MoveOriginatorApplicationEntityTitle",
        "RequestedSOPClassUID", "RequestedSOPInstanceUID", "EventTypeID", "ActionTypeID", "MoveDestination", "NumberOfRemainingSuboperations",
        "NumberOfCompletedSuboperations", "NumberOfFailedSuboperations", "NumberOfWarningSuboperations")))
`
	var in strings.Builder
	for _, c := range commands {
		encoded := c.Encode()
		in.WriteString(hex.EncodeToString(encoded) + "\n")
		if got, err := Decode(encoded); err != nil || !reflect.DeepEqual(got, c) {
			t.Errorf("read again: %+v, %v, want %+v", got, err, c)
		}
	}
	cmd := exec.Command(peertest.Python(t), "-c", program)
	cmd.Stdin = strings.NewReader(in.String())
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"48|7|||257|||1.2.840.10008.1.1|||||||||||",
		"32816||7||257|0||1.2.840.10008.1.1|||||||||||",
		"1|65535||2|1|||1.2.840.10008.5.1.4.1.1.1.1|1.2.3.4|MOVER|||||||||",
		"32769||65535||257|42752|disk is full|1.2.840.10008.5.1.4.1.1.1.1|1.2.3.4||||||||||",
		"32|1||1|1|||1.2.840.10008.5.1.4.1.2.2.1|||||||||||",
		"32800||1||1|65280||1.2.840.10008.5.1.4.1.2.2.1|||||||||||",
		"33|2||0|1|||1.2.840.10008.5.1.4.1.2.2.2|||||||CHEST||||",
		"32784||2||257|65280||1.2.840.10008.5.1.4.1.2.2.3||||||||4|3|2|1",
		"4095||2||257||||||||||||||",
		"304|3|||1||||||1.2.840.10008.1.20.1|1.2.840.10008.1.20.1.1||1|||||",
		"33072||3||257|0||1.2.840.10008.1.20.1|1.2.840.10008.1.20.1.1|||||1|||||",
		"256|4|||1|||1.2.840.10008.1.20.1|1.2.840.10008.1.20.1.1||||2||||||",
		"33024||4||257|277||1.2.840.10008.1.20.1|1.2.840.10008.1.20.1.1||||2||||||",
	}
	if got := strings.Split(strings.TrimSpace(string(out)), "\n"); !reflect.DeepEqual(got, want) {
		t.Errorf("pydicom reads\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestBroken: what a command set must have (PS3.7, 9.3) and lacks is named.
func TestBroken(t *testing.T) {
	whole := commands[2].Encode()
	for _, test := range []struct {
		name string
		data []byte
		want string
	}{
		{"nothing", nil, "without Command Field"},
		{"half a header", whole[:15], "ends inside an element header"},
		{"half a value", whole[:22], "left"},
		{"another group", []byte{8, 0, 0x16, 0, 0, 0, 0, 0}, "(0008,0016)"},
		{"an element twice", append(whole[:len(whole):len(whole)], whole[12:]...), "twice"},
		{"a number of three bytes", []byte{0, 0, 0, 1, 3, 0, 0, 0, 1, 2, 3}, "want 2"},
		{"a request without an identifier", (&Command{Field: EchoRQ, DataSetType: NoDataSet}).Encode()[:22], "without Command Data Set Type"},
	} {
		if _, err := Decode(test.data); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", test.name, err, test.want)
		}
	}
}
