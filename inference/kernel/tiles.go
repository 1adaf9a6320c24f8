package kernel

import "sync"

// tileWork is what one core needs to multiply tiles.
type tileWork struct {
	panel   []int16
	sums    [4][tileRows]float32
	twelve  [manyRows][tileRows]float32
	scratch tileScratch
}

var tileWorks = sync.Pool{New: func() any { return new(tileWork) }}

// multiplyTiles computes rows from to to-1 of the product, all of whole tiles, for every row of x.
func (m *NF4) multiplyTiles(y []float32, x *Rows, from, to int) {
	work := tileWorks.Get().(*tileWork)
	if x.n == 1 && from%tileRows == 0 && to%tileRows == 0 && from < to {
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
	active.tiles.one(&m.packed[at*m.In/2], m.In/2, &m.scales[at*blocks], &x.rounded[i*x.stride*group], &x.scales[i*x.stride], blocks/2, blocks%2, &y[0],
		&w.scratch, tiles)
}

// multiply computes rows from to to-1 of the tile that begins at row at.
func (w *tileWork) multiply(m *NF4, y []float32, x *Rows, at, from, to int) {
	packed, scales, blocks := &m.packed[at*m.In/2], &m.scales[at*m.In/Block], m.In/Block
	keep := func(row int, sums *[tileRows]float32) { copy(y[row*m.Out+from:][:to-from], sums[from-at:]) }
	i := 0
	if x.n >= manyRows {
		w.panel = grown(w.panel, tileRows*m.In)
		active.tiles.panel(packed, m.In/2, blocks, &w.panel[0])
		for ; i+manyRows <= x.n; i += manyRows {
			active.tiles.many(&w.panel[0], scales, &x.rounded[i*x.stride*group], &x.manyScales[i*x.stride], x.stride, blocks, &w.twelve)
			for k := range w.twelve {
				keep(i+k, &w.twelve[k])
			}
		}
	}
	for ; i+4 <= x.n; i += 4 {
		active.tiles.four(packed, m.In/2, scales, &x.rounded[i*x.stride*group], &x.scales[i*x.stride], x.stride, blocks/2, blocks%2, &w.sums)
		for k := range w.sums {
			keep(i+k, &w.sums[k])
		}
	}
	for ; i < x.n; i++ {
		w.one(m, x, i, at, 1, w.sums[0][:])
		keep(i, &w.sums[0])
	}
}
