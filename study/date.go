package study

import "time"

// PlainDate is a DICOM date as people read it, 2006-01-02; what is none stays as it is.
func PlainDate(da string) string {
	if t, err := time.Parse("20060102", da); err == nil {
		return t.Format("2006-01-02")
	}
	return da
}
