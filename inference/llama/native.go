package llama

import (
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"slices"

	"llamaxr/inference/kernel"
	"llamaxr/inference/team"
)

// matrix is a weight [out, in] in the form that its arithmetic wants.
type matrix interface {
	Rows() int
	Multiply(y []float32, x *kernel.Rows, from, to int)
}

// native computes on the CPU with kernels of this project: NF4 weights stay packed, in the file's own mapped pages.
type native struct {
	config     *Config
	arithmetic kernel.Arithmetic

	embedding *kernel.Dense
	head      matrix
	likely    *likely   // nil where a pass goes over the whole head
	final     []float32 // norm
	layers    []nativeLayer
	cos, sin  []float32
	context   int
	caches    [MostTogether]cache
	alpha     float32 // of the adapter, over its rank
	prefix    Prefix  // of the adapter: comes before every text
	buffers   buffers
}

// buffers are what a pass computes with, kept from one to the next.
type buffers struct {
	x, normed, mixed, y, scores []float32
	q, k, v, gate, up           []float32
	rows, wide, deep, last      *kernel.Rows
	tokens                      []int
	blocks                      []block
}

// sized is a buffer of n values, whatever is in them.
func sized(buffer *[]float32, n int) []float32 {
	if cap(*buffer) < n {
		*buffer = make([]float32, n)
	}
	return (*buffer)[:n]
}

// nativeLayer is one decoder layer.
type nativeLayer struct {
	before, between            []float32 // norms
	q, k, v, o, gate, up, down linear
}

// cache has the keys and values of one text: of each layer [KVHeads][room][HeadDim].
type cache struct {
	room         int // positions
	keys, values [][]float32
}

// linear is a weight with what an adapter adds: x A' B' alpha/rank.
type linear struct {
	matrix
	a *kernel.Floats // [rank, in]; nil without an adapter
	b []float32      // [rank, out]: the columns of [out, rank]
}

func newNative(s *Source, kind Kind, context int, file *mapping) (*native, error) {
	if err := kernel.Check(); err != nil {
		file.release()
		return nil, fmt.Errorf("llama: %w", err)
	}
	c := s.Config
	m := &native{config: c, context: context}
	if kind == NativeInt16 {
		m.arithmetic = kernel.Int16
	}
	rows := func(width int) *kernel.Rows { return kernel.NewRows(m.arithmetic, width) }
	m.buffers = buffers{rows: rows(c.HiddenSize), wide: rows(c.IntermediateSize), deep: rows(c.Heads * c.HeadDim), last: rows(c.HiddenSize)}
	if err := m.read(s); err != nil {
		file.release()
		return nil, err
	}
	m.cos, m.sin = c.Rotary(context)
	runtime.AddCleanup(m, func(release func()) { release() }, file.release)
	// What was read only to be converted need not stay in memory.
	file.forget()
	debug.FreeOSMemory()
	return m, nil
}

// read makes the matrices of a source's weights.
func (m *native) read(s *Source) (err error) {
	c := s.Config
	if err := s.fits(); err != nil {
		return err
	}
	if m.embedding, err = denseOf(s, EmbeddingName); err != nil {
		return err
	}
	head := m.embedding
	if !c.TieWordEmbeddings {
		if head, err = denseOf(s, HeadName); err != nil {
			return err
		}
	}
	if err = m.readHead(head); err != nil {
		return err
	}
	norm := func(name string) (values []float32) {
		if err == nil {
			values = make([]float32, c.HiddenSize)
			err = s.weights[name].rows(0, 1, values)
		}
		return values
	}
	m.layers = make([]nativeLayer, c.Layers)
	for i := range m.layers {
		base := LayerPrefix(i)
		m.layers[i].before, m.layers[i].between = norm(base+"input_layernorm.weight"), norm(base+"post_attention_layernorm.weight")
	}
	m.final = norm(FinalNormName)
	linears := c.Linears()
	faults := make([]error, len(linears))
	team.Share(len(linears), func(at int) {
		m.layers[at/7].linears()[at%7].matrix, faults[at] = m.matrixOf(s, linears[at])
	})
	return errors.Join(append(faults, err)...)
}

// maxParameters is how many that are not packed are computed with: 8 GB in float32. More would exhaust a machine silently.
const maxParameters = 2_000_000_000

// fits refuses a model whose weights that are not packed would exhaust the machine.
func (s *Source) fits() error {
	n := 0
	for _, l := range s.Config.Linears() {
		if s.weights[l.Name+".weight"].packed == nil {
			n += l.Out * l.In
		}
	}
	if n > maxParameters {
		return fmt.Errorf("llama: %d million parameters that are not packed to 4 bits, more than the %d million that are computed with in float32", n/1e6, maxParameters/1_000_000)
	}
	return nil
}

