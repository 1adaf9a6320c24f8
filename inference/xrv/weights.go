package xrv

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"llamaxr/inference/safetensors"
)

// NormEpsilon is torch's BatchNorm2d default.
const NormEpsilon = 1e-5

// Tensors are named weights, in a safetensors file or in one of torch.save.
type Tensors interface {
	Shapes() map[string][]int
	Tensor(name string) (safetensors.Tensor, error)
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

// reader takes tensors by name and shape, and keeps what it took and the first thing that was wrong. A missing, misshapen or non-finite tensor
// is an error that names it.
type reader struct {
	from   Tensors
	shapes map[string][]int
	prefix string
	taken  map[string]safetensors.Tensor
	err    error
}

// floats returns a tensor's values, nil after an error.
func (r *reader) floats(name string, shape ...int) []float32 {
	if r.err != nil {
		return nil
	}
	have, ok := r.shapes[name]
	if !ok {
		r.err = fmt.Errorf("xrv: tensor %s is missing", r.prefix+name)
		return nil
	}
	if !slices.Equal(have, shape) {
		r.err = fmt.Errorf("xrv: tensor %s has shape %v, want %v", r.prefix+name, have, shape)
		return nil
	}
	t, err := r.from.Tensor(r.prefix + name)
	if err != nil {
		r.err = fmt.Errorf("xrv: %w", err)
		return nil
	}
	values, err := t.Floats()
	if err != nil {
		r.err = fmt.Errorf("xrv: tensor %s: %w", r.prefix+name, err)
		return nil
	}
	for i, v := range values {
		if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
			r.err = fmt.Errorf("xrv: tensor %s has %g at %d", r.prefix+name, v, i)
			return nil
		}
	}
	r.taken[name] = t
	return values
}

// norm returns a batch norm as the scale and the shift of each channel.
func (r *reader) norm(name string, channels int, epsilon float64) (scale, shift []float32) {
	var part [4][]float32
	for i, suffix := range []string{".weight", ".bias", ".running_mean", ".running_var"} {
		part[i] = r.floats(name+suffix, channels)
	}
	scale, shift = make([]float32, channels), make([]float32, channels)
	if r.err != nil {
		return scale, shift
	}
	for i := range scale {
		if part[3][i] < 0 {
			r.err = fmt.Errorf("xrv: tensor %s has %g at %d", r.prefix+name+".running_var", part[3][i], i)
			break
		}
		s := float64(part[0][i]) / math.Sqrt(float64(part[3][i])+epsilon)
		scale[i], shift[i] = float32(s), float32(float64(part[1][i])-s*float64(part[2][i]))
	}
	return scale, shift
}

// folded returns a convolution's kernel with the norm that follows it taken in, as a matrix, and what is to be added to its outputs.
func (r *reader) folded(conv, norm string, shape []int, epsilon float64) (dims []int, matrix, shift []float32) {
	values := slices.Clone(r.floats(conv+".weight", shape...))
	scale, shift := r.norm(norm, shape[0], epsilon)
	if r.err != nil {
		return shape, nil, nil
	}
	each := len(values) / shape[0]
	for i := range values {
		values[i] *= scale[i/each]
	}
	dims, matrix = KernelMatrix(shape, values)
	return dims, matrix, shift
}

// params takes a DenseNet's tensors. Norms that follow a convolution are folded into it; those before a ReLU that precedes one cannot be.
func (s Shape) params(r *reader, outputs int) *weights {
	w := new(weights)
	convolutions, norms, features := s.Layout()
	folded := map[string]bool{}
	for _, p := range convolutions {
		base := strings.TrimSuffix(p.Name, ".weight")
		norm := ""
		if base == "features.conv0" {
			norm = "features.norm0"
		} else if layer, ok := strings.CutSuffix(base, ".conv1"); ok {
			norm = layer + ".norm2"
		}
		if norm == "" {
			dims, matrix := KernelMatrix(p.Shape, r.floats(p.Name, p.Shape...))
			w.add(p.Name, dims, matrix)
			continue
		}
		dims, matrix, shift := r.folded(base, norm, p.Shape, NormEpsilon)
		w.add(p.Name, dims, matrix)
		w.add(norm+".shift", []int{p.Shape[0]}, shift)
		folded[norm] = true
	}
	for _, p := range norms {
		if folded[p.Name] {
			continue
		}
		scale, shift := r.norm(p.Name, p.Shape[0], NormEpsilon)
		w.add(p.Name+".scale", p.Shape, scale)
		w.add(p.Name+".shift", p.Shape, shift)
	}
	w.add("classifier.weight", []int{outputs, features}, r.floats("classifier.weight", outputs, features))
	w.add("classifier.bias", []int{outputs}, r.floats("classifier.bias", outputs))
	return w
}

// stemSide is the side of the one kernel that stays a kernel.
const stemSide = 7

// KernelMatrix turns a torch kernel [out, in, k, k] into the matrix that Network takes; the stem stays a kernel [k, k, in, out].
func KernelMatrix(shape []int, values []float32) ([]int, []float32) {
	out, in, k := shape[0], shape[1], shape[2]
	matrix := make([]float32, len(values))
	if len(values) == 0 {
		return shape, matrix // after an error
	}
	for o := range out {
		for i := range in {
			for p := range k * k {
				matrix[matrixIndex(shape, o, i, p)] = values[(o*in+i)*k*k+p]
			}
		}
	}
	if k == stemSide {
		return []int{k, k, in, out}, matrix
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
				values[(o*in+i)*k*k+p] = matrix[matrixIndex(shape, o, i, p)]
			}
		}
	}
	return values
}

// matrixIndex is where output o, input i, position p of a kernel stand in its matrix.
func matrixIndex(shape []int, o, i, p int) int {
	out, in, k := shape[0], shape[1], shape[2]
	if k == stemSide {
		return (p*in+i)*out + o
	}
	return (i*k*k+p)*out + o
}
