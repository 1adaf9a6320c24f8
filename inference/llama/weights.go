package llama

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
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
	s, err := sourceOf(c, data)
	if err != nil {
		return nil, err
	}
	return s.Weights()
}

// sourceOf is a model whose model.safetensors is in memory or mapped; its weights share the bytes.
func sourceOf(c *Config, data []byte) (*Source, error) {
	x, err := safetensors.OpenBytes(data)
	if err != nil {
		return nil, fmt.Errorf("llama: %s: %w", WeightsFile, err)
	}
	held := map[string]*safetensors.Index{}
	for name := range x.Spans {
		held[name] = x
	}
	s := &Source{Config: c}
	if s.weights, err = weightsOf(c, held); err != nil {
		return nil, fmt.Errorf("%s: %w", WeightsFile, err)
	}
	if err := s.check(); err != nil {
		return nil, fmt.Errorf("%s: %w", WeightsFile, err)
	}
	return s, nil
}

// weightsOf finds the parameters that the config asks for among tensors in safetensors files.
func weightsOf(c *Config, held map[string]*safetensors.Index) (map[string]weight, error) {
	out := map[string]weight{}
	shapes := c.shapes()
	for _, name := range slices.Sorted(maps.Keys(shapes)) { // the same fault is told of the same tensor
		shape := shapes[name]
		x, ok := held[name]
		if !ok {
			return nil, fmt.Errorf("llama: tensor %s is missing", name)
		}
		w, err := weightOf(x, name, shape)
		if err != nil {
			return nil, fmt.Errorf("llama: tensor %s: %w", name, err)
		}
		out[name] = w
	}
	return out, nil
}

func weightOf(x *safetensors.Index, name string, shape []int) (weight, error) {
	span := x.Spans[name]
	if _, packed := x.Spans[name+stateSuffix]; packed {
		return packedWeight(x, name, shape)
	}
	if !slices.Equal(span.Shape, shape) {
		return weight{}, fmt.Errorf("%s of shape %v, want %v", span.DType, span.Shape, shape)
	}
	switch span.DType {
	case safetensors.F32, safetensors.F16, safetensors.BF16:
	default:
		return weight{}, fmt.Errorf("element type %s; F32, F16, BF16 and bitsandbytes' NF4 are read", span.DType)
	}
	width := span.Size / int64(max(elements(shape), 1))
	return weight{
		shape: shape, stored: span.DType, raw: x.Read,
		rows: func(from, n int, out []float32) error {
			length := int64(len(out) / max(n, 1))
			data, err := x.Read(name, int64(from)*length*width, int64(n)*length*width)
			if err != nil {
				return err
			}
			values, err := safetensors.Tensor{DType: span.DType, Data: data}.Floats()
			copy(out, values)
			return err
		},
	}, nil
}

func elements(shape []int) int {
	n := 1
	for _, d := range shape {
		n *= d
	}
	return n
}

// packedWeight is a weight that is NF4 already, with double quantisation or without.
func packedWeight(x *safetensors.Index, name string, shape []int) (weight, error) {
	text, err := x.Tensor(name + stateSuffix)
	if err != nil {
		return weight{}, err
	}
	var q quantState
	if err := json.Unmarshal(text.Data, &q); err != nil {
		return weight{}, fmt.Errorf("quant_state: %w", err)
	}
	nested := q.NestedBlockSize != 0
	if q.QuantType != "nf4" || q.BlockSize != quant.BlockSize || nested && q.NestedBlockSize != quant.NestedBlockSize || !slices.Equal(q.Shape, shape) {
		return weight{}, fmt.Errorf("quant_state %+v does not fit shape %v", q, shape)
	}
	w := weight{shape: shape, stored: safetensors.F32, raw: x.Read, parts: map[string]safetensors.Spec{}}
	suffixes := []string{"", absmaxSuffix, mapSuffix, stateSuffix}
	if nested {
		suffixes = append(suffixes, nestedAbsmaxSuffix, nestedMapSuffix)
	}
	for _, suffix := range suffixes {
		span, ok := x.Spans[name+suffix]
		if !ok {
			return weight{}, fmt.Errorf("its part %s is missing", suffix)
		}
		w.parts[name+suffix] = safetensors.Spec{DType: span.DType, Shape: span.Shape}
	}
	w.packed = func() (*quant.Tensor, error) { return readPacked(x, name, q, elements(shape)) }
	if _, err := w.packed(); err != nil { // before anything is installed
		return weight{}, err
	}
	w.rows = func(from, n int, out []float32) error {
		t, err := w.packed()
		if err != nil {
			return err
		}
		values, err := t.Dequantise()
		if err != nil {
			return err
		}
		copy(out, values[from*len(out)/max(n, 1):])
		return nil
	}
	return w, nil
}

