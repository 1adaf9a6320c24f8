package llama

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"sync"
	"time"

	"llamaxr/inference/engine"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
)

// Bounds of one generation.
const (
	// maxContext is the most positions a KV cache is made for here.
	maxContext = 4096
	// prefillStep: a prompt is padded to a multiple of it, so that few lengths are compiled.
	prefillStep = 32
	// maxParameters is what is dequantised to float32 when a model is loaded: 8 GB. Larger ones would exhaust a machine silently.
	maxParameters = 2_000_000_000
)

// Names of a PEFT folder's files.
const (
	AdapterConfigFile  = "adapter_config.json"
	AdapterWeightsFile = "adapter_model.safetensors"
)

// AdapterManifestFile lies beside an adapter and names the prompt template it was trained on.
const AdapterManifestFile = "manifest.json"

// AdapterManifest is what an adapter needs besides its weights.
type AdapterManifest struct {
	Template string `json:"template"`
	// Base is the digest of the language model it was made for, empty where that is not known.
	Base string `json:"base_digest,omitempty"`
}

// ErrPromptTooLong is returned when prompt and response do not fit the model's positions.
var ErrPromptTooLong = errors.New("llama: prompt and response do not fit the model's context")

// Model writes text. It is safe for concurrent use; generations run one after another.
type Model struct {
	Config    *Config
	Tokenizer *Tokenizer

	mu      sync.Mutex
	stops   map[int]bool // tokens that end a text
	exec    *Exec
	names   []string
	weights []any
	adapter []any // A and B for every linear layer; zeros when there is none
	rank    int
	alpha   int
	context int
	cos     []float32 // of all positions
	sin     []float32
	eng     *engine.Engine
}

// Load reads a model's folder.
func Load(eng *engine.Engine, files fs.FS) (*Model, error) {
	read := func(name string) ([]byte, error) {
		data, err := fs.ReadFile(files, name)
		if err != nil {
			return nil, fmt.Errorf("llama: %w", err)
		}
		return data, nil
	}
	text, err := read(ConfigFile)
	if err != nil {
		return nil, err
	}
	config, err := ParseConfig(text)
	if err != nil {
		return nil, err
	}
	if n := config.parameters(); n > maxParameters {
		return nil, fmt.Errorf("llama: %d million parameters, more than the %d million that are computed with in float32", n/1e6, maxParameters/1_000_000)
	}
	tokenizer, err := read(TokenizerFile)
	if err != nil {
		return nil, err
	}
	data, err := read(WeightsFile)
	if err != nil {
		return nil, err
	}
	weights, err := ReadWeights(config, data)
	if err != nil {
		return nil, err
	}
	return build(eng, config, tokenizer, weights)
}

// LoadSource loads a model from where it was found, its values as they are there.
func LoadSource(eng *engine.Engine, s *Source) (*Model, error) {
	weights, err := s.Weights()
	if err != nil {
		return nil, err
	}
	return build(eng, s.Config, s.Tokenizer, weights)
}

func build(eng *engine.Engine, config *Config, tokenizer []byte, weights Weights) (*Model, error) {
	m := &Model{eng: eng, Config: config}
	var err error
	if m.Tokenizer, err = ParseTokenizer(tokenizer); err != nil {
		return nil, err
	}
	if err := m.Tokenizer.fit(config); err != nil {
		return nil, err
	}
	m.stops = map[int]bool{m.Tokenizer.EOS: true}
	for _, id := range config.EOS {
		m.stops[id] = true
	}
	shape := config.shapes()
	for _, name := range slices.Sorted(maps.Keys(weights)) { // in one order, so that the same model compiles to the same program
		m.names = append(m.names, name)
		m.weights = append(m.weights, tensors.FromFlatDataAndDimensions(weights[name], shape[name]...))
	}
	m.context = min(config.MaxPositions, maxContext)
	m.cos, m.sin = config.Rotary(m.context)
	return m, m.compile()
}

