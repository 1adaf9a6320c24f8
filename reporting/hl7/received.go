package hl7

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
)

// maxReport bounds the text of one report in bytes.
const maxReport = 64 << 10

// Received is one report of an ORU^R01.
type Received struct {
	Final            bool      // F or C in OBR-25, or in OBX-11 where OBR-25 is empty
	Corrected        bool      // C in OBR-25 or in OBX-11
	Withdrawn        bool      // X in OBR-25, or all its text is deleted or was wrong (D, W, X in OBX-11): what it said before no longer holds
	StudyInstanceUID string    // empty when it names none
	Numbers          []string  // that may be the accession number: IPC-1, OBR-18, OBR-3, ORC-3, OBR-2, ORC-2
	PatientIDs       []string  // PID-3
	Names            []string  // parts of the names of the patient and of who ordered, read and signed
	Report           string    // text with FINDINGS and IMPRESSION headings where the message tells them apart
	Time             time.Time // when it was written: OBR-22, else that of the message, MSH-7; zero when neither tells the minute. OBR-7 is the examination's
	// Conflict is why the report is not to be tied to a study: it names two.
	Conflict string
}

// Check refuses a message that is no result for us, before anything of it is used; ok is false then.
func Check(m *Message) (refusal Reply, ok bool) {
	msh := m.Segment("MSH")
	switch kind := msh.Text(9, 1) + "^" + msh.Text(9, 2); {
	case msh.Text(10, 1) == "":
		return Reject("101", "MSH-10 is missing"), false
	case kind != "ORU^R01":
		return Reject(codeType, "only ORU^R01 is taken"), false
	case !strings.HasPrefix(msh.Text(12, 1), "2."):
		return Reject("203", "only HL7 version 2 is taken"), false
	case msh.Text(11, 1) != "P" && msh.Text(11, 1) != "":
		return Reject(codeProcessing, "only production messages are taken"), false
	case m.Segment("OBR").fields == nil:
		return Reject(codeSequence, "there is no OBR"), false
	}
	return Reply{}, true
}

// Results returns the reports of a message, one an OBR with its OBX segments.
func Results(m *Message) ([]Received, error) {
	var out []Received
	var patient, order []Segment // PID; ORC and what else stands before an OBR, for the next of them
	var group []Segment
	flush := func() error {
		if len(group) == 0 {
			return nil
		}
		r, err := received(append(slices.Clone(patient), group...))
		if err == nil {
			if r.Time.IsZero() {
				r.Time = moment(m.Segment("MSH").Text(7, 1))
			}
			out = append(out, r)
		}
		group = nil
		return err
	}
	for _, s := range m.Segments {
		switch s.Name {
		case "PID", "ORC", "OBR":
			if err := flush(); err != nil {
				return nil, err
			}
		}
		switch s.Name {
		case "PID":
			patient, order = []Segment{s}, nil
		case "ORC":
			order = []Segment{s}
		case "OBR":
			group, order = append(order, s), nil
		default:
			if group != nil {
				group = append(group, s)
			}
		}
	}
	return out, flush()
}

// received reads one order: PID, ORC, OBR and what follows.
func received(segments []Segment) (r Received, err error) {
	var body text
	var uids []string
	status := ""
	for _, s := range segments {
		switch s.Name {
		case "PID":
			for _, id := range s.Repetitions(3) {
				r.PatientIDs = add(r.PatientIDs, s.component(id, 1))
			}
			r.people(s, 5)
		case "IPC": // imaging procedure control: accession number, requested procedure, study
			r.Numbers = slices.Insert(r.Numbers, 0, s.Text(1, 1))
			uids = add(uids, s.Text(3, 1))
		case "ZDS": // the older form of the same (RAD TF-2, 4.4.4.1.2.4)
			uids = add(uids, s.Text(1, 1))
		case "OBR":
			status = s.Text(25, 1)
			r.Corrected = status == "C"
			r.Final = r.Corrected
			r.Numbers = append(r.Numbers, s.Text(18, 1), s.Text(3, 1), s.Text(2, 1))
			r.people(s, 16, 28, 32, 33, 34, 35)
			r.Time = moment(s.Text(22, 1))
		case "ORC":
			r.Numbers = append(r.Numbers, s.Text(3, 1), s.Text(2, 1))
		case "OBX":
			if namesStudy(s) {
				uids = add(uids, s.Text(5, 1))
				continue
			}
			r.people(s, 16)
			if err := body.add(s); err != nil {
				return r, err
			}
		}
	}
	r.Numbers = slices.DeleteFunc(r.Numbers, func(n string) bool { return n == "" })
	slices.Sort(r.Numbers)
	r.Numbers = slices.Compact(r.Numbers)
	switch len(uids) {
	case 0:
	case 1:
		r.StudyInstanceUID = uids[0]
	default:
		r.Conflict = "it names more than one Study Instance UID"
	}
	if status == "" || status == "F" { // an order that is final may hold a corrected text, one without a status is what its text is
		r.Corrected = body.corrected
		r.Final = body.final || body.corrected
	}
	r.Withdrawn = status == "X" || body.withdrawn && !body.final && !body.corrected
	r.Final = r.Final && !r.Withdrawn
	r.Report = body.report()
	return r, nil
}

