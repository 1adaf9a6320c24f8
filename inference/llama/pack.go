package llama

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"

	"llamaxr/inference/quant"
	"llamaxr/inference/safetensors"
)

// Precision is how the weights of an imported model are kept.
type Precision string

const (
	// NF4 packs linear layers to 4 bits with double quantisation and keeps the rest in 16 bits. What is NF4 already, and what a
	// model that is NF4 left in 16 bits, stays as it is.
	NF4 Precision = "nf4"
	// Full keeps every value as it is: 16 bits where the source has 16, else 32.
	Full Precision = "full"
)

const (
	// pieceValues is how many values are in memory at once, about: memory stays bounded whatever the model's size.
	pieceValues = 1 << 20
	// stateSize is the length that quant_state is padded to with spaces, so that a file's layout is known before its contents.
	stateSize = 256
)

// Packing writes a source's weights as model.safetensors, weight by weight, so that a caller can stop and go on between them.
type Packing struct {
	source  *Source
	head    []byte
	weights []string // in the file's order
	asNF4   map[string]bool
	layout  safetensors.Layout
}

// Pack plans the writing of a source's weights.
func (s *Source) Pack(as Precision) (*Packing, error) {
	p := &Packing{
		source: s, asNF4: map[string]bool{}, layout: safetensors.Layout{
			Tensors: map[string]safetensors.Spec{}, Metadata: map[string]string{"format": "pt"},
		},
	}
	if as == NF4 && !s.packed() {
		for _, l := range s.Config.Linears() {
			p.asNF4[l.Name+".weight"] = true
		}
	}
	for name := range s.Config.shapes() {
		for part, spec := range p.parts(name, as) {
			p.layout.Tensors[part] = spec
		}
		p.weights = append(p.weights, name)
	}
	slices.Sort(p.weights)
	var err error
	p.head, _, err = p.layout.Header()
	return p, err
}

// packed reports whether the source is NF4 already.
func (s *Source) packed() bool {
	for _, w := range s.weights {
		if w.parts != nil {
			return true
		}
	}
	return false
}

// parts are the tensors that a weight is written as.
func (p *Packing) parts(name string, as Precision) map[string]safetensors.Spec {
	w := p.source.weights[name]
	switch {
	case w.parts != nil:
		return w.parts
	case p.asNF4[name]:
		n := elements(w.shape)
		blocks := (n + quant.BlockSize - 1) / quant.BlockSize
		return map[string]safetensors.Spec{
			name:                      {DType: safetensors.U8, Shape: []int{(n + 1) / 2, 1}},
			name + absmaxSuffix:       {DType: safetensors.U8, Shape: []int{blocks}},
			name + nestedAbsmaxSuffix: {DType: safetensors.F32, Shape: []int{(blocks + quant.NestedBlockSize - 1) / quant.NestedBlockSize}},
			name + nestedMapSuffix:    {DType: safetensors.F32, Shape: []int{256}},
			name + mapSuffix:          {DType: safetensors.F32, Shape: []int{16}},
			name + stateSuffix:        {DType: safetensors.U8, Shape: []int{stateSize}},
		}
	case as == NF4 && w.stored == safetensors.F32 && len(w.shape) == 2:
		return map[string]safetensors.Spec{name: {DType: safetensors.F16, Shape: w.shape}}
	}
	return map[string]safetensors.Spec{name: {DType: w.stored, Shape: w.shape}}
}

// Steps is the number of writes: the header, then each weight.
func (p *Packing) Steps() int { return 1 + len(p.weights) }

// Size is the number of bytes that a step writes.
func (p *Packing) Size(step int) int64 {
	if step == 0 {
		return int64(len(p.head))
	}
	size := int64(0)
	for _, name := range p.partsOf(step) {
		size += p.layout.Tensors[name].Size()
	}
	return size
}

// partsOf lists the tensors of a step in the file's order.
func (p *Packing) partsOf(step int) []string {
	name := p.weights[step-1]
	var out []string
	for _, suffix := range []string{"", absmaxSuffix, nestedAbsmaxSuffix, nestedMapSuffix, mapSuffix, stateSuffix} { // ascending
		if _, ok := p.layout.Tensors[name+suffix]; ok {
			out = append(out, name+suffix)
		}
	}
	return out
}

