package dicomfile

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/suyashkumar/dicom/pkg/tag"

	"llamaxr/internal/peertest"
)

// short and long write one explicit little endian element.
func short(group, element uint16, vr, value string) string {
	return string(binary.LittleEndian.AppendUint16(append(head(group, element), vr...), uint16(len(value)))) + value
}

func long(group, element uint16, vr string, length uint32, value string) string {
	return string(binary.LittleEndian.AppendUint32(append(append(head(group, element), vr...), 0, 0), length)) + value
}

func head(group, element uint16) []byte {
	return binary.LittleEndian.AppendUint16(binary.LittleEndian.AppendUint16(nil, group), element)
}

func item(length uint32, value string) string {
	return string(binary.LittleEndian.AppendUint32(head(0xFFFE, 0xE000), length)) + value
}

// part10 puts preamble and File Meta group before a data set.
func part10(syntax, dataSet string) string {
	if len(syntax)%2 == 1 {
		syntax += "\x00"
	}
	return strings.Repeat("\x00", 128) + "DICM" + short(2, 0x10, "UI", syntax) + dataSet
}

func deflated(dataSet string) string {
	var b bytes.Buffer
	w, _ := flate.NewWriter(&b, flate.BestCompression)
	_, _ = w.Write([]byte(dataSet))
	_ = w.Close()
	return b.String()
}

func nested(depth int) string {
	set := short(0x0008, 0x0100, "SH", "deep")
	for range depth {
		set = long(0x0008, 0x1140, "SQ", uint32(len(set)+8), item(uint32(len(set)), set))
	}
	return set
}

const sopClass = "\x08\x00\x16\x00UI\x04\x001.2\x00"

// Forged files get a typed error that names the element and the offset, at no cost.
func TestForgedFiles(t *testing.T) {
	explicit := ExplicitVRLittleEndian
	for name, c := range map[string]struct {
		file string
		err  error
		says string
	}{
		"empty":                      {"", ErrNotDICOM, "too short"},
		"text":                       {"This is a letter, and a long one, to a friend.", ErrNotDICOM, "group 0008"},
		"four gigabytes declared":    {part10(explicit, sopClass+long(0x0009, 0x1001, "OB", 0xFFFFFFF0, "xx")), ErrTruncated, "(0009,1001) says 4294967280 bytes, 2 are there at offset 172"},
		"pixel data cut":             {part10(explicit, sopClass+long(0x7FE0, 0x0010, "OW", 8192, "xx")), ErrTruncated, "Pixel Data says 8192 bytes"},
		"seventeen sequences deep":   {part10(explicit, sopClass+nested(17)), ErrLimit, "deeper than 16"},
		"item longer than sequence":  {part10(explicit, sopClass+long(0x0008, 0x1140, "SQ", 12, item(100, "abcd"))), ErrTruncated, "says 100 bytes"},
		"sequence without delimiter": {part10(explicit, sopClass+long(0x0008, 0x1140, "SQ", 0xFFFFFFFF, "")), ErrTruncated, "0 bytes left"},
		"undefined text":             {part10(explicit, sopClass+long(0x0008, 0x0119, "UC", 0xFFFFFFFF, "x")), ErrMalformed, "undefined length"},
		"text of 2 MiB":              {part10(explicit, sopClass+long(0x0040, 0xA160, "UT", 2<<20, strings.Repeat("x", 2<<20))), ErrLimit, "text of 2097152 bytes"},
		"odd VR in meta":             {part10(explicit, "")[:132] + short(2, 0x10, "UI", "1.2.840.10008.1.2.1\x00") + long(2, 0x16, "UC", 0x7FFFFFFF, "x"), ErrMalformed, "(0002,0016)"},
		"endless meta":               {part10(explicit, strings.Repeat(short(2, 0x16, "AE", strings.Repeat("x", 60_000)), 2)+sopClass), ErrLimit, "File Meta"},
		"meta in the data set":       {strings.Repeat("\x00", 128) + "DICM" + short(2, 0, "UL", "\x1c\x00\x00\x00") + short(2, 0x10, "UI", explicit+"\x00") + short(2, 0x16, "AE", "X ") + sopClass, ErrMalformed, "(0002,0016)"},
		"element twice":              {part10(explicit, sopClass+sopClass), ErrMalformed, "twice"},
		"unknown VR":                 {part10(explicit, sopClass+short(0x0008, 0x0018, "ZZ", "1.2.3\x00")), ErrMalformed, `"ZZ"`},
		"bad UID":                    {part10(explicit, sopClass+short(0x0008, 0x0018, "UI", "1.2/../x")), ErrValue, `(0008,0018) SOP Instance UID is "1.2/../x"`},
		"UID of 65 characters":       {part10(explicit, short(0x0008, 0x0018, "UI", strings.Repeat("1", 65)+"\x00")), ErrValue, "not a UID"},
		"frames that are no number":  {part10(explicit, sopClass+short(0x0028, 0x0008, "IS", "1A")), ErrValue, `(0028,0008) Number of Frames is "1A"`},
		"deflate bomb":               {part10(DeflatedExplicitVRLittleEndian, deflated(sopClass+long(0x0009, 0x1001, "OB", 64<<20, strings.Repeat("\x00", 64<<20)))), ErrLimit, "becomes more than"},
		"deflate cut":                {part10(DeflatedExplicitVRLittleEndian, deflated(sopClass + nested(3))[:20]), ErrTruncated, "deflated"},
		"character set of items":     {part10(explicit, long(0x0008, 0x0005, "SQ", 8, item(0, ""))+sopClass), ErrMalformed, "(0008,0005) Specific Character Set is a sequence"},
		"too many items":             {part10(explicit, sopClass+long(0x0008, 0x1140, "SQ", 8*60_000, strings.Repeat(item(0, ""), 60_000))), ErrLimit, "item number 50001"},
		"fragments out of order":     {part10("1.2.840.10008.1.2.4.70", sopClass+long(0x7FE0, 0x0010, "OB", 0xFFFFFFFF, item(0, "")+short(0x0008, 0x0018, "UI", "1.2 "))), ErrMalformed, "where a fragment is due"},
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := Read(strings.NewReader(c.file), int64(len(c.file)))
		runtime.ReadMemStats(&after)
		var typed *Error
		if !errors.Is(err, c.err) || !errors.As(err, &typed) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v; want %v that says %q", name, err, c.err, c.says)
		}
		const fixed = 2 << 20 // a read window, a piece to inflate into
		if used := after.TotalAlloc - before.TotalAlloc; used > uint64(fixed+(MaxInflateRatio+20)*len(c.file)) {
			t.Errorf("%s: %d bytes allocated for a file of %d", name, used, len(c.file))
		}
	}
}

