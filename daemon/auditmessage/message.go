package auditmessage

import (
	"encoding/xml"
	"net/netip"
	"strconv"
	"time"
)

// Message is an audit message by the schema of PS3.15, A.5.1.1: elements in its order.
type Message struct {
	XMLName      xml.Name      `xml:"AuditMessage"`
	Event        Event         `xml:"EventIdentification"`
	Participants []Participant `xml:"ActiveParticipant"`
	Source       struct {
		ID   string `xml:"AuditSourceID,attr"`
		Type struct {
			Code string `xml:"csd-code,attr"`
		} `xml:"AuditSourceTypeCode"`
	} `xml:"AuditSourceIdentification"`
	Objects []Object `xml:"ParticipantObjectIdentification"`
}

// Code is a coded value.
type Code struct {
	Value  string `xml:"csd-code,attr"`
	System string `xml:"codeSystemName,attr"`
	Text   string `xml:"originalText,attr"`
}

// Event is what happened.
type Event struct {
	Action  string `xml:"EventActionCode,attr"` // C, R, U, D or E
	Time    string `xml:"EventDateTime,attr"`
	Outcome string `xml:"EventOutcomeIndicator,attr"` // 0 success, 4 minor failure
	ID      Code   `xml:"EventID"`
	Types   []Code `xml:"EventTypeCode"`
}

// Participant is who did it, or what.
type Participant struct {
	UserID    string `xml:"UserID,attr"`
	Requestor bool   `xml:"UserIsRequestor,attr"`
	Address   string `xml:"NetworkAccessPointID,attr,omitempty"`
	AddressIs string `xml:"NetworkAccessPointTypeCode,attr,omitempty"` // 1 name, 2 IP address
	Roles     []Code `xml:"RoleIDCode"`
}

// Object is what it was done to. It has a Name or a Query.
type Object struct {
	ID     string `xml:"ParticipantObjectID,attr"`
	Type   string `xml:"ParticipantObjectTypeCode,attr"`     // 1 person, 2 system object
	Role   string `xml:"ParticipantObjectTypeCodeRole,attr"` // 1 patient, 3 report, 13 security resource
	IDType Code   `xml:"ParticipantObjectIDTypeCode"`
	Name   string `xml:"ParticipantObjectName,omitempty"`
	Query  string `xml:"ParticipantObjectQuery,omitempty"` // base64
}

func dcm(value, text string) Code { return Code{value, "DCM", text} }

// Codes of PS3.16, CID 400 to 403 and 404.
var (
	roleApplication = dcm("110150", "Application")
	roleDestination = dcm("110152", "Destination Role ID")
	roleSource      = dcm("110153", "Source Role ID")
)

func participant(id, address string, requestor bool, roles ...Code) Participant {
	p := Participant{UserID: id, Requestor: requestor, Roles: roles}
	if ip, err := netip.ParseAddr(address); err == nil {
		p.Address, p.AddressIs = ip.String(), "2"
	}
	if p.UserID == "" {
		p.UserID = address
	}
	if p.UserID == "" {
		p.UserID = "unknown"
	}
	return p
}

func newMessage(source string, at time.Time, id Code, action string, failed bool, types ...Code) Message {
	m := Message{Event: Event{Action: action, Time: at.UTC().Format(time.RFC3339Nano), ID: id, Types: types}}
	outcome := 0
	if failed {
		outcome = 4
	}
	m.Event.Outcome = strconv.Itoa(outcome)
	m.Source.ID, m.Source.Type.Code = source, "4" // application server process
	return m
}

// XML is the message as sent.
func (m Message) XML() ([]byte, error) { return xml.Marshal(m) }