// Write writes one step.
func (p *Packing) Write(step int, to io.Writer) error {
	if step == 0 {
		_, err := to.Write(p.head)
		return err
	}
	name := p.weights[step-1]
	w := p.source.weights[name]
	var err error
	switch {
	case w.parts != nil:
		for _, part := range p.partsOf(step) {
			if err = copyRaw(w, part, p.layout.Tensors[part].Size(), to); err != nil {
				break
			}
		}
	case p.asNF4[name]:
		err = p.writeNF4(step, w, to)
	default:
		err = p.writePlain(w, p.layout.Tensors[name].DType, to)
	}
	if err != nil {
		return fmt.Errorf("llama: tensor %s: %w", name, err)
	}
	return nil
}

func copyRaw(w weight, part string, size int64, to io.Writer) error {
	for at := int64(0); at < size; {
		data, err := w.raw(part, at, min(size-at, 4*pieceValues))
		if err != nil {
			return err
		}
		if _, err := to.Write(data); err != nil {
			return err
		}
		at += int64(len(data))
	}
	return nil
}

// pieces calls each with a weight's values in order, about pieceValues at a time and whole blocks of NF4 but for the last.
func pieces(w weight, each func(shape []int, values []float32) error) error {
	rows, length := w.size()
	step := max(quant.BlockSize, pieceValues/length/quant.BlockSize*quant.BlockSize)
	values := make([]float32, min(step, rows)*length)
	for at := 0; at < rows; at += step {
		n := min(step, rows-at)
		if err := w.rows(at, n, values[:n*length]); err != nil {
			return err
		}
		if err := each([]int{n * length}, values[:n*length]); err != nil {
			return err
		}
	}
	return nil
}

func (p *Packing) writePlain(w weight, as safetensors.DType, to io.Writer) error {
	return pieces(w, func(shape []int, values []float32) error {
		for _, v := range values {
			if notFinite(v) || as == safetensors.F16 && math.Abs(float64(v)) > maxF16 {
				return fmt.Errorf("the value %g cannot be kept as %s", v, as)
			}
		}
		_, err := to.Write(safetensors.FromFloats(as, shape, values).Data)
		return err
	})
}

// maxF16 is the largest number of 16 bits.
const maxF16 = 65504

func (p *Packing) writeNF4(step int, w weight, to io.Writer) error {
	packer, err := quant.NewPacker(elements(w.shape))
	if err != nil {
		return err
	}
	if err := pieces(w, func(_ []int, values []float32) error { return packer.Add(values) }); err != nil {
		return err
	}
	q, err := packer.Finish()
	if err != nil {
		return err
	}
	state, err := json.Marshal(quantState{
		QuantType: "nf4", BlockSize: quant.BlockSize, DType: "float32", Shape: w.shape,
		NestedBlockSize: quant.NestedBlockSize, NestedDType: "float32", NestedOffset: float64(q.Offset),
	})
	if err != nil {
		return err
	}
	if len(state) > stateSize {
		return fmt.Errorf("quant_state has %d bytes, more than %d", len(state), stateSize)
	}
	for len(state) < stateSize {
		state = append(state, ' ')
	}
	floats := func(values []float32) []byte { return safetensors.FromFloats(safetensors.F32, nil, values).Data }
	// In the order of partsOf.
	for i, data := range [][]byte{q.Packed, q.Absmax, floats(q.NestedAbsmax), floats(q.NestedMap[:]), floats(quant.NF4[:]), state} {
		if part := p.partsOf(step)[i]; int64(len(data)) != p.layout.Tensors[part].Size() {
			return fmt.Errorf("%s has %d bytes, planned %d", part, len(data), p.layout.Tensors[part].Size())
		}
		if _, err := to.Write(data); err != nil {
			return err
		}
	}
	return nil
}

// WriteNF4 writes model.safetensors with the linear layers packed as NF4 with double quantisation and the rest as F16.
func WriteNF4(c *Config, weights Weights, w io.Writer) error { return WriteWeights(c, weights, NF4, w) }

// WriteWeights writes model.safetensors of values in memory: as WriteNF4 does, or all in F16.
func WriteWeights(c *Config, weights Weights, as Precision, w io.Writer) error {
	s := &Source{Config: c, weights: map[string]weight{}}
	for name, shape := range c.shapes() {
		s.weights[name] = weight{shape: shape, stored: safetensors.F16, rows: func(from, n int, out []float32) error {
			copy(out, weights[name][from*len(out)/max(n, 1):])
			return nil
		}}
	}
	p, err := s.Pack(as)
	if err != nil {
		return err
	}
	for step := range p.Steps() {
		if err := p.Write(step, w); err != nil {
			return err
		}
	}
	return nil
}
