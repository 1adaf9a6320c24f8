package dicomscan

import (
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/japanese"
	"golang.org/x/text/encoding/korean"
	"golang.org/x/text/encoding/simplifiedchinese"
)

// single maps defined terms of Specific Character Set (PS3.3, C.12.1.1.2) to single-byte repertoires.
var single = map[string]encoding.Encoding{
	"": charmap.Windows1252, "ISO_IR 6": charmap.Windows1252, "ISO_IR 100": charmap.ISO8859_1, "ISO_IR 101": charmap.ISO8859_2,
	"ISO_IR 109": charmap.ISO8859_3, "ISO_IR 110": charmap.ISO8859_4, "ISO_IR 144": charmap.ISO8859_5, "ISO_IR 127": charmap.ISO8859_6,
	"ISO_IR 126": charmap.ISO8859_7, "ISO_IR 138": charmap.ISO8859_8, "ISO_IR 148": charmap.ISO8859_9, "ISO_IR 203": charmap.ISO8859_15,
	"ISO_IR 166": charmap.Windows874, "ISO_IR 13": japanese.ShiftJIS,
	"GB18030": simplifiedchinese.GB18030, "GBK": simplifiedchinese.GBK,
}

// escapes maps the escape sequences of ISO 2022 (PS3.3, table C.12-3 and C.12-4) to what follows them.
var escapes = []struct {
	sequence string
	decode   encoding.Encoding
	wrap     string // escape that the decoder itself wants before the bytes
}{
	{"\x1b(B", charmap.Windows1252, ""}, {"\x1b(J", japanese.ShiftJIS, ""}, {"\x1b)I", japanese.ShiftJIS, ""},
	{"\x1b$B", japanese.ISO2022JP, "\x1b$B"}, {"\x1b$@", japanese.ISO2022JP, "\x1b$@"},
	{"\x1b$)C", korean.EUCKR, ""}, {"\x1b$)A", simplifiedchinese.GBK, ""},
	{"\x1b-A", charmap.ISO8859_1, ""}, {"\x1b-B", charmap.ISO8859_2, ""}, {"\x1b-C", charmap.ISO8859_3, ""},
	{"\x1b-D", charmap.ISO8859_4, ""}, {"\x1b-L", charmap.ISO8859_5, ""}, {"\x1b-G", charmap.ISO8859_6, ""},
	{"\x1b-F", charmap.ISO8859_7, ""}, {"\x1b-H", charmap.ISO8859_8, ""}, {"\x1b-M", charmap.ISO8859_9, ""},
	{"\x1b-T", charmap.Windows874, ""}, {"\x1b-b", charmap.ISO8859_15, ""},
}

// charset decodes the text of one data set.
type charset struct {
	utf8  bool
	first encoding.Encoding
}

func newCharset(defined string) charset {
	term, _, _ := strings.Cut(defined, `\`)
	term = strings.TrimSpace(term)
	if term == "ISO_IR 192" {
		return charset{utf8: true}
	}
	term = strings.Replace(term, "ISO 2022 IR", "ISO_IR", 1)
	if enc, ok := single[term]; ok {
		return charset{first: enc}
	}
	return charset{first: charmap.Windows1252}
}

// decode turns a value into UTF-8, following escape sequences wherever they stand.
func (c charset) decode(value []byte) string {
	text := strings.TrimRight(string(value), " \x00")
	if c.utf8 {
		return text
	}
	if !strings.Contains(text, "\x1b") {
		if c.first == charmap.Windows1252 && utf8.ValidString(text) {
			return text // UTF-8 that does not say so, or ASCII
		}
		return decoded(c.first, text)
	}
	var out strings.Builder
	current, wrap := c.first, ""
	for text != "" {
		at := strings.IndexByte(text, 0x1b)
		if at < 0 {
			at = len(text)
		}
		part := text[:at]
		out.WriteString(c.segment(&current, &wrap, part))
		text = text[at:]
		if text == "" {
			break
		}
		known := false
		for _, e := range escapes {
			if strings.HasPrefix(text, e.sequence) {
				current, wrap, known = e.decode, e.wrap, true
				text = text[len(e.sequence):]
				break
			}
		}
		if !known {
			text = text[1:]
		}
	}
	return out.String()
}

// segment decodes what stands between two escape sequences. Delimiters of names and values end an escape (PS3.5, section
// 6.1.2.5.3); in a set of two bytes a character may contain a delimiter's byte, and no delimiter comes before the next escape.
func (c charset) segment(current *encoding.Encoding, wrap *string, part string) string {
	if *wrap != "" {
		return decoded(*current, *wrap+part)
	}
	var out strings.Builder
	for part != "" {
		stop := strings.IndexAny(part, "^=\\\r\n")
		if stop < 0 {
			out.WriteString(decoded(*current, part))
			break
		}
		out.WriteString(decoded(*current, part[:stop]))
		out.WriteByte(part[stop])
		part = part[stop+1:]
		*current = c.first
	}
	return out.String()
}

func decoded(enc encoding.Encoding, text string) string {
	if text == "" || enc == nil {
		return text
	}
	out, err := enc.NewDecoder().String(text)
	if err != nil {
		return strings.ToValidUTF8(text, "\uFFFD")
	}
	return out
}
