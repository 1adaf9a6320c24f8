package dicomweb

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// mediaRange is one of an Accept header (RFC 9110 12.5.1).
type mediaRange struct {
	kind   string // type/subtype in lower case, perhaps with *
	params map[string]string
	weight float64 // q
}

// anything is what a request takes that does not say.
var anything = []mediaRange{{kind: "*/*", weight: 1}}

// acceptedRanges are the media ranges that a request takes, the ones it likes best first, from its accept parameter or its header (PS3.18 8.3.3.1,
// 8.4.1.1). What cannot be read is passed over.
func acceptedRanges(q *http.Request) (out []mediaRange) {
	given := q.URL.Query()["accept"]
	if len(given) == 0 {
		given = q.Header.Values("Accept")
	}
	if strings.TrimSpace(strings.Join(given, "")) == "" {
		return anything
	}
	for _, list := range given {
		for _, text := range splitOutsideQuotes(list) {
			kind, params, err := parseMediaType(text)
			weight, unweighted := strconv.ParseFloat(params["q"], 64)
			if unweighted != nil {
				weight = 1
			}
			if err != nil || weight <= 0 || len(out) >= maxRanges {
				continue
			}
			out = append(out, mediaRange{kind, params, weight})
		}
	}
	slices.SortStableFunc(out, func(a, b mediaRange) int { return cmp.Compare(b.weight, a.weight) })
	return out
}

// splitOutsideQuotes splits a list at its commas.
func splitOutsideQuotes(list string) (out []string) {
	quoted, start := false, 0
	for i := range len(list) {
		switch {
		case list[i] == '"':
			quoted = !quoted
		case list[i] == ',' && !quoted:
			out, start = append(out, list[start:i]), i+1
		}
	}
	return append(out, list[start:])
}

// takes reports whether the range takes a media type.
func (m mediaRange) takes(kind string) bool {
	group, _, _ := strings.Cut(kind, "/")
	return m.kind == kind || m.kind == group+"/*" || m.kind == "*/*"
}

// accepted reports whether a request takes one of the media types.
func accepted(q *http.Request, kinds ...string) bool { return preferred(q, kinds...) != "" }

// preferred is the one of the media types that a request likes best; empty when it takes none.
func preferred(q *http.Request, kinds ...string) string {
	for _, m := range acceptedRanges(q) {
		if i := slices.IndexFunc(kinds, m.takes); i >= 0 {
			return kinds[i]
		}
	}
	return ""
}

// takesObjects returns the transfer syntaxes in which a request takes objects, * for as they are, which a request that names none
// means too: pixel data is not transcoded. It is empty when the request takes no objects.
func takesObjects(q *http.Request) (syntaxes []string) {
	for _, m := range acceptedRanges(q) {
		if !m.takes("multipart/related") {
			continue
		}
		if kind := m.params["type"]; kind != "" && kind != "application/dicom" && kind != "*/*" {
			continue
		}
		syntax := m.params["transfer-syntax"]
		if syntax == "" {
			syntax = "*"
		}
		syntaxes = append(syntaxes, syntax)
	}
	return syntaxes
}

func notAcceptable(w http.ResponseWriter, kinds ...string) {
	http.Error(w, fmt.Sprintf("only %s is given out here", strings.Join(kinds, " or ")), http.StatusNotAcceptable)
}
