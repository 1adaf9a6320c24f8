package queue

import (
	"strings"
	"time"

	"llamaxr/study"
)

// Study states, in the order in which a study passes them.
const (
	Receiving = "receiving" // images are still expected
	Complete  = "complete"  // a draft of this revision is being made
	Drafted   = "drafted"   // documents exist and are on their way
	Delivered = "delivered" // every destination has them
	Shadow    = "shadow"    // documents exist and stay here
	Refused   = "refused"   // no draft, with a reason
	Failed    = "failed"    // a job is a dead letter
)

// Study is what the ledger knows of one study.
type Study struct {
	UID       string    `json:"study_instance_uid"`
	State     string    `json:"state"`
	Reason    string    `json:"reason,omitempty"`
	Revision  int       `json:"revision"` // of the newest draft asked for; 0 before the first
	First     time.Time `json:"first_received"`
	Last      time.Time `json:"last_received"`
	Instances []string  `json:"instances"` // SOP Instance UIDs in the order of arrival
	// Mode is why nothing of the newest draft leaves ("shadow", "store"); empty when it is sent.
	Mode string `json:"mode,omitempty"`
	// Drafted are the instances that revision Revision is made from.
	Drafted []string `json:"drafted,omitempty"`
	// Notes are the rejection notes and reports that came with this study, by SOP Instance UID; they are no objects of it.
	Notes []string    `json:"notes,omitempty"`
	Pair  *study.Pair `json:"pair,omitempty"`
	// Summary is what the newest draft comes to; nil before there is one.
	Summary    *DraftSummary        `json:"summary,omitempty"`
	Deliveries map[string]*Delivery `json:"deliveries,omitempty"` // by destination
	// ReadWith is the study whose draft reads this one's lateral view: a reader gave each cassette a study.
	ReadWith string `json:"read_with,omitempty"`
	// Sent are the revisions of which a destination may hold documents, from before the first of them went out.
	Sent      map[string][]int `json:"sent,omitempty"`
	Withdrawn []*Withdrawal    `json:"withdrawn,omitempty"`
	// Removed is when retention removed its files; a record of it stays.
	Removed time.Time `json:"removed,omitzero"`
	// AgesFrom is what retention takes for the time of the last event where the clock was wrong then, or the appliance off since.
	AgesFrom time.Time `json:"ages_from,omitzero"`
	// Announced numbers what other systems are told of this study, in the order in which it happened; Told is what each of them was.
	Announced int              `json:"announced,omitempty"`
	Told      map[string]*Told `json:"told,omitempty"`
	// Alerts are the critical findings of its drafts, and who took note of them; oldest first.
	Alerts []*Alert `json:"alerts,omitempty"`
	// Redraft is what a reader asked of the newest draft that he asked for himself.
	Redraft *Redraft `json:"redraft,omitempty"`
	// Fetch is what the archive was asked for when this study lacked a view; nil when it was not.
	Fetch  *Fetch  `json:"fetch,omitempty"`
	Events []Event `json:"events"`
}

// Redraft is a revision that a reader asked for.
type Redraft struct {
	Revision int    `json:"revision"`
	Adapter  string `json:"adapter"` // that writes it
	By       string `json:"by"`      // user name
}

// DraftSummary is what a list of studies shows of a draft.
type DraftSummary struct {
	Present []FindingScore `json:"present,omitempty"` // at or above the operating point, highest first
	Changed int            `json:"changed,omitempty"` // sentences that the guard replaced, added or removed
	Doubt   string         `json:"doubt,omitempty"`
	Starter bool           `json:"starter,omitempty"`
}

// FindingScore is a finding with the higher of its two scores.
type FindingScore struct {
	Finding study.Finding    `json:"finding"`
	Score   float32          `json:"score"`
	View    study.Projection `json:"view"`
}

// Delivery is the state of the newest revision at one destination.
type Delivery struct {
	Revision int       `json:"revision"`
	Sent     time.Time `json:"sent"`
	Error    string    `json:"error,omitempty"`
	// Commitment is what the destination said of keeping it; nil when it is not asked.
	Commitment *Commitment `json:"commitment,omitempty"`
}

// Event is one line of a study's history.
type Event struct {
	Time time.Time `json:"time"`
	What string    `json:"what"`
}

// maxEvents bounds a study's history; the oldest but the first go.
const maxEvents = 200

// Note adds a line to the history.
func (s *Study) Note(now time.Time, what string) {
	s.Events = append(s.Events, Event{now.UTC(), what})
	if len(s.Events) > maxEvents {
		s.Events = append(s.Events[:1], s.Events[2:]...)
	}
}

