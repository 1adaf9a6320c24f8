package jpeg2000

import "math/bits"

// mqState is a row of the probability table (T.800 table C.2) for one sense of the more probable symbol.
type mqState struct {
	qe         int32 // Qe in the upper 16 bits, as C and A are
	mps        uint32
	more, less *mqState // after a more and a less probable symbol
}

// mqStates holds row i with MPS 0 at 2i and with MPS 1 at 2i+1.
var mqStates = func() *[94]mqState {
	var states [94]mqState
	rows := [47]struct {
		qe         int32
		nmps, nlps uint8
		turn       uint8
	}{
		{0x5601, 1, 1, 1},
		{0x3401, 2, 6, 0},
		{0x1801, 3, 9, 0},
		{0x0AC1, 4, 12, 0},
		{0x0521, 5, 29, 0},
		{0x0221, 38, 33, 0},
		{0x5601, 7, 6, 1},
		{0x5401, 8, 14, 0},
		{0x4801, 9, 14, 0},
		{0x3801, 10, 14, 0},
		{0x3001, 11, 17, 0},
		{0x2401, 12, 18, 0},
		{0x1C01, 13, 20, 0},
		{0x1601, 29, 21, 0},
		{0x5601, 15, 14, 1},
		{0x5401, 16, 14, 0},
		{0x5101, 17, 15, 0},
		{0x4801, 18, 16, 0},
		{0x3801, 19, 17, 0},
		{0x3401, 20, 18, 0},
		{0x3001, 21, 19, 0},
		{0x2801, 22, 19, 0},
		{0x2401, 23, 20, 0},
		{0x2201, 24, 21, 0},
		{0x1C01, 25, 22, 0},
		{0x1801, 26, 23, 0},
		{0x1601, 27, 24, 0},
		{0x1401, 28, 25, 0},
		{0x1201, 29, 26, 0},
		{0x1101, 30, 27, 0},
		{0x0AC1, 31, 28, 0},
		{0x09C1, 32, 29, 0},
		{0x08A1, 33, 30, 0},
		{0x0521, 34, 31, 0},
		{0x0441, 35, 32, 0},
		{0x02A1, 36, 33, 0},
		{0x0221, 37, 34, 0},
		{0x0141, 38, 35, 0},
		{0x0111, 39, 36, 0},
		{0x0085, 40, 37, 0},
		{0x0049, 41, 38, 0},
		{0x0025, 42, 39, 0},
		{0x0015, 43, 40, 0},
		{0x0009, 44, 41, 0},
		{0x0005, 45, 42, 0},
		{0x0001, 45, 43, 0},
		{0x5601, 46, 46, 0},
	}
	for i, row := range rows {
		for mps := range uint8(2) {
			states[2*i+int(mps)] = mqState{
				qe: row.qe << 16, mps: uint32(mps),
				more: &states[2*row.nmps+mps], less: &states[2*row.nlps+mps^row.turn],
			}
		}
	}
	return &states
}()

// Contexts (T.800 table D.1 to D.5) and where they start (table D.7).
const (
	contextZero      = 0 // 9 of them: zero coding
	contextSign      = 9 // 5: sign coding
	contextMagnitude = 14
	contextRun       = 17
	contextUniform   = 18
)

// mqDecoder is the arithmetic decoder (annex C.3). Behind its data it reads ones (C.3.4, D.4.1).
//
// In the standard, a symbol is the more probable one without renormalisation while C >= Qe and A - Qe >= 8000h, and takes Qe
// from both. So slack, the lesser of C and A - 8000h, tells it alone; C and A are kept less slack and made up when it is used up.
type mqDecoder struct {
	slack    int32
	c, a     uint32 // less slack, in 32 bits: Chigh, and A, in the upper 16
	count    int    // CT
	data     []byte
	at       int
	contexts [256]mqState // 19 in use; so many that no index needs a check
}

// reset gives all contexts their first states.
func (m *mqDecoder) reset() {
	for i := range contextUniform {
		m.contexts[i] = mqStates[0]
	}
	m.contexts[contextZero], m.contexts[contextRun], m.contexts[contextUniform] = mqStates[4<<1], mqStates[3<<1], mqStates[46<<1]
}

// start begins a codeword segment (INITDEC).
func (m *mqDecoder) start(data []byte) {
	m.data, m.at, m.slack = data, 0, 0
	m.c = uint32(m.byte(0)) << 16
	m.next()
	m.c <<= 7
	m.count -= 7
	m.a = 1 << 31
	m.spare()
}

func (m *mqDecoder) byte(at int) byte {
	if at < len(m.data) {
		return m.data[at]
	}
	return 0xFF
}

// next adds the next byte (BYTEIN).
func (m *mqDecoder) next() {
	following := m.byte(m.at + 1)
	switch {
	case m.byte(m.at) != 0xFF:
		m.at++
		m.c += uint32(following) << 8
		m.count = 8
	case following > 0x8F:
		m.c += 0xFF00
		m.count = 8
	default:
		m.at++
		m.c += uint32(following) << 9
		m.count = 7
	}
}

// spare takes the slack from C and A.
func (m *mqDecoder) spare() {
	slack := min(m.c, m.a-1<<31)
	m.c -= slack
	m.a -= slack
	m.slack = int32(slack)
}

// bit decodes a symbol (DECODE).
func (m *mqDecoder) bit(context *mqState) uint32 {
	if m.slack -= context.qe; m.slack >= 0 {
		return context.mps
	}
	return m.renormalise(context)
}

// renormalise decodes a symbol that changes the state of its context (LPS_EXCHANGE, MPS_EXCHANGE, RENORMD).
func (m *mqDecoder) renormalise(s *mqState) uint32 {
	qe := uint32(s.qe)
	m.c += uint32(m.slack) + qe
	m.a += uint32(m.slack)
	more := m.a >= qe // the larger part is the more probable symbol's
	if m.c < qe {
		more = !more
		m.a = qe
	} else {
		m.c -= qe
	}
	symbol := s.mps
	if more {
		*s = *s.more
	} else {
		symbol ^= 1
		*s = *s.less
	}
	for shift := bits.LeadingZeros32(m.a); shift > 0; {
		if m.count == 0 {
			m.next()
		}
		n := min(shift, m.count)
		m.a <<= n
		m.c <<= n
		m.count -= n
		shift -= n
	}
	m.spare()
	return symbol
}

// rawDecoder reads the bits of a bypassed pass (D.6).
type rawDecoder struct {
	data []byte
	held byte
	left int
}

func (r *rawDecoder) bit() uint32 {
	if r.left == 0 {
		r.left = 8
		if r.held == 0xFF {
			r.left = 7
		}
		r.held = 0xFF
		if len(r.data) > 0 {
			r.held, r.data = r.data[0], r.data[1:]
		}
	}
	r.left--
	return uint32(r.held>>r.left) & 1
}
