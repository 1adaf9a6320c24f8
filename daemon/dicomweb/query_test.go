package dicomweb

import (
	"errors"
	"io"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"
)

// TestMatching follows PS3.4 C.2.2.2: single value, list of UIDs, universal, wildcard and range matching.
func TestMatching(t *testing.T) {
	for _, test := range []struct {
		vr, want, have string
		fits           bool
	}{
		{"LO", "4711", "4711", true},
		{"LO", "4711", "47110", false},
		{"LO", "", "anything", true},
		{"LO", "*", "", true},
		{"LO", "4?11", "4711", true},
		{"LO", "4?11", "411", false},
		{"LO", "*7*1", "4711", true},
		{"LO", "a", "A", false},
		{"LO", "b", `a\b`, true},
		{"CS", "DX", `CR\DX`, true},
		{"PN", "doe^j*", "Doe^Jane", true},
		{"PN", "Doe^Jane", "Doe^Jane^^^", true},
		{"PN", "Doe", "Doe^Jane", false},
		{"PN", "山田*", "Yamada^Tarou=山田^太郎=やまだ^たろう", true},
		{"PN", "müller*", "Müller^Jörg", true},
		{"UI", "1.2,1.3", "1.3", true},
		{"UI", `1.2\1.3`, "1.3", true},
		{"UI", "1.2", "1.2.3", false},
		{"DA", "20260102", "20260102", true},
		{"DA", "20260101-20260131", "20260131", true},
		{"DA", "20260101-20260131", "20260201", false},
		{"DA", "-20260131", "19991231", true},
		{"DA", "20260101-", "20251231", false},
		{"DA", "20260101", "", false},
		{"DA", "20260101", "2026.01.01", true},
		{"TM", "1000-1100", "103000.5", true},
		{"TM", "1000-1030", "103059", true},
		{"TM", "1000-1030", "103100", false},
		{"TM", "10", "103000", true},
		{"TM", "103000", "10:30:00", true},
		{"IS", "2", "02", true},
		{"IS", "2", "20", false},
		{"US", "512", "512", true},
	} {
		fits, err := matching(test.vr, test.want)
		if err != nil {
			t.Errorf("%+v: %v", test, err)
		} else if fits(test.have) != test.fits {
			t.Errorf("%+v", test)
		}
	}
	for vr, wrong := range map[string]string{"DA": "yesterday", "TM": "25h", "UI": "1.2,abc", "IS": "many"} {
		if _, err := matching(vr, wrong); !errors.Is(err, errQuery) {
			t.Errorf("%s %q: %v", vr, wrong, err)
		}
	}
	if _, err := matching("DA", "-"); !errors.Is(err, errQuery) {
		t.Error("a range without ends is taken")
	}
}

// FuzzWildcard holds the matcher against Go's regular expressions.
func FuzzWildcard(f *testing.F) {
	f.Add("a*b?c", "axxbyc")
	f.Add("**a", "ba")
	f.Fuzz(func(t *testing.T, pattern, text string) {
		if len(pattern) > 64 || len(text) > 256 || !utf8.ValidString(pattern) || !utf8.ValidString(text) {
			return
		}
		quoted := strings.NewReplacer(`\*`, "(?s:.*)", `\?`, "(?s:.)").Replace(regexp.QuoteMeta(pattern))
		if got, want := wildcard(pattern, text), regexp.MustCompile("^"+quoted+`\z`).MatchString(text); got != want {
			t.Errorf("%q against %q: %v, want %v", pattern, text, got, want)
		}
	})
}

// FuzzQuery: any query is either understood, within the limits, or refused as one that is not.
func FuzzQuery(f *testing.F) {
	for _, seed := range []string{
		"PatientName=Doe*&limit=10", "00100020=1&includefield=all", "StudyDate=20260101-&offset=5", "StudyInstanceUID=1.2,1.3", "limit=-1", "a=b;c", "00400275.00401001=1", "charset=utf-8", "foo%0A=1",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		values, err := url.ParseQuery(text)
		if err != nil {
			return
		}
		for _, l := range []level{studyLevel, seriesLevel, instanceLevel} {
			q, err := parseQuery(l, values)
			if err != nil {
				if !errors.Is(err, errQuery) {
					t.Errorf("%q: %v", text, err)
				}
				continue
			}
			if q.limit < 0 || q.limit > maxResults || q.offset < 0 || q.offset > maxOffset || len(q.fields) > maxKeys {
				t.Errorf("%q: %+v", text, q)
			}
			if said := q.unsupported(); len(said) > len(warnIgnored)+len(": ")+maxNamed {
				t.Errorf("%q: a warning of %d bytes", text, len(said))
			}
			for key, fits := range q.keys {
				if attributes[key].level > l {
					t.Errorf("%q: key %s at %s", text, key, l)
				}
				fits("20260101")
			}
		}
	})
}

