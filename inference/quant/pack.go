package quant

import (
	"errors"
	"fmt"
	"math"
	"runtime"
	"sync"
)

// ErrNotFinite is returned for values that are infinite or no number.
var ErrNotFinite = errors.New("quant: a value is not finite")

// Packer packs a tensor piece by piece, so that its values never need to be in memory at once: it holds half a byte for each and
// four for each block.
type Packer struct {
	tensor     Tensor
	magnitudes []float32
	at         int
}

// NewPacker begins a tensor of so many values, an even number.
func NewPacker(length int) (*Packer, error) {
	if length < 0 || length%2 != 0 {
		return nil, fmt.Errorf("quant: %d values, an even number is needed", length)
	}
	return &Packer{
		tensor:     Tensor{Len: length, Packed: make([]byte, length/2), NestedMap: Dynamic()},
		magnitudes: make([]float32, (length+BlockSize-1)/BlockSize),
	}, nil
}

// Add packs the next values: whole blocks, but for the last piece.
func (p *Packer) Add(values []float32) error {
	end := p.at + len(values)
	if end > p.tensor.Len || len(values)%BlockSize != 0 && end != p.tensor.Len {
		return fmt.Errorf("quant: %d values after %d of %d are no whole blocks", len(values), p.at, p.tensor.Len)
	}
	blocks := (len(values) + BlockSize - 1) / BlockSize
	workers := max(1, min(runtime.GOMAXPROCS(0), blocks/minBlocks))
	var wg sync.WaitGroup
	finite := make([]bool, workers)
	for w := range workers {
		wg.Go(func() {
			from, to := w*blocks/workers*BlockSize, min((w+1)*blocks/workers*BlockSize, len(values))
			finite[w] = p.pack(p.at+from, values[from:to])
		})
	}
	wg.Wait()
	p.at = end
	for _, ok := range finite {
		if !ok {
			return ErrNotFinite
		}
	}
	return nil
}

// minBlocks is what makes a goroutine worth starting.
const minBlocks = 256

// pack packs values that begin a block at the given place and reports whether all are finite.
func (p *Packer) pack(at int, values []float32) (finite bool) {
	finite = true
	for ; len(values) > 0; at += BlockSize {
		block := values[:min(BlockSize, len(values))]
		values = values[len(block):]
		var ok bool
		p.magnitudes[at/BlockSize], ok = PackBlock(p.tensor.Packed[at/2:], block)
		finite = finite && ok
	}
	return finite
}

// PackBlock packs the values of one block, 64 or an even number of the last, and returns their magnitude; false where one is not finite. A value
// is scaled by the inverse magnitude and goes to the level whose half-way points enclose it, the lower one on a tie: the arithmetic of
// bitsandbytes, so that its bytes are ours.
func PackBlock(out []byte, block []float32) (magnitude float32, finite bool) {
	bits := uint32(0) // absolute values have the order of integers, infinity and NaN above all
	for _, v := range block {
		bits = max(bits, math.Float32bits(v)&^(1<<31))
	}
	top := math.Float32frombits(bits)
	if !(top <= math.MaxFloat32) {
		return top, false
	}
	inverse := 1 / max(top, smallest)
	out = out[:len(block)/2]
	for i := range out {
		out[i] = level(block[2*i]*inverse)<<4 | level(block[2*i+1]*inverse)
	}
	return top, true
}

// Finish quantises the magnitudes and returns the tensor.
func (p *Packer) Finish() (*Tensor, error) {
	if p.at != p.tensor.Len {
		return nil, fmt.Errorf("quant: %d of %d values were packed", p.at, p.tensor.Len)
	}
	mean := 0.0
	for _, m := range p.magnitudes {
		mean += float64(m)
	}
	p.tensor.Offset = float32(mean / float64(max(len(p.magnitudes), 1)))
	p.tensor.packMagnitudes(p.magnitudes)
	return &p.tensor, nil
}

// smallest magnitude that is divided by, so that a block of zeros packs to the zero level.
const smallest = 1e-38

// buckets divide [-1, 1] so finely that none holds two of the half-way points between levels.
const buckets = 256

// Halfway are the points between a level and the next; nothing is past the last.
var Halfway = func() (out [16]float32) {
	for i := range len(NF4) - 1 {
		out[i] = (NF4[i] + NF4[i+1]) / 2
	}
	out[15] = math.MaxFloat32
	return out
}()

// LevelBelow is the level of what lies just below x: by a slack that takes up the rounding of a product.
func LevelBelow(x float32) (level int) {
	for x-1e-5 > Halfway[level] {
		level++
	}
	return level
}

// below holds, for each bucket, the level of what lies just below it.
var below = func() (out [buckets + 1]byte) {
	for b := range out {
		out[b] = byte(LevelBelow(float32(b)*2/buckets - 1))
	}
	return out
}()

// level returns the index of the NF4 level for x in [-1, 1], or a rounding beyond.
func level(x float32) byte {
	index := below[int((x+1)*(buckets/2))]
	above := byte(0) // no branch: it would be a coin's
	if x > Halfway[index] {
		above = 1
	}
	return index + above
}
