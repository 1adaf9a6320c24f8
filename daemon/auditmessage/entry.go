package auditmessage

import (
	"encoding/base64"
	"strings"

	"llamaxr/daemon/access"
)

// Acts that only the appliance itself enters into the audit log.
const (
	ActStarted  = "appliance started"
	ActStopped  = "appliance stopped"
	ActReceived = "DICOM received" // the user is the calling AE title
	ActSending  = "DICOM sending"  // the user is the destination
	ActSent     = "DICOM sent"     // the user is the destination
	ActStranger = "DICOM refused"  // an association; the user is the calling AE title
	ActRemoved  = "study removed"  // by retention
	ActReload   = "configuration read again"
	ActAdapter  = "adapter in use"

	ActEscalated = "critical finding escalated" // there is no message for it: nobody saw anything
)

// viewAudit is the act of who looks at the page that shows the audit log.
const viewAudit = "view administration"

// storedByWeb is the act of a machine that stored objects of a study by STOW-RS.
const storedByWeb = "DICOMweb stored"

// auditLog names the log as an object.
const auditLog = "file:audit.log"

// Failed begins the detail of an act of those that did not end well.
const Failed = "failed"

// studyRootFind is what a search over DICOMweb comes to: Study Root Query/Retrieve Information Model - FIND.
const studyRootFind = "1.2.840.10008.5.1.4.1.2.2.1"

// Patient is whose study it is; the zero value is not known.
type Patient struct{ ID, Name string }

// Of is the message of an entry, by the tables of PS3.15, A.5.3; false when they have none for it. source names this appliance.
func Of(e access.Entry, source string, patient Patient) (Message, bool) {
	me := func(requestor bool, roles ...Code) Participant { return participant(source, "", requestor, roles...) }
	user := func(roles ...Code) Participant { return participant(e.User, e.Address, true, roles...) }
	event := func(id Code, action string, types ...Code) Message {
		return newMessage(source, e.Time, id, action, failed(e), types...)
	}
	var m Message
	switch {
	case e.Act == ActStarted || e.Act == ActStopped: // A.5.3.1
		kind := dcm("110120", "Application Start")
		if e.Act == ActStopped {
			kind = dcm("110121", "Application Stop")
		}
		m = event(dcm("110100", "Application Activity"), "E", kind)
		m.Participants = []Participant{me(false, roleApplication)}
	case e.Act == "log out" || strings.HasPrefix(e.Act, "log in"): // A.5.3.12
		kind := dcm("110122", "Login")
		if e.Act == "log out" {
			kind = dcm("110123", "Logout")
		}
		m = event(dcm("110114", "User Authentication"), "E", kind)
		m.Participants = []Participant{user()}
	case e.Act == "refused" || e.Act == "DICOMweb refused" || e.Act == ActStranger || strings.HasPrefix(e.Act, "user "): // A.5.3.11
		m = event(dcm("110113", "Security Alert"), "E", alert(e))
		m.Participants = []Participant{user()}
	case e.Act == ActReload || e.Act == ActAdapter || strings.HasPrefix(e.Act, "learning "): // A.5.3.11
		m = event(dcm("110113", "Security Alert"), "E", dcm("110131", "Software Configuration"))
		m.Participants = []Participant{me(e.User == "")}
		if e.User != "" {
			m.Participants = []Participant{user(), me(false)}
		}
	case e.Act == viewAudit: // A.5.3.2
		m = event(dcm("110101", "Audit Log Used"), "R")
		m.Participants = []Participant{user()}
		m.Objects = []Object{{ID: auditLog, Type: "2", Role: "13", IDType: Code{"12", "RFC-3881", "URI"}, Name: "Security Audit Log"}}
	case strings.HasPrefix(e.Act, "DICOMweb search"): // A.5.3.10
		m = event(dcm("110112", "Query"), "E")
		m.Participants = []Participant{user(roleSource), me(false, roleDestination)}
		m.Objects = []Object{{
			ID: studyRootFind, Type: "2", Role: "3", IDType: dcm("110181", "SOP Class UID"),
			Query: base64.StdEncoding.EncodeToString([]byte(e.Act + ": " + e.Detail)),
		}}
	case e.Study == "" || e.Act == "DICOMweb store" || e.Act == ActEscalated:
		return m, false
	case e.Act == ActSending: // A.5.3.3
		m = event(dcm("110102", "Begin Transferring DICOM Instances"), "E")
		m.Participants = []Participant{me(true, roleSource), participant(e.User, e.Address, false, roleDestination)}
		m.Objects = studyObjects(e.Study, patient)
	case e.Act == ActRemoved: // A.5.3.8
		m = event(dcm("110105", "DICOM Study Deleted"), "D")
		m.Participants = []Participant{me(true)}
		m.Objects = studyObjects(e.Study, patient)
	case e.Act == ActReceived || e.Act == storedByWeb || e.Act == ActSent || strings.HasPrefix(e.Act, "DICOMweb retrieve"): // A.5.3.7
		m = event(dcm("110104", "DICOM Instances Transferred"), "R") // R: whether the receiver had them already is not known
		switch e.Act {
		case ActReceived, storedByWeb:
			m.Participants = []Participant{user(roleSource), me(false, roleDestination)}
		case ActSent:
			m.Participants = []Participant{me(true, roleSource), participant(e.User, e.Address, false, roleDestination)}
		default:
			m.Participants = []Participant{me(false, roleSource), user(roleDestination)}
		}
		m.Objects = studyObjects(e.Study, patient)
	default: // A.5.3.6
		action := "U"
		if strings.HasPrefix(e.Act, "view") {
			action = "R"
		}
		m = event(dcm("110103", "DICOM Instances Accessed"), action)
		m.Participants = []Participant{user()}
		m.Objects = studyObjects(e.Study, patient)
	}
	return m, true
}

// failed reports whether an entry is of an act that was tried in vain.
func failed(e access.Entry) bool {
	return strings.HasSuffix(e.Act, "refused") || strings.HasSuffix(e.Act, "failed") || strings.HasPrefix(e.Detail, Failed)
}

// alert is the type of a security alert (PS3.16, CID 403).
func alert(e access.Entry) Code {
	switch {
	case strings.HasPrefix(e.Act, "user "):
		return dcm("110137", "User security Attributes Changed")
	case e.Act == ActStranger || strings.Contains(e.Detail, "token"):
		return dcm("110126", "Node Authentication")
	}
	return dcm("110132", "Use of Restricted Function")
}

func studyObjects(uid string, patient Patient) []Object {
	objects := []Object{{ID: uid, Type: "2", Role: "3", IDType: dcm("110180", "Study Instance UID"), Name: uid}}
	if patient != (Patient{}) {
		name := patient.Name
		if name == "" {
			name = patient.ID // the schema asks for a name
		}
		objects = append(objects, Object{ID: patient.ID, Type: "1", Role: "1", IDType: Code{"2", "RFC-3881", "Patient Number"}, Name: name})
	}
	return objects
}