func readPacked(x *safetensors.Index, name string, q quantState, length int) (*quant.Tensor, error) {
	var faults []error
	read := func(suffix string) safetensors.Tensor {
		t, err := x.Tensor(name + suffix)
		faults = append(faults, err)
		return t
	}
	floats := func(suffix string, want int) []float32 {
		values, err := read(suffix).Floats()
		if err == nil && want > 0 && len(values) != want {
			err = fmt.Errorf("%s has %d values, want %d", suffix, len(values), want)
		}
		faults = append(faults, err)
		return values
	}
	t := &quant.Tensor{Len: length, Packed: read("").Data}
	levels := floats(mapSuffix, len(quant.NF4))
	if q.NestedBlockSize != 0 {
		t.Absmax, t.NestedAbsmax, t.Offset = read(absmaxSuffix).Data, floats(nestedAbsmaxSuffix, 0), float32(q.NestedOffset)
		copy(t.NestedMap[:], floats(nestedMapSuffix, len(t.NestedMap)))
	} else {
		t.Magnitudes = floats(absmaxSuffix, (length+quant.BlockSize-1)/quant.BlockSize)
	}
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	if !slices.Equal(levels, quant.NF4[:]) {
		return nil, errors.New("quant_map holds other levels than NF4's")
	}
	return t, t.Check()
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
	x, err := safetensors.OpenBytes(data)
	if err != nil {
		return nil, fmt.Errorf("llama: adapter_model.safetensors: %w", err)
	}
	a := &Adapter{Rank: cfg.Rank, Alpha: cfg.Alpha, A: map[string][]float32{}, B: map[string][]float32{}}
	used := 0
	for _, l := range c.Linears() {
		name := adapterPrefix + l.Name
		if _, ok := x.Spans[name+".lora_A.weight"]; !ok {
			continue
		}
		if a.A[l.Name], err = readMatrix(x, name+".lora_A.weight", cfg.Rank, l.In); err != nil {
			return nil, err
		}
		if a.B[l.Name], err = readMatrix(x, name+".lora_B.weight", l.Out, cfg.Rank); err != nil {
			return nil, err
		}
		used += 2
	}
	if used != len(x.Spans) {
		return nil, fmt.Errorf("llama: adapter_model.safetensors: %d of %d tensors fit this base model: it belongs to another", used, len(x.Spans))
	}
	return a, nil
}

func readMatrix(x *safetensors.Index, name string, rows, length int) ([]float32, error) {
	if _, ok := x.Spans[name]; !ok {
		return nil, fmt.Errorf("llama: adapter_model.safetensors: %s is missing", name)
	}
	w, err := weightOf(x, name, []int{rows, length})
	values := make([]float32, rows*length)
	if err == nil {
		err = w.rows(0, rows, values)
	}
	if i := slices.IndexFunc(values, notFinite); err == nil && i >= 0 {
		err = fmt.Errorf("%g at %d", values[i], i)
	}
	if err != nil {
		return nil, fmt.Errorf("llama: adapter_model.safetensors: %s: %w", name, err)
	}
	return values, nil
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
