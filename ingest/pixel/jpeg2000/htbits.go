package jpeg2000

// htBits reads a bit-stream of an HT segment, least significant bit first (T.814 7.1): forward with a bit stuffed behind each
// FF, or backward with one before each 7F behind a byte over 8F. Behind its end it reads ones or zeros.
type htBits struct {
	data     []byte // what is left
	backward bool
	ones     bool
	stuffed  bool // the last byte asks for it
	held     uint64
	count    int
}

// fill makes at least 32 bits available.
func (r *htBits) fill() {
	for r.count <= 56 {
		var next byte
		n := len(r.data)
		switch {
		case n == 0 && r.ones:
			next = 0xFF
		case n == 0:
		case r.backward:
			next, r.data = r.data[n-1], r.data[:n-1]
		default:
			next, r.data = r.data[0], r.data[1:]
		}
		width := 8
		if r.stuffed && (!r.backward || next&0x7F == 0x7F) {
			width = 7
		}
		r.stuffed = next == 0xFF || r.backward && next > 0x8F
		r.held |= uint64(next) << r.count
		r.count += width
	}
}

// peek returns the next 32 bits.
func (r *htBits) peek() uint32 {
	if r.count < 32 {
		r.fill()
	}
	return uint32(r.held)
}

// skip leaves out n bits that peek returned.
func (r *htBits) skip(n int) {
	r.held >>= n
	r.count -= n
}

// take returns the next n bits, at most 32.
func (r *htBits) take(n int) uint32 {
	v := r.peek() & (1<<n - 1)
	r.skip(n)
	return v
}

// melDecoder decodes the adaptive run-length code of events (T.814 7.3.3), most significant bit first.
type melDecoder struct {
	data  []byte
	held  byte
	left  int
	state int
	run   int  // events of 0 that are still due
	one   bool // then one of 1
}

// melExponents are the lengths of runs by state (table 2).
var melExponents = [13]int{0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 4, 5}

func (m *melDecoder) bit() int {
	if m.left == 0 {
		m.left = 8
		if m.held == 0xFF {
			m.left = 7
		}
		m.held = 0xFF
		if len(m.data) > 0 {
			m.held, m.data = m.data[0], m.data[1:]
		}
	}
	m.left--
	return int(m.held>>m.left) & 1
}

// event returns the next one.
func (m *melDecoder) event() bool {
	if m.run == 0 && !m.one {
		exponent := melExponents[m.state]
		if m.bit() == 1 {
			m.run = 1 << exponent
			m.state = min(m.state+1, 12)
		} else {
			for range exponent {
				m.run = m.run<<1 | m.bit()
			}
			m.one = true
			m.state = max(m.state-1, 0)
		}
	}
	if m.run > 0 {
		m.run--
		return false
	}
	m.one = false
	return true
}
