package llama

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
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
	BOS               TokenIDs     `json:"bos_token_id,omitempty"`
	EOS               TokenIDs     `json:"eos_token_id,omitempty"` // any of them ends a text
}

// TokenIDs are written as one number or as a list.
type TokenIDs []int

// UnmarshalJSON reads both forms.
func (ids *TokenIDs) UnmarshalJSON(data []byte) error {
	if string(data) == "null" {
		return nil
	}
	var one int
	if err := json.Unmarshal(data, &one); err == nil {
		*ids = TokenIDs{one}
		return nil
	}
	var several []int
	if err := json.Unmarshal(data, &several); err != nil {
		return fmt.Errorf("%s is neither a token id nor a list of them", data)
	}
	*ids = several
	return nil
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
	maxFactor    = 1e12 // of the rotary frequencies: positions that turn nothing are no model's
)

// extras are fields of config.json that say the same otherwise, or ask for what is not done here.
type extras struct {
	RopeParameters *struct { // transformers 5
		RopeScaling
		Theta float64 `json:"rope_theta"`
	} `json:"rope_parameters"`
	RopeScaling *struct {
		OldType string `json:"type"` // before rope_type
	} `json:"rope_scaling"`
	Activation    string `json:"hidden_act"`
	AttentionBias bool   `json:"attention_bias"`
	MLPBias       bool   `json:"mlp_bias"`
}

// What a config.json without rope_theta or rms_norm_eps means to transformers: Llama 2.
const (
	defaultRopeTheta   = 10000
	defaultNormEpsilon = 1e-6
)

// ParseConfig reads config.json and checks that its numbers fit one another.
func ParseConfig(data []byte) (*Config, error) {
	c := &Config{RopeTheta: defaultRopeTheta, NormEpsilon: defaultNormEpsilon}
	var e extras
	for _, into := range []any{c, &e} {
		if err := json.Unmarshal(data, into); err != nil {
			return nil, fmt.Errorf("llama: config.json: %w", err)
		}
	}
	other := slices.IndexFunc(c.Architectures, func(name string) bool { return !strings.HasPrefix(strings.ToLower(name), "llama") })
	switch {
	case c.ModelType != "" && c.ModelType != "llama":
		return nil, fmt.Errorf("llama: config.json: model_type is %q, want llama", c.ModelType)
	case other >= 0:
		return nil, fmt.Errorf("llama: config.json: architectures has %q, want LlamaForCausalLM", c.Architectures[other])
	case e.Activation != "" && e.Activation != "silu":
		return nil, fmt.Errorf("llama: config.json: hidden_act is %q, want silu", e.Activation)
	case e.AttentionBias || e.MLPBias:
		return nil, fmt.Errorf("llama: config.json: attention_bias %t, mlp_bias %t: biases are not known", e.AttentionBias, e.MLPBias)
	}
	if p := e.RopeParameters; p != nil {
		c.RopeScaling = &p.RopeScaling
		if p.Theta != 0 {
			c.RopeTheta = p.Theta
		}
	}
	if c.RopeScaling != nil && c.RopeScaling.Type == "" && e.RopeScaling != nil {
		c.RopeScaling.Type = e.RopeScaling.OldType
	}
	if c.RopeScaling != nil && c.RopeScaling.Type == "default" {
		c.RopeScaling = nil
	}
	if c.KVHeads == 0 {
		c.KVHeads = c.Heads
	}
	return c, c.check()
}

