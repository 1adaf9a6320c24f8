package llama

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"llamaxr/inference/gguf"
	"llamaxr/inference/safetensors"
)

// configFromGGUF reads a model's shape from GGUF's metadata (gguf.md, "LLM" and "LLaMA").
func configFromGGUF(file *gguf.File) (*Config, error) {
	if n, err := file.Int("split.count"); err == nil && n > 1 {
		return nil, fmt.Errorf("gguf: split.count is %d: join the parts first (llama-gguf-split --merge)", n)
	}
	architecture, err := file.Text("general.architecture")
	if err != nil {
		return nil, err
	}
	if architecture != "llama" {
		return nil, fmt.Errorf("gguf: general.architecture is %q, want llama", architecture)
	}
	tokens, err := file.Texts("tokenizer.ggml.tokens")
	if err != nil {
		return nil, err
	}
	_, headed := file.Tensors["output.weight"]
	c := &Config{
		Architectures: []string{"LlamaForCausalLM"}, ModelType: "llama", VocabSize: len(tokens), RopeTheta: defaultRopeTheta, TieWordEmbeddings: !headed,
	}
	for key, into := range map[string]*int{
		"block_count": &c.Layers, "context_length": &c.MaxPositions, "embedding_length": &c.HiddenSize, "feed_forward_length": &c.IntermediateSize,
		"attention.head_count": &c.Heads,
	} {
		if *into, err = file.Int("llama." + key); err != nil {
			return nil, err
		}
	}
	for key, into := range map[string]*int{"attention.head_count_kv": &c.KVHeads, "attention.key_length": &c.HeadDim, "vocab_size": &c.VocabSize} {
		if !file.Has("llama." + key) {
			continue
		}
		if *into, err = file.Int("llama." + key); err != nil {
			return nil, err
		}
	}
	if c.NormEpsilon, err = file.Float("llama.attention.layer_norm_rms_epsilon"); err != nil {
		return nil, err
	}
	if file.Has("llama.rope.freq_base") {
		if c.RopeTheta, err = file.Float("llama.rope.freq_base"); err != nil {
			return nil, err
		}
	}
	for key, into := range map[string]*TokenIDs{"bos": &c.BOS, "eos": &c.EOS} {
		if key = "tokenizer.ggml." + key + "_token_id"; file.Has(key) {
			id, err := file.Int(key)
			if err != nil {
				return nil, err
			}
			*into = TokenIDs{id}
		}
	}
	if c.KVHeads == 0 {
		c.KVHeads = c.Heads
	}
	if scaling, err := file.Text("llama.rope.scaling.type"); err == nil && scaling != "none" {
		return nil, fmt.Errorf("gguf: llama.rope.scaling.type %q is not known", scaling)
	}
	for _, key := range []string{"llama.rope.scaling.factor", "llama.rope.scale_linear"} { // without a type they mean linear
		if factor, err := file.Float(key); err == nil && factor != 0 && factor != 1 {
			return nil, fmt.Errorf("gguf: %s is %g: scaling of that kind is not known", key, factor)
		}
	}
	if err := c.check(); err != nil {
		return nil, err
	}
	if n, err := file.Int("llama.rope.dimension_count"); err == nil && n != c.HeadDim {
		return nil, fmt.Errorf("gguf: llama.rope.dimension_count is %d for heads of %d", n, c.HeadDim)
	}
	return c, c.addRopeFactors(file)
}

// ropeFactors is the tensor in which converters put Llama 3.1's scaling of the rotary frequencies.
const ropeFactors = "rope_freqs.weight"

// addRopeFactors finds the rope_scaling that gives the factors in the file. Meta's models differ in the factor alone.
func (c *Config) addRopeFactors(file *gguf.File) error {
	t, ok := file.Tensors[ropeFactors]
	if !ok {
		return nil
	}
	if !slices.Equal(t.Shape, []int{c.HeadDim / 2}) {
		return fmt.Errorf("gguf: tensor %q has shape %v, want %d", ropeFactors, t.Shape, c.HeadDim/2)
	}
	factors := make([]float32, c.HeadDim/2)
	if err := file.ReadRows(ropeFactors, 0, 1, factors); err != nil {
		return err
	}
	plain := c.frequencies()
	scaled := *c
	scaled.RopeScaling = &RopeScaling{Type: "llama3", Factor: float64(slices.Max(factors)), LowFreqFactor: 1, HighFreqFactor: 4, Original: 8192}
	if err := scaled.check(); err != nil {
		return fmt.Errorf("gguf: tensor %q: %w", ropeFactors, err)
	}
	for i, f := range scaled.frequencies() {
		if want := plain[i] / f; !(math.Abs(float64(factors[i])-want) <= 1e-4*want) {
			return fmt.Errorf("gguf: tensor %q: factor %d is %g; Llama 3's scaling by %g gives %g", ropeFactors, i, factors[i], scaled.RopeScaling.Factor, want)
		}
	}
	c.RopeScaling = scaled.RopeScaling
	return nil
}

// namesInGGUF are the names of a layer's parameters behind "blk.N.", by those behind "model.layers.N.".
var namesInGGUF = strings.NewReplacer(
	"model.layers.", "blk.", "input_layernorm", "attn_norm", "post_attention_layernorm", "ffn_norm", "self_attn.q_proj", "attn_q",
	"self_attn.k_proj", "attn_k", "self_attn.v_proj", "attn_v", "self_attn.o_proj", "attn_output", "mlp.gate_proj", "ffn_gate",
	"mlp.up_proj", "ffn_up", "mlp.down_proj", "ffn_down", EmbeddingName, "token_embd.weight", FinalNormName, "output_norm.weight",
	HeadName, "output.weight",
)

func weightsFromGGUF(c *Config, file *gguf.File) (map[string]weight, error) {
	out := map[string]weight{}
	known := map[string]bool{ropeFactors: true}
	for name := range c.shapes() {
		inFile := namesInGGUF.Replace(name)
		t, ok := file.Tensors[inFile]
		if !ok {
			return nil, fmt.Errorf("gguf: tensor %q is missing", inFile)
		}
		known[inFile] = true
		w := weight{shape: t.Shape, stored: safetensors.F32}
		switch t.Type {
		case gguf.F16:
			w.stored = safetensors.F16
		case gguf.BF16:
			w.stored = safetensors.BF16
		}
		w.rows = func(from, n int, out []float32) error { return file.ReadRows(inFile, from, n, out) }
		if strings.HasSuffix(name, "q_proj.weight") || strings.HasSuffix(name, "k_proj.weight") {
			w.rows = c.unpermuted(w.rows)
		}
		out[name] = w
	}
	for name := range file.Tensors {
		if !known[name] {
			return nil, fmt.Errorf("gguf: tensor %q belongs to no Llama that is known", name)
		}
	}
	return out, nil
}

// unpermuted undoes what llama.cpp's converter does to the rows of a head's q and k: it interleaves the two halves.
func (c *Config) unpermuted(rows func(from, n int, out []float32) error) func(from, n int, out []float32) error {
	return func(from, n int, out []float32) error {
		length, half := len(out)/max(n, 1), c.HeadDim/2
		for i := range n {
			head, at := (from+i)/c.HeadDim, (from+i)%c.HeadDim
			if err := rows(head*c.HeadDim+at%half*2+at/half, 1, out[i*length:(i+1)*length]); err != nil {
				return err
			}
		}
		return nil
	}
}
