package xrv

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"sync"

	"llamaxr/inference/drift"
	"llamaxr/inference/engine"
	"llamaxr/inference/kernel"
	"llamaxr/inference/safetensors"
	"llamaxr/study"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
)

// maxBatch bounds the views scored at once, and so the memory of one call (about 60 MB a view).
const maxBatch = 4

// Model scores views. It is safe for concurrent use; calls run one after another.
type Model struct {
	card    *Card
	at      [study.NumFindings]int
	engine  *engine.Engine
	mu      sync.Mutex
	exec    *Exec
	called  [maxBatch + 1]bool // with so many views: a graph of its own
	tensors []any
	native  *native // in place of the graph, where there is one
}

// Kind is what computes.
type Kind int

// Kinds. Auto is our own code for a DenseNet on a processor that it knows, unless there is a GPU, else the engine's graph.
const (
	Auto Kind = iota
	OnGraph
)

// Load makes a model from safetensors bytes under the network's own names: torchxrayvision's, or torchvision's.
func Load(eng *engine.Engine, data []byte, card *Card) (*Model, error) {
	file, err := safetensors.Open(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return nil, fmt.Errorf("xrv: %w", err)
	}
	return LoadTensors(eng, file, card, Auto)
}

// LoadTensors makes a model of tensors.
func LoadTensors(eng *engine.Engine, from Tensors, card *Card, kind Kind) (*Model, error) {
	if card.Input.Size == 0 {
		card.Input = Radiograph(study.InputSize)
	}
	net, _, w, err := open(from, card)
	if err != nil {
		return nil, err
	}
	m := &Model{card: card, engine: eng}
	if m.at, err = card.positions(); err != nil {
		return nil, err
	}
	if s, ok := net.(Shape); ok && kind == Auto && eng.Name != engine.XLACUDA {
		if m.native = nativeOf(s, w, card.Input); m.native != nil {
			return m, nil
		}
	}
	for i, values := range w.values {
		m.tensors = append(m.tensors, tensors.FromFlatDataAndDimensions(values, w.shapes[i]...))
	}
	backend, err := eng.Backend()
	if err != nil {
		return nil, err
	}
	m.exec, err = NewExec(backend, func(inputs []*Node) []*Node {
		p := map[string]*Node{}
		for i, name := range w.names {
			p[name] = inputs[i+1]
		}
		logits, cam := net.forward(func(name string) *Node { return p[name] }, normalise(inputs[0], card.Input))
		if cam == nil {
			return []*Node{logits}
		}
		return []*Node{logits, cam}
	})
	if err != nil {
		return nil, fmt.Errorf("xrv: %w", err)
	}
	return m, nil
}

// normalise is what brings levels from -1024 to 1024 to what the network takes in a channel: scale and shift.
func (in Input) normalise(channel int) (scale, shift float32) {
	return float32(1 / (2048 * in.Std[channel])), float32((0.5 - in.Mean[channel]) / in.Std[channel])
}

// normalise brings levels from -1024 to 1024 [N, S, S, 1] to what the network takes [N, S, S, C].
func normalise(x *Node, in Input) *Node {
	scale, shift := make([]float32, len(in.Mean)), make([]float32, len(in.Mean))
	same := true
	for i := range in.Mean {
		scale[i], shift[i] = in.normalise(i)
		same = same && scale[i] == 1 && shift[i] == 0
	}
	if same && len(scale) == 1 {
		return x
	}
	return Add(Mul(x, Reshape(Const(x.Graph(), scale), 1, 1, 1, -1)), Reshape(Const(x.Graph(), shift), 1, 1, 1, -1))
}

// Engine names what computes.
func (m *Model) Engine() string {
	if m.native != nil {
		return "cpu:" + kernel.Name()
	}
	return m.engine.Name
}

// Reference is how the model's scores are distributed where it was measured, nil where nobody did.
func (m *Model) Reference() *drift.Reference { return m.card.Reference }

// InputSize is the side in pixels of the views that the model takes.
func (m *Model) InputSize() int { return m.card.Input.Size }

