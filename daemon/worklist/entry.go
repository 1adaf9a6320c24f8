package worklist

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"llamaxr/queue"
	"llamaxr/study"
)

// Status is where a study stands for its reader.
type Status string

// Statuses.
const (
	ToRead    Status = "to read"   // a draft waits for its reader
	InWork    Status = "in work"   // a reader has begun
	Arriving  Status = "arriving"  // images or a draft are on their way
	NoDraft   Status = "no draft"  // the appliance could not or would not write one, or it was taken back
	Signed    Status = "signed"    // a physician signed
	Rejected  Status = "rejected"  // a physician refused the draft
	Attention Status = "attention" // a job was given up, and there is no draft or it is signed: somebody must look
	Shadow    Status = "shadow"    // drafted for comparison; nothing leaves
)

// Statuses are all statuses.
var Statuses = []Status{ToRead, InWork, Arriving, NoDraft, Signed, Rejected, Attention, Shadow}

// Urgency orders what waits.
type Urgency int

// Urgencies, from the scores of the newest draft.
const (
	Normal   Urgency = iota // no finding reaches its operating point
	Abnormal                // one does
	Critical                // one that the site calls critical
)

// Entry is a study as a list shows it.
type Entry struct {
	UID       string
	Patient   string // as a DICOM person name
	PatientID string
	Birth     string // DICOM dates
	Sex       string
	Accession string
	Described string
	StudyDate string
	Images    int
	Status    Status
	Urgency   Urgency
	Why       string // of the urgency, or of the want of a draft
	Without   string // why there is no newest draft, and none is on its way; empty where there is or is to be one
	Withdrawn string // of a study without one: which earlier draft was taken back last, and why
	Findings  []queue.FindingScore
	HeldBack  int // sentences that the guard changed
	Doubt     string
	Failure   string // kind of a job that was given up; the draft waits for its reader all the same
	Starter   bool
	Revision  int
	Received  time.Time // the last image
	Reader    string    // who changed the text last
	Changed   time.Time // the reading
	// Alert is the newest one of its critical findings; nil without any.
	Alert *queue.Alert

	search string // lower case
}

// entryOf summarises a study.
func entryOf(tx *queue.Tx, uid string, critical []study.Finding) (*Entry, error) {
	s, err := tx.StudyHead(uid)
	if err != nil || s == nil {
		return nil, err
	}
	e := &Entry{UID: uid, Alert: s.Alert(), Images: len(s.Instances), Revision: s.Revision, Received: s.Last}
	h, err := Header(tx, uid, s)
	if err != nil {
		return nil, err
	}
	e.Patient, e.PatientID, e.Birth, e.Sex = h.PatientName, h.PatientID, h.PatientBirthDate, h.PatientSex
	e.Accession, e.StudyDate, e.Described = h.AccessionNumber, h.StudyDate, cmp.Or(h.StudyDescription, h.SeriesDescription)
	e.Status = map[string]Status{
		queue.Receiving: Arriving, queue.Complete: Arriving, queue.Drafted: ToRead, queue.Delivered: ToRead, queue.Refused: NoDraft, queue.Failed: Attention,
		queue.Shadow: Shadow,
	}[s.State]
	if e.Status == Attention && s.Summary != nil { // a receiver that fails must not hide what is to be read
		e.Status = ToRead
		e.Failure, _, _ = strings.Cut(s.Reason, ":")
	}
	if e.Status == NoDraft || e.Status == Attention {
		e.Why, e.Without = s.Reason, s.Reason
	}
	if e.Without != "" && s.Revision > 1 { // there may have been a draft, which a reader has open
		whole, err := tx.Study(uid)
		if err != nil {
			return nil, err
		}
		if n := len(whole.Withdrawn); n > 0 {
			e.Withdrawn = fmt.Sprintf("revision %d, %s", whole.Withdrawn[n-1].Revision, whole.Withdrawn[n-1].Reason)
		}
	}
	if d := s.Summary; d != nil {
		e.Findings, e.HeldBack, e.Doubt, e.Starter = d.Present, d.Changed, d.Doubt, d.Starter
		for _, f := range d.Present {
			e.Urgency = max(e.Urgency, Abnormal)
			if slices.Contains(critical, f.Finding) {
				e.Urgency, e.Why = Critical, fmt.Sprintf("%s %s on the %s view", f.Finding, study.ShownScore(f.Score), f.View)
				break
			}
		}
	}
	r, err := tx.ReadingHead(uid)
	if err != nil {
		return nil, err
	}
	if r != nil {
		e.Reader, e.Changed = r.ByName, r.Time
		later := r.Revision < s.Revision // there is a draft, or the want of one, that came after it
		switch {
		case e.Status == ToRead && r.State != queue.ReadingOpen && later:
			e.Doubt = study.Together(e.Doubt, "drafted again since "+r.ByName+" "+r.State+" it")
		case e.Status == NoDraft && r.State == queue.ReadingSigned && later: // its images were rejected, or are of several patients
			e.Status, e.Why = Attention, "signed by "+r.ByName+" before this: "+s.Reason
		case e.Status == NoDraft && r.State == queue.ReadingOpen:
			whole, err := tx.Reading(uid)
			if err != nil {
				return nil, err
			}
			if whole.Signed() != nil {
				e.Status, e.Why = Attention, "signed and reopened before this: "+s.Reason
			}
		case s.State == queue.Failed && r.State == queue.ReadingSigned: // the report, or its draft, did not get to where it should
			said := "signed by " + r.ByName + "; " + s.Reason
			if e.Status, e.Failure = Attention, ""; e.Without != "" {
				e.Why = said
			} else {
				e.Doubt = study.Together(e.Doubt, said)
			}
		default:
			e.Status = map[string]Status{queue.ReadingOpen: InWork, queue.ReadingSigned: Signed, queue.ReadingRejected: Rejected}[r.State]
		}
	}
	e.search = strings.ToLower(strings.Join([]string{
		e.Patient, strings.ReplaceAll(e.Patient, "^", " "), e.PatientID, e.Accession, e.Described, e.UID,
	}, "\n"))
	return e, nil
}

