package queue

import (
	"time"

	"llamaxr/study"
)

// Fetch is what the archive was asked for when a study lacked a view, and what came of it.
type Fetch struct {
	Archive string           `json:"archive"` // AE title
	View    study.Projection `json:"view"`    // that was missing
	Asked   time.Time        `json:"asked"`
	Ended   time.Time        `json:"ended,omitzero"`
	Objects []string         `json:"objects,omitempty"` // SOP Instance UIDs that the archive was told to send
	Images  int              `json:"images"`            // that it sent
	Result  string           `json:"result,omitempty"`  // a few words for the draft
	Error   string           `json:"error,omitempty"`   // why it could not be asked
}
