package qlora

import (
	"math"
	"slices"

	"llamaxr/inference/quant"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
)

// AdamW's moments in 8 bits, as bitsandbytes' block-wise optimisers keep them (Dettmers et al. 2022): blocks of 256 numbers share
// their largest magnitude, each number is the nearest level of a dynamic map, signed for the first moment, unsigned for the second.
// A small tensor keeps 32 bits.
const (
	momentBlock    = 256
	smallestPacked = 4096
)

func (t *trainer) packed(i int) bool { return t.opts.EightBit && t.trained[i].size() >= smallestPacked }

// momentsOf is the number of tensors that hold parameter i's moments: m and v, each packed with its blocks' magnitudes or plain.
func (t *trainer) momentsOf(i int) int {
	if t.packed(i) {
		return 4
	}
	return 2
}

// zeroMoments are the moments before the first step.
func (t *trainer) zeroMoments() (out []*tensors.Tensor) {
	for i, s := range t.trained {
		for range 2 {
			if !t.packed(i) {
				out = append(out, tensors.FromFlatDataAndDimensions(make([]float32, s.size()), s.shape...))
				continue
			}
			blocks := (s.size() + momentBlock - 1) / momentBlock
			out = append(out, tensors.FromFlatDataAndDimensions(make([]uint8, blocks*momentBlock), blocks, momentBlock),
				tensors.FromFlatDataAndDimensions(make([]float32, blocks), blocks, 1))
		}
	}
	for at, i := 0, 0; i < len(t.trained); at, i = at+t.momentsOf(i), i+1 {
		if !t.packed(i) {
			continue
		}
		for half, levels := range [][256]float32{quant.Dynamic(), unsignedDynamic()} {
			zero := uint8(slices.Index(levels[:], 0))
			blocks := out[at+2*half].Shape().Dimensions[0]
			codes := slices.Repeat([]uint8{zero}, blocks*momentBlock)
			out[at+2*half] = tensors.FromFlatDataAndDimensions(codes, blocks, momentBlock)
		}
	}
	return out
}

// unpack gives both moments in 32 bits.
func (t *trainer) unpack(i int, state []*Node) (m, v *Node) {
	if !t.packed(i) {
		return state[0], state[1]
	}
	s := t.trained[i]
	read := func(codes, magnitudes *Node, levels [256]float32) *Node {
		table := Const(codes.Graph(), levels[:])
		values := Mul(Gather(table, ExpandAxes(ConvertDType(codes, dtypes.Int32), -1)), magnitudes)
		return Reshape(Slice(Reshape(values, values.Shape().Size()), AxisRange(0, s.size())), s.shape...)
	}
	return read(state[0], state[1], quant.Dynamic()), read(state[2], state[3], unsignedDynamic())
}

// pack is the inverse of unpack, to the nearest level.
func (t *trainer) pack(i int, m, v *Node) []*Node {
	if !t.packed(i) {
		return []*Node{m, v}
	}
	write := func(x *Node, levels [256]float32) (codes, magnitudes *Node) {
		flat := Reshape(x, x.Shape().Size())
		blocks := (flat.Shape().Size() + momentBlock - 1) / momentBlock
		if more := blocks*momentBlock - flat.Shape().Size(); more > 0 {
			flat = Concatenate([]*Node{flat, Zeros(x.Graph(), shapes.Make(dtypes.Float32, more))}, 0)
		}
		grid := Reshape(flat, blocks, momentBlock)
		magnitudes = ReduceAndKeep(Abs(grid), ReduceMax, 1)
		scaled := Div(grid, MaxScalar(magnitudes, smallestMagnitude))
		// The levels ascend: a binary search over the middles between neighbours.
		middles := make([]float32, 256)
		for k := range 255 {
			middles[k] = (levels[k] + levels[k+1]) / 2
		}
		middles[255] = math.MaxFloat32
		table := Const(x.Graph(), middles)
		code := ZerosLike(ConvertDType(scaled, dtypes.Int32))
		for step := 128; step > 0; step /= 2 {
			middle := Gather(table, ExpandAxes(AddScalar(code, step-1), -1))
			code = Add(code, MulScalar(ConvertDType(GreaterThan(scaled, middle), dtypes.Int32), step))
		}
		return ConvertDType(code, dtypes.Uint8), magnitudes
	}
	mCodes, mMagnitudes := write(m, quant.Dynamic())
	vCodes, vMagnitudes := write(v, unsignedDynamic())
	return []*Node{mCodes, mMagnitudes, vCodes, vMagnitudes}
}

// smallestMagnitude keeps a block of zeros from dividing by zero.
const smallestMagnitude = 1e-38

// unsignedDynamic is bitsandbytes' unsigned dynamic 8-bit map (create_dynamic_map(signed=False), 7 exponent bits).
func unsignedDynamic() [256]float32 {
	var values []float32
	for i := range 7 {
		items := 1<<(i+1) + 1
		decade := math.Pow(10, float64(i-6))
		boundary := func(k int) float64 { return 0.1 + 0.9*float64(k)/float64(items-1) }
		for k := range items - 1 {
			values = append(values, float32(decade*float64(float32(boundary(k)+boundary(k+1))/2)))
		}
	}
	values = append(values, 0, 1)
	slices.Sort(values)
	return [256]float32(values)
}
