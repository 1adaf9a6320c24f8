package hl7

import (
	"encoding/hex"
	"strconv"
	"strings"
	"unicode/utf8"
)

// maxBlanks bounds what one \.sp\ or \.sk\ asks for.
const maxBlanks = 100

// escape makes text fit for a field (2.7): the encoding characters are escaped, a line's end becomes \.br\, other control characters go.
func escape(text string) string {
	text = strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(strings.ToValidUTF8(text, "?"))
	var out strings.Builder
	for _, r := range text {
		switch {
		case r == '|':
			out.WriteString(`\F\`)
		case r == '^':
			out.WriteString(`\S\`)
		case r == '&':
			out.WriteString(`\T\`)
		case r == '~':
			out.WriteString(`\R\`)
		case r == '\\':
			out.WriteString(`\E\`)
		case r == '\n':
			out.WriteString(`\.br\`)
		case r == '\t':
			out.WriteByte(' ')
		case r < ' ' || r >= 0x7f && r < 0xa0:
		default:
			out.WriteRune(r)
		}
	}
	return out.String()
}

// unescape is the text that escape sequences stand for. What is not closed stands as it is, what only formats or is not known goes.
func (s Segment) unescape(text string) string {
	if s.marks.escape == 0 || strings.IndexByte(text, s.marks.escape) < 0 {
		return text
	}
	var out strings.Builder
	for text != "" {
		at := strings.IndexByte(text, s.marks.escape)
		if at < 0 {
			break
		}
		length := strings.IndexByte(text[at+1:], s.marks.escape)
		if length < 0 {
			break
		}
		out.WriteString(text[:at])
		out.WriteString(s.meaning(text[at+1 : at+1+length]))
		text = text[at+length+2:]
	}
	out.WriteString(text)
	return out.String()
}

// meaning is the text of one escape sequence, given without its escape characters (2.7.1 to 2.7.6).
func (s Segment) meaning(sequence string) string {
	one := map[string]byte{"F": s.marks.field, "S": s.marks.component, "T": s.marks.subcomponent, "R": s.marks.repetition, "E": s.marks.escape}
	if c, ok := one[sequence]; ok && c != 0 {
		return string(c)
	}
	switch {
	case strings.HasPrefix(sequence, "X"):
		raw, err := hex.DecodeString(sequence[1:])
		if err != nil {
			return ""
		}
		if utf8.Valid(raw) {
			return strings.ReplaceAll(string(raw), "\r\n", "\n")
		}
		text, err := charsets["8859/1"].NewDecoder().Bytes(raw)
		if err != nil {
			return ""
		}
		return string(text)
	case sequence == ".br", sequence == ".ce", strings.HasPrefix(sequence, ".sp"):
		return strings.Repeat("\n", blanks(sequence))
	case strings.HasPrefix(sequence, ".sk"):
		return strings.Repeat(" ", blanks(sequence))
	}
	return ""
}

// blanks is how many a formatting command asks for, one when it does not say.
func blanks(sequence string) int {
	n, err := strconv.Atoi(strings.TrimLeft(sequence, ".abcdefghijklmnopqrstuvwxyz+ "))
	if err != nil {
		return 1
	}
	return min(max(n, 0), maxBlanks)
}
