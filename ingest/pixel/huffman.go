package pixel

// huffman is a Huffman table of JPEG (T.81 annex C).
type huffman struct {
	// fast finds codes of up to fastBits bits: length in the high byte, value in the low; 0 when the code is longer.
	fast    [1 << fastBits]uint16
	values  []byte
	minCode [17]int
	maxCode [17]int // -1 when no code has this length
	first   [17]int // index of the first value of a length
}

const fastBits = 9

// huffmanTables reads a DHT body into the tables of each class, 0 for DC and 1 for AC (B.2.4.2).
func huffmanTables(b []byte, into [2]*[4]*huffman) error {
	for len(b) > 0 {
		class, id := b[0]>>4, b[0]&15
		if id > 3 || class > 1 {
			return fail(ErrMalformed, "Huffman table %d of class %d", id, class)
		}
		table, rest, err := parseHuffman(b[1:])
		if err != nil {
			return err
		}
		into[class][id] = table
		b = rest
	}
	return nil
}

// parseHuffman reads the table at the start of a DHT body (B.2.4.2) and returns what follows it.
func parseHuffman(b []byte) (*huffman, []byte, error) {
	if len(b) < 16 {
		return nil, nil, fail(ErrTruncated, "Huffman table of %d bytes", len(b))
	}
	counts, b := b[:16], b[16:]
	h := &huffman{}
	code, index := 0, 0
	for length := 1; length <= 16; length++ {
		n := int(counts[length-1])
		h.minCode[length], h.first[length], h.maxCode[length] = code, index, -1
		if n > 0 {
			h.maxCode[length] = code + n - 1
			if code+n > 1<<length {
				return nil, nil, fail(ErrMalformed, "Huffman table with more codes of %d bits than there are", length)
			}
			if index+n > len(b) || index+n > 256 {
				return nil, nil, fail(ErrTruncated, "Huffman table without values")
			}
			for i := range n {
				if length <= fastBits {
					for fill := range 1 << (fastBits - length) {
						h.fast[(code+i)<<(fastBits-length)|fill] = uint16(length)<<8 | uint16(b[index+i])
					}
				}
			}
			code, index = code+n, index+n
		}
		code <<= 1
	}
	h.values = b[:index]
	return h, b[index:], nil
}

// bitReader reads entropy-coded data, undoing the byte stuffing (T.81 F.2.2.5). Behind the end of the data or a marker it
// gives zeros, which starved tells.
type bitReader struct {
	data   []byte
	bits   uint64
	count  int // bits waiting in bits
	padded int // how many of them are not of the data
}

func (r *bitReader) fill() {
	for r.count <= 48 {
		var next byte
		switch {
		case len(r.data) > 0 && r.data[0] != 0xFF:
			next, r.data = r.data[0], r.data[1:]
		case len(r.data) > 1 && r.data[0] == 0xFF && r.data[1] == 0:
			next, r.data = 0xFF, r.data[2:]
		default:
			r.padded += 8
		}
		r.bits, r.count = r.bits<<8|uint64(next), r.count+8
	}
}

// starved reports whether bits were taken that the data did not hold.
func (r *bitReader) starved() bool { return r.count < r.padded }

// take returns the next n bits, at most 16.
func (r *bitReader) take(n int) int {
	if r.count < n {
		r.fill()
	}
	r.count -= n
	return int(r.bits>>r.count) & (1<<n - 1)
}

// decode returns the value of the next code; false when no code of the table matches (T.81 F.2.2.3).
func (r *bitReader) decode(h *huffman) (byte, bool) {
	if r.count < 16 {
		r.fill()
	}
	if hit := h.fast[int(r.bits>>(r.count-fastBits))&(1<<fastBits-1)]; hit != 0 {
		r.count -= int(hit >> 8)
		return byte(hit), true
	}
	for length := fastBits + 1; length <= 16; length++ {
		code := int(r.bits>>(r.count-length)) & (1<<length - 1)
		if code <= h.maxCode[length] {
			r.count -= length
			return h.values[h.first[length]+code-h.minCode[length]], true
		}
	}
	return 0, false
}

// restart skips to behind the next restart marker; false when another marker or the end comes first.
func (r *bitReader) restart() bool {
	r.bits, r.count, r.padded = 0, 0, 0
	for len(r.data) >= 2 {
		if r.data[0] == 0xFF && r.data[1] != 0 && r.data[1] != 0xFF {
			marker := r.data[1]
			if marker < 0xD0 || marker > 0xD7 {
				return false
			}
			r.data = r.data[2:]
			return true
		}
		r.data = r.data[1:]
	}
	return false
}
