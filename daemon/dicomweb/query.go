package dicomweb

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/suyashkumar/dicom/pkg/tag"

	"llamaxr/dicomnet/dicomjson"
	"llamaxr/ingest/dicomfile"
)

// query is what a search asks for (PS3.18 8.3.4). fixed is how many levels the address names: studies that are asked for all of their
// series are not told their own attributes again.
type query struct {
	keys          map[string]func(string) bool // by attribute: whether a value fits
	fields        map[string]bool
	all           bool     // every field
	ignored       []string // parameters that are not supported
	fuzzy         bool
	limit, offset int
	study         string // the one Study Instance UID that fits, empty for any
	accession     string // as study
	fixed         level
}

// errQuery is what is wrong with a query.
var errQuery = errors.New("the search cannot be understood")

// parseQuery reads the parameters of a search at a level. One that is not supported is ignored and noted (PS3.18 8.3).
func parseQuery(l level, values url.Values) (query, error) {
	q := query{keys: map[string]func(string) bool{}, fields: map[string]bool{}, limit: maxResults}
	if len(values) > maxKeys {
		return q, fmt.Errorf("%w: more than %d keys", errQuery, maxKeys)
	}
	for name, given := range values {
		var err error
		switch name {
		case "includefield":
			err = q.include(given)
		case "limit":
			q.limit, err = count(name, given, maxResults)
		case "offset":
			q.offset, err = count(name, given, maxOffset)
		case "fuzzymatching":
			q.fuzzy = given[0] == "true"
		case "charset":
			err = charset(given)
		case "accept":
		default:
			err = q.add(l, name, given)
		}
		if err != nil {
			return q, err
		}
	}
	return q, nil
}

// count reads a limit or an offset. More than most is most.
func count(name string, given []string, most int) (int, error) {
	n, err := strconv.ParseUint(given[0], 10, 31)
	if err != nil || len(given) > 1 {
		return 0, fmt.Errorf("%w: %s is no number", errQuery, name)
	}
	return min(int(n), most), nil
}

// charset holds the character sets that a caller takes against the one of our answers.
func charset(given []string) error {
	for name := range strings.SplitSeq(strings.Join(given, ","), ",") {
		name, _, _ = strings.Cut(name, ";")
		if name = strings.TrimSpace(name); name == "*" || strings.EqualFold(name, "utf-8") {
			return nil
		}
	}
	return fmt.Errorf("%w: only the charset utf-8 is given out", errQuery)
}

// unsupported tells what of the query was ignored.
func (q query) unsupported() string {
	names := strings.Join(slices.Sorted(slices.Values(q.ignored)), ", ")
	return warnIgnored + ": " + names[:min(len(names), maxNamed)]
}

// include reads fields that are to be returned.
func (q *query) include(given []string) error {
	for _, list := range given {
		for field := range strings.SplitSeq(list, ",") {
			if field = strings.TrimSpace(field); field == "all" {
				q.all = true
				continue
			}
			if key := attributeKey(field); key != "" {
				q.fields[key] = true
			} else {
				q.ignored = append(q.ignored, "includefield="+field)
			}
			if len(q.fields)+len(q.ignored) > maxKeys {
				return fmt.Errorf("%w: more than %d fields", errQuery, maxKeys)
			}
		}
	}
	return nil
}

// attributeKey reads an attribute's identifier: eight hexadecimal digits or a keyword (PS3.6), the innermost of those with dots between.
// The key of what is no attribute is empty.
func attributeKey(id string) string {
	innermost := id[strings.LastIndexByte(id, '.')+1:]
	if n, err := strconv.ParseUint(innermost, 16, 32); err == nil && len(innermost) == 8 {
		return dicomjson.Key(tag.Tag{Group: uint16(n >> 16), Element: uint16(n)})
	}
	info, err := tag.FindByKeyword(innermost)
	if err != nil || innermost == "" {
		return ""
	}
	return dicomjson.Key(info.Tag)
}

func clip(text string) string { return text[:min(len(text), 64)] }

// add reads one key.
func (q *query) add(l level, id string, given []string) error {
	key := attributeKey(id)
	a, known := attributes[key]
	if !known || a.level > l || strings.Contains(id, ".") {
		q.ignored = append(q.ignored, id)
		return nil
	}
	if q.keys[key] != nil || len(given) > 1 && a.vr != "UI" {
		return fmt.Errorf("%w: %s is given twice", errQuery, clip(id))
	}
	fits, err := matching(a.vr, strings.Join(given, ","))
	if err != nil {
		return fmt.Errorf("%w: %s", err, clip(id))
	}
	q.keys[key] = fits
	switch value := given[0]; {
	case a.tag == tag.StudyInstanceUID && dicomfile.ValidUID(value) && len(given) == 1:
		q.study = value
	case a.tag == tag.AccessionNumber && !strings.ContainsAny(value, `*?`):
		q.accession = strings.TrimSpace(value)
	}
	return nil
}

// fits reports whether a record is what the search asks for.
func (q query) fits(r record) bool {
	for key, fits := range q.keys {
		if !fits(attributes[key].values(r)) {
			return false
		}
	}
	return true
}

