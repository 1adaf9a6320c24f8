package llama

import (
	"fmt"
	"maps"
	"slices"

	"llamaxr/inference/engine"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
)

const (
	// prefillStep: a prompt is padded to a multiple of it, so that few lengths are compiled.
	prefillStep = 32
	// attendStep: as many positions as are filled are attended to, in multiples of it: a draft's text compiles once.
	attendStep = 1024
)

// graphMachine computes through GoMLX, on whatever engine is there, in float32. Weights lie on its device as they lie in a pack: NF4 in 4 bits,
// embedding and head in 16.
type graphMachine struct {
	config    *Config
	engine    string
	backend   compute.Backend
	exec      *Exec
	names     []string // of weights, sorted, so that the same model compiles to the same program
	packed    map[string]bool
	weights   []any // of each name one input, or Packed's two
	footprint Footprint
	adapter   []any // A and B for every linear layer; zeros when there is none
	rank      int
	alpha     int
	prefix    Prefix // before the text
	context   int
	cos, sin  []float32 // of all positions
	caches    []*tensors.Tensor
	last      []float32 // scores of the last pass
}

func newGraphMachine(eng *engine.Engine, s *Source, context int) (*graphMachine, error) {
	if eng.Name != engine.XLACUDA { // a GPU says itself what it has no room for; a machine without it ends other programs
		if err := s.fits(); err != nil {
			return nil, err
		}
	}
	backend, err := eng.Backend()
	if err != nil {
		return nil, err
	}
	m := &graphMachine{config: s.Config, engine: eng.Name, backend: backend, context: context, packed: map[string]bool{}}
	m.names = slices.Sorted(maps.Keys(s.Config.shapes()))
	for _, name := range m.names {
		inputs, err := s.Tensors(backend, name)
		if err != nil {
			return nil, fmt.Errorf("llama: tensor %s: %w", name, err)
		}
		m.packed[name] = len(inputs) == 2
		for _, t := range inputs {
			if err := t.ToDevice(backend, 0); err != nil {
				return nil, fmt.Errorf("llama: tensor %s: %w", name, err)
			}
			m.weights = append(m.weights, t)
			m.footprint.Bytes += t.ByteSize()
			if name != EmbeddingName || s.Config.TieWordEmbeddings {
				m.footprint.Read += t.ByteSize()
			}
		}
		m.footprint.Values += int64(elements(s.weights[name].shape))
	}
	m.cos, m.sin = s.Config.Rotary(context)
	m.empty()
	return m, m.compile()
}

// Footprint is what the weights of a model take on the device of a graph.
type Footprint struct {
	Values, Bytes int64
	Read          int64 // bytes that a token's pass reads: all but an embedding's that is not the head too
}

// Footprint is zero where no graph computes.
func (m *Model) Footprint() Footprint {
	if graph, ok := m.machine.(*graphMachine); ok {
		return graph.footprint
	}
	return Footprint{}
}

func (m *graphMachine) name() string { return m.engine }

func (m *graphMachine) mostTexts() int { return 1 }

func (m *graphMachine) forget() {}

func (m *graphMachine) mostWanted() int { return 1 }

func (m *graphMachine) invariant() bool { return false }

func (m *graphMachine) adapt(a *Adapter) error {
	m.rank, m.alpha, m.prefix, m.adapter = 0, 0, Prefix{}, nil
	if a != nil && a.Prefix.Tokens > 0 {
		m.prefix = a.Prefix
		m.empty()
	}
	if a != nil && a.Rank > 0 {
		m.rank, m.alpha = a.Rank, a.Alpha
		for _, l := range m.config.Linears() {
			for _, part := range []struct {
				values []float32
				shape  []int
			}{{a.A[l.Name], []int{a.Rank, l.In}}, {a.B[l.Name], []int{l.Out, a.Rank}}} {
				if part.values == nil {
					part.values = make([]float32, part.shape[0]*part.shape[1])
				}
				m.adapter = append(m.adapter, tensors.FromFlatDataAndDimensions(part.values, part.shape...))
			}
		}
	}
	return m.compile()
}

// empty makes caches that hold the prefix and nothing else.
func (m *graphMachine) empty() {
	c := m.config
	m.caches = make([]*tensors.Tensor, 2*c.Layers)
	for i := range m.caches {
		m.caches[i] = tensors.FromShape(shapes.Make(dtypes.Float32, 1, m.context, c.KVHeads, c.HeadDim))
	}
	m.prefix.each(c, func(token, layer, part, head int, values []float32) {
		tensors.MustMutableFlatData(m.caches[2*layer+part], func(flat []float32) {
			copy(flat[(token*c.KVHeads+head)*c.HeadDim:], values)
		})
	})
}

