package kernel

import "sync"

// tileWork is what one core needs to multiply tiles.
type tileWork struct {
	panel, words []int16
	scales       []uint16
	sums         [mostRows][tileRows]float32
	scratch      tileScratch
}

var tileWorks = sync.Pool{New: func() any { return new(tileWork) }}

// multiplyTiles computes rows from to to-1 of the product, all of whole tiles, for every row of x.
func (m *NF4) multiplyTiles(y []float32, x *Rows, from, to int) {
	work := tileWorks.Get().(*tileWork)
	if active.tiles != nil && x.n == 1 && from%tileRows == 0 && to%tileRows == 0 && from < to {
		work.one(m, x, 0, from, (to-from)/tileRows, y[from:])
		from = to
	}
	for from < to {
		at := from / tileRows * tileRows
		end := min(to, at+tileRows)
		work.multiply(m, y, x, at, from, end)
		from = end
	}
	tileWorks.Put(work)
}

// one computes tiles from row at on for row i of x.
func (w *tileWork) one(m *NF4, x *Rows, i, at, tiles int, y []float32) {
	blocks := m.In / Block
	active.tiles.one(&m.packed[at*m.In/2], m.In/2, &m.halves[at*blocks], &x.rounded[i*x.stride*group], &x.scales[i*x.stride], blocks/2, blocks%2, &y[0],
		&w.scratch, tiles)
}

// multiply computes rows from to to-1 of the tile that begins at row at.
func (w *tileWork) multiply(m *NF4, y []float32, x *Rows, at, from, to int) {
	packed, blocks := &m.packed[at*m.In/2], m.In/Block
	keep := func(row int, sums *[tileRows]float32) { copy(y[row*m.Out+from:][:to-from], sums[from-at:]) }
	i := 0
	if p := active.panels; x.n >= p.rows {
		w.panel, w.words = grown(w.panel, tileRows*m.In), grown(w.words, tileRows*m.In)
		p.decode(packed, m.In/2, blocks, &w.panel[0], &w.words[0])
		scales := w.scalesOf(m, at)
		for ; i+p.rows <= x.n; i += p.rows {
			p.multiply(&w.panel[0], &scales[0], &x.rounded[i*x.stride*group], &x.manyScales[i*x.stride], x.stride, blocks, &w.sums)
			for k := range p.rows {
				keep(i+k, &w.sums[k])
			}
		}
	}
	if active.tiles == nil {
		m.multiplyInt16(y, x, i, from, to)
		return
	}
	for ; i+4 <= x.n; i += 4 {
		active.tiles.four(packed, m.In/2, &m.halves[at*blocks], &x.rounded[i*x.stride*group], &x.scales[i*x.stride], x.stride, blocks/2, blocks%2,
			(*[4][tileRows]float32)(w.sums[:4]))
		for k := range 4 {
			keep(i+k, &w.sums[k])
		}
	}
	for ; i < x.n; i++ {
		w.one(m, x, i, at, 1, w.sums[0][:])
		keep(i, &w.sums[0])
	}
}

// scalesOf are the scales of the tile that begins at row at, block by block.
func (w *tileWork) scalesOf(m *NF4, at int) []uint16 {
	blocks := m.In / Block
	scales := m.halves[at*blocks:][:tileRows*blocks]
	if active.tiles != nil {
		return scales
	}
	w.scales = append(w.scales[:0], scales...)
	turn(w.scales, 1, blocks)
	return w.scales
}
