package llama

import (
	"runtime"

	"llamaxr/inference/kernel"
	"llamaxr/inference/team"
)

// likely finds the likeliest token with a head that is rounded to 4 bits: of the head as it is, all of a large vocabulary, only rows are read that
// could be the largest.
type likely struct {
	coarse *kernel.Coarse
	exact  *kernel.Dense
}

// readHead takes the head in the machine's arithmetic.
func (m *native) readHead(d *kernel.Dense) (err error) {
	if m.arithmetic == kernel.Exact {
		values := make([]float32, d.Out*d.In)
		for o := range d.Out {
			d.Row(o, values[o*d.In:(o+1)*d.In])
		}
		m.head = kernel.NewFloats(values, d.Out, d.In)
		return nil
	}
	m.head = d
	if d.In%kernel.Block == 0 {
		m.likely = &likely{exact: d}
		m.likely.coarse, err = kernel.NewCoarse(d)
	}
	return err
}

// scores implements machine: the head as it is.
func (m *native) scores() [][]float32 {
	defer runtime.KeepAlive(m)
	rows := m.buffers.last
	out := make([][]float32, rows.Len())
	all := sized(&m.buffers.scores, len(out)*m.config.VocabSize)
	multiply(rows, task{m.head, all})
	for i := range out {
		out[i] = all[i*m.config.VocabSize : (i+1)*m.config.VocabSize]
	}
	return out
}

// best implements machine.
func (m *native) best() []int {
	defer runtime.KeepAlive(m)
	if m.likely == nil {
		return bestOf(m.scores())
	}
	rows := m.buffers.last
	out := make([]int, rows.Len())
	near := sized(&m.buffers.scores, len(out)*m.config.VocabSize)
	multiply(rows, task{m.likely.coarse, near})
	for i := range out {
		out[i] = m.likely.best(near[i*m.config.VocabSize:(i+1)*m.config.VocabSize], rows.Row(i))
	}
	return out
}

// best is the likeliest token after a hidden state, whose product with the rounded head is near.
func (l *likely) best(near, hidden []float32) int {
	const piece = 8
	ids := l.coarse.Contenders(near, hidden)
	if len(ids) == 0 { // no numbers
		return 0
	}
	scores := make([]float32, len(ids))
	team.Share((len(ids)+piece-1)/piece, func(at int) {
		end := min((at+1)*piece, len(ids))
		l.exact.Dots(scores[at*piece:end], ids[at*piece:end], hidden)
	})
	return ids[argMax(scores)]
}