// forward implements machine. A prompt is padded: the rows that are too many come last and are overwritten by what follows.
func (m *graphMachine) forward(parts ...part) error {
	tokens, from := parts[0].tokens, parts[0].from+m.prefix.Tokens
	padded := len(tokens)
	if padded > 1 {
		padded = min((padded+prefillStep-1)/prefillStep*prefillStep, m.context-from)
	}
	if padded < len(tokens) {
		return fmt.Errorf("%w: %d + %d of %d", ErrPromptTooLong, from, len(tokens), m.context)
	}
	places := make([]int32, min((from+padded+attendStep-1)/attendStep*attendStep, m.context))
	for i := range places {
		places[i] = int32(i)
	}
	ids := make([]int32, padded)
	for i, id := range tokens {
		ids[i] = int32(id)
	}
	d := m.config.HeadDim
	args := []any{
		tensors.FromFlatDataAndDimensions(ids, 1, padded), int32(from), int32(len(tokens) - 1), tensors.FromFlatDataAndDimensions(places, 1, len(places)),
		tensors.FromFlatDataAndDimensions(m.cos[from*d:(from+padded)*d], padded, d),
		tensors.FromFlatDataAndDimensions(m.sin[from*d:(from+padded)*d], padded, d),
	}
	passed := false
	defer func() { // what was donated to a pass that failed is gone; each text begins at its first token
		if !passed {
			m.empty()
		}
	}()
	for _, cache := range m.caches {
		donated, err := DonateTensorBuffer(cache, m.backend, 0)
		if err != nil {
			return fmt.Errorf("llama: %w", err)
		}
		args = append(args, donated)
	}
	out, err := m.exec.Call(append(append(args, m.weights...), m.adapter...)...)
	if err != nil {
		return fmt.Errorf("llama: %w", err)
	}
	if err := out[0].ConstFlatData(func(flat any) { m.last = append(m.last[:0], flat.([]float32)...) }); err != nil {
		return fmt.Errorf("llama: %w", err)
	}
	m.caches, passed = out[1:], true
	return nil
}

func (m *graphMachine) scores() [][]float32 { return [][]float32{m.last} }

func (m *graphMachine) best() []int { return bestOf(m.scores()) }

// graph is one pass. Inputs: tokens [1, T], the first one's position, the row whose successor is wanted, the positions to attend to [1, A] from 0,
// cos and sin of the tokens' positions [T, HeadDim], K and V caches of each layer [1, S, KVHeads, HeadDim], weights, adapter. Outputs: the scores of
// the next token, the caches.
func (m *graphMachine) graph(in []*Node) []*Node {
	c := m.config
	tokens, position, last, places := in[0], in[1], in[2], in[3]
	cos, sin := in[4], in[5]
	caches := in[6 : 6+2*c.Layers]
	weights := in[6+2*c.Layers:]
	g := tokens.Graph()
	t := tokens.Shape().Dimensions[1]
	byName, packed, shape := map[string]*Node{}, map[string]Packed{}, c.shapes()
	for _, name := range m.names {
		if m.packed[name] {
			packed[name] = Packed{Out: shape[name][0], In: shape[name][1], Codes: weights[0], Magnitudes: weights[1]}
			weights = weights[2:]
		} else {
			byName[name] = weights[0]
			weights = weights[1:]
		}
	}
	adapter := weights // what is left
	updated := make([]*Node, 2*c.Layers)
	network := Network{
		Config: c,
		Weight: func(name string) *Node { return byName[name] },
		Packed: func(name string) (Packed, bool) {
			p, ok := packed[name]
			return p, ok
		},
		Cache: func(layer int, k, v *Node) (*Node, *Node) {
			updated[2*layer] = m.place(caches[2*layer], k, position)
			updated[2*layer+1] = m.place(caches[2*layer+1], v, position)
			attended := func(cache *Node) *Node { return Slice(cache, AxisRange(), AxisRange(0, places.Shape().Dimensions[1])) }
			return attended(updated[2*layer]), attended(updated[2*layer+1])
		},
	}
	if len(adapter) > 0 {
		scale := float64(m.alpha) / float64(m.rank)
		at := map[string]int{}
		for i, l := range c.Linears() {
			at[l.Name] = 2 * i
		}
		network.Adapter = func(name string, x *Node) *Node {
			i := at[name]
			return MulScalar(Einsum("rk,ok->ro", Einsum("ri,ki->rk", x, adapter[i]), adapter[i+1]), scale)
		}
	}
	square := shapes.Make(dtypes.Int32, t, places.Shape().Dimensions[1])
	row := Add(Iota(g, square, 0), BroadcastToShape(position, square))
	allowed := LessOrEqual(BroadcastToShape(places, square), row)
	x := ConvertDType(Gather(byName[EmbeddingName], InsertAxes(tokens, -1)), dtypes.Float32)
	x = network.Forward(x, cos, sin, allowed)
	x = Gather(Reshape(x, t, c.HiddenSize), Reshape(last, 1, 1))
	logits := Reshape(network.Logits(x), c.VocabSize)
	return append([]*Node{logits}, updated...)
}

// place puts new rows [1, T, KVHeads, HeadDim] into a cache from position on: in place where the engine can, else (GoMLX's pure-Go
// backend) by choosing for every row of the cache between itself and a new one.
func (m *graphMachine) place(cache, rows, position *Node) *Node {
	g := cache.Graph()
	if m.backend.Capabilities().Operations[compute.OpTypeDynamicUpdateSlice] {
		zero := ScalarZero(g, dtypes.Int32)
		return DynamicUpdateSlice(cache, rows, []*Node{zero, position, zero, zero})
	}
	d := rows.Shape().Dimensions
	source := Sub(Iota(g, shapes.Make(dtypes.Int32, m.context, 1), 0), BroadcastToDims(position, m.context, 1))
	isNew := And(GreaterOrEqual(source, ZerosLike(source)), LessThan(source, ConstAs(source, int32(d[1]))))
	source = MinScalar(MaxScalar(source, 0), float64(d[1]-1))
	spread := Reshape(Gather(Reshape(rows, d[1], d[2], d[3]), source), 1, m.context, d[2], d[3])
	return Where(BroadcastToShape(Reshape(isNew, 1, m.context, 1, 1), cache.Shape()), spread, cache)
}

func (m *graphMachine) compile() error {
	exec, err := NewExec(m.backend, m.graph)
	if err != nil {
		return fmt.Errorf("llama: %w", err)
	}
	if m.exec != nil {
		m.exec.Finalize()
	}
	m.exec = exec
	return nil
}
