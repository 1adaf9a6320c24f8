package queue

import "time"

// head is what a list of all studies needs of a record, read without the rest: histories are most of a record's bytes.
type head interface {
	// place is where the value of a member goes; nil when it is not needed.
	place(member string) any
}

// StudyHead is the head of a Study.
type StudyHead struct {
	State     string        `json:"state"`
	Reason    string        `json:"reason"`
	Revision  int           `json:"revision"`
	Last      time.Time     `json:"last_received"`
	Instances []string      `json:"instances"`
	Summary   *DraftSummary `json:"summary"`
	Alerts    []*Alert      `json:"alerts"`
	Pair      PairHead      `json:"pair"`
}

// Alert returns the newest alert, nil when there is none.
func (s *StudyHead) Alert() *Alert { return newest(s.Alerts) }

func (s *StudyHead) place(member string) any {
	switch member {
	case "state":
		return &s.State
	case "reason":
		return &s.Reason
	case "revision":
		return &s.Revision
	case "last_received":
		return &s.Last
	case "instances":
		return &s.Instances
	case "summary":
		return &s.Summary
	case "alerts":
		return &s.Alerts
	case "pair":
		return &s.Pair
	}
	return nil
}

// PairHead is the head of a study.Pair.
type PairHead struct {
	Frontal string `json:"frontal"`
	Lateral string `json:"lateral"`
}

func (p *PairHead) place(member string) any {
	switch member {
	case "frontal":
		return &p.Frontal
	case "lateral":
		return &p.Lateral
	}
	return nil
}

// InstanceHead is the head of an Instance.
type InstanceHead struct {
	Header   HeaderHead `json:"header"`
	Received time.Time  `json:"received"`
}

func (i *InstanceHead) place(member string) any {
	switch member {
	case "header":
		return &i.Header
	case "received":
		return &i.Received
	}
	return nil
}

// HeaderHead is the head of a study.Header.
type HeaderHead struct {
	PatientName       string `json:"patient_name"`
	PatientID         string `json:"patient_id"`
	PatientBirthDate  string `json:"patient_birth_date"`
	PatientSex        string `json:"patient_sex"`
	AccessionNumber   string `json:"accession_number"`
	StudyDate         string `json:"study_date"`
	StudyDescription  string `json:"study_description"`
	SeriesDescription string `json:"series_description"`
}

func (h *HeaderHead) place(member string) any {
	switch member {
	case "patient_name":
		return &h.PatientName
	case "patient_id":
		return &h.PatientID
	case "patient_birth_date":
		return &h.PatientBirthDate
	case "patient_sex":
		return &h.PatientSex
	case "accession_number":
		return &h.AccessionNumber
	case "study_date":
		return &h.StudyDate
	case "study_description":
		return &h.StudyDescription
	case "series_description":
		return &h.SeriesDescription
	}
	return nil
}

// ReadingHead is the head of a Reading.
type ReadingHead struct {
	State    string    `json:"state"`
	Revision int       `json:"revision"`
	ByName   string    `json:"by_name"`
	Time     time.Time `json:"time"`
}

func (r *ReadingHead) place(member string) any {
	switch member {
	case "state":
		return &r.State
	case "revision":
		return &r.Revision
	case "by_name":
		return &r.ByName
	case "time":
		return &r.Time
	}
	return nil
}

// StudyHead returns the head of a study, nil when there is none.
func (tx *Tx) StudyHead(uid string) (*StudyHead, error) {
	return get[StudyHead](tx, bucketStudies, uid)
}

// InstanceHead returns the head of an instance, nil when there is none.
func (tx *Tx) InstanceHead(sopInstanceUID string) (*InstanceHead, error) {
	return get[InstanceHead](tx, bucketInstances, sopInstanceUID)
}

// ReadingHead returns the head of a study's reading, nil when there is none.
func (tx *Tx) ReadingHead(studyInstanceUID string) (*ReadingHead, error) {
	return get[ReadingHead](tx, bucketReadings, studyInstanceUID)
}

// instancePath is the path of an Instance.
type instancePath struct {
	Path string `json:"path"`
}

func (i *instancePath) place(member string) any {
	if member == "path" {
		return &i.Path
	}
	return nil
}

// EachInstancePath visits the paths of all instances.
func (tx *Tx) EachInstancePath(visit func(path string) error) error {
	return each(tx, bucketInstances, func(_ string, i *instancePath) error { return visit(i.Path) })
}

// EachReadingHead visits the heads of all readings.
func (tx *Tx) EachReadingHead(visit func(studyInstanceUID string, r *ReadingHead) error) error {
	return each(tx, bucketReadings, visit)
}
