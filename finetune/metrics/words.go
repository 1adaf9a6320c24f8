package metrics

import (
	"strings"
	"unicode"

	"golang.org/x/text/cases"
	"golang.org/x/text/language"
)

// fields splits at white space as Python's str.split does: the four separators U+001C to U+001F are white space there.
func fields(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return unicode.IsSpace(r) || r >= 0x1c && r <= 0x1f })
}

// lower is Python's str.lower: unlike strings.ToLower it knows the final sigma and what becomes two letters.
func lower(text string) string { return cases.Lower(language.Und).String(text) }

// rougeWords are rouge_score's: lower-case runs of a to z and 0 to 9, those of more than 3 letters stemmed.
func rougeWords(text string) []string {
	words := strings.FieldsFunc(lower(text), func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') })
	for i, w := range words {
		if len(w) > 3 {
			words[i] = Stem(w)
		}
	}
	return words
}
