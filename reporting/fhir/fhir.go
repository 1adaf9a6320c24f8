// Package fhir writes results as FHIR R4 resources: a DiagnosticReport, an Observation for each scored finding, the Device that scored, in a
// transaction Bundle of PUTs. Identifiers derive from the study, so that a repeat is the same and a later result replaces an earlier one.
//
// The patient, the order and the ImagingStudy are referred to by their business identifiers (R4 2.3.0.2, logical references): a hospital's server has
// its own resources for them.
//
//	body, err := fhir.Bundle(result, fhir.Device{Model: "llamaxr appliance", SerialNumber: "box1"})
package fhir

import (
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html"
	"strings"
	"time"

	"llamaxr/reporting/sr"
	"llamaxr/study"
)

// Device names the appliance that wrote a result.
type Device struct{ Manufacturer, Model, SerialNumber, SoftwareVersion string }

// object is a FHIR element. Maps are written in the order of their keys, so the same result gives the same bytes.
type object = map[string]any

// statuses are DiagnosticReport.status by what became of a report.
var statuses = map[study.ResultStatus]string{
	study.ResultDraft: "preliminary", study.ResultSigned: "final", study.ResultCorrected: "amended", study.ResultWithdrawn: "entered-in-error",
}

// Bundle is the transaction that tells a server of a result, as JSON. A draft brings its scores as preliminary Observations; a signed report refers to
// none: its physician does not vouch for them.
func Bundle(r study.Result, d Device) ([]byte, error) {
	if r.Header() == nil {
		return nil, fmt.Errorf("fhir: a result of study %s without an image", r.Draft.StudyInstanceUID)
	}
	filed := cmp.Or(r.FiledAs, r.Header().Patient())
	w := writer{result: r, device: d, key: []string{r.Draft.StudyInstanceUID, filed.ID, filed.Issuer}}
	report := w.report()
	if r.Status == study.ResultDraft || r.Status == study.ResultWithdrawn {
		w.put("Device", w.deviceID(), w.scorer())
		var results []any
		for _, f := range study.Findings() {
			if r.Draft.Scores.Scored(f) {
				id := w.id("Observation", f.String())
				w.put("Observation", id, w.observation(f))
				results = append(results, object{"reference": "Observation/" + id})
			}
		}
		if len(results) > 0 {
			report["result"] = results
		}
	}
	w.put("DiagnosticReport", w.id("DiagnosticReport"), report)
	return json.Marshal(object{"resourceType": "Bundle", "type": "transaction", "entry": w.entries})
}

type writer struct {
	result  study.Result
	device  Device
	key     []string // study and patient: a report of a patient who was corrected is another resource, of one with an issuer since then not
	entries []any
}

// id derives a resource's logical id.
func (w *writer) id(parts ...string) string { return derived(append(parts, w.key...)...) }

func derived(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return hex.EncodeToString(sum[:16])
}

func (w *writer) deviceID() string {
	return derived("Device", w.device.Manufacturer, w.device.Model, w.device.SerialNumber)
}

// put adds a resource under its id.
func (w *writer) put(kind, id string, resource object) {
	resource["resourceType"], resource["id"] = kind, id
	url := kind + "/" + id
	w.entries = append(w.entries, object{"fullUrl": "urn:uuid:" + uuid(id), "resource": resource, "request": object{"method": "PUT", "url": url}})
}

// uuid shapes 32 hexadecimal digits.
func uuid(id string) string {
	return strings.Join([]string{id[:8], id[8:12], id[12:16], id[16:20], id[20:]}, "-")
}

