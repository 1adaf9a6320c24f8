package kernel

import (
	"errors"
	"fmt"
	"math"
	"runtime"
	"slices"

	"llamaxr/inference/quant"
	"llamaxr/inference/safetensors"
	"llamaxr/inference/team"
)

// Coarse is a matrix rounded to 4 bits that knows by how much: for the head of a model, where a greedy token wants only the row whose product is
// the largest. A product with it says which rows could be, and only those need be computed with the matrix as it is.
type Coarse struct {
	*NF4
	// deviations are, for each row, by how much its product with activations of length one is off: one standard deviation.
	deviations []float32
	widest     []float32 // of each part of them
}

// NewCoarse rounds a matrix, on all cores.
func NewCoarse(d *Dense) (*Coarse, error) {
	if d.In%Block != 0 {
		return nil, fmt.Errorf("kernel: rows of %d are no whole blocks of %d", d.In, Block)
	}
	m := &NF4{Out: d.Out, In: d.In, arithmetic: Int16, packed: make([]byte, d.Out*d.In/2), halves: make([]uint16, d.Out*d.In/Block)}
	c := &Coarse{NF4: m, deviations: make([]float32, d.Out), widest: make([]float32, (d.Out+part-1)/part)}
	workers := max(1, min(runtime.GOMAXPROCS(0), d.Out))
	faults := make([]error, workers)
	team.Share(workers, func(w int) {
		values := make([]float32, d.In)
		for o := w * d.Out / workers; o < (w+1)*d.Out/workers && faults[w] == nil; o++ {
			d.Row(o, values)
			faults[w] = c.round(o, values)
		}
	})
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	for k := range c.widest {
		c.widest[k] = largest(partOf(c.deviations, k))
	}
	m.layOut()
	return c, nil
}

// activationDeviation is by how much rounded activations are off, over their length: half a step of the largest of 128 at most.
const activationDeviation = 1.0 / 2048

// round packs row o.
func (c *Coarse) round(o int, values []float32) error {
	var off errorSums
	halves := c.halves[o*c.In/Block : (o+1)*c.In/Block]
	pack := active.pack
	if pack == nil {
		pack = portablePack
	}
	pack(values, c.packed[o*c.In/2:(o+1)*c.In/2], halves, &off)
	for _, half := range halves {
		if half&infinite == infinite {
			return fmt.Errorf("kernel: row %d of a matrix holds a value that is not finite, or too large for 16 bits", o)
		}
	}
	size := total(&off.size)
	c.deviations[o] = float32(math.Sqrt(float64(total(&off.off)+size*activationDeviation*activationDeviation) / float64(c.In)))
	return nil
}

// errorSums are, in lanes, sums of squares over a row: of its weights, and of by how much they are off when packed.
type errorSums struct{ size, off [lanes]float32 }

// portablePack packs a row of whole blocks to NF4 and gives scales of its rounded levels; that of a block with a value that is not finite is
// not finite.
func portablePack(values []float32, packed []byte, halves []uint16, sums *errorSums) {
	for b := range halves {
		part, packed := values[b*Block:][:Block], packed[b*Block/2:][:Block/2]
		top, _ := quant.PackBlock(packed, part)
		halves[b] = safetensors.ToF16(top * (unit / halfUnit))
		scale := safetensors.FromF16(halves[b]) * halfUnit
		var weights [16]float32
		for i := range weights {
			weights[i] = scale * float32(rounded[i])
		}
		for i, pair := range packed {
			for k, v := range part[2*i : 2*i+2] {
				d, lane := v-weights[pair>>(4-4*k)&15], (2*i+k)%lanes
				sums.size[lane] += float32(v * v) // not fused into the sum
				sums.off[lane] += float32(d * d)
			}
		}
	}
}

// certain is by how many standard deviations both of two products must be off before the larger is missed: with errors of rounding that are
// independent of one another once in thirty thousand million tokens of 128 thousand rows. The worst case (Cauchy-Schwarz) would leave nine rows in
// ten of SmolLM2-135M, this leaves one in 150.
const certain = 6

// Contenders lists the rows whose product with x could be the largest, in ascending order; y is the product with the rounded matrix. Where products
// are no numbers there are none.
func (c *Coarse) Contenders(y, x []float32) (rows []int) {
	length := certain * float32(math.Sqrt(float64(Dot(x, x))))
	tops := make([]float32, len(c.widest))
	first := 0 // part that has the largest
	for k := range tops {
		tops[k] = largest(partOf(y, k))
		if tops[k] > tops[first] {
			first = k
		}
	}
	at := slices.Index(partOf(y, first), tops[first])
	if at < 0 { // no number
		return nil
	}
	least := tops[first] - length*c.deviations[first*part+at]
	for k, top := range tops {
		if !(top >= least-length*c.widest[k]) {
			continue
		}
		for i, v := range partOf(y, k) {
			if o := k*part + i; v >= least-length*c.deviations[o] {
				rows = append(rows, o)
			}
		}
	}
	return rows
}

// partOf is the part k of a value for each row.
func partOf(values []float32, k int) []float32 { return values[k*part : min((k+1)*part, len(values))] }

// part is how many rows are looked at together.
const part = 64

func largest(values []float32) float32 {
	n := len(values) / lanes * lanes
	if n == 0 {
		return portableLargest(values)
	}
	top := active.largest(values[:n])
	if n < len(values) {
		top = max(top, portableLargest(values[n:]))
	}
	return top
}
