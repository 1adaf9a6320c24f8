package labeler

import (
	"strings"
	"unicode"
)

// abbreviations end in a period that does not end a sentence.
var abbreviations = map[string]bool{
	"dr": true, "mr": true, "mrs": true, "ms": true, "vs": true, "approx": true, "e.g": true, "i.e": true, "no": false,
	"st": true, "fig": true, "cf": true,
}

// Sentences splits text after a period, question mark, exclamation mark or line break that ends a sentence. Decimals, list numbers
// ("1.") and common abbreviations do not. The pieces are trimmed and none is empty.
func Sentences(text string) []string {
	var out []string
	start := 0
	flush := func(end int) {
		if s := strings.TrimSpace(text[start:end]); strings.IndexFunc(s, unicode.IsLetter) >= 0 {
			out = append(out, s)
			start = end
		} else if s == "" {
			start = end
		}
	}
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '\n', '\r':
			flush(i)
		case '!', '?':
			flush(i + 1)
		case '.':
			if endsSentence(text, start, i) {
				flush(i + 1)
			}
		}
	}
	flush(len(text))
	if rest := strings.TrimSpace(text[start:]); rest != "" && len(out) > 0 {
		out[len(out)-1] += " " + rest
	}
	return out
}

// endsSentence reports whether the period at i, in the sentence that began at start, ends it.
func endsSentence(text string, start, i int) bool {
	if i+1 < len(text) && isDigit(text[i+1]) && i > 0 && isDigit(text[i-1]) {
		return false
	}
	word := text[start:i]
	if cut := strings.LastIndexFunc(word, unicode.IsSpace); cut >= 0 {
		word = word[cut+1:]
	}
	word = strings.ToLower(strings.TrimLeft(word, "("))
	if abbreviations[word] {
		return false
	}
	// "1." at the start is a list number.
	return word == "" || strings.Trim(word, "0123456789") != "" || strings.TrimSpace(text[start:i]) != word
}

func isDigit(b byte) bool { return b >= '0' && b <= '9' }
