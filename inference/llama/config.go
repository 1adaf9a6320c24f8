package llama

import (
	"encoding/json"
	"fmt"
	"math"
)

// Config is a model's shape, under the names of Hugging Face's config.json.
type Config struct {
	Architectures     []string     `json:"architectures,omitempty"`
	ModelType         string       `json:"model_type,omitempty"`
	HiddenSize        int          `json:"hidden_size"`
	IntermediateSize  int          `json:"intermediate_size"`
	Layers            int          `json:"num_hidden_layers"`
	Heads             int          `json:"num_attention_heads"`
	KVHeads           int          `json:"num_key_value_heads"`
	HeadDim           int          `json:"head_dim,omitempty"`
	VocabSize         int          `json:"vocab_size"`
	MaxPositions      int          `json:"max_position_embeddings"`
	NormEpsilon       float64      `json:"rms_norm_eps"`
	RopeTheta         float64      `json:"rope_theta"`
	RopeScaling       *RopeScaling `json:"rope_scaling,omitempty"`
	TieWordEmbeddings bool         `json:"tie_word_embeddings"`
}

// RopeScaling is Llama 3.1's stretching of the low rotary frequencies.
type RopeScaling struct {
	Type           string  `json:"rope_type"`
	Factor         float64 `json:"factor"`
	LowFreqFactor  float64 `json:"low_freq_factor"`
	HighFreqFactor float64 `json:"high_freq_factor"`
	Original       int     `json:"original_max_position_embeddings"`
}

// Limits of a config that is believed, well above Llama 3.1 405B.
const (
	maxHidden    = 1 << 16
	maxLayers    = 1 << 9
	maxPositions = 1 << 20
)

// ParseConfig reads config.json and checks that its numbers fit one another.
func ParseConfig(data []byte) (*Config, error) {
	c := new(Config)
	if err := json.Unmarshal(data, c); err != nil {
		return nil, fmt.Errorf("llama: config.json: %w", err)
	}
	if c.KVHeads == 0 {
		c.KVHeads = c.Heads
	}
	for name, v := range map[string]int{
		"hidden_size": c.HiddenSize, "intermediate_size": c.IntermediateSize, "num_attention_heads": c.Heads, "num_key_value_heads": c.KVHeads,
	} {
		if v < 1 || v > maxHidden {
			return nil, fmt.Errorf("llama: config.json: %s is %d, outside 1 to %d", name, v, maxHidden)
		}
	}
	if c.HeadDim == 0 {
		c.HeadDim = c.HiddenSize / c.Heads
	}
	switch {
	case c.Layers < 1 || c.Layers > maxLayers:
		return nil, fmt.Errorf("llama: config.json: num_hidden_layers is %d, outside 1 to %d", c.Layers, maxLayers)
	case c.VocabSize < 1 || c.VocabSize > maxTokens:
		return nil, fmt.Errorf("llama: config.json: vocab_size is %d, outside 1 to %d", c.VocabSize, maxTokens)
	case c.Heads%c.KVHeads != 0:
		return nil, fmt.Errorf("llama: config.json: %d heads do not share %d key-value heads evenly", c.Heads, c.KVHeads)
	case c.HeadDim < 2 || c.HeadDim%2 != 0 || c.HeadDim > maxHidden:
		return nil, fmt.Errorf("llama: config.json: head_dim is %d, want an even number", c.HeadDim)
	case c.MaxPositions < 1 || c.MaxPositions > maxPositions:
		return nil, fmt.Errorf("llama: config.json: max_position_embeddings is %d, outside 1 to %d", c.MaxPositions, maxPositions)
	case !(c.RopeTheta > 0) || !(c.NormEpsilon >= 0):
		return nil, fmt.Errorf("llama: config.json: rope_theta is %g and rms_norm_eps %g", c.RopeTheta, c.NormEpsilon)
	case c.RopeScaling != nil && c.RopeScaling.Type != "llama3":
		return nil, fmt.Errorf("llama: config.json: rope_type %q is not known", c.RopeScaling.Type)
	case c.RopeScaling != nil && (!(c.RopeScaling.Factor > 0) || !(c.RopeScaling.LowFreqFactor > 0) ||
		!(c.RopeScaling.HighFreqFactor > c.RopeScaling.LowFreqFactor) || c.RopeScaling.Original < 1):
		return nil, fmt.Errorf("llama: config.json: rope_scaling %+v makes no sense", *c.RopeScaling)
	}
	return c, nil
}

// Rotary returns the cosines and sines of positions 0 to n-1, each n x head_dim, the second half repeating the first
// (transformers, LlamaRotaryEmbedding and _compute_llama3_parameters).
func (c *Config) Rotary(n int) (cos, sin []float32) {
	half := c.HeadDim / 2
	frequency := make([]float64, half)
	for i := range frequency {
		f := math.Pow(c.RopeTheta, -2*float64(i)/float64(c.HeadDim))
		if s := c.RopeScaling; s != nil {
			wavelength := 2 * math.Pi / f
			low, high := float64(s.Original)/s.LowFreqFactor, float64(s.Original)/s.HighFreqFactor
			switch {
			case wavelength > low:
				f /= s.Factor
			case wavelength >= high:
				smooth := (float64(s.Original)/wavelength - s.LowFreqFactor) / (s.HighFreqFactor - s.LowFreqFactor)
				f = (1-smooth)*f/s.Factor + smooth*f
			}
		}
		frequency[i] = f
	}
	cos, sin = make([]float32, n*c.HeadDim), make([]float32, n*c.HeadDim)
	for p := range n {
		for i := range c.HeadDim {
			s, co := math.Sincos(float64(p) * frequency[i%half])
			cos[p*c.HeadDim+i], sin[p*c.HeadDim+i] = float32(co), float32(s)
		}
	}
	return cos, sin
}

// Linear names a weight matrix and its shape as Hugging Face stores it: [out, in].
type Linear struct {
	Name    string
	Out, In int
}

// Names of the parts that are not linear layers.
const (
	EmbeddingName = "model.embed_tokens.weight"
	FinalNormName = "model.norm.weight"
	HeadName      = "lm_head.weight"
)

// Linears lists every linear layer that NF4 and LoRA apply to, in the order of the forward pass: q, k, v, o, gate, up and down of
// each layer, without ".weight".
func (c *Config) Linears() []Linear {
	var out []Linear
	for i := range c.Layers {
		base := fmt.Sprintf("model.layers.%d.", i)
		q, kv := c.Heads*c.HeadDim, c.KVHeads*c.HeadDim
		out = append(out,
			Linear{base + "self_attn.q_proj", q, c.HiddenSize}, Linear{base + "self_attn.k_proj", kv, c.HiddenSize},
			Linear{base + "self_attn.v_proj", kv, c.HiddenSize}, Linear{base + "self_attn.o_proj", c.HiddenSize, q},
			Linear{base + "mlp.gate_proj", c.IntermediateSize, c.HiddenSize}, Linear{base + "mlp.up_proj", c.IntermediateSize, c.HiddenSize},
			Linear{base + "mlp.down_proj", c.HiddenSize, c.IntermediateSize},
		)
	}
	return out
}

// Norms lists the RMS norms, each of hidden_size.
func (c *Config) Norms() []string {
	var out []string
	for i := range c.Layers {
		base := fmt.Sprintf("model.layers.%d.", i)
		out = append(out, base+"input_layernorm.weight", base+"post_attention_layernorm.weight")
	}
	return append(out, FinalNormName)
}
