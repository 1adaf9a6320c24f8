package queue

import (
	"maps"
	"time"
)

// States of a reading.
const (
	ReadingOpen     = "open"     // a reader has begun to edit
	ReadingSigned   = "signed"   // the text is final
	ReadingRejected = "rejected" // the draft was refused, with a reason
)

// Reading is what people made of a study's draft: the text as it stands now and every signature on it.
type Reading struct {
	StudyInstanceUID string `json:"study_instance_uid"`
	Revision         int    `json:"revision"` // of the draft that the text began from
	// Version grows by one with each change: who saves names the version that he saw, and is told when it is no longer the newest.
	Version    int         `json:"version"`
	State      string      `json:"state"`
	Findings   string      `json:"findings"`
	Impression string      `json:"impression"`
	Reason     string      `json:"reason,omitempty"` // of a rejection
	By         string      `json:"by"`               // user name of the last change
	ByName     string      `json:"by_name"`
	Time       time.Time   `json:"time"`
	Signatures []Signature `json:"signatures,omitempty"` // the first is the report, later ones replace it
	// Others are the texts that stand on other revisions of the draft, by revision: a newer draft loses nobody's text.
	Others map[int]Text `json:"others,omitempty"`
}

// Text is a text with who wrote it last.
type Text struct {
	Findings   string    `json:"findings"`
	Impression string    `json:"impression"`
	By         string    `json:"by"`
	ByName     string    `json:"by_name"`
	Time       time.Time `json:"time"`
}

// On returns the text that stands on a revision of the draft; ok is false when nobody wrote one.
func (r *Reading) On(revision int) (text Text, ok bool) {
	switch {
	case r == nil:
		return Text{}, false
	case r.Revision == revision:
		return Text{r.Findings, r.Impression, r.By, r.ByName, r.Time}, true
	}
	text, ok = r.Others[revision]
	return text, ok
}

// MoveTo makes another revision the one that is read; the text on the present one stays with it.
func (r *Reading) MoveTo(revision int) {
	if r.Revision == revision {
		return
	}
	others := maps.Clone(r.Others)
	if others == nil {
		others = map[int]Text{}
	}
	if r.Revision > 0 {
		others[r.Revision], _ = r.On(r.Revision)
	}
	delete(others, revision)
	r.Others, r.Revision = others, revision
}

// Signature is a text that a physician made his own, and what became of its document.
type Signature struct {
	Number     int       `json:"number"` // from 1
	Revision   int       `json:"revision"`
	User       string    `json:"user"`
	Name       string    `json:"name"` // of the physician, as a DICOM person name
	Findings   string    `json:"findings"`
	Impression string    `json:"impression"`
	Time       time.Time `json:"time"`
	// Of the document, once it is made.
	SOPInstanceUID    string               `json:"sop_instance_uid,omitempty"`
	SeriesInstanceUID string               `json:"series_instance_uid,omitempty"`
	SHA256            string               `json:"sha256,omitempty"`    // of its file; older records have none
	Delivered         map[string]time.Time `json:"delivered,omitempty"` // by destination
	// Commitments are what destinations said of keeping it; none of one that is not asked.
	Commitments map[string]*Commitment `json:"commitments,omitempty"`
}

// Signed returns the last signature, nil when there is none.
func (r *Reading) Signed() *Signature {
	if r == nil || len(r.Signatures) == 0 {
		return nil
	}
	return &r.Signatures[len(r.Signatures)-1]
}

// Reading returns a study's reading, nil when nobody has begun.
func (tx *Tx) Reading(studyInstanceUID string) (*Reading, error) {
	return get[Reading](tx, bucketReadings, studyInstanceUID)
}

// PutReading stores a reading.
func (tx *Tx) PutReading(r *Reading) error {
	tx.touch(r.StudyInstanceUID)
	return put(tx, bucketReadings, r.StudyInstanceUID, r)
}
