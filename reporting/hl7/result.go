package hl7

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"llamaxr/study"
)

// Sender is how we name ourselves and the receiver in messages; each name may be empty.
type Sender struct {
	Application, Facility                   string // MSH-3, MSH-4
	ReceivingApplication, ReceivingFacility string // MSH-5, MSH-6
	Equipment                               string // OBX-18: which appliance
}

// Codes of observations (LOINC, and PS3.16 for the study).
const (
	studyCode       = "113014"
	findingsCode    = "59776-5"
	impressionCode  = "19005-8"
	reportCode      = "18748-4"
	observedOther   = "O" // OBX-11: not a result but what the order describes
	schemeOfDICOM   = "DCM"
	schemeOfLOINC   = "LN"
	radiologySector = "RAD"
)

// statuses are OBR-25 (table 0123) and OBX-11 (table 0085) of a result.
func statuses(r study.Result) (report, observation string) {
	switch r.Status {
	case study.ResultSigned:
		return "F", "F"
	case study.ResultCorrected:
		return "C", "C"
	case study.ResultWithdrawn:
		if r.WrongPatient {
			return "X", "W" // posted as wrong: it was another patient's
		}
		return "X", "D"
	}
	return "P", "P"
}

// ControlID is MSH-10 of a result: the same for each try, another for each revision, signature and withdrawal, and for another text or time of the same
// number: an appliance that was restored from a backup counts on from there.
func ControlID(r study.Result) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\x00%s\x00%d\x00%d\x00%d\x00%s\x00%s\x00%s", r.Draft.StudyInstanceUID, r.Status, r.Draft.Revision, r.Number,
		r.Time.Unix(), r.Findings, r.Impression, r.Reason))
	return strings.ToUpper(hex.EncodeToString(sum[:10])) // MSH-10 holds 20 characters
}

// Message makes the ORU^R01 of a result. The same result gives the same bytes.
func (s Sender) Message(r study.Result) *Message {
	h, request := r.Header(), r.Request()
	report, observation := statuses(r)
	filler := cmp.Or(request.FillerOrderNumber, h.AccessionNumber, r.Draft.StudyInstanceUID)
	at := stamp(r.Time)
	order := make([]string, 32)
	for i, value := range map[int]string{
		1: "1", 2: escape(request.PlacerOrderNumber), 3: escape(filler), 4: procedure(h, request), 7: studyTime(h), 16: person("", h.ReferringPhysicianName),
		18: escape(h.AccessionNumber), 19: escape(request.ProcedureID), 22: at, 24: radiologySector, 25: report, 32: interpreter(r.Physician),
	} {
		order[i-1] = value
	}
	m := &Message{[]Segment{
		segment("MSH", escape(s.Application), escape(s.Facility), escape(s.ReceivingApplication), escape(s.ReceivingFacility), at, "",
			"ORU^R01^ORU_R01", ControlID(r), "P", "2.5.1", "", "", "", "", "", "UNICODE UTF-8"),
		segment("PID", "1", "", patientID(h), "", patientName(h.PatientName), "", digits(h.PatientBirthDate, 8), sex(h.PatientSex)),
		segment("ORC", "RE", escape(request.PlacerOrderNumber), escape(filler)),
		segment("OBR", order...),
		segment("OBX", "1", "ST", join(studyCode, "DICOM Study", schemeOfDICOM), "", escape(r.Draft.StudyInstanceUID), "", "", "", "", "", observedOther),
	}}
	findings, impression := r.Findings, r.Impression
	if r.Status == study.ResultWithdrawn {
		findings, impression = "AI draft withdrawn: "+r.Reason, "AI draft withdrawn: "+r.Reason
	} else if notice := r.Notice(); notice != "" {
		findings, impression = notice+" "+findings, notice+" "+impression
	}
	for i, part := range []struct{ code, name, text string }{
		{findingsCode, "Procedure findings", findings}, {impressionCode, "Impression", impression},
	} {
		m.Segments = append(m.Segments, segment("OBX", fmt.Sprint(i+2), "TX", join(part.code, part.name, schemeOfLOINC), "1", paragraphs(part.text), "", "",
			"", "", "", observation, "", "", at, "", person("", r.Physician), "", escape(s.Equipment)))
	}
	return m
}

