package pairing

import (
	"strings"

	"llamaxr/study"
)

// SameExamination tells whether two objects belong to one examination: by their study, or, where a reader gives each cassette a study
// of its own, by accession number, patient and date. why says which, or what speaks against it although the accession number is the
// same: two patients under one accession number are an error of the worklist, never one examination.
func SameExamination(a, b study.Header) (same bool, why string) {
	accession := strings.TrimSpace(a.AccessionNumber)
	switch {
	case a.StudyInstanceUID == b.StudyInstanceUID:
		return true, "one study"
	case accession == "" || accession != strings.TrimSpace(b.AccessionNumber):
		return false, ""
	case a.PatientID == "" || !a.Patient().Same(b.Patient()):
		return false, "one accession number, and not the same Patient ID, issuer and birth date"
	case a.Patient() != b.Patient() && (a.PatientName == "" || !study.SameName(a.PatientName, b.PatientName)):
		return false, "one accession number, and neither the same name nor both an issuer and birth date"
	case a.StudyDate == "" || a.StudyDate != b.StudyDate:
		return false, "one accession number and patient, and not the same study date"
	}
	return true, "two studies of one accession number, patient and date"
}