// Instance is a received object and what was seen in its picture.
type Instance struct {
	study.Instance
	// Examined is what looking at the pixels gave; nil before.
	Examined *Examination `json:"examined,omitempty"`
	// Gone is why the file is no longer there: a rejection note let it expire, or the disk damaged it. A resend brings it back.
	Gone string `json:"gone,omitempty"`
	// PromisedUntil is until when the file must be kept: a peer was told so by storage commitment.
	PromisedUntil time.Time `json:"promised_until,omitzero"`
}

// Why a file is gone.
const (
	GoneRetention = "removed by retention"
	GoneDamaged   = "damaged on the disk" // or lost there
)

// Examination is what one look at an object's pixels gave.
type Examination struct {
	// Reason is why there is no picture: no image, an encoding that is not decoded, damaged pixels. Empty when there is one.
	Reason         string  `json:"reason,omitempty"`
	LogOddsLateral float64 `json:"log_odds_lateral"`
	POther         float64 `json:"p_other"`
	Inverted       bool    `json:"inverted,omitempty"`
	// Doubts are what a reader must know of the picture.
	Doubts []string `json:"doubts,omitempty"`
}

// Instance returns the instance, nil when there is none.
func (tx *Tx) Instance(sopInstanceUID string) (*Instance, error) {
	return get[Instance](tx, bucketInstances, sopInstanceUID)
}

// PutInstance stores an instance.
func (tx *Tx) PutInstance(i *Instance) error {
	return put(tx, bucketInstances, i.Header.SOPInstanceUID, i)
}

// EachInstance visits all instances.
func (tx *Tx) EachInstance(visit func(*Instance) error) error {
	return each(tx, bucketInstances, func(_ string, i *Instance) error { return visit(i) })
}

// SetAside stores an instance whose UID is taken by other bytes.
func (tx *Tx) SetAside(i *Instance) error {
	return put(tx, bucketAside, i.Header.SOPInstanceUID+"/"+i.SHA256, i)
}

// IsAside reports whether the instance with these bytes is among those kept aside.
func (tx *Tx) IsAside(sopInstanceUID, sha256 string) (bool, error) {
	i, err := get[Instance](tx, bucketAside, sopInstanceUID+"/"+sha256)
	return i != nil, err
}

// AsideOf returns the objects of one UID that are kept aside.
func (tx *Tx) AsideOf(sopInstanceUID string) (out []*Instance, err error) {
	err = eachWith(tx, bucketAside, sopInstanceUID+"/", func(_ string, i *Instance) error { out = append(out, i); return nil })
	return out, err
}

// Aside returns the instances kept aside.
func (tx *Tx) Aside() (out []*Instance, err error) {
	err = each(tx, bucketAside, func(_ string, i *Instance) error { out = append(out, i); return nil })
	return out, err
}

// Study returns the study, nil when there is none.
func (tx *Tx) Study(uid string) (*Study, error) { return get[Study](tx, bucketStudies, uid) }

// PutStudy stores a study.
func (tx *Tx) PutStudy(s *Study) error {
	tx.touch(s.UID)
	return put(tx, bucketStudies, s.UID, s)
}

// IndexAccession makes a study findable by its accession number.
func (tx *Tx) IndexAccession(accession, studyUID string) error {
	accession = strings.TrimSpace(accession)
	if accession == "" {
		return nil
	}
	return put(tx, bucketAccessions, accession+"\x00"+studyUID, studyUID)
}

// StudiesOfAccession returns the studies that hold an object of an accession number; none when it is empty.
func (tx *Tx) StudiesOfAccession(accession string) (out []string, err error) {
	accession = strings.TrimSpace(accession)
	if accession == "" {
		return nil, nil
	}
	err = eachWith(tx, bucketAccessions, accession+"\x00", func(_ string, uid *string) error { out = append(out, *uid); return nil })
	return out, err
}

// EachStudy visits all studies.
func (tx *Tx) EachStudy(visit func(*Study) error) error {
	return each(tx, bucketStudies, func(_ string, s *Study) error { return visit(s) })
}

// StudyUIDs returns the Study Instance UIDs of all studies.
func (tx *Tx) StudyUIDs() (out []string, err error) {
	b := tx.bolt.Bucket(bucketStudies)
	if b == nil {
		return nil, nil
	}
	err = b.ForEach(func(k, _ []byte) error { out = append(out, string(k)); return nil })
	return out, err
}
