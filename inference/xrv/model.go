package xrv

import (
	"context"
	"fmt"
	"math"
	"sync"

	"llamaxr/inference/engine"
	"llamaxr/inference/safetensors"
	"llamaxr/study"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
)

// maxBatch bounds the views scored at once, and so the memory of one call (about 60 MB a view).
const maxBatch = 4

// Model scores views. It is safe for concurrent use; calls run one after another.
type Model struct {
	card     *Card
	at       [study.NumFindings]int
	mu       sync.Mutex
	exec     *Exec
	tensors  []any
	gridSize int
}

// Load makes a model from safetensors bytes under torchxrayvision's names.
func Load(eng *engine.Engine, data []byte, card *Card) (*Model, error) {
	file, err := safetensors.Parse(data)
	if err != nil {
		return nil, fmt.Errorf("xrv: %w", err)
	}
	w, err := readWeights(file, len(card.Labels))
	if err != nil {
		return nil, err
	}
	at, err := card.positions()
	if err != nil {
		return nil, err
	}
	m := &Model{card: card, at: at, gridSize: study.InputSize / Stride}
	for i, values := range w.values {
		m.tensors = append(m.tensors, tensors.FromFlatDataAndDimensions(values, w.shapes[i]...))
	}
	m.exec, err = NewExec(eng.Backend, func(inputs []*Node) []*Node {
		p := map[string]*Node{}
		for i, name := range w.names {
			p[name] = inputs[i+1]
		}
		net := Network{
			Weight: func(name string) *Node { return p[name] },
			Norm: func(name string, x *Node) *Node {
				return Add(Mul(x, ExpandLeftToRank(p[name+".scale"], 4)), ExpandLeftToRank(p[name+".shift"], 4))
			},
		}
		features := net.Forward(inputs[0])
		d := features.Shape().Dimensions
		flat := Reshape(features, d[0]*d[1]*d[2], Features)
		head := Transpose(p["classifier.weight"], 0, 1)
		cam := Reshape(MatMul(flat, head), d[0], d[1]*d[2], head.Shape().Dimensions[1])
		logits := Add(ReduceMean(cam, 1), ExpandLeftToRank(p["classifier.bias"], 2))
		return []*Node{logits, cam}
	})
	if err != nil {
		return nil, fmt.Errorf("xrv: %w", err)
	}
	return m, nil
}

// Score returns the calibrated scores of each view and its class-activation maps: one per finding over a grid of 7 x 7 cells,
// values in [0, 1] with 1 where the view speaks most for the finding (CAM: Zhou et al. 2016, arXiv 1512.04150). Up to four views.
func (m *Model) Score(ctx context.Context, views []study.Normalised) ([]study.Scores, [][]study.HeatMap, error) {
	if len(views) == 0 || len(views) > maxBatch {
		return nil, nil, fmt.Errorf("xrv: %d views, want 1 to %d", len(views), maxBatch)
	}
	const side = study.InputSize
	input := make([]float32, 0, len(views)*side*side)
	for i, v := range views {
		if len(v.Pixels) != side*side {
			return nil, nil, fmt.Errorf("xrv: view %d has %d pixels, want %d", i, len(v.Pixels), side*side)
		}
		input = append(input, v.Pixels...)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return nil, nil, fmt.Errorf("xrv: scoring: %w", err)
	}
	args := append([]any{tensors.FromFlatDataAndDimensions(input, len(views), side, side, 1)}, m.tensors...)
	out, err := m.exec.Call(args...)
	if err != nil {
		return nil, nil, fmt.Errorf("xrv: scoring: %w", err)
	}
	logits, cam := flat(out[0]), flat(out[1])
	cells, labels := m.gridSize*m.gridSize, len(m.card.Labels)
	scores := make([]study.Scores, len(views))
	maps := make([][]study.HeatMap, len(views))
	for v := range views {
		for _, f := range study.Findings() {
			label := m.at[f]
			p := 1 / (1 + math.Exp(-float64(logits[v*labels+label])))
			scores[v][f] = float32(opNorm(p, m.card.Thresholds[label]))
			values := make([]float32, cells)
			for c := range values {
				values[c] = cam[(v*cells+c)*labels+label]
			}
			maps[v] = append(maps[v], heatMap(f, m.gridSize, values, views[v].Geometry))
		}
	}
	return scores, maps, nil
}

func flat(t *tensors.Tensor) []float32 {
	var out []float32
	t.MustConstFlatData(func(data any) { out = append(out, data.([]float32)...) })
	return out
}