// Score returns the calibrated scores of each view and its class-activation maps: one per finding over a grid of 7 x 7 cells (at 224 pixels),
// values in [0, 1] with 1 where the view speaks most for the finding (CAM: Zhou et al. 2016, arXiv 1512.04150). Findings that the model
// does not know are not scored. Up to four views.
func (m *Model) Score(ctx context.Context, views []study.Normalised) ([]study.Scores, [][]study.HeatMap, error) {
	out, err := m.run(ctx, views)
	if err != nil {
		return nil, nil, err
	}
	scores := make([]study.Scores, len(views))
	maps := make([][]study.HeatMap, len(views))
	for v := range views {
		for _, f := range study.Findings() {
			label := m.at[f]
			if label == none {
				scores[v][f] = study.NotScored()
				continue
			}
			scores[v][f] = float32(Calibrated(out.logits[v*out.labels+label], m.card.Thresholds[label]))
			if values := out.cells(v, label); values != nil {
				maps[v] = append(maps[v], heatMap(f, out.grid, values, views[v].Geometry))
			}
		}
	}
	return scores, maps, nil
}

// Raw returns what the network itself gives for each view: the logit of every output in the card's order, and each output's map of cells row
// by row, nil where the architecture has none. Calibrated makes scores of logits.
func (m *Model) Raw(ctx context.Context, views []study.Normalised) (logits [][]float32, maps [][][]float32, err error) {
	out, err := m.run(ctx, views)
	if err != nil {
		return nil, nil, err
	}
	logits, maps = make([][]float32, len(views)), make([][][]float32, len(views))
	for v := range views {
		logits[v] = out.logits[v*out.labels : (v+1)*out.labels]
		for label := range out.labels {
			maps[v] = append(maps[v], out.cells(v, label))
		}
	}
	return logits, maps, nil
}

// Calibrated is an output's score: the sigmoid of its logit, normalised by its operating point so that 0.5 is at it. Without one it is 0.5, as
// torchxrayvision has it.
func Calibrated(logit float32, threshold *float64) float64 {
	return opNorm(1/(1+math.Exp(-float64(logit))), threshold)
}

// outputs are those of one call, flat: logits [views, labels] and maps [views, grid, grid, labels].
type outputs struct {
	logits, cam  []float32
	labels, grid int
}

// cells is the map of one label, nil where the architecture has none.
func (o *outputs) cells(view, label int) []float32 {
	if o.cam == nil {
		return nil
	}
	values := make([]float32, o.grid*o.grid)
	for c := range values {
		values[c] = o.cam[(view*len(values)+c)*o.labels+label]
	}
	return values
}

func (m *Model) run(ctx context.Context, views []study.Normalised) (*outputs, error) {
	if len(views) == 0 || len(views) > maxBatch {
		return nil, fmt.Errorf("xrv: %d views, want 1 to %d", len(views), maxBatch)
	}
	side := m.card.Input.Size
	input := make([]float32, 0, len(views)*side*side)
	for i, v := range views {
		if len(v.Pixels) != side*side {
			return nil, fmt.Errorf("xrv: view %d has %d pixels, want %d", i, len(v.Pixels), side*side)
		}
		input = append(input, v.Pixels...)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("xrv: scoring: %w", err)
	}
	if m.native != nil {
		return m.native.run(input, len(views)), nil
	}
	args := append([]any{tensors.FromFlatDataAndDimensions(input, len(views), side, side, 1)}, m.tensors...)
	got, err := m.exec.Call(args...)
	if err != nil {
		return nil, fmt.Errorf("xrv: scoring: %w", err)
	}
	if first := !m.called[len(views)]; first {
		m.called[len(views)] = true
		m.engine.Compiled()
	}
	out := &outputs{logits: flat(got[0]), labels: len(m.card.Labels)}
	if len(got) > 1 {
		out.cam, out.grid = flat(got[1]), got[1].Shape().Dimensions[1]
	}
	return out, nil
}

func flat(t *tensors.Tensor) []float32 {
	var out []float32
	t.MustConstFlatData(func(data any) { out = append(out, data.([]float32)...) })
	return out
}