// report is the DiagnosticReport.
func (w *writer) report() object {
	r := w.result
	h := r.Header()
	out := object{
		"status":       statuses[r.Status],
		"category":     []any{concept(coding("http://terminology.hl7.org/CodeSystem/v2-0074", "RAD", "Radiology"))},
		"code":         w.procedure(),
		"issued":       r.Time.Format(time.RFC3339),
		"imagingStudy": []any{w.imagingStudy()},
		"conclusion":   w.conclusion(),
	}
	identifiers := []any{object{"system": "urn:dicom:uid", "value": "urn:oid:" + r.Draft.StudyInstanceUID}}
	if n := strings.TrimSpace(h.AccessionNumber); n != "" {
		identifiers = append(identifiers, accession(n))
		out["basedOn"] = []any{object{"type": "ServiceRequest", "identifier": accession(n)}}
	}
	out["identifier"] = identifiers
	w.context(out)
	if r.Physician != "" {
		out["resultsInterpreter"] = []any{object{"type": "Practitioner", "display": displayName(r.Physician)}}
	}
	text := w.text()
	out["text"] = object{"status": "generated", "div": `<div xmlns="http://www.w3.org/1999/xhtml"><p>` + strings.ReplaceAll(html.EscapeString(text), "\n", "<br/>") + "</p></div>"}
	out["presentedForm"] = []any{object{
		"contentType": "text/plain; charset=utf-8", "data": base64.StdEncoding.EncodeToString([]byte(text)), "title": "Chest radiograph report",
	}}
	return out
}

// conclusion is the impression behind what must be read before it.
func (w *writer) conclusion() string {
	if w.result.Status == study.ResultWithdrawn {
		return "AI draft withdrawn: " + clean(w.result.Reason)
	}
	return strings.TrimSpace(w.result.Notice() + " " + clean(w.result.Impression))
}

// text is the whole report.
func (w *writer) text() string {
	if w.result.Status == study.ResultWithdrawn {
		return w.conclusion()
	}
	return strings.TrimSpace(w.result.Notice() + "\nFINDINGS: " + clean(w.result.Findings) + "\nIMPRESSION: " + clean(w.result.Impression))
}

// observation is the score of a finding: the higher of the views', and each view's.
func (w *writer) observation(f study.Finding) object {
	scores := w.result.Draft.Scores
	best, _ := scores.Combined(f)
	code, interpretation := sr.FindingCode(f), coding("http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation", "NEG", "Negative")
	if scores.Present(f) {
		interpretation = coding("http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation", "POS", "Positive")
	}
	var components []any
	for _, view := range []study.Projection{study.Frontal, study.Lateral} {
		if s := scores.Of(view); s.Scored(f) {
			components = append(components, object{"code": object{"text": "score of the " + view.String() + " view"}, "valueQuantity": quantity(s[f])})
		}
	}
	status := "preliminary"
	if w.result.Status == study.ResultWithdrawn {
		status = "entered-in-error"
	}
	out := object{
		"status":         status,
		"category":       []any{concept(coding("http://terminology.hl7.org/CodeSystem/observation-category", "imaging", "Imaging"))},
		"code":           object{"coding": []any{dicomCoding(code)}, "text": "AI score: " + f.String()},
		"issued":         w.result.Time.Format(time.RFC3339),
		"valueQuantity":  quantity(best),
		"interpretation": []any{concept(interpretation)},
		"note":           []any{object{"text": study.DraftWarning + ". The score is calibrated: 0.5 is the operating point."}},
		"bodySite":       concept(coding("http://snomed.info/sct", "816094009", "Thorax")),
		"device":         object{"reference": "Device/" + w.deviceID()},
		"derivedFrom":    []any{w.imagingStudy()},
		"component":      components,
	}
	w.context(out)
	return out
}

// scorer is the Device: the appliance and the models that took part.
func (w *writer) scorer() object {
	versions := []any{object{"type": object{"text": "software"}, "value": orUnknown(w.device.SoftwareVersion)}}
	for _, m := range w.result.Draft.Models {
		versions = append(versions, object{"type": object{"text": m.Role}, "value": strings.TrimSpace(fmt.Sprintf("%s %s %.16s", m.Name, m.Version, m.Digest))})
	}
	return object{
		"status": "active", "manufacturer": orUnknown(w.device.Manufacturer), "serialNumber": orUnknown(w.device.SerialNumber),
		"deviceName": []any{object{"name": orUnknown(w.device.Model), "type": "model-name"}}, "version": versions,
	}
}

