package web

import (
	"testing"

	"llamaxr/study"
)

// TestAge: a patient is a year older on the birthday, in leap years and others.
func TestAge(t *testing.T) {
	for _, test := range []struct{ born, at, want string }{
		{"19600301", "20260301", "66"},
		{"19600301", "20260228", "65"},
		{"19610301", "20240229", "62"},
		{"19600229", "20260301", "66"},
		{"20251231", "20260101", "0"},
		{"", "20260101", ""},
		{"19600101", "", ""},
	} {
		if got := (studyPage{Header: study.Header{PatientBirthDate: test.born, StudyDate: test.at}}).Age(); got != test.want {
			t.Errorf("born %s, on %s: %q, want %q", test.born, test.at, got, test.want)
		}
	}
}