// linears are in the order of Config.Linears.
func (l *nativeLayer) linears() [7]*linear {
	return [7]*linear{&l.q, &l.k, &l.v, &l.o, &l.gate, &l.up, &l.down}
}

func (m *native) matrixOf(s *Source, l Linear) (matrix, error) {
	w := s.weights[l.Name+".weight"]
	if w.packed != nil && l.In%kernel.Block == 0 {
		t, err := w.packed()
		if err != nil {
			return nil, err
		}
		return kernel.NewNF4(m.arithmetic, t, l.Out, l.In)
	}
	values := make([]float32, l.Out*l.In)
	if err := w.rows(0, l.Out, values); err != nil {
		return nil, fmt.Errorf("llama: tensor %s: %w", l.Name, err)
	}
	return kernel.NewFloats(values, l.Out, l.In), nil
}

// denseOf is a weight as the file holds it.
func denseOf(s *Source, name string) (*kernel.Dense, error) {
	rows, length := s.weights[name].size()
	t, err := s.dense(name)
	if err != nil {
		return nil, fmt.Errorf("llama: tensor %s: %w", name, err)
	}
	return kernel.NewDense(t.DType, t.Data, rows, length)
}

func (m *native) name() string { return "cpu:" + kernel.Name() + ":" + m.arithmetic.String() }

func (m *native) mostTexts() int { return MostTogether }

// mostWanted implements machine. In float32 a pass of several rows costs as much as so many passes.
func (m *native) mostWanted() int {
	if m.arithmetic == kernel.Exact {
		return 1
	}
	return mostDrafted + 1
}

func (m *native) invariant() bool { return true }

func (m *native) adapt(a *Adapter) error {
	linears := m.config.Linears()
	for i := range m.layers {
		l := &m.layers[i]
		for k, into := range l.linears() {
			into.a, into.b = nil, nil
			shape := linears[7*i+k]
			if a != nil && a.A[shape.Name] != nil {
				into.a = kernel.NewFloats(a.A[shape.Name], a.Rank, shape.In)
				into.b = make([]float32, shape.Out*a.Rank)
				for at, v := range a.B[shape.Name] {
					into.b[at%a.Rank*shape.Out+at/a.Rank] = v
				}
			}
		}
	}
	m.prefix = Prefix{}
	if a != nil {
		m.prefix = a.Prefix
		if a.Rank > 0 {
			m.alpha = float32(a.Alpha) / float32(a.Rank)
		}
	}
	return nil
}

// forget implements machine: it gives back the memory of the caches, which are large.
func (m *native) forget() {
	m.caches = [MostTogether]cache{}
	debug.FreeOSMemory()
}

// roomStep is by how many positions the cache grows: that of an 8B model by 64 MB.
const roomStep = 256

// grow makes room in a slot for keys and values of n positions, of an adapter's prefix first, which a new cache begins with.
func (m *native) grow(slot, n int) {
	c, cached := m.config, &m.caches[slot]
	if n <= cached.room {
		return
	}
	empty := cached.room == 0
	if empty {
		cached.keys, cached.values = make([][]float32, c.Layers), make([][]float32, c.Layers)
	}
	room := (n + roomStep - 1) / roomStep * roomStep
	grown := func(old []float32) []float32 {
		out := make([]float32, c.KVHeads*room*c.HeadDim)
		for h := range c.KVHeads {
			copy(out[h*room*c.HeadDim:], old[h*cached.room*c.HeadDim:(h+1)*cached.room*c.HeadDim])
		}
		return out
	}
	for i := range m.layers {
		cached.keys[i], cached.values[i] = grown(cached.keys[i]), grown(cached.values[i])
	}
	cached.room = room
	if empty {
		m.prefix.each(c, func(token, layer, part, head int, values []float32) {
			into := [2][]float32{cached.keys[layer], cached.values[layer]}[part]
			copy(into[(head*room+token)*c.HeadDim:], values)
		})
	}
}

// prefillRows is how many rows of a prompt pass at once: enough to read the weights rarely, few enough to stay in the caches.
const prefillRows = 96

// forward implements machine.
func (m *native) forward(parts ...part) error {
	defer runtime.KeepAlive(m) // its matrices lie in a mapping that goes with it
	rest := slices.Clone(parts)
	for i := range rest {
		p := &rest[i]
		p.from += m.prefix.Tokens
		if p.from+len(p.tokens) > m.context {
			return fmt.Errorf("%w: %d + %d of %d", ErrPromptTooLong, p.from, len(p.tokens), m.context)
		}
	}
	for i := range rest {
		p := &rest[i]
		m.grow(p.slot, p.from+len(p.tokens))
		for len(p.tokens)-prefillRows >= p.want {
			m.pass(part{p.slot, p.tokens[:prefillRows], p.from, 0})
			p.tokens, p.from = p.tokens[prefillRows:], p.from+prefillRows
		}
	}
	x, h := m.pass(rest...), m.config.HiddenSize
	at, wanted := 0, 0
	for _, p := range rest {
		at += len(p.tokens)
		copy(x[wanted*h:], x[(at-p.want)*h:at*h])
		wanted += p.want
	}
	m.buffers.last.Set(m.norm(x[:wanted*h], m.final))
	return nil
}

