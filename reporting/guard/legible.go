package guard

import (
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// legible is a sentence in plain letters and signs, as the rules read it: accents, invisible signs and marks of emphasis are taken out. A letter of
// another alphabet, which may only look like ours, makes it illegible.
func legible(sentence string) (plain string, ok bool) {
	ok = true
	plain = strings.Map(func(r rune) rune {
		switch {
		case r == '\u2018' || r == '\u2019' || r == '\u02bc':
			return '\''
		case unicode.Is(unicode.Pd, r) || r == '\u2212':
			return '-'
		case unicode.IsSpace(r) || strings.ContainsRune("_*~#`|<>{}\\", r):
			return ' '
		case unicode.In(r, unicode.Cf, unicode.Mn, unicode.Variation_Selector):
			return -1
		case r == unicode.ReplacementChar || unicode.IsControl(r) || r > unicode.MaxASCII && unicode.In(r, unicode.L, unicode.N, unicode.Co):
			ok = false
		}
		return r
	}, norm.NFKD.String(sentence))
	return strings.Join(strings.Fields(plain), " "), ok
}