// What is unusual but right is read: no meta group, sequences in UN, the deepest nesting allowed, big bulk left on disk,
// elements of VRs that the library does not know.
func TestUnusualFiles(t *testing.T) {
	code := short(0x0008, 0x0100, "SH", "R-1234")
	implicitCode := string(head(0x0008, 0x0100)) + "\x06\x00\x00\x00R-1234"
	for name, file := range map[string]string{
		"no meta group":        short(0x0008, 0x0016, "UI", "1.2 ") + long(0x0054, 0x0220, "SQ", uint32(len(code)+8), item(uint32(len(code)), code)),
		"UN of known length":   part10(ExplicitVRLittleEndian, sopClass+long(0x0054, 0x0220, "UN", uint32(len(implicitCode)+8), item(uint32(len(implicitCode)), implicitCode))),
		"UN without length":    part10(ExplicitVRLittleEndian, sopClass+long(0x0054, 0x0220, "UN", 0xFFFFFFFF, item(0xFFFFFFFF, implicitCode)+string(head(0xFFFE, 0xE00D))+"\x00\x00\x00\x00"+string(head(0xFFFE, 0xE0DD))+"\x00\x00\x00\x00")),
		"implicit though said": part10(ExplicitVRLittleEndian, string(head(0x0008, 0x0016))+"\x04\x00\x00\x001.2\x00"+string(head(0x0054, 0x0220))+"\x16\x00\x00\x00"+item(uint32(len(implicitCode)), implicitCode)),
		"newer VRs and bulk": part10(ExplicitVRLittleEndian, sopClass+long(0x0009, 0x1001, "OV", 8, "12345678")+long(0x0009, 0x1002, "UV", 8, "12345678")+
			long(0x0009, 0x1003, "OB", 2<<20, strings.Repeat("x", 2<<20))+long(0x0054, 0x0220, "SQ", uint32(len(code)+8), item(uint32(len(code)), code))),
		"deflated": part10(DeflatedExplicitVRLittleEndian, deflated(sopClass+long(0x0054, 0x0220, "SQ", uint32(len(code)+8), item(uint32(len(code)), code)))),
	} {
		f, err := Read(strings.NewReader(file), int64(len(file)))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if len(f.Header.ViewCodes) != 1 || f.Header.ViewCodes[0].Value != "R-1234" || f.Header.SOPClassUID != "1.2" {
			t.Errorf("%s: %+v", name, f.Header)
		}
	}
	deepest := part10(ExplicitVRLittleEndian, sopClass+nested(MaxDepth))
	if _, err := Read(strings.NewReader(deepest), int64(len(deepest))); err != nil {
		t.Errorf("%d sequences deep: %v", MaxDepth, err)
	}
}