// SetAdapter puts a PEFT folder's adapter over the base; the base stays as it is.
func (m *Model) SetAdapter(files fs.FS) error {
	config, err := fs.ReadFile(files, AdapterConfigFile)
	if err != nil {
		return fmt.Errorf("llama: %w", err)
	}
	data, err := fs.ReadFile(files, AdapterWeightsFile)
	if err != nil {
		return fmt.Errorf("llama: %w", err)
	}
	a, err := ReadAdapter(m.Config, config, data)
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.rank, m.alpha, m.adapter = a.Rank, a.Alpha, nil
	for _, l := range m.Config.Linears() {
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
	return m.compile()
}

// ReadAdapterManifest reads the manifest beside an adapter.
func ReadAdapterManifest(files fs.FS) (AdapterManifest, error) {
	var manifest AdapterManifest
	data, err := fs.ReadFile(files, AdapterManifestFile)
	if err != nil {
		return manifest, fmt.Errorf("llama: adapter: %w", err)
	}
	if err := json.Unmarshal(data, &manifest); err != nil {
		return manifest, fmt.Errorf("llama: adapter: %s: %w", AdapterManifestFile, err)
	}
	return manifest, nil
}

func (m *Model) compile() error {
	exec, err := NewExec(m.eng.Backend, m.graph)
	if err != nil {
		return fmt.Errorf("llama: %w", err)
	}
	if m.exec != nil {
		m.exec.Finalize()
	}
	m.exec = exec
	return nil
}

// graph is one pass. Inputs: tokens [1, T], the first one's position, the row whose successor is wanted, cos and sin of the
// positions [T, HeadDim], K and V caches of each layer [1, S, KVHeads, HeadDim], weights, adapter. Outputs: the most likely next
// token, its logits, the caches.
func (m *Model) graph(in []*Node) []*Node {
	c := m.Config
	tokens, position, last := in[0], in[1], in[2]
	cos, sin := in[3], in[4]
	caches := in[5 : 5+2*c.Layers]
	weights := in[5+2*c.Layers : 5+2*c.Layers+len(m.names)]
	adapter := in[5+2*c.Layers+len(m.names):]
	g := tokens.Graph()
	t := tokens.Shape().Dimensions[1]
	byName := map[string]*Node{}
	for i, name := range m.names {
		byName[name] = weights[i]
	}
	updated := make([]*Node, 2*c.Layers)
	network := Network{
		Config: c,
		Weight: func(name string) *Node { return byName[name] },
		Cache: func(layer int, k, v *Node) (*Node, *Node) {
			updated[2*layer] = m.place(caches[2*layer], k, position)
			updated[2*layer+1] = m.place(caches[2*layer+1], v, position)
			return updated[2*layer], updated[2*layer+1]
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
	row := Add(Iota(g, shapes.Make(dtypes.Int32, t, m.context), 0), BroadcastToDims(position, t, m.context))
	allowed := LessOrEqual(Iota(g, shapes.Make(dtypes.Int32, t, m.context), 1), row)
	x := Gather(byName[EmbeddingName], InsertAxes(tokens, -1))
	x = network.Forward(x, cos, sin, allowed)
	x = Gather(Reshape(x, t, c.HiddenSize), Reshape(last, 1, 1))
	logits := Reshape(network.Logits(x), c.VocabSize)
	return append([]*Node{ArgMax(logits, 0, dtypes.Int32), logits}, updated...)
}

// place puts new rows [1, T, KVHeads, HeadDim] into a cache from position on: in place where the engine can, else (GoMLX's pure-Go
// backend) by choosing for every row of the cache between itself and a new one.
func (m *Model) place(cache, rows, position *Node) *Node {
	g := cache.Graph()
	if m.eng.Backend.Capabilities().Operations[compute.OpTypeDynamicUpdateSlice] {
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

// Result is a generated text and what it cost.
type Result struct {
	Text            string
	PromptTokens    int
	NewTokens       int
	Prefill, Decode time.Duration
	Finished        bool // the model ended the text itself
}

// Generate continues prompt greedily for at most limit tokens.
func (m *Model) Generate(ctx context.Context, prompt string, limit int) (*Result, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	ids := m.Tokenizer.Prompt(prompt)
	padded := (len(ids) + prefillStep - 1) / prefillStep * prefillStep
	if padded+limit > m.context {
		return nil, fmt.Errorf("%w: %d + %d of %d", ErrPromptTooLong, padded, limit, m.context)
	}
	result := &Result{PromptTokens: len(ids)}
	caches := m.emptyCaches()
	tokens := make([]int32, padded)
	for i, id := range ids {
		tokens[i] = int32(id)
	}
	started := time.Now()
	next, caches, err := m.pass(tokens, 0, len(ids)-1, caches)
	if err != nil {
		return nil, err
	}
	result.Prefill = time.Since(started)
	started = time.Now()
	var out []int
	for len(out) < limit {
		if m.stops[next] {
			result.Finished = true
			break
		}
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("llama: generating: %w", err)
		}
		out = append(out, next)
		if next, caches, err = m.pass([]int32{int32(next)}, len(ids)+len(out)-1, 0, caches); err != nil {
			return nil, err
		}
	}
	result.Decode = time.Since(started)
	result.NewTokens = len(out)
	result.Text = m.Tokenizer.Decode(out)
	return result, nil
}

func (m *Model) emptyCaches() []*tensors.Tensor {
	caches := make([]*tensors.Tensor, 2*m.Config.Layers)
	for i := range caches {
		caches[i] = tensors.FromShape(shapes.Make(dtypes.Float32, 1, m.context, m.Config.KVHeads, m.Config.HeadDim))
	}
	return caches
}

func (m *Model) pass(tokens []int32, position, last int, caches []*tensors.Tensor) (int, []*tensors.Tensor, error) {
	next, caches, _, err := m.step(tokens, position, last, caches)
	return next, caches, err
}

// step runs the graph over tokens from a position on and returns the most likely token after the last, the caches, and the logits.
func (m *Model) step(tokens []int32, position, last int, caches []*tensors.Tensor) (int, []*tensors.Tensor, *tensors.Tensor, error) {
	args := m.arguments(tokens, position, last)
	for _, cache := range caches {
		donated, err := DonateTensorBuffer(cache, m.eng.Backend, 0)
		if err != nil {
			return 0, nil, nil, fmt.Errorf("llama: %w", err)
		}
		args = append(args, donated)
	}
	args = append(append(args, m.weights...), m.adapter...)
	out, err := m.exec.Call(args...)
	if err != nil {
		return 0, nil, nil, fmt.Errorf("llama: %w", err)
	}
	next := tensors.ToScalar[int32](out[0])
	return int(next), out[2:], out[1], nil
}

// arguments are the inputs of a pass before its caches.
func (m *Model) arguments(tokens []int32, position, last int) []any {
	t, d := len(tokens), m.Config.HeadDim
	return []any{
		tensors.FromFlatDataAndDimensions(tokens, 1, t), int32(position), int32(last),
		tensors.FromFlatDataAndDimensions(m.cos[position*d:(position+t)*d], t, d),
		tensors.FromFlatDataAndDimensions(m.sin[position*d:(position+t)*d], t, d),
	}
}

// Logits returns the scores over the vocabulary after the given tokens, for tests against reference programs.
func (m *Model) Logits(ids []int) ([]float32, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	tokens := make([]int32, len(ids))
	for i, id := range ids {
		tokens[i] = int32(id)
	}
	_, _, logits, err := m.step(tokens, 0, len(ids)-1, m.emptyCaches())
	if err != nil {
		return nil, err
	}
	return values(logits), nil
}

func values(t *tensors.Tensor) (out []float32) {
	t.MustConstFlatData(func(flat any) { out = append(out, flat.([]float32)...) })
	return out
}