// people notes the names in fields, whatever their type: words of letters, which a report's text must not keep.
func (r *Received) people(s Segment, fields ...int) {
	for _, f := range fields {
		for _, occurrence := range s.Repetitions(f) {
			parts := strings.FieldsFunc(occurrence, func(c rune) bool {
				return c == rune(s.marks.component) || c == rune(s.marks.subcomponent) || c == ' ' || c == ','
			})
			for _, p := range parts[:min(len(parts), maxNameParts)] {
				if p = s.unescape(p); len([]rune(p)) >= leastName && strings.IndexFunc(p, func(c rune) bool { return !unicode.IsLetter(c) && c != '-' && c != '\'' }) < 0 {
					r.Names = add(r.Names, p)
				}
			}
		}
	}
}

// Bounds of names: a list of people is short, and a shorter word than leastName is an initial or a code of the field's own.
const (
	maxNameParts = 12
	leastName    = 3
	maxNames     = 64
)

func add(list []string, value string) []string {
	if value == "" || len(list) >= maxNames || slices.Contains(list, value) {
		return list
	}
	return append(list, value)
}

// namesStudy reports whether an OBX holds a Study Instance UID: (113014, DCM) or (110180, DCM).
func namesStudy(s Segment) bool {
	code := s.Text(3, 1)
	return s.Text(3, 3) == schemeOfDICOM && (code == studyCode || code == "110180")
}

// text gathers the words of a report by section.
type text struct {
	findings, impression, whole []string
	final, corrected, withdrawn bool
	size                        int
}

// add takes the text of an OBX that is final or corrected; what is preliminary, withdrawn or no text is passed over.
func (t *text) add(s Segment) error {
	switch s.Text(2, 1) {
	case "TX", "FT", "ST":
	default:
		return nil
	}
	switch s.Text(11, 1) {
	case "C":
		t.corrected = true
	case "F", "":
		t.final = true
	case "D", "W", "X":
		t.withdrawn = true
		return nil
	default:
		return nil
	}
	var lines []string
	for _, occurrence := range s.Repetitions(5) {
		if line := strings.TrimSpace(s.unescape(occurrence)); line != "" && line != `""` {
			lines = append(lines, line)
			t.size += len(line)
		}
	}
	if t.size > maxReport {
		return fmt.Errorf("%w: a report of more than %d bytes", ErrMessage, maxReport)
	}
	joined := strings.Join(lines, "\n")
	switch section(s) {
	case "findings":
		t.findings = append(t.findings, joined)
	case "impression":
		t.impression = append(t.impression, joined)
	default:
		t.whole = append(t.whole, joined)
	}
	return nil
}

// section says which part of a report an OBX holds: by LOINC, by the suffixes of 7.2.3 (&GDT the body, &IMP the impression), by its name. It is
// empty for a report as one text.
func section(s Segment) string {
	code, name := strings.ToUpper(s.raw(3)), strings.ToUpper(s.Text(3, 2))
	identifier, _, _ := strings.Cut(code, string(s.marks.component))
	suffix := ""
	if s.marks.subcomponent != 0 {
		_, suffix, _ = strings.Cut(identifier, string(s.marks.subcomponent))
	}
	switch {
	case strings.HasPrefix(identifier, findingsCode), suffix == "GDT", strings.HasPrefix(name, "FINDING"):
		return "findings"
	case strings.HasPrefix(identifier, impressionCode), suffix == "IMP", strings.HasPrefix(name, "IMPRESSION"), strings.HasPrefix(name, "CONCLUSION"):
		return "impression"
	}
	return ""
}

// report is the text with the headings that a correction is read by. Text without a section keeps its own headings; beside sections it is
// an introduction (indication, comparison) and left out.
func (t *text) report() string {
	if len(t.findings)+len(t.impression) == 0 {
		return strings.TrimSpace(strings.Join(t.whole, "\n"))
	}
	return "FINDINGS: " + strings.Join(t.findings, "\n") + "\nIMPRESSION: " + strings.Join(t.impression, "\n")
}

// moment reads a TS; zero when it is none, or only a day, which does not tell a report from the one that corrects it.
func moment(value string) time.Time {
	for _, form := range []string{"20060102150405.0000-0700", "20060102150405-0700", "200601021504-0700"} {
		if t, err := time.Parse(form, value); err == nil {
			return t
		}
	}
	for _, form := range []string{"20060102150405.0000", "20060102150405", "200601021504"} {
		if t, err := time.ParseInLocation(form, value, time.Local); err == nil {
			return t
		}
	}
	return time.Time{}
}
