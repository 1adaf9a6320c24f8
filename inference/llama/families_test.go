package llama

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"llamaxr/inference/engine"
	"llamaxr/inference/gguf"
	"llamaxr/inference/safetensors"
)

// familyFolder copies a folder of oracles/families.py and adds a tokenizer that fits; transformers needs none for numbers.
func familyFolder(t testing.TB, name string) string {
	t.Helper()
	folder := t.TempDir()
	if err := os.CopyFS(folder, os.DirFS(filepath.Join("testdata", "families", name))); err != nil {
		t.Fatal(err)
	}
	tokenizer, err := TrainTokenizer([]string{"No effusion."}, nil, 20)
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(folder, TokenizerFile), tokenizer)
	return folder
}

func write(t testing.TB, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func familyAnswers(t testing.TB, name string) (tokens []int32, want answers) {
	t.Helper()
	var expected struct {
		Tokens []int32
		Base   answers
	}
	if err := json.Unmarshal(read(t, "families", name, "expected.json"), &expected); err != nil {
		t.Fatal(err)
	}
	return expected.Tokens, expected.Base
}

// TestFamilies holds folders as transformers saves them, and as bitsandbytes packs them, to transformers' own logits and greedy tokens:
// Llama 2 in bf16 shards, Llama 3.2 in f16 with a tied head and scaled positions, SmolLM2's shape, NF4 with and without nested magnitudes.
func TestFamilies(t *testing.T) {
	eng, err := engine.Open(engine.Go) // TestTransformers compares the engines
	if err != nil {
		t.Fatal(err)
	}
	for i, name := range []string{"llama2", "llama32", "smollm2", "bnb4", "bnb4plain", "llama2", "llama32", "smollm2", "bnb4", "bnb4plain"} {
		kind := []Kind{OnGraph, NativeExact}[i/5]
		t.Run(fmt.Sprint(name, kind), func(t *testing.T) {
			source, err := OpenSource(familyFolder(t, name))
			if err != nil {
				t.Fatal(err)
			}
			defer source.Close()
			model, err := build(eng, source, kind, memory(nil))
			if err != nil {
				t.Fatal(err)
			}
			tokens, want := familyAnswers(t, name)
			check(t, name, model, tokens, want)
			if name == "llama32" && !model.stops[2] || name == "llama32" && !model.stops[7] {
				t.Errorf("texts end at %v, want each of eos_token_id", model.stops)
			}
		})
	}
}

// TestGGUFIsTheSameModel: GGUF's names, its interleaved rows of q and k, and its rope_freqs give the model that the folder is.
func TestGGUFIsTheSameModel(t *testing.T) {
	folder, err := OpenSource(familyFolder(t, "llama32"))
	if err != nil {
		t.Fatal(err)
	}
	defer folder.Close()
	file, err := OpenSource("testdata/families/llama32.gguf")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if a, b := file.Config.RopeScaling, folder.Config.RopeScaling; a == nil || b == nil || *a != *b {
		t.Errorf("rope scaling %+v, want %+v", a, b)
	}
	want, err := folder.Weights()
	if err != nil {
		t.Fatal(err)
	}
	got, err := file.Weights()
	if err != nil {
		t.Fatal(err)
	}
	for name := range want {
		if !slices.Equal(got[name], want[name]) {
			t.Errorf("%s differs", name)
		}
	}
	tokenizer, err := ParseTokenizer(file.Tokenizer)
	if err != nil {
		t.Fatal(err)
	}
	if ids := tokenizer.Prompt("aaa b"); !tokenizer.AddBOS || ids[0] != 318 || tokenizer.Decode(ids) != "aaa b" || len(ids) != 4 {
		t.Errorf("a prompt is %v", ids)
	}
}

// TestGGUFThatIsNotWhole: what would be left out of the model that a GGUF file is, is refused by its key.
func TestGGUFThatIsNotWhole(t *testing.T) {
	data := read(t, "families", "llama32.gguf")
	for key, value := range map[string]any{
		"split.count": uint64(3), "llama.rope.scale_linear": 2.0, "llama.rope.scaling.factor": 4.0, "llama.rope.scaling.type": "yarn",
		"llama.rope.dimension_count": uint64(8), "general.architecture": "qwen2",
	} {
		file, err := gguf.Read(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			t.Fatal(err)
		}
		file.Metadata[key] = value
		if _, err := configFromGGUF(file); err == nil || !strings.Contains(err.Error(), key) {
			t.Errorf("%s %v: %v", key, value, err)
		}
	}
}

func packed(t testing.TB, s *Source, as Precision) []byte {
	t.Helper()
	p, err := s.Pack(as)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	for step := range p.Steps() {
		before := out.Len()
		if err := p.Write(step, &out); err != nil {
			t.Fatal(err)
		}
		if n := int64(out.Len() - before); n != p.Size(step) {
			t.Fatalf("step %d wrote %d bytes, promised %d", step, n, p.Size(step))
		}
	}
	return out.Bytes()
}

// TestPackingKeepsWhatItPromises: "full" changes no value; "nf4" leaves a model that is NF4 as it is, byte for byte, and makes of any
// other what quantising the whole weight at once makes.
func TestPackingKeepsWhatItPromises(t *testing.T) {
	for _, name := range []string{"llama2", "llama32", "smollm2", "bnb4", "bnb4plain"} {
		t.Run(name, func(t *testing.T) {
			source, err := OpenSource(familyFolder(t, name))
			if err != nil {
				t.Fatal(err)
			}
			defer source.Close()
			want, err := source.Weights()
			if err != nil {
				t.Fatal(err)
			}
			full, err := ReadWeights(source.Config, packed(t, source, Full))
			if err != nil {
				t.Fatal(err)
			}
			for weight := range want {
				if !slices.Equal(full[weight], want[weight]) {
					t.Errorf("%s is not kept", weight)
				}
			}
			four, err := safetensors.Parse(packed(t, source, NF4))
			if err != nil {
				t.Fatal(err)
			}
			if strings.HasPrefix(name, "bnb4") {
				before, err := safetensors.Parse(read(t, "families", name, WeightsFile))
				if err != nil {
					t.Fatal(err)
				}
				for tensor, part := range before.Tensors {
					if !bytes.Equal(four.Tensors[tensor].Data, part.Data) {
						t.Errorf("%s is not kept", tensor)
					}
				}
				return
			}
			var whole bytes.Buffer
			if err := WriteNF4(source.Config, want, &whole); err != nil {
				t.Fatal(err)
			}
			atOnce, err := safetensors.Parse(whole.Bytes())
			if err != nil {
				t.Fatal(err)
			}
			for _, l := range source.Config.Linears() {
				for _, suffix := range []string{"", absmaxSuffix, nestedAbsmaxSuffix, stateSuffix} {
					part := l.Name + ".weight" + suffix
					if len(four.Tensors[part].Data) == 0 || !bytes.Equal(four.Tensors[part].Data, atOnce.Tensors[part].Data) {
						t.Errorf("%s differs", part)
					}
				}
			}
		})
	}
}

// TestBadFoldersAreRefused: each error names the file or the field.
func TestBadFoldersAreRefused(t *testing.T) {
	swap := func(file, old, new string) func(t *testing.T, folder string) {
		return func(t *testing.T, folder string) {
			path := filepath.Join(folder, file)
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Contains(data, []byte(old)) {
				t.Fatalf("%s has no %s", file, old)
			}
			write(t, path, bytes.Replace(data, []byte(old), []byte(new), 1))
		}
	}
	cut := func(t *testing.T, folder string) {
		if err := os.Truncate(filepath.Join(folder, "model-00002-of-00005.safetensors"), 30000); err != nil {
			t.Fatal(err)
		}
	}
	device := func(t *testing.T, folder string) { // a pipe would make who opens it wait
		path := filepath.Join(folder, ConfigFile)
		if err := errors.Join(os.Remove(path), os.Symlink(os.DevNull, path)); err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct {
		harm func(t *testing.T, folder string)
		want []string
	}{
		"truncated shard":   {cut, []string{"model-00002-of-00005.safetensors", "tensor"}},
		"missing shard":     {func(_ *testing.T, f string) { os.Remove(filepath.Join(f, "model-00001-of-00005.safetensors")) }, []string{"model-00001"}},
		"path in the index": {swap(indexFile, `"model-00001-of-00005.safetensors"`, `"../../etc/passwd"`), []string{indexFile, "passwd"}},
		"lying header":      {swap("model-00001-of-00005.safetensors", `"shape":[320,64]`, `"shape":[321,64]`), []string{"model-00001-of-00005", "embed_tokens"}},
		"unknown type":      {swap("model-00001-of-00005.safetensors", `"BF16"`, `"F8_X"`), []string{"model-00001-of-00005", "F8_X"}},
		"wrong layers":      {swap(ConfigFile, `"num_hidden_layers": 2`, `"num_hidden_layers": 3`), []string{"model.layers.2", "missing"}},
		"wrong width":       {swap(ConfigFile, `"intermediate_size": 128`, `"intermediate_size": 120`), []string{"model.layers.0.mlp.down_proj", "[64 128]", "[64 120]"}},
		"absurd width":      {swap(ConfigFile, `"hidden_size": 64`, `"hidden_size": 640000000`), []string{"hidden_size"}},
		"other model":       {swap(ConfigFile, `"model_type": "llama"`, `"model_type": "mistral"`), []string{"model_type", "mistral"}},
		"biases":            {swap(ConfigFile, `"attention_bias": false`, `"attention_bias": true`), []string{"attention_bias"}},
		"stop out of range": {swap(ConfigFile, `"eos_token_id": 2`, `"eos_token_id": 320`), []string{"token id 320"}},
		"fewer layers":      {swap(ConfigFile, `"num_hidden_layers": 2`, `"num_hidden_layers": 1`), []string{"model.layers.1.input_layernorm", ConfigFile}},
		"other network":     {swap(ConfigFile, `"LlamaForCausalLM"`, `"MistralForCausalLM"`), []string{"architectures", "Mistral"}},
		"absurd epsilon":    {swap(ConfigFile, `"rms_norm_eps": 1e-05`, `"rms_norm_eps": 1e300`), []string{"rms_norm_eps"}},
		"stop without name": {swap(ConfigFile, `"eos_token_id": 2`, `"eos_token_id": 319`), []string{"token 319", TokenizerFile}},
		"device":            {device, []string{ConfigFile, "no file"}},
		"no tokenizer":      {func(_ *testing.T, f string) { os.Remove(filepath.Join(f, TokenizerFile)) }, []string{TokenizerFile}},
	} {
		t.Run(name, func(t *testing.T) {
			folder := familyFolder(t, "llama2")
			c.harm(t, folder)
			source, err := OpenSource(folder)
			if err == nil {
				source.Close()
				t.Fatal("accepted")
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%v, want it to name %s", err, want)
				}
			}
		})
	}
	if _, err := OpenSource(t.TempDir()); err == nil || strings.Contains(err.Error(), "%!") {
		t.Errorf("an empty folder: %v", err)
	}
	if _, err := OpenSource(filepath.Join(t.TempDir(), "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no folder at all: %v", err)
	}
}

// TestLargeTokenizerIsRefused: a tokenizer of another model has more tokens than this one.
func TestLargeTokenizerIsRefused(t *testing.T) {
	folder := familyFolder(t, "llama2")
	write(t, filepath.Join(folder, TokenizerFile), read(t, "tokenizer", "llama3", TokenizerFile))
	if _, err := OpenSource(folder); err == nil || !strings.Contains(err.Error(), "do not belong together") {
		t.Errorf("423 tokens for a model of 320: %v", err)
	}
	base, _ := tinyFiles(t)
	files := base.(fstest.MapFS)
	files[TokenizerFile] = &fstest.MapFile{Data: read(t, "tokenizer", "digits", TokenizerFile)}
	eng, err := engine.Open(engine.Go)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Load(eng, files); err == nil {
		t.Error("420 tokens for a model of 320 are loaded")
	}
}

// TestModelsTooLargeForFloat32AreRefused before their weights are read.
func TestModelsTooLargeForFloat32AreRefused(t *testing.T) {
	config := bytes.Replace(read(t, "families", "llama2", ConfigFile), []byte(`"num_hidden_layers": 2`), []byte(`"num_hidden_layers": 500`), 1)
	config = bytes.Replace(config, []byte(`"intermediate_size": 128`), []byte(`"intermediate_size": 65536`), 1)
	eng, err := engine.Open(engine.Go)
	if err != nil {
		t.Fatal(err)
	}
	large, err := ParseConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	source := &Source{Config: large, weights: map[string]weight{}}
	for name, shape := range large.shapes() {
		source.weights[name] = weight{shape: shape}
	}
	if _, err := newGraphMachine(eng, source, 64); err == nil || !strings.Contains(err.Error(), "million parameters") {
		t.Errorf("6,300 million parameters: %v", err)
	}
}

// FuzzGGUFModel: no GGUF file makes it panic, and a model that it accepts has all its weights and a tokenizer.
func FuzzGGUFModel(f *testing.F) {
	f.Add(read(f, "families", "llama32.gguf"))
	f.Fuzz(func(t *testing.T, data []byte) {
		content, err := gguf.Read(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			return
		}
		source := new(Source)
		if source.fromGGUF(content) != nil {
			return
		}
		if _, err := source.Pack(NF4); err != nil {
			t.Errorf("accepted, but it cannot be packed: %v", err)
		}
		tokenizer, err := ParseTokenizer(source.Tokenizer)
		if err != nil {
			t.Fatal(err)
		}
		tokenizer.Prompt("No effusion.")
	})
}
