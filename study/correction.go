package study

import "time"

// Correction is a report as its reader left it, beside the scores and the draft that it came from. It holds no name, date or number of
// a patient: they are masked before it is made.
type Correction struct {
	ID               string      `json:"id"` // digest of study and text: the same correction twice is one
	StudyInstanceUID string      `json:"study_instance_uid"`
	Revision         int         `json:"revision"` // of the draft
	Patient          string      `json:"patient"`  // keyed digest of the patient's identity: keeps one patient's studies together
	Scores           PairScores  `json:"scores"`
	Draft            string      `json:"draft"` // as delivered: FINDINGS and IMPRESSION
	Final            string      `json:"final"` // findings and impression as signed, masked
	Masked           int         `json:"masked"`
	Role             string      `json:"role"` // of who corrected: radiologist, resident
	Source           string      `json:"source"`
	Time             time.Time   `json:"time"`
	Models           []ModelCard `json:"models"`
}