// patient is whom an object is of, as far as its head says.
func patient(i *queue.InstanceHead) study.Patient {
	return study.Patient{ID: i.Header.PatientID, BirthDate: i.Header.PatientBirthDate}
}

// Header is of whom a study is, and of which order, as a list shows it: what the images say that its draft rests on. As in the draft it is that of the frontal
// view, or else of the lateral, with the name and the sex from the one that came later. Before there is a pair it is that of the newest object that was not
// rejected, or of the first.
func Header(tx *queue.Tx, uid string, s *queue.StudyHead) (queue.HeaderHead, error) {
	var shown *queue.InstanceHead
	for _, sop := range []string{s.Pair.Frontal, s.Pair.Lateral} {
		if sop == "" || shown == nil && !slices.Contains(s.Instances, sop) { // a study whose one view another study reads has its own order
			continue
		}
		i, err := tx.InstanceHead(sop)
		switch {
		case err != nil:
			return queue.HeaderHead{}, err
		case i == nil:
		case shown == nil:
			shown = i
		case i.Received.After(shown.Received) && patient(i).Same(patient(shown)):
			shown.Header.PatientName, shown.Header.PatientSex = i.Header.PatientName, i.Header.PatientSex
		}
	}
	if shown == nil && len(s.Instances) > 0 {
		newest := s.Instances[0]
		for _, sop := range slices.Backward(s.Instances) {
			rejected, err := tx.Rejection(uid, sop)
			if err != nil {
				return queue.HeaderHead{}, err
			}
			if rejected == nil {
				newest = sop
				break
			}
		}
		var err error
		if shown, err = tx.InstanceHead(newest); err != nil {
			return queue.HeaderHead{}, err
		}
	}
	if shown == nil {
		return queue.HeaderHead{}, nil
	}
	return shown.Header, nil
}

// waits reports whether a reader has still something to do.
func (e *Entry) waits() bool { return e.Status == ToRead || e.Status == InWork }

// before orders by what should be read first: what waits before what does not, urgent first, then the longest wait; what is done or not
// ready newest first.
func before(a, b *Entry) int {
	if c := cmp.Compare(btoi(b.waits()), btoi(a.waits())); c != 0 {
		return c
	}
	if a.waits() {
		return cmp.Or(cmp.Compare(b.Urgency, a.Urgency), a.Received.Compare(b.Received), cmp.Compare(a.UID, b.UID))
	}
	return cmp.Or(b.Received.Compare(a.Received), cmp.Compare(a.UID, b.UID))
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}
