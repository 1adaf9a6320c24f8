package study

import "testing"

// TestSamePatientModule: an object that came again without an issuer or a birth date, or with a name whose empty components are written out, says nothing new; one
// with what was missing does.
func TestSamePatientModule(t *testing.T) {
	known := Header{PatientID: "P", IssuerOfPatientID: "H", PatientBirthDate: "19600101", PatientName: "Doe^Jane=山田^花子", PatientSex: "F"}
	for name, c := range map[string]struct {
		change func(*Header)
		same   bool
	}{
		"the same":                  {func(*Header) {}, true},
		"no issuer":                 {func(h *Header) { h.IssuerOfPatientID = "" }, true},
		"no birth date":             {func(h *Header) { h.PatientBirthDate = "" }, true},
		"empty components":          {func(h *Header) { h.PatientName = "Doe^Jane^^^=山田^花子^=" }, true},
		"another issuer":            {func(h *Header) { h.IssuerOfPatientID = "I" }, false},
		"another birth date":        {func(h *Header) { h.PatientBirthDate = "19600102" }, false},
		"another ID, and no issuer": {func(h *Header) { h.PatientID, h.IssuerOfPatientID = "Q", "" }, false},
		"another spelling":          {func(h *Header) { h.PatientName = "Doe^Jan" }, false},
		"another sex":               {func(h *Header) { h.PatientSex = "M" }, false},
	} {
		again := known
		c.change(&again)
		if known.SamePatientModule(again) != c.same {
			t.Errorf("%s: the same %v", name, !c.same)
		}
	}
	known.IssuerOfPatientID = ""
	if again := (Header{PatientID: "P", IssuerOfPatientID: "H"}); known.SamePatientModule(again) || !known.Patient().Same(again.Patient()) {
		t.Error("an issuer where there was none is nothing new, or another patient")
	}
}
