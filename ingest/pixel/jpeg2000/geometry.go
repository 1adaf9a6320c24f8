package jpeg2000

// tileComponent is a component within a tile (T.800 B.3 to B.7) with its coefficients.
type tileComponent struct {
	rect
	*coding
	resolutions []resolution
	// Coefficients, then samples, in rows of the component's width: LL of the lowest resolution in the upper left corner,
	// the bands of each higher one to its right, below it and across. Integers in the reversible path, else floats.
	integers []int32
	floats   []float32
}

// resolution is a resolution level (B.5).
type resolution struct {
	rect
	bands                         []band
	precinctWidth, precinctHeight int // exponents of 2
	precinctsX, precinctsY        int
	precincts                     []precinct
}

// band is a sub-band of a resolution (B.5).
type band struct {
	rect
	orientation    int // 0 LL, 1 HL, 2 LH, 3 HH
	planes         int
	half           float32 // half the quantisation step
	originX        int     // where its first coefficient lies in the component's
	originY        int
	blockWidth     int // exponents of 2, cut to the precincts
	blockHeight    int
	precinctXShift int // exponents of 2 of the precincts in this band
	precinctYShift int
	firstX, firstY int // number of the first precinct on the band's grid
	highX, highY   int // 1 for a band that is high-pass in this direction
}

// precinct is a part of a resolution whose code-blocks share packets (B.6).
type precinct struct {
	component, resolution int
	x, y                  int // where its packets stand in progressions by position (B.12.1.3 to B.12.1.5)
	index                 int // number within the resolution
	layers                int // packets read
	bands                 []precinctBand
}

// precinctBand holds the code-blocks of a precinct in one band (B.7).
type precinctBand struct {
	*band
	blocksX, blocksY int
	blocks           []block
	included, zeros  tagTree
}

// block is a code-block.
type block struct {
	rect          // within the band
	included bool // in some layer
	zeros    int  // bit-planes without a bit
	lengths  int  // Lblock
	passes   int  // in all layers so far
	segments []codeword
}

// codeword is a codeword segment: passes that are decoded without a restart (B.10.7).
type codeword struct {
	passes, most int
	data         []byte
}

// newTileComponent lays out a component. The number of packets is bounded by what the data could hold.
func newTileComponent(t *tilePart, area rect, component, precision, packets int) (*tileComponent, error) {
	c := &tileComponent{rect: area, coding: &t.coding[component]}
	q := &t.quantisation[component]
	for r := range c.levels + 1 {
		down := c.levels - r
		res := resolution{
			rect:          rect{ceilShift(area.x0, down), ceilShift(area.y0, down), ceilShift(area.x1, down), ceilShift(area.y1, down)},
			precinctWidth: int(c.precincts[r] & 15), precinctHeight: int(c.precincts[r] >> 4),
		}
		if !res.empty() {
			res.precinctsX = ceilShift(res.x1, res.precinctWidth) - res.x0>>res.precinctWidth
			res.precinctsY = ceilShift(res.y1, res.precinctHeight) - res.y0>>res.precinctHeight
		}
		if n := res.precinctsX * res.precinctsY; n*t.layers > packets {
			return nil, fail(ErrTruncated, "%d packets of resolution %d in %d bytes", n*t.layers, r, packets)
		}
		orientations := []int{1, 2, 3}
		if r == 0 {
			orientations = []int{0}
		}
		for _, o := range orientations {
			res.bands = append(res.bands, c.newBand(&res, r, o, q, precision))
		}
		res.precincts = make([]precinct, res.precinctsX*res.precinctsY)
		for i := range res.precincts {
			res.place(&res.precincts[i], i, down, area)
			res.precincts[i].component, res.precincts[i].resolution = component, r
		}
		c.resolutions = append(c.resolutions, res)
	}
	return c, nil
}

// newBand lays out a band of resolution r (B-15).
func (c *tileComponent) newBand(res *resolution, r, orientation int, q *quantisation, precision int) band {
	b := band{orientation: orientation, highX: orientation & 1, highY: orientation >> 1}
	level, shift := c.levels-r+1, 1
	index := 3*(r-1) + orientation
	if r == 0 {
		level, shift, index = c.levels, 0, 0
	}
	if level > 0 {
		half := 1 << (level - 1)
		b.rect = rect{
			ceilShift(c.x0-half*b.highX, level), ceilShift(c.y0-half*b.highY, level),
			ceilShift(c.x1-half*b.highX, level), ceilShift(c.y1-half*b.highY, level),
		}
	} else {
		b.rect = c.rect
	}
	b.planes, b.half = q.planes(index), q.step(index, precision)/2
	b.precinctXShift, b.precinctYShift = res.precinctWidth-shift, res.precinctHeight-shift
	b.blockWidth, b.blockHeight = min(c.blockWidth, b.precinctXShift), min(c.blockHeight, b.precinctYShift)
	b.firstX, b.firstY = res.x0>>res.precinctWidth, res.y0>>res.precinctHeight
	if b.highX == 1 {
		b.originX = c.resolutions[r-1].width()
	}
	if b.highY == 1 {
		b.originY = c.resolutions[r-1].height()
	}
	return b
}

// place sets where the packets of a precinct stand on the reference grid.
func (res *resolution) place(p *precinct, index, down int, area rect) {
	p.index = index
	x, y := res.x0>>res.precinctWidth+index%res.precinctsX, res.y0>>res.precinctHeight+index/res.precinctsX
	p.x, p.y = max(x<<(res.precinctWidth+down), area.x0), max(y<<(res.precinctHeight+down), area.y0)
}

// open lays out the code-blocks of a precinct when its first packet with contents is read; budget counts them down.
func (p *precinct) open(res *resolution, budget *int) error {
	p.bands = make([]precinctBand, 0, len(res.bands))
	for i := range res.bands {
		b := &res.bands[i]
		x, y := b.firstX+p.index%res.precinctsX, b.firstY+p.index/res.precinctsX
		area := rect{x << b.precinctXShift, y << b.precinctYShift, (x + 1) << b.precinctXShift, (y + 1) << b.precinctYShift}.intersect(b.rect)
		pb := precinctBand{band: b}
		if !area.empty() {
			left, top := area.x0>>b.blockWidth, area.y0>>b.blockHeight
			pb.blocksX, pb.blocksY = ceilShift(area.x1, b.blockWidth)-left, ceilShift(area.y1, b.blockHeight)-top
			n := pb.blocksX * pb.blocksY
			if *budget -= n; *budget < 0 {
				return fail(ErrLimit, "more than %d code-blocks in a tile", maxBlocks)
			}
			pb.blocks = make([]block, n)
			for k := range pb.blocks {
				bx, by := left+k%pb.blocksX, top+k/pb.blocksX
				pb.blocks[k].rect = rect{bx << b.blockWidth, by << b.blockHeight, (bx + 1) << b.blockWidth, (by + 1) << b.blockHeight}.intersect(area)
			}
			pb.included, pb.zeros = newTagTree(pb.blocksX, pb.blocksY), newTagTree(pb.blocksX, pb.blocksY)
		}
		p.bands = append(p.bands, pb)
	}
	return nil
}