// check reports numbers that do not fit one another, and fills in head_dim.
func (c *Config) check() error {
	for name, v := range map[string]int{
		"hidden_size": c.HiddenSize, "intermediate_size": c.IntermediateSize, "num_attention_heads": c.Heads, "num_key_value_heads": c.KVHeads,
	} {
		if v < 1 || v > maxHidden {
			return fmt.Errorf("llama: config.json: %s is %d, outside 1 to %d", name, v, maxHidden)
		}
	}
	if c.HeadDim == 0 {
		c.HeadDim = c.HiddenSize / c.Heads
	}
	switch {
	case c.Layers < 1 || c.Layers > maxLayers:
		return fmt.Errorf("llama: config.json: num_hidden_layers is %d, outside 1 to %d", c.Layers, maxLayers)
	case c.VocabSize < 1 || c.VocabSize > maxTokens:
		return fmt.Errorf("llama: config.json: vocab_size is %d, outside 1 to %d", c.VocabSize, maxTokens)
	case c.Heads%c.KVHeads != 0:
		return fmt.Errorf("llama: config.json: %d heads do not share %d key-value heads evenly", c.Heads, c.KVHeads)
	case c.HeadDim < 2 || c.HeadDim%2 != 0 || c.HeadDim > maxHidden:
		return fmt.Errorf("llama: config.json: head_dim is %d, want an even number", c.HeadDim)
	case c.MaxPositions < 1 || c.MaxPositions > maxPositions:
		return fmt.Errorf("llama: config.json: max_position_embeddings is %d, outside 1 to %d", c.MaxPositions, maxPositions)
	case !(c.RopeTheta > 0 && c.RopeTheta <= maxFactor) || !(c.NormEpsilon >= 0 && c.NormEpsilon < 1):
		return fmt.Errorf("llama: config.json: rope_theta is %g and rms_norm_eps %g", c.RopeTheta, c.NormEpsilon)
	case c.RopeScaling != nil && c.RopeScaling.Type != "llama3":
		return fmt.Errorf("llama: config.json: rope_type %q is not known", c.RopeScaling.Type)
	case c.RopeScaling != nil && (!(c.RopeScaling.Factor > 0 && c.RopeScaling.Factor <= maxFactor) || !(c.RopeScaling.LowFreqFactor > 0) ||
		!(c.RopeScaling.HighFreqFactor > c.RopeScaling.LowFreqFactor) || c.RopeScaling.Original < 1):
		return fmt.Errorf("llama: config.json: rope_scaling %+v makes no sense", *c.RopeScaling)
	}
	for _, id := range append(slices.Clone(c.BOS), c.EOS...) {
		if id < 0 || id >= c.VocabSize {
			return fmt.Errorf("llama: config.json: token id %d is outside the vocabulary of %d", id, c.VocabSize)
		}
	}
	return nil
}

// Rotary returns the cosines and sines of positions 0 to n-1, each n x head_dim, the second half repeating the first
// (transformers, LlamaRotaryEmbedding and _compute_llama3_parameters).
func (c *Config) Rotary(n int) (cos, sin []float32) {
	half, frequency := c.HeadDim/2, c.frequencies()
	cos, sin = make([]float32, n*c.HeadDim), make([]float32, n*c.HeadDim)
	for p := range n {
		for i := range c.HeadDim {
			s, co := math.Sincos(float64(p) * frequency[i%half])
			cos[p*c.HeadDim+i], sin[p*c.HeadDim+i] = float32(co), float32(s)
		}
	}
	return cos, sin
}

// frequencies are the angles that one position turns each pair of values by.
func (c *Config) frequencies() []float64 {
	frequency := make([]float64, c.HeadDim/2)
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
	return frequency
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

// LayerPrefix begins the names of a layer's parameters.
func LayerPrefix(i int) string { return fmt.Sprintf("model.layers.%d.", i) }

// HeadOf names the head's matrix; a tied head is the embedding itself.
func (c *Config) HeadOf() string {
	if c.TieWordEmbeddings {
		return EmbeddingName
	}
	return HeadName
}

// Linears lists every linear layer that NF4 and LoRA apply to, in the order of the forward pass: q, k, v, o, gate, up and down of
// each layer, without ".weight".
func (c *Config) Linears() []Linear {
	var out []Linear
	for i := range c.Layers {
		base := LayerPrefix(i)
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
		base := LayerPrefix(i)
		out = append(out, base+"input_layernorm.weight", base+"post_attention_layernorm.weight")
	}
	return append(out, FinalNormName)
}
