package commitment

import (
	"cmp"
	"errors"
	"fmt"

	"llamaxr/dicomnet"
	"llamaxr/ingest/dicomfile"
	"llamaxr/internal/dicomwrite"
	"llamaxr/study"

	"github.com/suyashkumar/dicom/pkg/tag"
)

// ActionType is the Action Type ID of a request (PS3.4, table J.3-1).
const ActionType = 1

// Event Type IDs of a result (PS3.4, table J.3-2).
const (
	AllCommitted = 1
	SomeFailed   = 2
)

// Failure Reasons (PS3.3, C.14.1.1).
const (
	ProcessingFailure     = 0x0110
	NoSuchInstance        = 0x0112
	ClassInstanceConflict = 0x0119
	ClassNotSupported     = 0x0122
	DuplicateTransaction  = 0x0131
	ResourceLimitation    = 0x0213
)

var reasons = map[uint16]string{
	ProcessingFailure: "processing failure", NoSuchInstance: "no such object instance", ClassInstanceConflict: "class and instance conflict",
	ClassNotSupported: "referenced SOP class not supported", DuplicateTransaction: "duplicate transaction UID", ResourceLimitation: "resource limitation",
}

// Reason is a Failure Reason in words.
func Reason(code uint16) string {
	text, ok := reasons[code]
	if !ok {
		text = "failure reason"
	}
	return fmt.Sprintf("%s (%#04x)", text, code)
}

// MaxObjects bounds what one request may name: a large CT study has a few thousand objects.
const MaxObjects = 10_000

// Errors of data sets that cannot be answered.
var (
	ErrMissing  = errors.New("commitment: an attribute is missing or no UID")
	ErrTooLarge = fmt.Errorf("commitment: more than %d objects", MaxObjects)
)

// Request asks for commitment to objects (PS3.4, table J.3-1).
type Request struct {
	TransactionUID string
	Objects        []study.SOPReference
}

// Failure is an object that is not committed to.
type Failure struct {
	study.SOPReference
	Reason uint16 // a Failure Reason
}

// Result says what became of a request (PS3.4, table J.3-2).
type Result struct {
	TransactionUID string
	Committed      []study.SOPReference
	Failed         []Failure
}

// EventType is the Event Type ID that goes with the result.
func (r *Result) EventType() uint16 {
	if len(r.Failed) > 0 {
		return SomeFailed
	}
	return AllCommitted
}

// ReadRequest reads the data set of a request. An object that is named twice is one.
func ReadRequest(data []byte, transferSyntax string) (*Request, error) {
	set, uid, err := read(data, transferSyntax)
	if err != nil {
		return nil, err
	}
	r := &Request{TransactionUID: uid}
	if r.Objects, err = references(set.Sequence(tag.ReferencedSOPSequence)); err != nil {
		return nil, err
	}
	if len(r.Objects) == 0 {
		return nil, fmt.Errorf("%w: Referenced SOP Sequence", ErrMissing)
	}
	return r, nil
}

// ReadResult reads the data set of a result.
func ReadResult(data []byte, transferSyntax string) (*Result, error) {
	set, uid, err := read(data, transferSyntax)
	if err != nil {
		return nil, err
	}
	r := &Result{TransactionUID: uid}
	if r.Committed, err = references(set.Sequence(tag.ReferencedSOPSequence)); err != nil {
		return nil, err
	}
	items := set.Sequence(tag.FailedSOPSequence)
	failed, err := references(items)
	if err != nil {
		return nil, err
	}
	codes := make(map[string]uint16, len(items))
	for _, item := range items {
		if code, err := item.Ints(tag.FailureReason); err == nil && len(code) == 1 {
			codes[item.Text(tag.ReferencedSOPInstanceUID)] = uint16(code[0])
		}
	}
	for _, o := range failed {
		r.Failed = append(r.Failed, Failure{o, cmp.Or(codes[o.SOPInstanceUID], ProcessingFailure)})
	}
	return r, nil
}

// read reads a data set and its Transaction UID.
func read(data []byte, transferSyntax string) (*dicomfile.Dataset, string, error) {
	set, err := dicomfile.ReadDataSet(data, transferSyntax)
	if err != nil {
		return nil, "", err
	}
	uid := set.Text(tag.TransactionUID)
	if !dicomfile.ValidUID(uid) {
		return nil, "", fmt.Errorf("%w: Transaction UID", ErrMissing)
	}
	return set, uid, nil
}

// references reads the items of a sequence of SOP references, each once.
func references(items []*dicomfile.Dataset) ([]study.SOPReference, error) {
	if len(items) > MaxObjects {
		return nil, ErrTooLarge
	}
	seen := make(map[study.SOPReference]bool, len(items))
	var out []study.SOPReference
	for _, item := range items {
		o := study.SOPReference{SOPClassUID: item.Text(tag.ReferencedSOPClassUID), SOPInstanceUID: item.Text(tag.ReferencedSOPInstanceUID)}
		if !dicomfile.ValidUID(o.SOPClassUID) || !dicomfile.ValidUID(o.SOPInstanceUID) {
			return nil, fmt.Errorf("%w: a referenced SOP class or instance", ErrMissing)
		}
		if !seen[o] {
			seen[o] = true
			out = append(out, o)
		}
	}
	return out, nil
}

// Encode writes the request.
func (r *Request) Encode(transferSyntax string) []byte {
	w := writer(transferSyntax)
	return w.set().Text(tag.TransactionUID, "UI", r.TransactionUID).Items(tag.ReferencedSOPSequence, w.items(r.Objects)...).Bytes()
}

// Encode writes the result.
func (r *Result) Encode(transferSyntax string) []byte {
	w := writer(transferSyntax)
	set := w.set().Text(tag.TransactionUID, "UI", r.TransactionUID)
	var failed []*dicomwrite.Elements
	for _, f := range r.Failed {
		failed = append(failed, w.item(f.SOPReference).Uint16(tag.FailureReason, f.Reason))
	}
	if len(failed) > 0 {
		set.Items(tag.FailedSOPSequence, failed...)
	}
	if len(r.Committed) > 0 {
		set.Items(tag.ReferencedSOPSequence, w.items(r.Committed)...)
	}
	return set.Bytes()
}

// writer makes data sets of one transfer syntax.
type writer string

func (w writer) set() *dicomwrite.Elements {
	return &dicomwrite.Elements{Implicit: string(w) == dicomnet.ImplicitVRLittleEndian}
}

func (w writer) item(o study.SOPReference) *dicomwrite.Elements {
	return w.set().Text(tag.ReferencedSOPClassUID, "UI", o.SOPClassUID).Text(tag.ReferencedSOPInstanceUID, "UI", o.SOPInstanceUID)
}

func (w writer) items(objects []study.SOPReference) (out []*dicomwrite.Elements) {
	for _, o := range objects {
		out = append(out, w.item(o))
	}
	return out
}
