package hl7

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
)

// Limits of one message. A result is a few KiB; one with a PDF inside some MiB.
const (
	// MaxMessage bounds the bytes of a message.
	MaxMessage = 16 << 20
	// MaxSegments bounds its segments.
	MaxSegments = 10_000
	// MaxFields bounds the fields of all its segments together.
	MaxFields = 100_000
)

// ErrMessage is returned for text that is no HL7 message.
var ErrMessage = errors.New("hl7: not a message")

// Message is an HL7 v2 message: its segments in order, the first of them MSH.
type Message struct{ Segments []Segment }

// Segment is one segment. Its fields are as they were encoded; Text and Values decode them.
type Segment struct {
	Name   string
	fields []string // from field 1; MSH-1 is the field separator
	marks  marks
}

// marks are the encoding characters (2.5.4).
type marks struct{ field, component, repetition, escape, subcomponent byte }

// usual are those that everybody uses, and that we write.
var usual = marks{'|', '^', '~', '\\', '&'}

// Parse reads a message. Segments end with CR; LF and CRLF are taken too. The text is converted to UTF-8 from what MSH-18 names.
func Parse(data []byte) (*Message, error) {
	if len(data) > MaxMessage {
		return nil, fmt.Errorf("%w: %d bytes, more than %d", ErrMessage, len(data), MaxMessage)
	}
	text := string(data)
	if len(text) < 8 || !strings.HasPrefix(text, "MSH") {
		return nil, fmt.Errorf("%w: it does not begin with MSH and its encoding characters", ErrMessage)
	}
	m := marks{text[3], text[4], text[5], text[6], text[7]}
	if err := m.check(); err != nil {
		return nil, err
	}
	text, err := toUTF8(text, m)
	if err != nil {
		return nil, err
	}
	out, fields := new(Message), 0
	for line := range strings.FieldsFuncSeq(text, func(r rune) bool { return r == '\r' || r == '\n' }) {
		if len(out.Segments) == MaxSegments {
			return nil, fmt.Errorf("%w: more than %d segments", ErrMessage, MaxSegments)
		}
		if fields += strings.Count(line, string(m.field)); fields > MaxFields {
			return nil, fmt.Errorf("%w: more than %d fields", ErrMessage, MaxFields)
		}
		parts := strings.Split(line, string(m.field))
		if len(parts[0]) != 3 {
			return nil, fmt.Errorf("%w: segment %d has no name of three letters", ErrMessage, len(out.Segments)+1)
		}
		s := Segment{Name: parts[0], fields: parts[1:], marks: m}
		if s.Name == "MSH" {
			s.fields = append([]string{string(m.field)}, s.fields...)
		}
		out.Segments = append(out.Segments, s)
	}
	return out, nil
}

// check refuses encoding characters that could not be told apart from each other or from text. Without subcomponents or escapes a sender may
// leave the last ones out.
func (m *marks) check() error {
	if m.escape == m.field {
		m.escape, m.subcomponent = 0, 0
	}
	if m.subcomponent == m.field {
		m.subcomponent = 0
	}
	seen := map[byte]bool{}
	for _, c := range []byte{m.field, m.component, m.repetition, m.escape, m.subcomponent} {
		if c == 0 {
			continue
		}
		if c <= ' ' || c >= 0x7f || c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || seen[c] {
			return fmt.Errorf("%w: encoding characters cannot be told apart", ErrMessage)
		}
		seen[c] = true
	}
	return nil
}

// charsets are the values of MSH-18 that are read besides ASCII and UTF-8 (table 0211).
var charsets = map[string]encoding.Encoding{
	"8859/1": charmap.Windows1252, "8859/2": charmap.ISO8859_2, "8859/3": charmap.ISO8859_3, "8859/4": charmap.ISO8859_4, "8859/5": charmap.ISO8859_5,
	"8859/6": charmap.ISO8859_6, "8859/7": charmap.ISO8859_7, "8859/8": charmap.ISO8859_8, "8859/9": charmap.ISO8859_9, "8859/15": charmap.ISO8859_15,
}

// CharsetError is a message in a character set that is not read.
type CharsetError struct{ Name string }

// Error implements error.
func (e *CharsetError) Error() string {
	return fmt.Sprintf("hl7: character set %q is not read", e.Name)
}

// toUTF8 converts a message from the character set that MSH-18 names; where it names none, from UTF-8 if it is that, else from Latin-1.
func toUTF8(text string, m marks) (string, error) {
	end := strings.IndexAny(text, "\r\n")
	if end < 0 {
		end = len(text)
	}
	name := ""
	if header := strings.SplitN(text[:end], string(m.field), 19); len(header) >= 18 {
		name = strings.ToUpper(strings.TrimSpace(strings.SplitN(header[17], string(m.repetition), 2)[0]))
	}
	table := charsets[name]
	switch name {
	case "", "ASCII", "UNICODE", "UNICODE UTF-8", "UTF-8", "UTF8":
		if utf8.ValidString(text) {
			return text, nil
		}
		table = charmap.Windows1252
	}
	if table == nil {
		return "", &CharsetError{name[:min(len(name), 32)]}
	}
	out, err := table.NewDecoder().String(text)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrMessage, err)
	}
	return out, nil
}

// Segment returns the first segment of a name, an empty one when there is none.
func (m *Message) Segment(name string) Segment {
	for _, s := range m.Segments {
		if s.Name == name {
			return s
		}
	}
	return Segment{Name: name, marks: usual}
}

// Encode writes the message, in UTF-8, each segment ended by CR.
func (m *Message) Encode() []byte {
	var out strings.Builder
	for _, s := range m.Segments {
		sep := string(s.marks.field)
		fields := s.fields
		out.WriteString(s.Name)
		if s.Name == "MSH" && len(fields) > 0 {
			out.WriteString(fields[0])
			fields = fields[1:]
			out.WriteString(strings.Join(fields, sep))
		} else {
			for _, f := range fields {
				out.WriteString(sep + f)
			}
		}
		out.WriteByte('\r')
	}
	return []byte(out.String())
}

// raw is a field as it was encoded; empty when there is none.
func (s Segment) raw(field int) string {
	if field < 1 || field > len(s.fields) {
		return ""
	}
	return s.fields[field-1]
}

// Repetitions returns the occurrences of a field, each still encoded; none when the field is empty.
func (s Segment) Repetitions(field int) []string {
	text := s.raw(field)
	if text == "" {
		return nil
	}
	return strings.Split(text, string(s.marks.repetition))
}

// Text is the first subcomponent of a component, from 1, in a field's first occurrence, decoded and without spaces around it. HL7's explicit null
// ("") is empty.
func (s Segment) Text(field, component int) string {
	first, _, _ := strings.Cut(s.raw(field), string(s.marks.repetition))
	return s.component(first, component)
}

// component is Text of one occurrence.
func (s Segment) component(occurrence string, component int) string {
	parts := strings.SplitN(occurrence, string(s.marks.component), component+1)
	if component > len(parts) {
		return ""
	}
	text := parts[component-1]
	if s.marks.subcomponent != 0 {
		text, _, _ = strings.Cut(text, string(s.marks.subcomponent))
	}
	if text == `""` {
		return ""
	}
	return strings.TrimSpace(s.unescape(text))
}