// pass runs parts of texts through all layers and returns their hidden states, one after another, before the last norm.
func (m *native) pass(parts ...part) []float32 {
	c := m.config
	b := &m.buffers
	b.tokens, b.blocks = b.tokens[:0], b.blocks[:0]
	for _, p := range parts {
		for row := 0; row < len(p.tokens); row += attendRows {
			b.blocks = append(b.blocks, block{&m.caches[p.slot], len(b.tokens) + row, min(attendRows, len(p.tokens)-row), p.from + row})
		}
		b.tokens = append(b.tokens, p.tokens...)
	}
	n, h := len(b.tokens), c.HiddenSize
	x, y := sized(&b.x, n*h), sized(&b.y, n*h)
	for i, id := range b.tokens {
		m.embedding.Row(id, x[i*h:(i+1)*h])
	}
	q, k, v := sized(&b.q, n*c.Heads*c.HeadDim), sized(&b.k, n*c.KVHeads*c.HeadDim), sized(&b.v, n*c.KVHeads*c.HeadDim)
	gate, up := sized(&b.gate, n*c.IntermediateSize), sized(&b.up, n*c.IntermediateSize)
	for i := range m.layers {
		l := &m.layers[i]
		b.rows.Set(m.norm(x, l.before))
		m.linears(b.rows, product{&l.q, q}, product{&l.k, k}, product{&l.v, v})
		b.deep.Set(m.attention(i, q, k, v))
		m.linears(b.deep, product{&l.o, y})
		add(x, y)
		b.rows.Set(m.norm(x, l.between))
		m.linears(b.rows, product{&l.gate, gate}, product{&l.up, up})
		gated(gate, up)
		b.wide.Set(gate)
		m.linears(b.wide, product{&l.down, y})
		add(x, y)
	}
	return x
}

// product is a linear layer and where its results go.
type product struct {
	*linear
	y []float32
}

// linears computes linear layers of the same input, adapters included.
func (m *native) linears(x *kernel.Rows, products ...product) {
	tasks := make([]task, len(products))
	for i, p := range products {
		tasks[i] = task{p.matrix, p.y}
		if p.a != nil {
			low := make([]float32, x.Len()*p.a.Rows())
			team.Share(x.Len(), func(i int) {
				for r := range p.a.Rows() {
					low[i*p.a.Rows()+r] = m.alpha * kernel.Dot(p.a.Row(r), x.Row(i))
				}
			})
			tasks[i].matrix = adapted{p.matrix, p.b, low}
		}
	}
	multiply(x, tasks...)
}

// adapted is a matrix with an adapter's second half over it; low is the input after the first half, times the adapter's weight.
type adapted struct {
	matrix
	b, low []float32
}

// Multiply implements matrix.
func (a adapted) Multiply(y []float32, x *kernel.Rows, from, to int) {
	a.matrix.Multiply(y, x, from, to)
	out, rank := a.Rows(), len(a.low)/x.Len()
	for i := range x.Len() {
		for r, v := range a.low[i*rank : (i+1)*rank] {
			kernel.AddScaled(y[i*out+from:i*out+to], a.b[r*out+from:r*out+to], v)
		}
	}
}

// task is a matrix to multiply by and where its results go.
type task struct {
	matrix
	y []float32
}

const (
	// shares is into how many parts a core's work is cut, so that cores end together; leastShare keeps parts of whole tiles that are worth
	// handing out.
	shares     = 8
	leastShare = 64
)

// multiply computes matrices times x on all cores.
func multiply(x *kernel.Rows, tasks ...task) {
	rows := 0
	for _, t := range tasks {
		rows += t.Rows()
	}
	share := max(rows/(shares*runtime.GOMAXPROCS(0))/leastShare, 1) * leastShare
	var ends []int
	total := 0
	for _, t := range tasks {
		total += (t.Rows() + share - 1) / share
		ends = append(ends, total)
	}
	team.Share(total, func(at int) {
		k := 0
		for at >= ends[k] {
			k++
		}
		t := tasks[k]
		if k > 0 {
			at -= ends[k-1]
		}
		t.Multiply(t.y, x, at*share, min((at+1)*share, t.Rows()))
	})
}
