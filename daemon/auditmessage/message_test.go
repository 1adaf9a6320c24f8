package auditmessage

import (
	"strings"
	"testing"
	"time"

	"llamaxr/daemon/access"
)

// TestMessages holds messages against ones written by hand from the tables of PS3.15, A.5.3, in the order of the schema in A.5.1.1.
func TestMessages(t *testing.T) {
	at := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	const (
		source  = `<AuditSourceIdentification AuditSourceID="XR"><AuditSourceTypeCode csd-code="4"></AuditSourceTypeCode></AuditSourceIdentification>`
		person  = `<ActiveParticipant UserID="ann" UserIsRequestor="true" NetworkAccessPointID="10.0.0.7" NetworkAccessPointTypeCode="2">`
		objects = `<ParticipantObjectIdentification ParticipantObjectID="1.2.3" ParticipantObjectTypeCode="2" ParticipantObjectTypeCodeRole="3">` +
			`<ParticipantObjectIDTypeCode csd-code="110180" codeSystemName="DCM" originalText="Study Instance UID"></ParticipantObjectIDTypeCode>` +
			`<ParticipantObjectName>1.2.3</ParticipantObjectName></ParticipantObjectIdentification>` +
			`<ParticipantObjectIdentification ParticipantObjectID="P&amp;1" ParticipantObjectTypeCode="1" ParticipantObjectTypeCodeRole="1">` +
			`<ParticipantObjectIDTypeCode csd-code="2" codeSystemName="RFC-3881" originalText="Patient Number"></ParticipantObjectIDTypeCode>` +
			`<ParticipantObjectName>Doe^Jo</ParticipantObjectName></ParticipantObjectIdentification>`
		sourceRole      = `<RoleIDCode csd-code="110153" codeSystemName="DCM" originalText="Source Role ID"></RoleIDCode>`
		destinationRole = `<RoleIDCode csd-code="110152" codeSystemName="DCM" originalText="Destination Role ID"></RoleIDCode>`
		me              = `<ActiveParticipant UserID="XR" UserIsRequestor="false">`
		end             = `</ActiveParticipant>`
	)
	event := func(action, outcome, id, text string, types ...string) string {
		s := `<EventIdentification EventActionCode="` + action + `" EventDateTime="2026-03-04T05:06:07Z" EventOutcomeIndicator="` + outcome + `">` +
			`<EventID csd-code="` + id + `" codeSystemName="DCM" originalText="` + text + `"></EventID>`
		for i := 0; i < len(types); i += 2 {
			s += `<EventTypeCode csd-code="` + types[i] + `" codeSystemName="DCM" originalText="` + types[i+1] + `"></EventTypeCode>`
		}
		return s + `</EventIdentification>`
	}
	for _, c := range []struct{ act, study, detail, want string }{
		{ActStarted, "", "", event("E", "0", "110100", "Application Activity", "110120", "Application Start") +
			me + `<RoleIDCode csd-code="110150" codeSystemName="DCM" originalText="Application"></RoleIDCode>` + end + source},
		{"log in", "", "", event("E", "0", "110114", "User Authentication", "110122", "Login") + person + end + source},
		{"log in failed", "", "", event("E", "4", "110114", "User Authentication", "110122", "Login") + person + end + source},
		{"log out", "", "", event("E", "0", "110114", "User Authentication", "110123", "Logout") + person + end + source},
		{"DICOMweb refused", "", "a wrong token", event("E", "4", "110113", "Security Alert", "110126", "Node Authentication") + person + end + source},
		{"refused", "1.2.3", "POST /sign", event("E", "4", "110113", "Security Alert", "110132", "Use of Restricted Function") + person + end + source},
		{"view study", "1.2.3", "revision 1", event("R", "0", "110103", "DICOM Instances Accessed") + person + end + source + objects},
		{"sign", "1.2.3", "", event("U", "0", "110103", "DICOM Instances Accessed") + person + end + source + objects},
		{"DICOMweb retrieve", "1.2.3", "2 objects", event("R", "0", "110104", "DICOM Instances Transferred") +
			me + sourceRole + end + person + destinationRole + end + source + objects},
		{ActReceived, "1.2.3", Failed, event("R", "4", "110104", "DICOM Instances Transferred") +
			person + sourceRole + end + me + destinationRole + end + source + objects},
		{"DICOMweb search studies", "", "", event("E", "0", "110112", "Query") + person + sourceRole + end + me + destinationRole + end + source +
			`<ParticipantObjectIdentification ParticipantObjectID="1.2.840.10008.5.1.4.1.2.2.1" ParticipantObjectTypeCode="2" ParticipantObjectTypeCodeRole="3">` +
			`<ParticipantObjectIDTypeCode csd-code="110181" codeSystemName="DCM" originalText="SOP Class UID"></ParticipantObjectIDTypeCode>` +
			`<ParticipantObjectQuery>RElDT013ZWIgc2VhcmNoIHN0dWRpZXM6IA==</ParticipantObjectQuery></ParticipantObjectIdentification>`},
		{storedByWeb, "1.2.3", "", event("R", "0", "110104", "DICOM Instances Transferred") +
			person + sourceRole + end + me + destinationRole + end + source + objects},
		{ActSending, "1.2.3", "", event("E", "0", "110102", "Begin Transferring DICOM Instances") +
			`<ActiveParticipant UserID="XR" UserIsRequestor="true">` + sourceRole + end +
			`<ActiveParticipant UserID="ann" UserIsRequestor="false" NetworkAccessPointID="10.0.0.7" NetworkAccessPointTypeCode="2">` + destinationRole + end + source + objects},
		{ActRemoved, "1.2.3", "", event("D", "0", "110105", "DICOM Study Deleted") + `<ActiveParticipant UserID="XR" UserIsRequestor="true">` + end + source + objects},
		{ActStranger, "", Failed, event("E", "4", "110113", "Security Alert", "110126", "Node Authentication") + person + end + source},
		{ActReload, "", "peers", event("E", "0", "110113", "Security Alert", "110131", "Software Configuration") + person + end + me + end + source},
		{"learning promote failed", "", "x: no such model", event("E", "4", "110113", "Security Alert", "110131", "Software Configuration") + person + end + me + end + source},
		{"view administration", "", "", event("R", "0", "110101", "Audit Log Used") + person + end + source +
			`<ParticipantObjectIdentification ParticipantObjectID="file:audit.log" ParticipantObjectTypeCode="2" ParticipantObjectTypeCodeRole="13">` +
			`<ParticipantObjectIDTypeCode csd-code="12" codeSystemName="RFC-3881" originalText="URI"></ParticipantObjectIDTypeCode>` +
			`<ParticipantObjectName>Security Audit Log</ParticipantObjectName></ParticipantObjectIdentification>`},
		{"view worklist", "", "", ""},
	} {
		e := access.Entry{Time: at, User: "ann", Address: "10.0.0.7", Act: c.act, Study: c.study, Detail: c.detail}
		m, ok := Of(e, "XR", Patient{"P&1", "Doe^Jo"})
		if ok != (c.want != "") {
			t.Errorf("%s: a message: %v", c.act, ok)
		}
		if !ok {
			continue
		}
		got, err := m.XML()
		if want := "<AuditMessage>" + c.want + "</AuditMessage>"; err != nil || string(got) != want {
			t.Errorf("%s: %v\ngot  %s\nwant %s", c.act, err, got, want)
		}
	}
}

// TestFrame: the header of RFC 5424 with facility 10, severity 5 and the standard's MSGID; a message that is too long is refused.
func TestFrame(t *testing.T) {
	s := &Sender{Host: "xr1"}
	e := access.Entry{Time: time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC), Act: "log in", User: "ann"}
	m, _ := Of(e, "XR", Patient{})
	frame, err := s.Frame(m)
	before, after, found := strings.Cut(string(frame), " DICOM+RFC3881 - \xef\xbb\xbf<AuditMessage>")
	if err != nil || !strings.HasPrefix(before, "<85>1 2026-03-04T05:06:07Z xr1 llamaxr ") || !found || !strings.HasSuffix(after, "</AuditMessage>") {
		t.Errorf("%v: %s", err, frame)
	}
	m.Participants[0].UserID = strings.Repeat("x", maxMessage)
	if _, err := s.Frame(m); err == nil {
		t.Error("a message without bounds")
	}
}
