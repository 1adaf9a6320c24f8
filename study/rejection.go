package study

// RejectionTitle is the document title of a rejection note (PS3.16, CID 7010): why its objects are taken back.
type RejectionTitle string

// Titles of rejection notes (IHE RAD, Imaging Object Change Management, 4.66 and appendix).
const (
	RejectedQuality   RejectionTitle = "113001" // Rejected for Quality Reasons
	RejectedSafety    RejectionTitle = "113037" // Rejected for Patient Safety Reasons
	RejectedWorklist  RejectionTitle = "113038" // Incorrect Modality Worklist Entry
	RejectedRetention RejectionTitle = "113039" // Data Retention Policy Expired
)

var rejectionTitles = map[RejectionTitle]struct {
	meaning, reason string
	weight          int
}{
	RejectedRetention: {"Data Retention Policy Expired", "data retention expired", 1},
	RejectedQuality:   {"Rejected for Quality Reasons", "quality", 2},
	RejectedWorklist:  {"Incorrect Modality Worklist Entry", "incorrect worklist entry", 3},
	RejectedSafety:    {"Rejected for Patient Safety Reasons", "patient safety", 4},
}

// Known reports whether the title is one of a rejection note's.
func (t RejectionTitle) Known() bool { return rejectionTitles[t].weight > 0 }

// Code is the title's coded concept.
func (t RejectionTitle) Code() Code { return Code{string(t), "DCM", rejectionTitles[t].meaning} }

// Reason is the title in a few words.
func (t RejectionTitle) Reason() string { return rejectionTitles[t].reason }

// Final reports whether what was rejected must not be seen again: drafts that rest on it are withdrawn and it is refused when it
// comes again.
func (t RejectionTitle) Final() bool { return t == RejectedSafety || t == RejectedWorklist }

// Outweighs reports whether a rejection of title t stands against one of title other.
func (t RejectionTitle) Outweighs(other RejectionTitle) bool {
	return rejectionTitles[t].weight > rejectionTitles[other].weight
}

// ObjectReference names an object with its study and series.
type ObjectReference struct {
	StudyInstanceUID  string `json:"study_instance_uid"`
	SeriesInstanceUID string `json:"series_instance_uid"`
	SOPClassUID       string `json:"sop_class_uid"`
	SOPInstanceUID    string `json:"sop_instance_uid"`
}

// RejectionNote is what a Key Object Selection document with the title of a rejection says.
type RejectionNote struct {
	Title   RejectionTitle
	Objects []ObjectReference
}
