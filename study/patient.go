package study

import (
	"cmp"
	"strings"
)

// Patient is the identity by which two objects are one person's: a name may be spelt anew, these may not differ.
type Patient struct{ ID, Issuer, BirthDate string }

// Same reports whether two are one person. An issuer or birth date without a value says nothing (PS3.3 C.7.1.1: type 3 and type 2).
func (p Patient) Same(other Patient) bool { return p.ID == other.ID && p.with(other) == other.with(p) }

// with is a patient with what another says where this one has no value.
func (p Patient) with(other Patient) Patient {
	p.Issuer, p.BirthDate = cmp.Or(p.Issuer, other.Issuer), cmp.Or(p.BirthDate, other.BirthDate)
	return p
}

// Patient returns the identity that the header gives.
func (h Header) Patient() Patient {
	return Patient{h.PatientID, h.IssuerOfPatientID, h.PatientBirthDate}
}

// KeepPatient gives a header of the same person the issuer and birth date that were known, where it has none.
func (h *Header) KeepPatient(known Header) {
	if p := h.Patient(); p.Same(known.Patient()) {
		p = p.with(known.Patient())
		h.IssuerOfPatientID, h.PatientBirthDate = p.Issuer, p.BirthDate
	}
}

// SamePatientModule reports whether a header that came again says nothing of the patient but what is known, the spelling of the name included.
func (h Header) SamePatientModule(again Header) bool {
	again.KeepPatient(h)
	return h.Patient() == again.Patient() && SameName(h.PatientName, again.PatientName) && h.PatientSex == again.PatientSex
}

// SameName reports whether two names are spelt alike.
func SameName(a, b string) bool { return spelling(a) == spelling(b) }

// spelling is a name without the delimiters that may be left out at an end (PS3.5 6.2.1).
func spelling(name string) string {
	groups := strings.Split(name, "=")
	for i, group := range groups {
		groups[i] = strings.TrimRight(group, "^ ")
	}
	return strings.TrimRight(strings.Join(groups, "="), "=")
}
