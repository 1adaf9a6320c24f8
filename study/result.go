package study

import "time"

// ResultStatus is how far a result may be trusted.
type ResultStatus string

// Statuses of results.
const (
	ResultDraft     ResultStatus = "draft"      // written by the machine, read by nobody
	ResultSigned    ResultStatus = "signed"     // the first text that a physician signed
	ResultCorrected ResultStatus = "correction" // a later text that a physician signed
	ResultWithdrawn ResultStatus = "withdrawn"  // a draft that no longer stands
)

// ResultStatuses are all of them, in the order of a study's life.
func ResultStatuses() []ResultStatus {
	return []ResultStatus{ResultDraft, ResultSigned, ResultCorrected, ResultWithdrawn}
}

// Result is a report as other systems are told of it, at one moment of its life.
type Result struct {
	Status ResultStatus
	// Draft is the draft of the study's revision, the one that a signed text began from.
	Draft            Draft
	Frontal, Lateral *Header // nil when there is none, never both
	// FiledAs is the patient as the first result of this person in the study said; the zero value is as the header says.
	FiledAs Patient
	// Findings and Impression are the text, without any warning; empty when it is withdrawn.
	Findings, Impression string
	// Physician signed, as a DICOM person name; empty for a draft.
	Physician string
	// Number is that of the signature, from 1; 0 for a draft.
	Number int
	// Reason says why it was withdrawn. WrongPatient: it stood in another patient's record.
	Reason       string
	WrongPatient bool
	// Time is when the text was written, signed or withdrawn.
	Time time.Time
}

// Header returns the image whose patient and order the result has.
func (r Result) Header() *Header {
	if r.Frontal != nil {
		return r.Frontal
	}
	return r.Lateral
}

// Request returns the order that the image answers, an empty one when it names none.
func (r Result) Request() Request {
	if h := r.Header(); len(h.Requests) > 0 {
		return h.Requests[0]
	}
	return Request{}
}

// Notice is what must be read before the text: what no physician has read, and what starter models had a part in, says so. It is empty for
// a signed text of other models.
func (r Result) Notice() string {
	out := ""
	if r.Status == ResultDraft {
		out = DraftWarning + "."
	}
	if r.Draft.Starter() && r.Status != ResultWithdrawn {
		if out != "" {
			out += " "
		}
		out += StarterWarning + "."
	}
	if r.Status == ResultDraft && r.Draft.Partial != "" {
		out += " Partial: " + r.Draft.Partial + "."
	}
	return out
}
