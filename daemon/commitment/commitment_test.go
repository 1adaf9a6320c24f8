package commitment

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"os/exec"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"llamaxr/dicomnet"
	"llamaxr/internal/peertest"
	"llamaxr/study"
)

var syntaxes = map[string]string{"implicit": dicomnet.ImplicitVRLittleEndian, "explicit": dicomnet.ExplicitVRLittleEndian}

const crClass = "1.2.840.10008.5.1.4.1.1.1"

// objects are n references with UIDs of odd and even length.
func objects(n int) (out []study.SOPReference) {
	for i := range n {
		out = append(out, study.SOPReference{SOPClassUID: crClass, SOPInstanceUID: "1.2.3." + strconv.Itoa(i)})
	}
	return out
}

// TestAgainstPydicom: pydicom reads what we write as it is meant, and we read what pydicom writes, in both transfer syntaxes and with both
// forms of a sequence's length.
func TestAgainstPydicom(t *testing.T) {
	result := Result{
		TransactionUID: "2.25.77", Committed: objects(3), Failed: []Failure{
			{study.SOPReference{SOPClassUID: crClass, SOPInstanceUID: "1.2.44"}, NoSuchInstance}, {study.SOPReference{SOPClassUID: crClass, SOPInstanceUID: "1.2.445"}, 0xA700},
		},
	}
	request := Request{TransactionUID: "2.25.776", Objects: objects(4)}
	for name, syntax := range syntaxes {
		cmd := exec.Command(peertest.Python(t), "testdata/reference.py")
		cmd.Stdin = strings.NewReader(name + " " + hex.EncodeToString(result.Encode(syntax)) + "\n" + name + " " + hex.EncodeToString(request.Encode(syntax)) + "\n")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("pydicom: %v\n%s", err, out)
		}
		lines := strings.Split(strings.TrimSpace(string(out)), "\n")
		if len(lines) != 2 {
			t.Fatalf("pydicom: %s", out)
		}
		read := func(line string, want string) []byte {
			said, written, _ := strings.Cut(line, "\t")
			var got, wanted any
			if err := errors.Join(json.Unmarshal([]byte(said), &got), json.Unmarshal([]byte(want), &wanted)); err != nil || !reflect.DeepEqual(got, wanted) {
				t.Errorf("%s: pydicom reads %s, want %s (%v)", name, said, want, err)
			}
			data, err := hex.DecodeString(written)
			if err != nil {
				t.Fatal(err)
			}
			return data
		}
		cr := `["` + crClass + `", "1.2.`
		data := read(lines[0], `{"transaction": "2.25.77", "ReferencedSOPSequence": [`+cr+`3.0", 0], `+cr+`3.1", 0], `+cr+`3.2", 0]], "FailedSOPSequence": [`+
			cr+`44", 274], `+cr+`445", 42752]]}`)
		if got, err := ReadResult(data, syntax); err != nil || !reflect.DeepEqual(*got, result) || got.EventType() != SomeFailed {
			t.Errorf("%s: result of pydicom: %+v, %v", name, got, err)
		}
		data = read(lines[1], `{"transaction": "2.25.776", "ReferencedSOPSequence": [`+cr+`3.0", 0], `+cr+`3.1", 0], `+cr+`3.2", 0], `+cr+`3.3", 0]]}`)
		if got, err := ReadRequest(data, syntax); err != nil || !reflect.DeepEqual(*got, request) {
			t.Errorf("%s: request of pydicom: %+v, %v", name, got, err)
		}
	}
}

// TestWhatCannotBeAnswered: requests without what the standard asks for, and requests beyond the bound, which are found out in good time.
func TestWhatCannotBeAnswered(t *testing.T) {
	for name, syntax := range syntaxes {
		for what, r := range map[string]Request{"no Transaction UID": {Objects: objects(1)}, "no UID": {TransactionUID: "1.2.x", Objects: objects(1)}, "no objects": {TransactionUID: "1.2"}} {
			if _, err := ReadRequest(r.Encode(syntax), syntax); !errors.Is(err, ErrMissing) {
				t.Errorf("%s, %s: %v", name, what, err)
			}
		}
		bad := Request{TransactionUID: "1.2", Objects: []study.SOPReference{{SOPClassUID: crClass}}}
		if _, err := ReadRequest(bad.Encode(syntax), syntax); !errors.Is(err, ErrMissing) {
			t.Errorf("%s, an object without UID: %v", name, err)
		}
		twice := Request{TransactionUID: "1.2", Objects: append(objects(2), objects(2)...)}
		if got, err := ReadRequest(twice.Encode(syntax), syntax); err != nil || len(got.Objects) != 2 {
			t.Errorf("%s, each object twice: %+v, %v", name, got, err)
		}
		begun := time.Now()
		most := Request{TransactionUID: "1.2", Objects: objects(MaxObjects)}
		if got, err := ReadRequest(most.Encode(syntax), syntax); err != nil || len(got.Objects) != MaxObjects {
			t.Errorf("%s, the largest: %v", name, err)
		}
		most.Objects = objects(MaxObjects + 1)
		if _, err := ReadRequest(most.Encode(syntax), syntax); !errors.Is(err, ErrTooLarge) {
			t.Errorf("%s, one more: %v", name, err)
		}
		if took := time.Since(begun); took > 10*time.Second {
			t.Errorf("%s: two of the largest took %s", name, took)
		}
	}
}

// FuzzRead: no bytes make reading panic, and what is read comes back from its own encoding.
func FuzzRead(f *testing.F) {
	r := Result{TransactionUID: "2.25.77", Committed: objects(2), Failed: []Failure{{objects(3)[2], NoSuchInstance}}}
	for _, syntax := range syntaxes {
		f.Add(r.Encode(syntax), syntax == dicomnet.ImplicitVRLittleEndian)
	}
	f.Fuzz(func(t *testing.T, data []byte, implicit bool) {
		syntax := dicomnet.ExplicitVRLittleEndian
		if implicit {
			syntax = dicomnet.ImplicitVRLittleEndian
		}
		if got, err := ReadRequest(data, syntax); err == nil {
			if again, err := ReadRequest(got.Encode(syntax), syntax); err != nil || !reflect.DeepEqual(got, again) {
				t.Errorf("%+v comes back as %+v, %v", got, again, err)
			}
		}
		if got, err := ReadResult(data, syntax); err == nil {
			if again, err := ReadResult(got.Encode(syntax), syntax); err != nil || !reflect.DeepEqual(got, again) {
				t.Errorf("%+v comes back as %+v, %v", got, again, err)
			}
		}
	})
}
