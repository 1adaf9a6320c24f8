package llama

import (
	"encoding/json"
	"fmt"

	"llamaxr/inference/safetensors"
)

// Prefix is keys and values that every layer attends to before those of the text (prefix tuning, Li and Liang 2021), as PEFT stores them
// without reparameterisation. They take the first positions, are not turned by them, and the text begins after them.
type Prefix struct {
	Tokens int       // virtual ones; 0 for no prefix
	Values []float32 // [Tokens, Layers, 2 (keys, values), KVHeads, HeadDim]
}

// PrefixWidth is how many numbers a virtual token has in all layers.
func (c *Config) PrefixWidth() int { return c.Layers * 2 * c.KVHeads * c.HeadDim }

// each goes over a prefix head by head: part 0 are keys, 1 values.
func (p Prefix) each(c *Config, do func(token, layer, part, head int, values []float32)) {
	d := c.HeadDim
	for at := 0; at < p.Tokens*c.PrefixWidth()/d; at++ {
		rest := at / c.KVHeads
		do(rest/(2*c.Layers), rest/2%c.Layers, rest%2, at%c.KVHeads, p.Values[at*d:(at+1)*d])
	}
}

const (
	prefixType   = "PREFIX_TUNING"
	prefixTensor = "prompt_embeddings"
	// maxVirtual is the most virtual tokens of a prefix: they take their part of the positions.
	maxVirtual = 512
)

type prefixConfig struct {
	PeftType      string `json:"peft_type"`
	TaskType      string `json:"task_type"`
	BaseModel     string `json:"base_model_name_or_path"`
	InferenceMode bool   `json:"inference_mode"`
	Tokens        int    `json:"num_virtual_tokens"`
	TokenDim      int    `json:"token_dim"`
	Heads         int    `json:"num_attention_heads"`
	Layers        int    `json:"num_layers"`
	Submodules    int    `json:"num_transformer_submodules"`
	Projection    bool   `json:"prefix_projection"`
}

// prefixFields are those of a prefix's adapter_config.json that may be set: the shape, and what leaves the arithmetic as it is.
var prefixFields = []string{
	"peft_type", "task_type", "base_model_name_or_path", "inference_mode", "num_virtual_tokens", "token_dim", "num_attention_heads", "num_layers",
	"num_transformer_submodules", "encoder_hidden_size", "init_weights", "auto_mapping", "peft_version", "revision",
}

// prefixConfigOf has the names that PEFT gives: its heads are those of keys and values.
func prefixConfigOf(c *Config, tokens int, base string) prefixConfig {
	return prefixConfig{
		PeftType: prefixType, TaskType: "CAUSAL_LM", BaseModel: base, InferenceMode: true, Tokens: tokens, TokenDim: c.KVHeads * c.HeadDim,
		Heads: c.KVHeads, Layers: c.Layers, Submodules: 1,
	}
}

func readPrefix(c *Config, configJSON, data []byte) (*Adapter, error) {
	var cfg prefixConfig
	_, err := checkFields(configJSON, prefixFields, "prefix tuning")
	if err == nil {
		err = json.Unmarshal(configJSON, &cfg)
	}
	if err != nil {
		return nil, fmt.Errorf("llama: adapter_config.json: %w", err)
	}
	if most := min(maxVirtual, c.MaxPositions-1); cfg.Tokens < 1 || cfg.Tokens > most {
		return nil, fmt.Errorf("llama: adapter_config.json: num_virtual_tokens is %d, want 1 to %d", cfg.Tokens, most)
	}
	want := prefixConfigOf(c, cfg.Tokens, cfg.BaseModel)
	want.TaskType, want.InferenceMode = cfg.TaskType, cfg.InferenceMode
	if cfg != want {
		return nil, fmt.Errorf("llama: adapter_config.json: a prefix of %d layers with %d heads and %d numbers belongs to another base model than one of %d, %d and %d",
			cfg.Layers, cfg.Heads, cfg.TokenDim, want.Layers, want.Heads, want.TokenDim)
	}
	x, err := safetensors.OpenBytes(data)
	if err != nil {
		return nil, fmt.Errorf("llama: adapter_model.safetensors: %w", err)
	}
	if len(x.Spans) != 1 {
		return nil, fmt.Errorf("llama: adapter_model.safetensors: %d tensors, a prefix is one: %s", len(x.Spans), prefixTensor)
	}
	values, err := readMatrix(x, prefixTensor, cfg.Tokens, c.PrefixWidth())
	if err != nil {
		return nil, err
	}
	return &Adapter{Prefix: Prefix{cfg.Tokens, values}}, nil
}
