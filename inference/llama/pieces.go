package llama

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// The Split patterns that are known, with what cuts text as they do. Go's regexp has no lookahead, so both are followed by hand.
const (
	// scorePattern is our own: a score keeps its first decimal, other digits stand alone, a word or punctuation takes the space
	// before it.
	scorePattern = ` ?[01]\.[0-9]| ?\p{L}+| ?[^\s\p{L}\p{N}]+|[0-9]|\s+`
	// llama3Pattern is Llama 3's.
	llama3Pattern = `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
)

// pieceLengths gives, for each pattern, the length in bytes of the first piece of a text that is not empty.
var pieceLengths = map[string]func(text string) int{scorePattern: scorePiece, llama3Pattern: llama3Piece}

// cut splits text with the first of pieceLengths, each piece with the second, and so on.
func cut(text string, pieceLengths ...func(string) int) []string {
	if len(pieceLengths) == 0 {
		return []string{text}
	}
	var out []string
	for text != "" {
		n := pieceLengths[0](text)
		out = append(out, cut(text[:n], pieceLengths[1:]...)...)
		text = text[n:]
	}
	return out
}

// digitPiece is Hugging Face's Digits with individual_digits: a number character alone, or all up to the next.
func digitPiece(text string) int {
	if first, width := utf8.DecodeRuneInString(text); unicode.IsNumber(first) {
		return width
	}
	return run(text, func(r rune) bool { return !unicode.IsNumber(r) })
}

// gpt2Piece is the pattern of Hugging Face's ByteLevel with use_regex, GPT-2's:
// 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
func gpt2Piece(text string) int {
	for _, suffix := range []string{"'s", "'t", "'re", "'ve", "'m", "'ll", "'d"} {
		if strings.HasPrefix(text, suffix) {
			return len(suffix)
		}
	}
	space := len(text) - len(strings.TrimPrefix(text, " "))
	for _, class := range []func(rune) bool{unicode.IsLetter, unicode.IsNumber, isMark} {
		if n := run(text[space:], class); n > 0 {
			return space + n
		}
	}
	return spaces(text)
}

// spaces is the length of \s+(?!\S)|\s+: spaces before a word leave the last one to it.
func spaces(text string) int {
	n := run(text, unicode.IsSpace)
	if _, last := utf8.DecodeLastRuneInString(text[:n]); n < len(text) && n > last {
		return n - last
	}
	return n
}

func scorePiece(text string) int {
	body, space := text, 0
	if text[0] == ' ' {
		body, space = text[1:], 1
	}
	if len(body) >= 3 && (body[0] == '0' || body[0] == '1') && body[1] == '.' && isDigit(body[2]) {
		return space + 3
	}
	if n := run(body, unicode.IsLetter); n > 0 {
		return space + n
	}
	if n := run(body, isMark); n > 0 {
		return space + n
	}
	if isDigit(text[0]) {
		return 1
	}
	if n := run(text, unicode.IsSpace); n > 0 {
		return n
	}
	_, n := utf8.DecodeRuneInString(text) // a number that is no ASCII digit stands alone
	return n
}

func llama3Piece(text string) int {
	if text[0] == '\'' {
		for _, suffix := range []string{"s", "t", "re", "ve", "m", "ll", "d"} {
			if n := foldedPrefix(text[1:], suffix); n > 0 {
				return 1 + n
			}
		}
	}
	first, width := utf8.DecodeRuneInString(text)
	if n := run(text, unicode.IsLetter); n > 0 {
		return n
	}
	if !isLineBreak(first) && !unicode.IsNumber(first) {
		if n := run(text[width:], unicode.IsLetter); n > 0 {
			return width + n
		}
	}
	if unicode.IsNumber(first) {
		n := 0
		for range 3 {
			r, w := utf8.DecodeRuneInString(text[n:])
			if !unicode.IsNumber(r) {
				break
			}
			n += w
		}
		return n
	}
	space := len(text) - len(strings.TrimPrefix(text, " "))
	if n := run(text[space:], isMark); n > 0 {
		n += space
		return n + run(text[n:], isLineBreak)
	}
	n := run(text, unicode.IsSpace)
	if at := strings.LastIndexAny(text[:n], "\r\n"); at >= 0 {
		return at + 1
	}
	return spaces(text)
}

// foldedPrefix is the length in bytes of prefix at the start of text, whatever its letters' case, 0 if it is not there.
func foldedPrefix(text, prefix string) int {
	n := 0
	for range prefix {
		_, w := utf8.DecodeRuneInString(text[n:])
		n += w
	}
	if !strings.EqualFold(text[:n], prefix) {
		return 0
	}
	return n
}

// run is the length in bytes of the characters in a class at the start of text.
func run(text string, in func(rune) bool) int {
	for i, r := range text {
		if !in(r) {
			return i
		}
	}
	return len(text)
}

func isMark(r rune) bool { return !unicode.IsSpace(r) && !unicode.IsLetter(r) && !unicode.IsNumber(r) }

func isLineBreak(r rune) bool { return r == '\r' || r == '\n' }

func isDigit(b byte) bool { return b >= '0' && b <= '9' }
