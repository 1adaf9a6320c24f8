package llama

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"

	"llamaxr/inference/quant"
	"llamaxr/inference/safetensors"
)

// Suffixes under which bitsandbytes stores the parts of an NF4 weight beside it.
const (
	absmaxSuffix       = ".absmax"
	mapSuffix          = ".quant_map"
	nestedAbsmaxSuffix = ".nested_absmax"
	nestedMapSuffix    = ".nested_quant_map"
	stateSuffix        = ".quant_state.bitsandbytes__nf4"
)

type quantState struct {
	QuantType       string  `json:"quant_type"`
	BlockSize       int     `json:"blocksize"`
	DType           string  `json:"dtype"`
	Shape           []int   `json:"shape"`
	NestedBlockSize int     `json:"nested_blocksize"`
	NestedDType     string  `json:"nested_dtype"`
	NestedOffset    float64 `json:"nested_offset"`
}

// Weights are a model's parameters as float32, by Hugging Face name.
type Weights map[string][]float32

// shapes lists every parameter the config asks for.
func (c *Config) shapes() map[string][]int {
	out := map[string][]int{EmbeddingName: {c.VocabSize, c.HiddenSize}}
	for _, l := range c.Linears() {
		out[l.Name+".weight"] = []int{l.Out, l.In}
	}
	for _, name := range c.Norms() {
		out[name] = []int{c.HiddenSize}
	}
	if !c.TieWordEmbeddings {
		out[HeadName] = []int{c.VocabSize, c.HiddenSize}
	}
	return out
}

// ReadWeights reads model.safetensors: plain float tensors, or NF4 as bitsandbytes packs it, dequantised.
func ReadWeights(c *Config, data []byte) (Weights, error) {
	file, err := safetensors.Parse(data)
	if err != nil {
		return nil, fmt.Errorf("llama: model.safetensors: %w", err)
	}
	out := Weights{}
	for name, shape := range c.shapes() {
		values, err := readTensor(file, name, shape)
		if err != nil {
			return nil, fmt.Errorf("llama: model.safetensors: tensor %s: %w", name, err)
		}
		for i, v := range values {
			if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
				return nil, fmt.Errorf("llama: model.safetensors: tensor %s has %g at %d", name, v, i)
			}
		}
		out[name] = values
	}
	return out, nil
}

func readTensor(file *safetensors.File, name string, shape []int) ([]float32, error) {
	t, ok := file.Tensors[name]
	if !ok {
		return nil, fmt.Errorf("missing")
	}
	state, packed := file.Tensors[name+stateSuffix]
	if !packed {
		if fmt.Sprint(t.Shape) != fmt.Sprint(shape) {
			return nil, fmt.Errorf("shape %v, want %v", t.Shape, shape)
		}
		return t.Floats()
	}
	var q quantState
	if err := json.Unmarshal(state.Data, &q); err != nil {
		return nil, fmt.Errorf("quant_state: %w", err)
	}
	if q.QuantType != "nf4" || q.BlockSize != quant.BlockSize || q.NestedBlockSize != quant.NestedBlockSize ||
		fmt.Sprint(q.Shape) != fmt.Sprint(shape) {
		return nil, fmt.Errorf("quant_state %+v does not fit shape %v", q, shape)
	}
	nested, err := file.Tensors[name+nestedAbsmaxSuffix].Floats()
	if err != nil {
		return nil, fmt.Errorf("nested_absmax: %w", err)
	}
	nestedMap, err := file.Tensors[name+nestedMapSuffix].Floats()
	if err != nil || len(nestedMap) != 256 {
		return nil, fmt.Errorf("nested_quant_map has %d levels, want 256 (%v)", len(nestedMap), err)
	}
	if levels, err := file.Tensors[name+mapSuffix].Floats(); err != nil || !slices.Equal(levels, quant.NF4[:]) {
		return nil, fmt.Errorf("quant_map holds other levels than NF4's (%v)", err)
	}
	length := 1
	for _, d := range shape {
		length *= d
	}
	packedTensor := quant.Tensor{
		Len: length, Packed: t.Data, Absmax: file.Tensors[name+absmaxSuffix].Data, NestedAbsmax: nested, Offset: float32(q.NestedOffset),
		NestedMap: [256]float32(nestedMap),
	}
	return packedTensor.Dequantise()
}

// WriteNF4 writes model.safetensors with the linear layers packed as NF4 with double quantisation and the rest as F16.
func WriteNF4(c *Config, weights Weights, w io.Writer) error {
	file := &safetensors.File{Tensors: map[string]safetensors.Tensor{}, Metadata: map[string]string{"format": "pt"}}
	packed := map[string]bool{}
	for _, l := range c.Linears() {
		packed[l.Name+".weight"] = true
	}
	for name, shape := range c.shapes() {
		values := weights[name]
		if !packed[name] {
			file.Tensors[name] = safetensors.FromFloats(safetensors.F16, shape, values)
			continue
		}
		q, err := quant.Quantise(values)
		if err != nil {
			return fmt.Errorf("llama: %s: %w", name, err)
		}
		state, err := json.Marshal(quantState{
			QuantType: "nf4", BlockSize: quant.BlockSize, DType: "float32", Shape: shape,
			NestedBlockSize: quant.NestedBlockSize, NestedDType: "float32", NestedOffset: float64(q.Offset),
		})
		if err != nil {
			return fmt.Errorf("llama: %s: %w", name, err)
		}
		file.Tensors[name] = safetensors.Tensor{DType: safetensors.U8, Shape: []int{len(q.Packed), 1}, Data: q.Packed}
		file.Tensors[name+absmaxSuffix] = safetensors.Tensor{DType: safetensors.U8, Shape: []int{len(q.Absmax)}, Data: q.Absmax}
		file.Tensors[name+nestedAbsmaxSuffix] = safetensors.FromFloats(safetensors.F32, []int{len(q.NestedAbsmax)}, q.NestedAbsmax)
		file.Tensors[name+mapSuffix] = safetensors.FromFloats(safetensors.F32, []int{16}, quant.NF4[:])
		file.Tensors[name+nestedMapSuffix] = safetensors.FromFloats(safetensors.F32, []int{256}, q.NestedMap[:])
		file.Tensors[name+stateSuffix] = safetensors.Tensor{DType: safetensors.U8, Shape: []int{len(state)}, Data: state}
	}
	_, err := file.WriteTo(w)
	return err
}

