package queue

import (
	"time"

	"llamaxr/study"
)

// Rejection is what a rejection note said of one object; it is kept also for an object that did not come yet.
type Rejection struct {
	Object study.ObjectReference `json:"object"`
	Title  study.RejectionTitle  `json:"title"`
	Note   string                `json:"note"` // its SOP Instance UID
	Time   time.Time             `json:"time"` // when the note came
}

// Withdrawal is a draft that was taken back: its documents are rejected by a note of our own wherever they may have arrived.
type Withdrawal struct {
	Revision int                  `json:"revision"`
	Title    study.RejectionTitle `json:"title"`
	Reason   string               `json:"reason"`
	Time     time.Time            `json:"time"`
	Note     string               `json:"note,omitempty"`   // SOP Instance UID of ours; empty when no document was made
	SHA256   string               `json:"sha256,omitempty"` // of the note's file; older records have none
	// Deliveries of the note, by destination.
	Deliveries map[string]*Delivery `json:"deliveries,omitempty"`
}

// Withdrawal returns what became of a revision, nil when it was not taken back.
func (s *Study) Withdrawal(revision int) *Withdrawal {
	for _, w := range s.Withdrawn {
		if w.Revision == revision {
			return w
		}
	}
	return nil
}

// Rejection returns what was said of an object of a study, nil when nothing was.
func (tx *Tx) Rejection(studyUID, sopInstanceUID string) (*Rejection, error) {
	return get[Rejection](tx, bucketRejections, studyUID+"/"+sopInstanceUID)
}

// Reject remembers a rejection unless one that outweighs it stands already.
func (tx *Tx) Reject(r *Rejection) error {
	old, err := tx.Rejection(r.Object.StudyInstanceUID, r.Object.SOPInstanceUID)
	if err != nil {
		return err
	}
	if old != nil && !r.Title.Outweighs(old.Title) {
		return nil
	}
	return put(tx, bucketRejections, r.Object.StudyInstanceUID+"/"+r.Object.SOPInstanceUID, r)
}

// Rejections returns what was said of the objects of a study.
func (tx *Tx) Rejections(studyUID string) (out []*Rejection, err error) {
	err = eachWith(tx, bucketRejections, studyUID+"/", func(_ string, r *Rejection) error { out = append(out, r); return nil })
	return out, err
}
