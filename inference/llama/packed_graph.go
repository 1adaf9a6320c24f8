package llama

import (
	"slices"

	"llamaxr/inference/quant"
	"llamaxr/inference/safetensors"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
)

// Packed is an NF4 matrix [Out, In] in a graph, at 4.5 bits a weight: codes as they lie in a pack, and a float32 magnitude a block. Magnitudes
// quantised once more, as a pack has them, would make it 4.13, for a second look-up and a product and a sum that compilers round at once: other
// bits than the pack's.
type Packed struct {
	Out, In    int
	Codes      *Node // uint8 [blocks, 32], of a byte the high half first
	Magnitudes *Node // float32 [blocks, 1]
}

// PackedTensors are the inputs of a Packed.
func PackedTensors(t *quant.Tensor) (codes, magnitudes *tensors.Tensor, err error) {
	scales, err := t.Scales()
	if err != nil {
		return nil, nil, err
	}
	bytes := t.Packed
	if missing := len(scales)*quant.BlockSize/2 - len(bytes); missing > 0 { // of the last block
		bytes = append(slices.Clone(bytes), make([]byte, missing)...)
	}
	return tensors.FromFlatDataAndDimensions(bytes, len(scales), quant.BlockSize/2), tensors.FromFlatDataAndDimensions(scales, len(scales), 1), nil
}

// Tensors are a weight as a graph takes it: the codes and magnitudes of a Packed where it is NF4, else one tensor, of 16 bits where it has 16.
func (s *Source) Tensors(backend compute.Backend, name string) ([]*tensors.Tensor, error) {
	w := s.weights[name]
	switch {
	case w.packed != nil:
		t, err := w.packed()
		if err != nil {
			return nil, err
		}
		codes, magnitudes, err := PackedTensors(t)
		return []*tensors.Tensor{codes, magnitudes}, err
	case len(w.shape) == 1:
		values := make([]float32, w.shape[0])
		err := w.rows(0, 1, values)
		return []*tensors.Tensor{tensors.FromFlatDataAndDimensions(values, w.shape...)}, err
	}
	held, err := s.dense(name)
	if err != nil {
		return nil, err
	}
	kept := map[safetensors.DType]dtypes.DType{safetensors.F32: dtypes.Float32, safetensors.F16: dtypes.Float16, safetensors.BF16: dtypes.BFloat16}
	t, err := tensors.FromRaw(backend, 0, shapes.Make(kept[held.DType], w.shape...), held.Data)
	return []*tensors.Tensor{t}, err
}

// Matrix is the dequantised matrix [Out, In], quant's bits. No gradient goes into it.
func (p Packed) Matrix() *Node {
	blocks := p.Codes.Shape().Dimensions[0]
	byHalf := func(x *Node) *Node { return BroadcastToDims(x, blocks, quant.BlockSize/2, 2) }
	half := byHalf(Reshape(Const(p.Codes.Graph(), []uint8{4, 0}), 1, 1, 2))
	levels := levelsOf(BitwiseShiftRightLogical(byHalf(InsertAxes(p.Codes, -1)), half))
	values := Mul(Reshape(levels, blocks, quant.BlockSize), BroadcastToDims(p.Magnitudes, blocks, quant.BlockSize))
	if blocks*quant.BlockSize != p.Out*p.In {
		values = Slice(Reshape(values, blocks*quant.BlockSize), AxisRange(0, p.Out*p.In))
	}
	return StopGradient(Reshape(values, p.Out, p.In))
}

// after returns bytes as they are, by arithmetic that waits for x: else XLA may dequantise all of a model's matrices before the first is needed, and
// it takes out the barriers made for that. A number equals itself; no compiler may assume that x is one.
func after(x, bytes *Node) *Node {
	first := StopGradient(Reshape(Slice(x, AxisElem(0), AxisElem(0))))
	all := Where(Equal(first, first), Scalar(x.Graph(), dtypes.Uint8, 255), Scalar(x.Graph(), dtypes.Uint8, 0))
	return BitwiseAnd(bytes, BroadcastToShape(all, bytes.Shape()))
}

// levelsOf looks up the low four bits of bytes.
func levelsOf(codes *Node) *Node {
	return Gather(Const(codes.Graph(), quant.NF4[:]), InsertAxes(BitwiseAnd(codes, Scalar(codes.Graph(), dtypes.Uint8, 15)), -1))
}

// Times is x [rows, In] times the matrix transposed. For one row everything is one reduction over the bytes, which XLA makes one loop of:
// no float of the matrix is ever written to memory. For more the matrix is dequantised.
func (p Packed) Times(x *Node) *Node {
	p.Codes = after(x, p.Codes)
	if x.Shape().Dimensions[0] != 1 || p.In%quant.BlockSize != 0 {
		return timesTransposed(x, p.Matrix())
	}
	blocks, bytes := p.In/quant.BlockSize, quant.BlockSize/2
	codes := Reshape(p.Codes, p.Out, blocks, bytes)
	over := func(x *Node) *Node { return BroadcastToShape(x, codes.Shape()) }
	x = Reshape(x, blocks, bytes, 2)
	high := Mul(levelsOf(BitwiseShiftRightLogicalScalar(codes, uint8(4))), over(Reshape(Slice(x, AxisRange(), AxisRange(), AxisElem(0)), 1, blocks, bytes)))
	low := Mul(levelsOf(codes), over(Reshape(Slice(x, AxisRange(), AxisRange(), AxisElem(1)), 1, blocks, bytes)))
	return Reshape(ReduceSum(Mul(Add(high, low), over(Reshape(p.Magnitudes, p.Out, blocks, 1))), 1, 2), 1, p.Out)
}