// Adapter is a LoRA adapter as PEFT stores it: for each linear layer A [rank, in] and B [out, rank]; the layer's output gains
// x A' B' times Alpha/Rank.
type Adapter struct {
	Rank, Alpha int
	A, B        map[string][]float32 // by linear layer name
}

type adapterConfig struct {
	PeftType      string   `json:"peft_type"`
	TaskType      string   `json:"task_type"`
	BaseModel     string   `json:"base_model_name_or_path"`
	Rank          int      `json:"r"`
	Alpha         int      `json:"lora_alpha"`
	Dropout       float64  `json:"lora_dropout"`
	TargetModules []string `json:"target_modules"`
	Bias          string   `json:"bias"`
	InferenceMode bool     `json:"inference_mode"`

	// What would change the arithmetic and is not done here: an adapter that sets any of these is refused.
	UseDora       bool           `json:"use_dora,omitempty"`
	UseRSLora     bool           `json:"use_rslora,omitempty"`
	FanInFanOut   bool           `json:"fan_in_fan_out,omitempty"`
	RankPattern   map[string]int `json:"rank_pattern,omitempty"`
	AlphaPattern  map[string]any `json:"alpha_pattern,omitempty"`
	ModulesToSave []string       `json:"modules_to_save,omitempty"`
}

const (
	adapterPrefix = "base_model.model."
	maxRank       = 1024
)

// ReadAdapter reads a PEFT folder's two files. Layers that the adapter does not touch are absent.
func ReadAdapter(c *Config, configJSON, data []byte) (*Adapter, error) {
	var cfg adapterConfig
	if err := json.Unmarshal(configJSON, &cfg); err != nil {
		return nil, fmt.Errorf("llama: adapter_config.json: %w", err)
	}
	if cfg.PeftType != "LORA" || cfg.Rank < 1 || cfg.Rank > maxRank {
		return nil, fmt.Errorf("llama: adapter_config.json: peft_type %q with r %d, want LORA with r 1 to %d", cfg.PeftType, cfg.Rank, maxRank)
	}
	if cfg.UseDora || cfg.UseRSLora || cfg.FanInFanOut || len(cfg.RankPattern)+len(cfg.AlphaPattern)+len(cfg.ModulesToSave) > 0 ||
		cfg.Bias != "" && cfg.Bias != "none" {
		return nil, errors.New("llama: adapter_config.json: only plain LoRA is done here: no DoRA, rsLoRA, patterns, biases or saved modules")
	}
	file, err := safetensors.Parse(data)
	if err != nil {
		return nil, fmt.Errorf("llama: adapter_model.safetensors: %w", err)
	}
	a := &Adapter{Rank: cfg.Rank, Alpha: cfg.Alpha, A: map[string][]float32{}, B: map[string][]float32{}}
	used := 0
	for _, l := range c.Linears() {
		name := adapterPrefix + l.Name
		if _, ok := file.Tensors[name+".lora_A.weight"]; !ok {
			continue
		}
		if a.A[l.Name], err = readTensor(file, name+".lora_A.weight", []int{cfg.Rank, l.In}); err != nil {
			return nil, fmt.Errorf("llama: adapter: %s lora_A: %w", l.Name, err)
		}
		if a.B[l.Name], err = readTensor(file, name+".lora_B.weight", []int{l.Out, cfg.Rank}); err != nil {
			return nil, fmt.Errorf("llama: adapter: %s lora_B: %w", l.Name, err)
		}
		used += 2
	}
	if used != len(file.Tensors) {
		return nil, fmt.Errorf("llama: adapter_model.safetensors: %d of %d tensors fit this base model: it belongs to another", used, len(file.Tensors))
	}
	return a, nil
}

// WriteAdapter returns the two files of a PEFT folder.
func WriteAdapter(c *Config, a *Adapter, base string) (configJSON, data []byte, err error) {
	configJSON, err = json.MarshalIndent(adapterConfig{
		PeftType: "LORA", TaskType: "CAUSAL_LM", BaseModel: base, Rank: a.Rank, Alpha: a.Alpha, Bias: "none", InferenceMode: true,
		TargetModules: []string{"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"},
	}, "", "  ")
	if err != nil {
		return nil, nil, fmt.Errorf("llama: adapter_config.json: %w", err)
	}
	file := &safetensors.File{Tensors: map[string]safetensors.Tensor{}, Metadata: map[string]string{"format": "pt"}}
	for _, l := range c.Linears() {
		if a.A[l.Name] == nil {
			continue
		}
		file.Tensors[adapterPrefix+l.Name+".lora_A.weight"] = safetensors.FromFloats(safetensors.F16, []int{a.Rank, l.In}, a.A[l.Name])
		file.Tensors[adapterPrefix+l.Name+".lora_B.weight"] = safetensors.FromFloats(safetensors.F16, []int{l.Out, a.Rank}, a.B[l.Name])
	}
	var buf bytes.Buffer
	if _, err := file.WriteTo(&buf); err != nil {
		return nil, nil, err
	}
	return configJSON, buf.Bytes(), nil
}
