package study

// SOPReference names an object by its class and instance (PS3.3 table 10-11).
type SOPReference struct {
	SOPClassUID    string `json:"sop_class_uid"`
	SOPInstanceUID string `json:"sop_instance_uid"`
}
