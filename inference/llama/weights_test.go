package llama

import (
	"bytes"
	"encoding/json"
	"math"
	"strings"
	"testing"
	"testing/fstest"

	"llamaxr/inference/safetensors"
)

func tinyConfig(t testing.TB) *Config {
	t.Helper()
	config, err := ParseConfig(read(t, "tiny", "config.json"))
	if err != nil {
		t.Fatal(err)
	}
	return config
}

// TestWrittenWeightsComeBack: what WriteNF4 writes, ReadWeights reads as bitsandbytes' own packing of the same values: packing what
// NF4 gave back changes no index, so only the magnitudes' own rounding is left.
func TestWrittenWeightsComeBack(t *testing.T) {
	config := tinyConfig(t)
	weights, err := ReadWeights(config, read(t, "tiny", "model.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	var packed bytes.Buffer
	if err := WriteNF4(config, weights, &packed); err != nil {
		t.Fatal(err)
	}
	again, err := ReadWeights(config, packed.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	for name, values := range weights {
		for i, v := range values {
			if off := math.Abs(float64(v - again[name][i])); off > 0.02*math.Abs(float64(v))+1e-3 {
				t.Fatalf("%s[%d] is %g, was %g", name, i, again[name][i], v)
			}
		}
	}
	adapter, err := ReadAdapter(config, read(t, "tiny", "adapter", "adapter_config.json"), read(t, "tiny", "adapter", "adapter_model.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	settings, data, err := WriteAdapter(config, adapter, "tiny")
	if err != nil {
		t.Fatal(err)
	}
	back, err := ReadAdapter(config, settings, data)
	if err != nil {
		t.Fatal(err)
	}
	if back.Rank != adapter.Rank || back.Alpha != adapter.Alpha || len(back.A) != len(adapter.A) {
		t.Errorf("rank %d, alpha %d, %d layers came back as %d, %d, %d", adapter.Rank, adapter.Alpha, len(adapter.A), back.Rank, back.Alpha, len(back.A))
	}
}

// TestMergedAdapter: weights with an adapter merged into them, written in 16 bits, have the logits that the base has with the adapter beside it.
func TestMergedAdapter(t *testing.T) {
	config := tinyConfig(t)
	base, adapter := tinyFiles(t)
	model, err := LoadAs(nil, base, NativeExact)
	if err != nil {
		t.Fatal(err)
	}
	if err := model.SetAdapter(adapter); err != nil {
		t.Fatal(err)
	}
	weights, err := ReadWeights(config, read(t, "tiny", WeightsFile))
	if err != nil {
		t.Fatal(err)
	}
	lora, err := ReadAdapter(config, read(t, "tiny", "adapter", AdapterConfigFile), read(t, "tiny", "adapter", AdapterWeightsFile))
	if err != nil {
		t.Fatal(err)
	}
	lora.Merge(config, weights)
	var whole bytes.Buffer
	if err := WriteWeights(config, weights, Full, &whole); err != nil {
		t.Fatal(err)
	}
	base.(fstest.MapFS)[WeightsFile] = &fstest.MapFile{Data: whole.Bytes()}
	merged, err := LoadAs(nil, base, NativeExact)
	if err != nil {
		t.Fatal(err)
	}
	ids := []int{5, 9, 2, 7, 3, 11}
	want, err := model.Logits(ids)
	if err != nil {
		t.Fatal(err)
	}
	got, err := merged.Logits(ids)
	if err != nil {
		t.Fatal(err)
	}
	for i, v := range want {
		if off := math.Abs(float64(v - got[i])); off > 1e-2 { // what 16 bits round off
			t.Fatalf("logit %d is %g, with the adapter beside the base %g", i, got[i], v)
		}
	}
}

func TestBadWeightsAreRefused(t *testing.T) {
	config := tinyConfig(t)
	const name = "model.layers.0.mlp.up_proj.weight"
	edit := func(change func(file *safetensors.File)) []byte {
		file, err := safetensors.Parse(read(t, "tiny", "model.safetensors"))
		if err != nil {
			t.Fatal(err)
		}
		change(file)
		var out bytes.Buffer
		if _, err := file.WriteTo(&out); err != nil {
			t.Fatal(err)
		}
		return out.Bytes()
	}
	for what, data := range map[string][]byte{
		"missing tensor": edit(func(f *safetensors.File) { delete(f.Tensors, name) }),
		"missing absmax": edit(func(f *safetensors.File) { delete(f.Tensors, name+absmaxSuffix) }),
		"missing map":    edit(func(f *safetensors.File) { delete(f.Tensors, name+nestedMapSuffix) }),
		"other levels":   edit(func(f *safetensors.File) { f.Tensors[name+mapSuffix].Data[0] ^= 1 }),
		"not a number":   edit(func(f *safetensors.File) { copy(f.Tensors[FinalNormName].Data, []byte{0, 0, 0xc0, 0x7f}) }),
		"infinite scale": edit(func(f *safetensors.File) { copy(f.Tensors[name+nestedAbsmaxSuffix].Data, []byte{0, 0, 0x80, 0x7f}) }),
		"no scale":       edit(func(f *safetensors.File) { copy(f.Tensors[name+nestedMapSuffix].Data[64:], []byte{0, 0, 0xc0, 0x7f}) }),
		"biases": edit(func(f *safetensors.File) {
			f.Tensors["model.layers.0.self_attn.q_proj.bias"] = f.Tensors[FinalNormName]
		}),
		"broken state":    edit(func(f *safetensors.File) { f.Tensors[name+stateSuffix].Data[0] = '[' }),
		"truncated file":  read(t, "tiny", "model.safetensors")[:1000],
		"another's shape": edit(func(f *safetensors.File) { f.Tensors[FinalNormName] = f.Tensors[HeadName] }),
	} {
		if _, err := ReadWeights(config, data); err == nil {
			t.Errorf("%s: accepted", what)
		}
	}
}

func TestBadAdaptersAreRefused(t *testing.T) {
	config := tinyConfig(t)
	good, data := string(read(t, "tiny", "adapter", "adapter_config.json")), read(t, "tiny", "adapter", "adapter_model.safetensors")
	for what, text := range map[string]string{
		"DoRA":          strings.Replace(good, `"use_dora": false`, `"use_dora": true`, 1),
		"rsLoRA":        strings.Replace(good, `"use_rslora": false`, `"use_rslora": true`, 1),
		"rank pattern":  strings.Replace(good, `"rank_pattern": {}`, `"rank_pattern": {"q_proj": 8}`, 1),
		"other rank":    strings.Replace(good, `"r": 4`, `"r": 8`, 1),
		"other method":  strings.Replace(good, `"LORA"`, `"IA3"`, 1),
		"bias":          strings.Replace(good, `"bias": "none"`, `"bias": "all"`, 1),
		"bias in LoRA":  strings.Replace(good, `"lora_bias": false`, `"lora_bias": true`, 1),
		"activated":     strings.Replace(good, `"alora_invocation_tokens": null`, `"alora_invocation_tokens": [1, 2]`, 1),
		"copied layers": strings.Replace(good, `"layer_replication": null`, `"layer_replication": [[0, 2], [1, 2]]`, 1),
		"changed base":  strings.Replace(good, `"init_lora_weights": true`, `"init_lora_weights": "pissa"`, 1),
		"not known":     strings.Replace(good, `"r": 4`, `"r": 4, "use_next_years_lora": true`, 1),
		"no alpha":      strings.Replace(good, `"lora_alpha"`, `"lora_omega"`, 1),
		"alpha 0":       strings.Replace(good, `"lora_alpha": 10`, `"lora_alpha": 0`, 1),
		"half an alpha": strings.Replace(good, `"lora_alpha": 10`, `"lora_alpha": 10.5`, 1),
		"saved modules": strings.Replace(good, `"modules_to_save": null`, `"modules_to_save": ["lm_head"]`, 1),
	} {
		if text == good {
			t.Fatalf("%s: the edit found nothing to change", what)
		}
		if _, err := ReadAdapter(config, []byte(text), data); err == nil {
			t.Errorf("%s: accepted", what)
		}
	}
	for what, text := range map[string]string{
		"targets as a pattern": strings.Replace(good, `"target_modules": [`, `"target_modules": ".*_proj", "exclude_modules": [`, 1),
		"alpha as a fraction":  strings.Replace(good, `"lora_alpha": 10`, `"lora_alpha": 10.0`, 1),
	} {
		text = strings.Replace(text, `"exclude_modules": null,`, "", 1)
		if a, err := ReadAdapter(config, []byte(text), data); err != nil || a.Alpha != 10 || text == good {
			t.Errorf("%s: %v", what, err)
		}
	}
	var empty bytes.Buffer
	if _, err := (&safetensors.File{}).WriteTo(&empty); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadAdapter(config, []byte(good), empty.Bytes()); err == nil {
		t.Error("an adapter without a tensor is accepted")
	}
	smaller := *config
	smaller.Layers = 1
	if _, err := ReadAdapter(&smaller, []byte(good), data); err == nil {
		t.Error("an adapter of another model is accepted")
	}
}

// FuzzParseConfig: no file makes it panic, and what it accepts can be listed and turned into angles.
func FuzzParseConfig(f *testing.F) {
	f.Add(read(f, "tiny", "config.json"))
	f.Add([]byte(`{"hidden_size":8,"intermediate_size":8,"num_hidden_layers":1,"num_attention_heads":2,"vocab_size":9,"max_position_embeddings":-1}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := ParseConfig(data)
		if err != nil {
			return
		}
		if c.HeadDim > 1024 || c.Layers > 64 {
			t.Skip("believed, but too large to build here")
		}
		c.shapes()
		cos, sin := c.Rotary(2)
		for i := range cos {
			if math.Abs(float64(cos[i])) > 1 || math.Abs(float64(sin[i])) > 1 {
				t.Fatalf("angle %d has cosine %g and sine %g in %s", i, cos[i], sin[i], mustJSON(c))
			}
		}
	})
}

// FuzzReadWeights: no file makes it panic.
func FuzzReadWeights(f *testing.F) {
	config := tinyConfig(f)
	config.VocabSize, config.HiddenSize, config.IntermediateSize, config.Layers = 2, 2, 2, 1
	config.Heads, config.KVHeads, config.HeadDim = 1, 1, 2
	weights := Weights{}
	for name, shape := range config.shapes() {
		weights[name] = make([]float32, shape[0]*append(shape, 1)[1])
	}
	var packed bytes.Buffer
	if err := WriteNF4(config, weights, &packed); err != nil {
		f.Fatal(err)
	}
	f.Add(packed.Bytes())
	f.Fuzz(func(_ *testing.T, data []byte) {
		_, _ = ReadWeights(config, data)
	})
}

func TestConfigSurvivesWriting(t *testing.T) {
	config := tinyConfig(t)
	text, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	again, err := ParseConfig(text)
	if err != nil {
		t.Fatal(err)
	}
	if mustJSON(again) != mustJSON(config) || again.RopeScaling == nil {
		t.Errorf("%s came back as %s", mustJSON(config), mustJSON(again))
	}
}

func mustJSON(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err) // what is given here always encodes
	}
	return string(text)
}
