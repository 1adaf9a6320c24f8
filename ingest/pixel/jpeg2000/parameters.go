package jpeg2000

import (
	"encoding/binary"
	"math"
)

// Code-block styles (T.800 table A.19, T.814 table A.4).
const (
	styleBypass        = 0x01
	styleReset         = 0x02
	styleTerminateAll  = 0x04
	styleCausal        = 0x08
	styleSegmentSymbol = 0x20
	styleHT            = 0x40
	styleMixed         = 0x80
)

// coding is how a component of a tile is coded: COD or COC (A.6.1, A.6.2).
type coding struct {
	levels                  int
	blockWidth, blockHeight int // exponents of 2
	style                   byte
	reversible              bool
	precincts               [maxLevels + 1]byte // exponents by resolution: width in the low four bits, height in the high
}

// quantisation holds the step sizes of a component of a tile: QCD or QCC (A.6.4, A.6.5).
type quantisation struct {
	guard    int
	exponent [3*maxLevels + 1]int // by band, LL first, then HL, LH, HH of each level
	mantissa [3*maxLevels + 1]int
	bands    int // how many are given
}

// parameters are what main and tile-part headers say of a tile.
type parameters struct {
	progression, layers int
	colour              bool // a component transformation is to be undone
	sop, eph            bool
	coding              []coding
	quantisation        []quantisation
	changes             []progressionChange
	// rank of the segment that each value comes from, since COC of a main header goes before its COD in any order and gives
	// way to COD of a tile
	codingRank, quantisationRank []int
}

// progressionChange is an entry of POC (A.6.6).
type progressionChange struct {
	resolution, component, layerEnd, resolutionEnd, componentEnd, progression int
}

func newParameters(components int) *parameters {
	return &parameters{
		coding: make([]coding, components), quantisation: make([]quantisation, components),
		codingRank: make([]int, components), quantisationRank: make([]int, components),
	}
}

// clone is a copy that a tile-part header may change.
func (p *parameters) clone() *parameters {
	q := *p
	q.coding = append([]coding(nil), p.coding...)
	q.quantisation = append([]quantisation(nil), p.quantisation...)
	q.codingRank = append([]int(nil), p.codingRank...)
	q.quantisationRank = append([]int(nil), p.quantisationRank...)
	q.changes = append([]progressionChange(nil), p.changes...)
	return &q
}

// apply takes in a segment of a main or tile-part header.
func (p *parameters) apply(marker int, body []byte, tilePart bool) error {
	rank := 1
	if tilePart {
		rank = 3
	}
	switch marker {
	case markerCOD:
		return p.cod(body, rank)
	case markerCOC:
		if len(body) < 2 || int(body[0]) >= len(p.coding) {
			return fail(ErrMalformed, "COC of %d bytes", len(body))
		}
		return p.style(int(body[0]), body[2:], body[1]&1 != 0, rank+1)
	case markerQCD:
		for c := range p.quantisation {
			if err := p.quantise(c, body, rank); err != nil {
				return err
			}
		}
	case markerQCC:
		if len(body) < 1 || int(body[0]) >= len(p.coding) {
			return fail(ErrMalformed, "QCC of %d bytes", len(body))
		}
		return p.quantise(int(body[0]), body[1:], rank+1)
	case markerPOC:
		return p.poc(body)
	case markerRGN:
		return fail(ErrUnsupported, "region of interest")
	case markerPPM, markerPPT:
		return fail(ErrUnsupported, "packed packet headers")
	}
	return nil
}

// cod reads a COD segment (A.6.1).
func (p *parameters) cod(b []byte, rank int) error {
	if len(b) < 10 {
		return fail(ErrTruncated, "COD of %d bytes", len(b))
	}
	p.sop, p.eph = b[0]&2 != 0, b[0]&4 != 0
	p.progression, p.layers, p.colour = int(b[1]), int(binary.BigEndian.Uint16(b[2:])), b[4] != 0
	if p.progression > 4 || p.layers < 1 || b[4] > 1 {
		return fail(ErrMalformed, "COD with progression %d, %d layers, component transformation %d", p.progression, p.layers, b[4])
	}
	for c := range p.coding {
		if err := p.style(c, b[5:], b[0]&1 != 0, rank); err != nil {
			return err
		}
	}
	return nil
}

