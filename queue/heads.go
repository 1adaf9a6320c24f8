package queue

import "time"

// A head is what a list of all studies needs of a record, read without the rest: histories are most of a record's bytes.

// StudyHead is the head of a Study.
type StudyHead struct {
	State     string        `json:"state"`
	Reason    string        `json:"reason"`
	Revision  int           `json:"revision"`
	Last      time.Time     `json:"last_received"`
	Instances []string      `json:"instances"`
	Summary   *DraftSummary `json:"summary"`
	Alerts    []*Alert      `json:"alerts"`
}

// InstanceHead is the head of an Instance.
type InstanceHead struct {
	Header struct {
		PatientName       string `json:"patient_name"`
		PatientID         string `json:"patient_id"`
		PatientBirthDate  string `json:"patient_birth_date"`
		PatientSex        string `json:"patient_sex"`
		AccessionNumber   string `json:"accession_number"`
		StudyDate         string `json:"study_date"`
		StudyDescription  string `json:"study_description"`
		SeriesDescription string `json:"series_description"`
	} `json:"header"`
}

// ReadingHead is the head of a Reading.
type ReadingHead struct {
	State  string    `json:"state"`
	ByName string    `json:"by_name"`
	Time   time.Time `json:"time"`
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

// EachInstancePath visits the paths of all instances.
func (tx *Tx) EachInstancePath(visit func(path string) error) error {
	return each(tx, bucketInstances, func(_ string, i *struct {
		Path string `json:"path"`
	},
	) error {
		return visit(i.Path)
	})
}
