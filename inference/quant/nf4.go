// Package quant holds 4-bit NormalFloat weights (QLoRA, Dettmers et al. 2023, arXiv 2305.14314, section 3) in the form that
// bitsandbytes stores: blocks of 64 values, each an index into 16 levels times its block's largest magnitude, and those magnitudes
// themselves quantised to 8 bits (double quantisation, blocks of 256).
package quant

import (
	"fmt"
	"math"
	"slices"
)

// Block sizes of bitsandbytes' defaults.
const (
	BlockSize       = 64
	NestedBlockSize = 256
)

// NF4 are the 16 levels: quantiles of the normal distribution, scaled to [-1, 1], with an exact zero (bitsandbytes 0.43).
var NF4 = [16]float32{
	-1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635, -0.18477343022823334,
	-0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224,
	0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0,
}

// Tensor is a quantised array of Len values.
type Tensor struct {
	Len int
	// Packed holds two indices a byte, the first in the high nibble.
	Packed []byte
	// Absmax are the blocks' magnitudes as indices into NestedMap, of (magnitude - Offset) / NestedAbsmax.
	Absmax       []byte
	NestedAbsmax []float32
	Offset       float32
	// NestedMap is Dynamic, or what a file brought: bitsandbytes computes it with vector instructions, so that its last bits are
	// those of the machine that wrote the file.
	NestedMap [256]float32
	// Magnitudes are the blocks' magnitudes where they were not quantised themselves; the four fields before are then unset.
	Magnitudes []float32
}

// Quantise packs values; their number must be even.
func Quantise(values []float32) (*Tensor, error) {
	p, err := NewPacker(len(values))
	if err != nil {
		return nil, err
	}
	if err := p.Add(values); err != nil {
		return nil, err
	}
	return p.Finish()
}

// packMagnitudes fills Absmax and NestedAbsmax from magnitudes and Offset.
func (t *Tensor) packMagnitudes(magnitudes []float32) {
	t.Absmax = make([]byte, len(magnitudes))
	for at := 0; at < len(magnitudes); at += NestedBlockSize {
		block := magnitudes[at:min(at+NestedBlockSize, len(magnitudes))]
		top := float32(0)
		for _, m := range block {
			top = max(top, float32(math.Abs(float64(m-t.Offset))))
		}
		t.NestedAbsmax = append(t.NestedAbsmax, top)
		for i, m := range block {
			x := float32(0)
			if top > 0 {
				x = (m - t.Offset) / top
			}
			t.Absmax[at+i] = nearest(t.NestedMap[:], x)
		}
	}
}

// Dequantise returns the values. They are exact products in float32; bitsandbytes rounds them to the type its state names.
func (t *Tensor) Dequantise() ([]float32, error) {
	scales, err := t.Scales()
	if err != nil {
		return nil, err
	}
	out := make([]float32, t.Len)
	for i := range out {
		index := t.Packed[i/2] >> 4
		if i%2 == 1 {
			index = t.Packed[i/2] & 15
		}
		out[i] = NF4[index] * scales[i/BlockSize]
	}
	return out, nil
}

// Check reports parts that do not fit one another, and magnitudes that are not finite or could not be.
func (t *Tensor) Check() error {
	blocks := t.blocks()
	switch {
	case t.Len < 0 || len(t.Packed) != (t.Len+1)/2:
		return fmt.Errorf("quant: %d values with %d packed bytes do not fit", t.Len, len(t.Packed))
	case t.Magnitudes != nil && len(t.Magnitudes) != blocks:
		return fmt.Errorf("quant: %d values with %d magnitudes do not fit", t.Len, len(t.Magnitudes))
	case t.Magnitudes == nil && (len(t.Absmax) != blocks || len(t.NestedAbsmax) != (blocks+NestedBlockSize-1)/NestedBlockSize):
		return fmt.Errorf("quant: %d values with %d magnitudes and %d nested ones do not fit", t.Len, len(t.Absmax), len(t.NestedAbsmax))
	}
	largest := func(values []float32) (top float64) { // NaN where one is
		for _, v := range values {
			top = max(top, math.Abs(float64(v)))
		}
		return top
	}
	if top := largest(t.Magnitudes) + largest(t.NestedMap[:])*largest(t.NestedAbsmax) + math.Abs(float64(t.Offset)); !(top <= math.MaxFloat32) {
		return fmt.Errorf("quant: a block's magnitude up to %g: %w", top, ErrNotFinite)
	}
	return nil
}

func (t *Tensor) blocks() int { return (t.Len + BlockSize - 1) / BlockSize }

// Scales returns the magnitude of each block of 64 values.
func (t *Tensor) Scales() ([]float32, error) {
	if err := t.Check(); err != nil {
		return nil, err
	}
	if t.Magnitudes != nil {
		return t.Magnitudes, nil
	}
	scales := make([]float32, t.blocks(), t.blocks()+1) // kernel.NewNF4 wants one more
	for i := range scales {
		scales[i] = t.Scale(i)
	}
	return scales, nil
}

// Scale is the magnitude of block i of a tensor whose parts fit one another.
func (t *Tensor) Scale(i int) float32 {
	if t.Magnitudes != nil {
		return t.Magnitudes[i]
	}
	// float32() keeps a compiler from fusing the product into the sum, which would change the last bit.
	return float32(t.NestedMap[t.Absmax[i]]*t.NestedAbsmax[i/NestedBlockSize]) + t.Offset
}

// Dynamic is bitsandbytes' signed dynamic 8-bit map (create_dynamic_map with 7 exponent bits): for each decade down from 1, means
// between evenly spaced boundaries, twice as many each decade up.
func Dynamic() [256]float32 {
	var values []float32
	for i := range 7 {
		items := 1<<i + 1
		decade := math.Pow(10, float64(i-6))
		boundary := func(k int) float64 { return 0.1 + 0.9*float64(k)/float64(items-1) }
		for k := range items - 1 {
			mean := float32(boundary(k)+boundary(k+1)) / 2
			values = append(values, float32(decade*float64(mean)), float32(-decade*float64(mean)))
		}
	}
	values = append(values, 0, 1)
	slices.Sort(values)
	return [256]float32(values)
}

// nearest returns the index of the level closest to x; levels ascend.
func nearest(levels []float32, x float32) byte {
	at, found := slices.BinarySearch(levels, x)
	if found || at == 0 {
		return byte(at)
	}
	if at == len(levels) || x-levels[at-1] <= levels[at]-x {
		return byte(at - 1)
	}
	return byte(at)
}
