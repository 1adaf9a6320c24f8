package xrv

import (
	"encoding/json"
	"fmt"
	"math"

	"llamaxr/inference/safetensors"
	"llamaxr/study"
)

// NormEpsilon is torch's BatchNorm2d default.
const NormEpsilon = 1e-5

// Card describes a set of weights: what its outputs mean.
type Card struct {
	Name string `json:"name"`
	// Labels are the outputs' names in the model's own order.
	Labels []string `json:"labels"`
	// Thresholds are the operating points of the sigmoid, by label; a missing or null one makes the score 0.5 (op_norm of NaN).
	Thresholds []*float64 `json:"thresholds"`
	// Record is the training's record, for people.
	Record json.RawMessage `json:"record,omitempty"`
}

// ParseCard reads and checks a card: every finding must be among the labels, once.
func ParseCard(data []byte) (*Card, error) {
	card := new(Card)
	if err := json.Unmarshal(data, card); err != nil {
		return nil, fmt.Errorf("xrv: card: %w", err)
	}
	if len(card.Thresholds) != len(card.Labels) {
		return nil, fmt.Errorf("xrv: card has %d labels and %d thresholds", len(card.Labels), len(card.Thresholds))
	}
	if _, err := card.positions(); err != nil {
		return nil, err
	}
	return card, nil
}

// positions returns, for each finding, its place among the outputs. It maps by name, never by position.
func (c *Card) positions() ([study.NumFindings]int, error) {
	var at [study.NumFindings]int
	var seen [study.NumFindings]bool
	for i, label := range c.Labels {
		f, err := study.ParseFinding(label)
		if err != nil {
			continue // a label that the report does not use
		}
		if seen[f] {
			return at, fmt.Errorf("xrv: card names %s twice", f)
		}
		at[f], seen[f] = i, true
	}
	for i, ok := range seen {
		if !ok {
			return at, fmt.Errorf("xrv: card has no label %s", study.Finding(i))
		}
	}
	return at, nil
}

// opNorm maps a sigmoid onto [0, 1] with the threshold at 0.5 (torchxrayvision 1.5.7, xrv.models.op_norm).
func opNorm(p float64, threshold *float64) float64 {
	switch {
	case threshold == nil || math.IsNaN(*threshold):
		return 0.5
	case p < *threshold:
		return p / (2 * *threshold)
	}
	return 1 - (1-p)/(2*(1-*threshold))
}

// weights are the parameters in the form the graph takes: kernels as matrices, norms as scale and shift.
type weights struct {
	names  []string
	values [][]float32
	shapes [][]int
}

func (w *weights) add(name string, shape []int, values []float32) {
	w.names, w.values, w.shapes = append(w.names, name), append(w.values, values), append(w.shapes, shape)
}

// readWeights converts a state dict. A missing, misshapen or non-finite tensor is an error that names it.
func readWeights(file *safetensors.File, outputs int) (*weights, error) {
	get := func(name string, shape []int) ([]float32, error) {
		t, ok := file.Tensors[name]
		if !ok {
			return nil, fmt.Errorf("xrv: tensor %s is missing", name)
		}
		if fmt.Sprint(t.Shape) != fmt.Sprint(shape) {
			return nil, fmt.Errorf("xrv: tensor %s has shape %v, want %v", name, t.Shape, shape)
		}
		values, err := t.Floats()
		if err != nil {
			return nil, fmt.Errorf("xrv: tensor %s: %w", name, err)
		}
		for i, v := range values {
			if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
				return nil, fmt.Errorf("xrv: tensor %s has %g at %d", name, v, i)
			}
		}
		return values, nil
	}
	w := new(weights)
	convolutions, norms := Layout()
	for _, p := range convolutions {
		values, err := get(p.Name, p.Shape)
		if err != nil {
			return nil, err
		}
		shape, matrix := KernelMatrix(p.Shape, values)
		w.add(p.Name, shape, matrix)
	}
	for _, p := range norms {
		var part [4][]float32
		for i, suffix := range []string{".weight", ".bias", ".running_mean", ".running_var"} {
			values, err := get(p.Name+suffix, p.Shape)
			if err != nil {
				return nil, err
			}
			part[i] = values
		}
		scale, shift := make([]float32, p.Shape[0]), make([]float32, p.Shape[0])
		for i := range scale {
			s := float64(part[0][i]) / math.Sqrt(float64(part[3][i])+NormEpsilon)
			scale[i], shift[i] = float32(s), float32(float64(part[1][i])-s*float64(part[2][i]))
		}
		w.add(p.Name+".scale", p.Shape, scale)
		w.add(p.Name+".shift", p.Shape, shift)
	}
	head, err := get("classifier.weight", []int{outputs, Features})
	if err != nil {
		return nil, err
	}
	bias, err := get("classifier.bias", []int{outputs})
	if err != nil {
		return nil, err
	}
	w.add("classifier.weight", []int{outputs, Features}, head)
	w.add("classifier.bias", []int{outputs}, bias)
	return w, nil
}

// KernelMatrix turns a torch kernel [out, in, k, k] into the matrix that Network takes; the stem stays a kernel [k, k, in, out].
func KernelMatrix(shape []int, values []float32) ([]int, []float32) {
	out, in, k := shape[0], shape[1], shape[2]
	matrix := make([]float32, len(values))
	for o := range out {
		for i := range in {
			for p := range k * k {
				from := values[(o*in+i)*k*k+p]
				if in == 1 {
					matrix[p*out+o] = from
				} else {
					matrix[(i*k*k+p)*out+o] = from
				}
			}
		}
	}
	if in == 1 {
		return []int{k, k, 1, out}, matrix
	}
	return []int{in, k * k * out}, matrix
}

// KernelTensor is the inverse of KernelMatrix.
func KernelTensor(shape []int, matrix []float32) []float32 {
	out, in, k := shape[0], shape[1], shape[2]
	values := make([]float32, len(matrix))
	for o := range out {
		for i := range in {
			for p := range k * k {
				if in == 1 {
					values[(o*in+i)*k*k+p] = matrix[p*out+o]
				} else {
					values[(o*in+i)*k*k+p] = matrix[(i*k*k+p)*out+o]
				}
			}
		}
	}
	return values
}
