package llama

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"llamaxr/inference/kernel"
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
	return out, c.strangers(held)
}

// strangers reports a tensor that a model of this config has no place for: biases, or layers that the config does not count. What transformers
// too leaves aside may be there.
func (c *Config) strangers(held map[string]*safetensors.Index) error {
	known := map[string]bool{HeadName: true} // some write it of tied embeddings too
	for name := range c.shapes() {
		for _, suffix := range []string{"", absmaxSuffix, mapSuffix, nestedAbsmaxSuffix, nestedMapSuffix, stateSuffix} {
			known[name+suffix] = true
		}
	}
	for _, name := range slices.Sorted(maps.Keys(held)) {
		if !known[name] && !strings.HasSuffix(name, ".rotary_emb.inv_freq") {
			return fmt.Errorf("llama: tensor %.200q has no place in the model that %s describes", name, ConfigFile)
		}
	}
	return nil
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
// x A' B' times Alpha/Rank. Or it is a prefix: Rank is 0 then.
type Adapter struct {
	Rank, Alpha int
	A, B        map[string][]float32 // by linear layer name

	Prefix Prefix
}

// Merge adds a LoRA adapter to the weights of its base; they write what the two wrote.
func (a *Adapter) Merge(c *Config, w Weights) {
	scale := float32(a.Alpha) / float32(max(a.Rank, 1))
	for _, l := range c.Linears() {
		if a.A[l.Name] == nil {
			continue
		}
		for o := range l.Out {
			row := w[l.Name+".weight"][o*l.In : (o+1)*l.In]
			for r := range a.Rank {
				kernel.AddScaled(row, a.A[l.Name][r*l.In:(r+1)*l.In], scale*a.B[l.Name][o*a.Rank+r])
			}
		}
	}
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
}

// plainFields are those of adapter_config.json that leave LoRA's arithmetic as it is, whatever they say; the tensors tell which layers there are.
var plainFields = []string{
	"peft_type", "task_type", "base_model_name_or_path", "r", "lora_alpha", "lora_dropout", "target_modules", "bias", "inference_mode", "init_lora_weights",
	"auto_mapping", "corda_config", "eva_config", "exclude_modules", "layers_pattern", "layers_to_transform", "loftq_config", "lora_ga_config",
	"megatron_config", "megatron_core", "peft_version", "qalora_group_size", "revision",
}

// plainStarts are what init_lora_weights may say. Other ways to start (PiSSA, OLoRA, CorDA, LoftQ) change the base's weights as well.
var plainStarts = []string{"", "true", "false", `"gaussian"`, `"eva"`, `"orthogonal"`}

// checkPlain refuses an adapter that asks for other arithmetic than LoRA's, now known or not.
func checkPlain(configJSON []byte) error {
	fields, err := checkFields(configJSON, plainFields, "LoRA")
	if err != nil {
		return err
	}
	if bias := string(fields["bias"]); bias != "" && bias != `"none"` {
		return fmt.Errorf("bias is %.100q: only plain LoRA is done here", bias)
	}
	if start := string(fields["init_lora_weights"]); !slices.Contains(plainStarts, start) {
		return fmt.Errorf("init_lora_weights is %.100q: it changed the base's weights; convert the adapter to plain LoRA (PEFT, save_pretrained)", start)
	}
	return nil
}

// checkFields reads adapter_config.json and refuses fields that are set and not among the plain ones of a method.
func checkFields(configJSON []byte, plain []string, method string) (fields map[string]json.RawMessage, err error) {
	if err := json.Unmarshal(configJSON, &fields); err != nil {
		return nil, err
	}
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		unset := slices.Contains([]string{"null", "false", "{}", "[]", "0", `""`}, string(fields[name]))
		if !unset && !slices.Contains(plain, name) {
			return nil, fmt.Errorf("%.100q is %.100q: only plain %s is done here", name, fields[name], method)
		}
	}
	return fields, nil
}

const (
	adapterPrefix = "base_model.model."
	maxRank       = 1024
)

// ReadAdapter reads a PEFT folder's two files. Layers that the adapter does not touch are absent.
func ReadAdapter(c *Config, configJSON, data []byte) (*Adapter, error) {
	var cfg struct {
		PeftType string  `json:"peft_type"`
		Rank     int     `json:"r"`
		Alpha    float64 `json:"lora_alpha"`
	}
	err := json.Unmarshal(configJSON, &cfg)
	if err == nil && cfg.PeftType == prefixType {
		return readPrefix(c, configJSON, data)
	}
	if err == nil {
		err = checkPlain(configJSON)
	}
	if err != nil {
		return nil, fmt.Errorf("llama: adapter_config.json: %w", err)
	}
	if cfg.PeftType != "LORA" || cfg.Rank < 1 || cfg.Rank > maxRank {
		return nil, fmt.Errorf("llama: adapter_config.json: peft_type %q with r %d, want LORA with r 1 to %d, or PREFIX_TUNING", cfg.PeftType, cfg.Rank, maxRank)
	}
	if cfg.Alpha < 1 || cfg.Alpha > math.MaxInt16 || cfg.Alpha != math.Trunc(cfg.Alpha) {
		return nil, fmt.Errorf("llama: adapter_config.json: lora_alpha is %g, want a whole number from 1 to %d", cfg.Alpha, math.MaxInt16)
	}
	x, err := safetensors.OpenBytes(data)
	if err != nil {
		return nil, fmt.Errorf("llama: adapter_model.safetensors: %w", err)
	}
	a := &Adapter{Rank: cfg.Rank, Alpha: int(cfg.Alpha), A: map[string][]float32{}, B: map[string][]float32{}}
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
	if used != len(x.Spans) || used == 0 {
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
	var settings any = adapterConfig{
		PeftType: "LORA", TaskType: "CAUSAL_LM", BaseModel: base, Rank: a.Rank, Alpha: a.Alpha, Bias: "none", InferenceMode: true,
		TargetModules: []string{"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"},
	}
	file := &safetensors.File{Tensors: map[string]safetensors.Tensor{}, Metadata: map[string]string{"format": "pt"}}
	if n := a.Prefix.Tokens; n > 0 {
		settings = prefixConfigOf(c, n, base)
		file.Tensors[prefixTensor] = safetensors.FromFloats(safetensors.F16, []int{n, c.PrefixWidth()}, a.Prefix.Values)
	}
	configJSON, err = json.MarshalIndent(settings, "", "  ")
	if err != nil {
		return nil, nil, fmt.Errorf("llama: adapter_config.json: %w", err)
	}
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
