package jpeg2000

import (
	_ "embed"
	"strconv"
	"strings"
)

// vlcTables is annex C of T.814 as text.
//
//go:embed htvlc.txt
var vlcTables string

// quadCode is what a codeword says of a quad, four coefficients two high (T.814 7.3.5). Bits: 0 to 2 length of the codeword,
// 3 u_off, 4 to 7 rho (significant coefficients), 8 to 11 e_1, 12 to 15 e_k.
type quadCode uint16

func (q quadCode) length() int      { return int(q & 7) }
func (q quadCode) offset() bool     { return q&8 != 0 }
func (q quadCode) significant() int { return int(q >> 4 & 15) }

// quadCodes finds a quad's codeword in the next seven bits: first row of quads or others, context, bits.
var quadCodes = parseQuadCodes(vlcTables)

func parseQuadCodes(text string) (t [2][8][128]quadCode) {
	table := 0
	for line := range strings.Lines(text) {
		if line[0] == '#' {
			continue
		}
		if name, ok := strings.CutPrefix(line, "table "); ok {
			table = int(name[0] - '0')
			continue
		}
		for entry := range strings.FieldsSeq(line) {
			said, word, _ := strings.Cut(entry, ":")
			digit := func(i int) quadCode {
				v, _ := strconv.ParseUint(said[i:i+1], 16, 4)
				return quadCode(v)
			}
			first, _ := strconv.ParseUint(word, 2, 7)
			code := quadCode(len(word)) | digit(2)<<3 | digit(1)<<4 | digit(4)<<8 | digit(3)<<12
			for bits := int(first); bits < 128; bits += 1 << len(word) {
				t[table][digit(0)][bits] = code
			}
		}
	}
	return t
}