// TestOddValuesRefuseNoImage: a value that only describes and is not of its VR's form is left out with a note; the object is read, and the
// value is given out as it was sent.
func TestOddValuesRefuseNoImage(t *testing.T) {
	source := short(0x0008, 0x1155, "UI", "1.2/../x")
	file := part10(ExplicitVRLittleEndian, sopClass+long(0x0008, 0x2112, "SQ", uint32(len(source)+8), item(uint32(len(source)), source))+
		short(0x0010, 0x1020, "DS", "1.75")+short(0x0010, 0x1030, "DS", "72,5")+short(0x0020, 0x0011, "IS", "0x11")+short(0x0020, 0x0013, "IS", "1a"))
	f, err := Read(strings.NewReader(file), int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	h := f.Header
	if h.PatientSize != "1.75" || h.PatientWeight != "" || h.SeriesNumber != "" || h.InstanceNumber != "" || h.SourceImages != nil {
		t.Errorf("%+v", h)
	}
	for _, name := range []string{"Patient's Weight", "Series Number", "Instance Number", "Referenced SOP Instance UID"} {
		if !strings.Contains(strings.Join(f.Notes, "\n"), name) {
			t.Errorf("no note of %s: %q", name, f.Notes)
		}
	}
	if got := f.Text(tag.PatientWeight); got != "72,5" {
		t.Errorf("the data set says %q", got)
	}
}

// Offset tables and codestream starts tell the first of several frames.
func TestFirstFrame(t *testing.T) {
	end := string(head(0xFFFE, 0xE0DD)) + "\x00\x00\x00\x00"
	soi, more := "\xFF\xD8ab", "cdef"
	for name, c := range map[string]struct {
		table  string
		pieces []string
		frames int
		want   int
	}{
		"one frame in pieces":      {"", []string{soi, more, more}, 1, 3},
		"a piece a frame":          {"", []string{soi, soi, soi}, 3, 1},
		"table":                    {"\x00\x00\x00\x00\x18\x00\x00\x00", []string{soi, more, soi}, 2, 2},
		"no table, two of two":     {"", []string{soi, more, soi, more}, 2, 2},
		"more frames than pieces":  {"", []string{soi}, 5, 1},
		"table that points beyond": {"\x00\x00\x00\x00\xFF\xFF\x00\x00", []string{soi, more}, 2, 2},
	} {
		var value strings.Builder
		value.WriteString(item(uint32(len(c.table)), c.table))
		for _, piece := range c.pieces {
			value.WriteString(item(uint32(len(piece)), piece))
		}
		file := part10("1.2.840.10008.1.2.4.50", sopClass+long(0x7FE0, 0x0010, "OB", 0xFFFFFFFF, value.String()+end))
		f, err := Read(strings.NewReader(file), int64(len(file)))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got := len(f.FirstFrame(c.frames)); got != c.want {
			t.Errorf("%s: %d fragments, want %d", name, got, c.want)
		}
	}
}

// An item with a character set of its own is read by it, one without by that of the data set around it.
func TestCharsetOfItems(t *testing.T) {
	for _, name := range []string{"chrSQEncoding.dcm", "chrSQEncoding1.dcm"} {
		f, err := Open(peertest.SharedData(t, "dicom/charsets/"+name))
		if err != nil {
			t.Fatal(err)
		}
		items := f.Sequence(tag.RequestedProcedureCodeSequence)
		if len(items) != 1 || items[0].Text(tag.PatientName) != "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎=やまだ^たろう" {
			t.Errorf("%s: %d items, %q", name, len(items), fmt.Sprint(items[0].Text(tag.PatientName)))
		}
		f.Close()
	}
}