// style reads the parameters that COD and COC share (table A.15).
func (p *parameters) style(component int, b []byte, precincts bool, rank int) error {
	if len(b) < 5 {
		return fail(ErrTruncated, "coding style of %d bytes", len(b))
	}
	c := coding{
		levels: int(b[0]), blockWidth: int(b[1]) + 2, blockHeight: int(b[2]) + 2,
		style: b[3], reversible: b[4] == 1,
	}
	switch {
	case c.levels > maxLevels || b[4] > 1:
		return fail(ErrMalformed, "%d levels, transformation %d", c.levels, b[4])
	case c.blockWidth > 10 || c.blockHeight > 10 || c.blockWidth+c.blockHeight > 12:
		return fail(ErrMalformed, "code-blocks of 2^%d x 2^%d", c.blockWidth, c.blockHeight)
	case c.style&styleMixed != 0:
		return fail(ErrUnsupported, "code-block style %02X", c.style)
	case precincts && len(b) < 6+c.levels:
		return fail(ErrTruncated, "precinct sizes for %d levels in %d bytes", c.levels, len(b))
	}
	for r := range c.levels + 1 {
		c.precincts[r] = 0xFF
		if precincts {
			c.precincts[r] = b[5+r]
			if r > 0 && (b[5+r]&15 == 0 || b[5+r]>>4 == 0) {
				return fail(ErrMalformed, "precincts of a sample at resolution %d", r)
			}
		}
	}
	if rank >= p.codingRank[component] {
		p.coding[component], p.codingRank[component] = c, rank
	}
	return nil
}

// quantise reads what QCD and QCC share (A.6.4).
func (p *parameters) quantise(component int, b []byte, rank int) error {
	if len(b) < 1 {
		return fail(ErrTruncated, "empty quantisation")
	}
	q := quantisation{guard: int(b[0] >> 5)}
	style, b := b[0]&31, b[1:]
	limit := len(q.exponent)
	switch {
	case style == 0:
		for q.bands = 0; q.bands < min(limit, len(b)); q.bands++ {
			q.exponent[q.bands] = int(b[q.bands] >> 3)
		}
	case style == 2:
		for q.bands = 0; q.bands < min(limit, len(b)/2); q.bands++ {
			v := int(binary.BigEndian.Uint16(b[2*q.bands:]))
			q.exponent[q.bands], q.mantissa[q.bands] = v>>11, v&0x7FF
		}
	case style == 1 && len(b) >= 2: // derived from that of LL (E-5)
		v := int(binary.BigEndian.Uint16(b))
		for q.bands = 0; q.bands < limit; q.bands++ {
			q.exponent[q.bands], q.mantissa[q.bands] = max(0, v>>11-max(0, q.bands-1)/3), v&0x7FF
		}
	default:
		return fail(ErrMalformed, "quantisation style %d of %d bytes", style, len(b))
	}
	if rank >= p.quantisationRank[component] {
		p.quantisation[component], p.quantisationRank[component] = q, rank
	}
	return nil
}

// poc reads progression order changes (A.6.6).
func (p *parameters) poc(b []byte) error {
	for ; len(b) >= 7; b = b[7:] {
		c := progressionChange{
			resolution: int(b[0]), component: int(b[1]), layerEnd: int(binary.BigEndian.Uint16(b[2:])),
			resolutionEnd: int(b[4]), componentEnd: int(b[5]), progression: int(b[6]),
		}
		if c.componentEnd == 0 { // 256, which one byte cannot say
			c.componentEnd = 256
		}
		if c.progression > 4 || len(p.changes) >= 256 {
			return fail(ErrMalformed, "POC with progression %d", c.progression)
		}
		p.changes = append(p.changes, c)
	}
	return nil
}

// check refuses parameters that lack something or contradict each other.
func (p *parameters) check() error {
	for c := range p.coding {
		if p.codingRank[c] == 0 || p.quantisationRank[c] == 0 {
			return fail(ErrMalformed, "no COD or QCD for component %d", c)
		}
		q := &p.quantisation[c]
		if bands := 3*p.coding[c].levels + 1; q.bands < bands {
			return fail(ErrMalformed, "%d step sizes for %d bands", q.bands, bands)
		}
		for b := range 3*p.coding[c].levels + 1 {
			if q.planes(b) > maxPlanes {
				return fail(ErrLimit, "%d bit-planes", q.planes(b))
			}
		}
	}
	if p.colour && (len(p.coding) < 3 || p.coding[0].reversible != p.coding[1].reversible || p.coding[0].reversible != p.coding[2].reversible) {
		return fail(ErrMalformed, "component transformation of %d components", len(p.coding))
	}
	return nil
}

// planes is the number of magnitude bits of a band, Mb (E-2).
func (q *quantisation) planes(band int) int { return max(0, q.guard+q.exponent[band]-1) }

// step is the quantisation step of a band (E-3) but for its gain, which the wavelet has; in float32, as OpenJPEG has it.
func (q *quantisation) step(band, precision int) float32 {
	return float32((1 + float64(q.mantissa[band])/2048) * math.Ldexp(1, precision-q.exponent[band]))
}