// matching reads a key's value as its VR asks (PS3.4 C.2.2.2). An empty value fits all.
func matching(vr, want string) (func(string) bool, error) {
	want = strings.TrimSpace(want)
	if want == "" {
		return func(string) bool { return true }, nil
	}
	switch vr {
	case "UI":
		return anyOf(want)
	case "DA":
		return between(want, dateKey)
	case "TM":
		return between(want, timeKey)
	case "IS", "DS", "US":
		x, err := strconv.ParseFloat(want, 64)
		if err != nil {
			return nil, fmt.Errorf("%w: %q is no number", errQuery, clip(want))
		}
		return each(func(have string) bool { y, err := strconv.ParseFloat(have, 64); return err == nil && x == y }), nil
	case "PN":
		want = strings.ToLower(strings.TrimRight(want, "^="))
		return each(func(have string) bool {
			have = strings.ToLower(have)
			if wildcard(want, strings.TrimRight(have, "^=")) {
				return true
			}
			for group := range strings.SplitSeq(have, "=") { // one writing of the name is enough
				if wildcard(want, strings.TrimRight(group, "^")) {
					return true
				}
			}
			return false
		}), nil
	}
	return each(func(have string) bool { return wildcard(want, have) }), nil
}

// each lets an attribute fit when one of its values does.
func each(fits func(string) bool) func(string) bool {
	return func(values string) bool {
		for have := range strings.SplitSeq(values, `\`) {
			if fits(have) {
				return true
			}
		}
		return false
	}
}

// anyOf fits the UIDs of a list, with commas or backslashes between.
func anyOf(list string) (func(string) bool, error) {
	wanted := map[string]bool{}
	for uid := range strings.SplitSeq(strings.ReplaceAll(list, `\`, ","), ",") {
		if uid = strings.TrimSpace(uid); !dicomfile.ValidUID(uid) {
			return nil, fmt.Errorf("%w: %q is no UID", errQuery, clip(uid))
		}
		if wanted[uid] = true; len(wanted) > maxListedUIDs {
			return nil, fmt.Errorf("%w: more than %d UIDs", errQuery, maxListedUIDs)
		}
	}
	return each(func(have string) bool { return wanted[have] }), nil
}

// between fits a value or a range FROM-TO of which one end may be open. key puts a value in a form that sorts, the last moment that it
// covers when late.
func between(want string, key func(text string, late bool) (string, error)) (func(string) bool, error) {
	from, to, ranged := strings.Cut(want, "-")
	if !ranged {
		to = from
	}
	var low, high string
	var err error
	if from = strings.TrimSpace(from); from != "" {
		if low, err = key(from, false); err != nil {
			return nil, err
		}
	}
	if to = strings.TrimSpace(to); to != "" {
		if high, err = key(to, true); err != nil {
			return nil, err
		}
	}
	if low == "" && high == "" {
		return nil, fmt.Errorf("%w: a range without ends", errQuery)
	}
	return each(func(have string) bool {
		at, err := key(have, false)
		return err == nil && (low == "" || cmp.Compare(low, at) <= 0) && (high == "" || cmp.Compare(at, high) <= 0)
	}), nil
}

// dateKey reads YYYYMMDD, and YYYY.MM.DD as old systems write it (PS3.5 6.2).
func dateKey(text string, _ bool) (string, error) {
	if len(text) == 10 && text[4] == '.' && text[7] == '.' {
		text = text[:4] + text[5:7] + text[8:]
	}
	if len(text) != 8 || strings.Trim(text, "0123456789") != "" {
		return "", fmt.Errorf("%w: %q is no date", errQuery, clip(text))
	}
	return text, nil
}

// timeKey reads HHMMSS.FFFFFF of which the end may be missing, with colons as old systems write them (PS3.5 6.2).
func timeKey(text string, late bool) (string, error) {
	whole, fraction, _ := strings.Cut(strings.ReplaceAll(text, ":", ""), ".")
	if len(whole)%2 != 0 || len(whole) < 2 || len(whole) > 6 || len(fraction) > 6 || strings.Trim(whole+fraction, "0123456789") != "" {
		return "", fmt.Errorf("%w: %q is no time", errQuery, clip(text))
	}
	rest := "000000"
	if late {
		rest = "235959"
	}
	whole += rest[len(whole):]
	fill := "0"
	if late {
		fill = "9"
	}
	return whole + "." + fraction + strings.Repeat(fill, 6-len(fraction)), nil
}

// wildcard matches text against a pattern in which * is any characters and ? is one, in time of the product of their lengths at most.
func wildcard(pattern, text string) bool {
	p, t := []rune(pattern), []rune(text)
	star, mark := -1, 0
	i, j := 0, 0
	for j < len(t) {
		switch {
		case i < len(p) && p[i] == '*':
			star, mark = i, j
			i++
		case i < len(p) && (p[i] == '?' || p[i] == t[j]):
			i++
			j++
		case star >= 0:
			mark++
			i, j = star+1, mark
		default:
			return false
		}
	}
	for i < len(p) && p[i] == '*' {
		i++
	}
	return i == len(p)
}
