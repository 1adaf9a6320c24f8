package dicomfile

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/japanese"
	"golang.org/x/text/encoding/korean"
	"golang.org/x/text/encoding/simplifiedchinese"
)

// charset is a Specific Character Set (0008,0005), PS3.3 C.12.1.1.2. The zero value is the default repertoire, ISO IR 6,
// read as UTF-8 where it is that, else as Latin 1, so that devices which forgot to name theirs stay readable.
type charset struct {
	// whole decodes a value in one go: character sets without code extensions.
	whole encoding.Encoding
	utf8  bool
	named bool // a set that is known and not the default repertoire
	// initial is what a value starts with: the sets of the first term.
	initial codeElements
	// extended says that escape sequences switch (ISO 2022).
	extended bool
}

// codeElements are the sets that are designated to the two halves of the byte (PS3.5 6.1.2.5).
type codeElements struct {
	g0, g1 codeSet
}

// codeSet turns bytes of one half into text; width is the bytes of a character.
type codeSet struct {
	width  int
	decode func(b []byte) string
}

// Characters after which a value falls back to the initial sets (PS3.5 6.1.2.5.3): those of all text, and of names. The
// backslash is one for both where it divides values.
const (
	delimitersOfText = "\\\r\n\f\t"
	delimitersOfName = "\\\r\n\f\t^="
)

var latin = map[string]*charmap.Charmap{
	"100": charmap.ISO8859_1, "101": charmap.ISO8859_2, "109": charmap.ISO8859_3, "110": charmap.ISO8859_4,
	"144": charmap.ISO8859_5, "127": charmap.ISO8859_6, "126": charmap.ISO8859_7, "138": charmap.ISO8859_8,
	"148": charmap.ISO8859_9, "203": charmap.ISO8859_15, "166": charmap.Windows874,
}

// escapes are the designations of PS3.3 tables C.12-3 and C.12-4, and what they put where.
var escapes = map[string]struct {
	set codeSet
	g1  bool
}{
	"(B": {set: ascii}, "(J": {set: ascii}, ")I": {set: katakana, g1: true},
	"$B": {set: jisx0208}, "$(D": {set: jisx0212}, "$)C": {set: ksx1001, g1: true}, "$)A": {set: gb2312, g1: true},
	"-A": {set: single("100"), g1: true}, "-B": {set: single("101"), g1: true}, "-C": {set: single("109"), g1: true},
	"-D": {set: single("110"), g1: true}, "-L": {set: single("144"), g1: true}, "-G": {set: single("127"), g1: true},
	"-F": {set: single("126"), g1: true}, "-H": {set: single("138"), g1: true}, "-M": {set: single("148"), g1: true},
	"-b": {set: single("203"), g1: true}, "-T": {set: single("166"), g1: true},
}

var (
	// ascii serves JIS X 0201 romaji as well: its yen sign and overline stand where the backslash and tilde are, and
	// readers agree on showing those.
	ascii    = codeSet{width: 1, decode: func(b []byte) string { return string(b) }}
	katakana = codeSet{width: 1, decode: func(b []byte) string {
		if b[0] >= 0xA1 && b[0] <= 0xDF {
			return string(rune(0xFF61 + int(b[0]) - 0xA1))
		}
		return string(utf8.RuneError)
	}}
	jisx0208 = codeSet{width: 2, decode: func(b []byte) string { return decodeBytes(japanese.EUCJP, b[0]|0x80, b[1]|0x80) }}
	jisx0212 = codeSet{width: 2, decode: func(b []byte) string { return decodeBytes(japanese.EUCJP, 0x8F, b[0]|0x80, b[1]|0x80) }}
	ksx1001  = codeSet{width: 2, decode: func(b []byte) string { return decodeBytes(korean.EUCKR, b[0]|0x80, b[1]|0x80) }}
	gb2312   = codeSet{width: 2, decode: func(b []byte) string { return decodeBytes(simplifiedchinese.GBK, b[0]|0x80, b[1]|0x80) }}
)

func single(registration string) codeSet {
	table := latin[registration]
	return codeSet{width: 1, decode: func(b []byte) string { return string(table.DecodeByte(b[0])) }}
}