// context adds what report and observations have in common: the patient and when the images were made.
func (w *writer) context(out object) {
	h := w.result.Header()
	if id := strings.TrimSpace(h.PatientID); id != "" {
		identifier := object{"type": concept(coding("http://terminology.hl7.org/CodeSystem/v2-0203", "MR", "Medical record number")), "value": id}
		if h.IssuerOfPatientID != "" {
			identifier["assigner"] = object{"display": h.IssuerOfPatientID}
		}
		out["subject"] = object{"type": "Patient", "identifier": identifier}
	}
	if at := acquired(h, w.result.Time.Location()); at != "" {
		out["effectiveDateTime"] = at
	}
}

func (w *writer) imagingStudy() object {
	return object{"type": "ImagingStudy", "identifier": object{"system": "urn:dicom:uid", "value": "urn:oid:" + w.result.Draft.StudyInstanceUID}}
}

// procedure is what was done, as the image has it, or a diagnostic imaging study.
func (w *writer) procedure() object {
	codes := []any{coding("http://loinc.org", "18748-4", "Diagnostic imaging study")}
	for _, c := range w.result.Header().ProcedureCodes {
		if c.Value != "" && systemOf(c.Scheme) != "" {
			codes = append(codes, dicomCoding(c))
		}
	}
	return object{"coding": codes}
}

func accession(number string) object {
	return object{"type": concept(coding("http://terminology.hl7.org/CodeSystem/v2-0203", "ACSN", "Accession ID")), "value": number}
}

func coding(system, code, display string) object {
	return object{"system": system, "code": code, "display": display}
}

func concept(c object) object { return object{"coding": []any{c}} }

// dicomCoding is a coding of a DICOM code.
func dicomCoding(c study.Code) object {
	out := object{"code": c.Value}
	if s := systemOf(c.Scheme); s != "" {
		out["system"] = s
	}
	if c.Meaning != "" {
		out["display"] = c.Meaning
	}
	return out
}

// systemOf is the URI of a coding scheme (PS3.16 table 8-1), empty for one that has none.
func systemOf(scheme string) string {
	switch scheme {
	case "SCT":
		return "http://snomed.info/sct"
	case "LN":
		return "http://loinc.org"
	case "DCM":
		return "http://dicom.nema.org/resources/ontology/DCM"
	case "RADLEX":
		return "http://www.radlex.org"
	case "C4":
		return "http://www.ama-assn.org/go/cpt"
	case "99LLXR":
		return "urn:oid:" + sr.LocalSchemeUID
	}
	return ""
}

func quantity(score float32) object {
	return object{"value": study.Cut(score, 1e4), "unit": "1", "system": "http://unitsofmeasure.org", "code": "1"}
}

// acquired is when the study was made: a moment with the site's zone, or a date.
func acquired(h *study.Header, zone *time.Location) string {
	clock, _, _ := strings.Cut(h.StudyTime, ".")
	if t, err := time.ParseInLocation("20060102150405", h.StudyDate+clock, zone); err == nil {
		return t.Format(time.RFC3339)
	}
	if t, err := time.Parse("20060102", h.StudyDate); err == nil {
		return t.Format("2006-01-02")
	}
	return ""
}

// displayName turns a DICOM person name round: prefix, given, middle, family, suffix.
func displayName(name string) string {
	group, _, _ := strings.Cut(name, "=")
	p := append(strings.Split(group, "^"), "", "", "", "", "")
	return strings.Join(strings.Fields(strings.Join([]string{p[3], p[1], p[2], p[0], p[4]}, " ")), " ")
}

// clean leaves what FHIR strings may hold: no control characters but line ends.
func clean(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' && r != '\n' || r >= 0x7f && r < 0xa0 {
			return -1
		}
		return r
	}, strings.ToValidUTF8(strings.ReplaceAll(text, "\t", " "), "?"))
}

func orUnknown(text string) string {
	if strings.TrimSpace(text) == "" {
		return "unknown"
	}
	return text
}