// FuzzParts: any body ends, within its limits, and gives each part whole.
func FuzzParts(f *testing.F) {
	f.Add(`multipart/related; type="application/dicom"; boundary=b`, []byte("--b\r\nContent-Type: application/dicom\r\n\r\nDATA\r\n--b--\r\n"))
	f.Add("multipart/related; type=application/dicom; boundary=b", []byte("preamble\r\n--b\r\n\r\n\r\n--b\r\nA: b\r\n\r\nx"))
	f.Add("multipart/related", []byte("--\r\n"))
	f.Fuzz(func(t *testing.T, contentType string, body []byte) {
		kind, boundary, err := relatedType(contentType)
		if err != nil || boundary == "" {
			return
		}
		if kind == "" || kind != strings.ToLower(kind) { // as it is compared with the one that is taken (RFC 2045 5.1)
			t.Errorf("%q has parts of type %q", contentType, kind)
		}
		read := 0
		parts := newParts(strings.NewReader(string(body)), boundary)
		for n := 0; ; n++ {
			part, err := parts.next()
			if err != nil {
				return
			}
			data, _ := io.ReadAll(part)
			if read += len(data); read > len(body) || n > len(body) {
				t.Fatalf("%d parts of %d bytes in a body of %d", n, read, len(body))
			}
		}
	})
}

// FuzzAccept: any Accept header is read within its limits.
func FuzzAccept(f *testing.F) {
	f.Add(`multipart/related; type="application/dicom"; transfer-syntax=*, image/png;q=0.5, */*`)
	f.Add(`multipart/related; type=application/dicom; transfer-syntax=1.2.840.10008.1.2.1`)
	f.Add(`"`)
	f.Fuzz(func(t *testing.T, text string) {
		q := httptest.NewRequest("GET", "/", nil)
		q.Header.Set("Accept", text)
		if n := len(acceptedRanges(q)); n > maxRanges {
			t.Errorf("%d media ranges", n)
		}
		takesObjects(q)
		if kind := preferred(q, "image/jpeg", "image/png"); kind != "" && !strings.HasPrefix(kind, "image/") {
			t.Errorf("%q", kind)
		}
	})
}

// TestAccept: what requests take, as clients write it.
func TestAccept(t *testing.T) {
	for header, want := range map[string]string{
		"":    "*",
		"*/*": "*",
		`multipart/related; type="application/dicom"`:                                                                                  "*",
		`multipart/related; type=application/dicom`:                                                                                    "*",
		`multipart/related; type=application/dicom; transfer-syntax=1.2.840.10008.1.2.1`:                                               "1.2.840.10008.1.2.1",
		`multipart/related; type="application/octet-stream", multipart/related; type="application/dicom"; transfer-syntax="1.2.840.1"`: "1.2.840.1",
		"application/dicom+json":     "",
		"multipart/related; q=0":     "",
		`multipart/related; type=""`: "*",
	} {
		q := httptest.NewRequest("GET", "/", nil)
		if header != "" {
			q.Header.Set("Accept", header)
		}
		if got := strings.Join(takesObjects(q), " "); got != want {
			t.Errorf("%s: %q, want %q", header, got, want)
		}
	}
}

// TestPreferred: of what is given out a request gets what it likes best (RFC 9110 12.5.1).
func TestPreferred(t *testing.T) {
	for header, want := range map[string]string{
		"": "image/jpeg", "image/*": "image/jpeg", "image/png, image/jpeg": "image/png", "image/jpeg;q=0.5, image/png;q=0.9": "image/png",
		"image/png;q=0.1, image/jpeg": "image/jpeg", "image/webp, */*;q=0.1": "image/jpeg", "image/png;q=0.0": "", "image/gif": "",
	} {
		q := httptest.NewRequest("GET", "/", nil)
		if header != "" {
			q.Header.Set("Accept", header)
		}
		if got := preferred(q, "image/jpeg", "image/png"); got != want {
			t.Errorf("%s: %q, want %q", header, got, want)
		}
	}
}