func decodeBytes(e encoding.Encoding, b ...byte) string {
	text, err := e.NewDecoder().Bytes(b)
	if err != nil {
		return string(utf8.RuneError)
	}
	return string(text)
}

// parseCharset reads the terms of a Specific Character Set, with a note on what it does not know.
func parseCharset(value string) (charset, []string) {
	c := charset{initial: codeElements{g0: ascii, g1: single("100")}}
	var notes []string
	terms := strings.Split(value, `\`)
	for i, term := range terms {
		term = strings.ToUpper(strings.Trim(term, " \x00"))
		// Writers mix up underscores, spaces and "ISO-IR"; the registration number is what counts.
		number := strings.NewReplacer("ISO 2022 IR ", "", "ISO_IR ", "", "ISO 2022 ", "", "ISO_IR_", "", "ISO-IR ", "", "ISO IR ", "").Replace(term)
		extended := strings.HasPrefix(term, "ISO 2022") || len(terms) > 1
		c.extended = c.extended || extended
		if number != term || term == "GB18030" || term == "GBK" {
			number = strings.TrimSpace(number)
		}
		named := true
		switch {
		case number == "" || number == "6":
			named = false
		case number == "192":
			c.utf8 = i == 0
		case number == "GB18030":
			c.whole = simplifiedchinese.GB18030
		case number == "GBK":
			c.whole = simplifiedchinese.GBK
		case number == "13":
			if i == 0 {
				c.initial.g1 = katakana
			}
		case number == "149" && i == 0:
			c.initial.g1 = ksx1001
		case number == "58" && i == 0:
			c.initial.g1 = gb2312
		case number == "87", number == "159", number == "149", number == "58":
		case latin[number] != nil:
			if i == 0 {
				c.initial.g1 = single(number)
			}
		default:
			named = false
			notes = append(notes, fmt.Sprintf("unknown Specific Character Set %q, read as UTF-8 or Latin 1", term))
		}
		c.named = c.named || named
	}
	return c, notes
}

// decode returns text in UTF-8. Bytes that are none of the character set become U+FFFD.
func (c charset) decode(raw, delimiters string) string {
	if c.utf8 || !c.named && utf8.ValidString(raw) {
		return strings.ToValidUTF8(raw, string(utf8.RuneError))
	}
	if c.whole != nil {
		text, err := c.whole.NewDecoder().String(raw)
		if err != nil {
			return strings.ToValidUTF8(raw, string(utf8.RuneError))
		}
		return text
	}
	initial := c.initial
	if initial.g0.decode == nil {
		initial = codeElements{g0: ascii, g1: single("100")}
	}
	now := initial
	var text strings.Builder
	for b := []byte(raw); len(b) > 0; {
		if b[0] == 0x1B && c.extended {
			n := now.escape(b[1:])
			b = b[1+n:]
			continue
		}
		set := now.g0
		if b[0] >= 0x80 {
			set = now.g1
		}
		// Control characters and space belong to no set, and a delimiter that is not half of a character ends the
		// designations.
		if b[0] <= ' ' || (set.width == 1 && b[0] < 0x80 && strings.IndexByte(delimiters, b[0]) >= 0) {
			if strings.IndexByte(delimiters, b[0]) >= 0 {
				now = initial
			}
			text.WriteByte(b[0])
			b = b[1:]
			continue
		}
		if len(b) < set.width {
			text.WriteRune(utf8.RuneError)
			break
		}
		text.WriteString(set.decode(b[:set.width]))
		b = b[set.width:]
	}
	return text.String()
}

// escape designates a set by the bytes behind ESC and returns how many they were.
func (now *codeElements) escape(b []byte) int {
	for n := min(3, len(b)); n >= 2; n-- {
		if designation, ok := escapes[string(b[:n])]; ok {
			if designation.g1 {
				now.g1 = designation.set
			} else {
				now.g0 = designation.set
			}
			return n
		}
	}
	return 0
}

// KnowsCharacterSet reports whether text under a Specific Character Set is read as that says.
func KnowsCharacterSet(term string) bool {
	_, notes := parseCharset(term)
	return len(notes) == 0
}
