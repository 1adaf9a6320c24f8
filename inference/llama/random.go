package llama

import (
	"encoding/json"
	"io"
	"math/rand/v2"
	"slices"
	"strings"

	"llamaxr/inference/quant"
	"llamaxr/inference/safetensors"
)

// WriteRandomNF4 writes model.safetensors of a shape with random weights, packed as an import packs them, at the speed of the disk: for
// measuring, where the real weights cannot be had.
func WriteRandomNF4(c *Config, seed uint64, to io.Writer) error {
	rng := rand.New(rand.NewPCG(seed, seed))
	linear := map[string]bool{}
	for _, l := range c.Linears() {
		linear[l.Name+".weight"] = true
	}
	layout := safetensors.Layout{Tensors: map[string]safetensors.Spec{}, Metadata: map[string]string{"format": "pt"}}
	states := map[string][]byte{}
	source := &Source{Config: c, weights: map[string]weight{}}
	for name, shape := range c.shapes() {
		source.weights[name] = weight{shape: shape, stored: safetensors.BF16}
	}
	p := &Packing{source: source, asNF4: linear}
	for name, shape := range c.shapes() {
		for part, spec := range p.parts(name, NF4) {
			layout.Tensors[part] = spec
		}
		if !linear[name] {
			continue
		}
		state, err := json.Marshal(quantState{
			QuantType: "nf4", BlockSize: quant.BlockSize, DType: "float32", Shape: shape, NestedBlockSize: quant.NestedBlockSize, NestedDType: "float32",
			NestedOffset: 0.05,
		})
		if err != nil {
			return err
		}
		states[name+stateSuffix] = append(state, slices.Repeat([]byte{' '}, stateSize-len(state))...)
	}
	head, names, err := layout.Header()
	if err != nil {
		return err
	}
	if _, err := to.Write(head); err != nil {
		return err
	}
	floats := func(values []float32) []byte { return safetensors.FromFloats(safetensors.F32, nil, values).Data }
	dynamic := quant.Dynamic()
	noise := make([]byte, 4*pieceValues)
	for i := range noise {
		noise[i] = byte(rng.Uint32())
	}
	values := make([]float32, pieceValues-1) // an odd number: no two rows of a matrix are alike
	for i := range values {
		values[i] = float32(rng.NormFloat64() * 0.02)
	}
	small := safetensors.FromFloats(safetensors.BF16, nil, values).Data
	for _, name := range names {
		spec := layout.Tensors[name]
		var data []byte
		switch base, suffix := splitPart(name); {
		case suffix == stateSuffix:
			data = states[name]
		case suffix == mapSuffix:
			data = floats(quant.NF4[:])
		case suffix == nestedMapSuffix:
			data = floats(dynamic[:])
		case suffix == nestedAbsmaxSuffix:
			data = floats(slices.Repeat([]float32{0.02}, spec.Shape[0]))
		case len(spec.Shape) == 1 && suffix == "":
			data = safetensors.FromFloats(spec.DType, nil, slices.Repeat([]float32{1}, spec.Shape[0])).Data
		case linear[base]:
			data = noise
		default:
			data = small
		}
		for left := spec.Size(); left > 0; {
			n, err := to.Write(data[:min(int64(len(data)), left)])
			if err != nil {
				return err
			}
			left -= int64(n)
		}
	}
	return nil
}

// splitPart is the weight that a tensor is part of, and which part.
func splitPart(name string) (base, suffix string) {
	for _, suffix := range []string{nestedAbsmaxSuffix, nestedMapSuffix, absmaxSuffix, mapSuffix, stateSuffix} {
		if base, ok := strings.CutSuffix(name, suffix); ok {
			return base, suffix
		}
	}
	return name, ""
}