// segment encodes one segment of fields that are encoded already; MSH gets its encoding characters.
func segment(name string, fields ...string) Segment {
	if name == "MSH" {
		fields = append([]string{"|", `^~\&`}, fields...)
	}
	for len(fields) > 0 && fields[len(fields)-1] == "" {
		fields = fields[:len(fields)-1]
	}
	return Segment{name, fields, usual}
}

// join makes a field of components; empty ones at its end go.
func join(components ...string) string { return strings.TrimRight(strings.Join(components, "^"), "^") }

// paragraphs is a text field: a repetition is a paragraph (2.A.78, TX).
func paragraphs(text string) string {
	var out []string
	for line := range strings.FieldsFuncSeq(text, func(r rune) bool { return r == '\n' || r == '\r' }) {
		if line = strings.TrimSpace(line); line != "" {
			out = append(out, escape(line))
		}
	}
	return strings.Join(out, "~")
}

// stamp is a time with its zone (2.A.77, TS).
func stamp(t time.Time) string { return t.Format("20060102150405-0700") }

// digits is a DICOM date or time as HL7 has it, empty when it is not n digits at least.
func digits(text string, n int) string {
	if len(text) < n || strings.Trim(text[:n], "0123456789") != "" {
		return ""
	}
	return text[:n]
}

func studyTime(h *study.Header) string {
	date := digits(h.StudyDate, 8)
	if date == "" {
		return ""
	}
	return date + cmp.Or(digits(h.StudyTime, 6), digits(h.StudyTime, 4))
}

// sex is table 0001.
func sex(dicom string) string {
	switch dicom {
	case "M", "F", "O":
		return dicom
	}
	return "U"
}

func patientID(h *study.Header) string {
	return join(escape(h.PatientID), "", "", escape(h.IssuerOfPatientID), "PI")
}

// procedure is OBR-4: what was ordered, what was done, or a diagnostic imaging report.
func procedure(h *study.Header, r study.Request) string {
	for _, codes := range [][]study.Code{r.ProcedureCodes, h.ProcedureCodes} {
		if len(codes) > 0 && codes[0].Value != "" {
			return join(escape(codes[0].Value), escape(codes[0].Meaning), escape(codes[0].Scheme))
		}
	}
	return join(reportCode, "Diagnostic imaging study", schemeOfLOINC)
}

// names splits a DICOM person name: family, given, middle, prefix, suffix (PS3.5 6.2).
func names(group string) (parts [5]string) {
	for i, p := range strings.SplitN(group, "^", 5) {
		parts[i] = escape(strings.TrimSpace(p))
	}
	return parts
}

// patientName is PID-5 (XPN): the suffix stands before the prefix, and each way of writing a name is an occurrence.
func patientName(dicom string) string {
	var out []string
	for i, group := range strings.SplitN(dicom, "=", 3) {
		n := names(group)
		if strings.Join(n[:], "") == "" {
			continue
		}
		representation := []string{"A", "I", "P"}[i]
		out = append(out, join(n[0], n[1], n[2], n[4], n[3], "", "L", representation))
	}
	if len(out) == 0 {
		return "^^^^^^U"
	}
	return strings.Join(out, "~")
}

// person is an XCN.
func person(id, dicom string) string {
	group, _, _ := strings.Cut(dicom, "=")
	n := names(group)
	return join(id, n[0], n[1], n[2], n[4], n[3])
}

// interpreter is OBR-32 (NDL), whose first component is a name of its own.
func interpreter(dicom string) string {
	return strings.ReplaceAll(person("", dicom), "^", "&")
}
