package llama

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"llamaxr/inference/engine"
)

const prefixFolder = "testdata/tiny/prefix"

func tinyPrefix(t testing.TB) (settings, data []byte) {
	t.Helper()
	return read(t, "tiny", "prefix", AdapterConfigFile), read(t, "tiny", "prefix", AdapterWeightsFile)
}

// TestWrittenPrefixComesBack: a prefix survives its PEFT folder, within what 16 bits hold.
func TestWrittenPrefixComesBack(t *testing.T) {
	config := tinyConfig(t)
	settings, data := tinyPrefix(t)
	want, err := ReadAdapter(config, settings, data)
	if err != nil {
		t.Fatal(err)
	}
	if settings, data, err = WriteAdapter(config, want, "tiny"); err != nil {
		t.Fatal(err)
	}
	got, err := ReadAdapter(config, settings, data)
	if err != nil {
		t.Fatal(err)
	}
	if got.Prefix.Tokens != 6 || got.Rank != 0 || len(got.Prefix.Values) != len(want.Prefix.Values) {
		t.Fatalf("%d virtual tokens, %d values, rank %d", got.Prefix.Tokens, len(got.Prefix.Values), got.Rank)
	}
	for i, v := range want.Prefix.Values {
		if off := math.Abs(float64(v - got.Prefix.Values[i])); off > 1e-3*math.Abs(float64(v))+1e-6 {
			t.Fatalf("value %d is %g, was %g", i, got.Prefix.Values[i], v)
		}
	}
}

func TestBadPrefixesAreRefused(t *testing.T) {
	config := tinyConfig(t)
	settings, data := tinyPrefix(t)
	good := string(settings)
	for what, edit := range map[string][2]string{
		"projection":    {`"prefix_projection": false`, `"prefix_projection": true`},
		"no tokens":     {`"num_virtual_tokens": 6`, `"num_virtual_tokens": 0`},
		"all positions": {`"num_virtual_tokens": 6`, `"num_virtual_tokens": 128`},
		"other length":  {`"num_virtual_tokens": 6`, `"num_virtual_tokens": 7`},
		"other heads":   {`"num_attention_heads": 2`, `"num_attention_heads": 4`},
		"other layers":  {`"num_layers": 2`, `"num_layers": 3`},
		"other width":   {`"token_dim": 32`, `"token_dim": 64`},
		"two parts":     {`"num_transformer_submodules": 1`, `"num_transformer_submodules": 2`},
		"not known":     {`"revision": null`, `"revision": null, "use_next_years_prefix": true`},
		"other modules": {`"modules_to_save": null`, `"modules_to_save": ["lm_head"]`},
	} {
		text := strings.Replace(good, edit[0], edit[1], 1)
		if text == good {
			t.Fatalf("%s: the edit found nothing to change", what)
		}
		if _, err := ReadAdapter(config, []byte(text), data); err == nil {
			t.Errorf("%s: accepted", what)
		}
	}
	if _, err := ReadAdapter(config, settings, read(t, "tiny", "adapter", AdapterWeightsFile)); err == nil {
		t.Error("LoRA's tensors are taken for a prefix")
	}
	smaller := *config
	smaller.KVHeads = 1
	if _, err := ReadAdapter(&smaller, settings, data); err == nil {
		t.Error("a prefix of another model is accepted")
	}
}

// TestHeadOfAPrefix: what is kept of a prompt's head goes with the prefix it was computed after; with it, and whatever adapter was on before,
// the text is that of a model that keeps nothing.
func TestHeadOfAPrefix(t *testing.T) {
	_, lora := tinyFiles(t)
	for _, kind := range []Kind{NativeExact, NativeInt16} {
		folder := filepath.Join(t.TempDir(), "heads")
		want := map[string]string{}
		var kept []int
		for _, head := range []bool{false, true, true} {
			model := headed(t, folder, kind, HeadKey{})
			for _, adapter := range []string{"prefix", "lora", "prefix", ""} {
				files := lora
				switch adapter {
				case "prefix":
					files = os.DirFS(prefixFolder)
				case "":
					files = nil
				}
				if err := model.SetAdapter(files); err != nil {
					t.Fatal(err)
				}
				if model.SetHead(nil); head {
					model.SetHead(&Head{folder, headText, HeadKey{"model", adapter, "prompt"}})
				}
				got := generate(t, model, headText+"0.5 0.25")
				if kept = append(kept, got.KeptTokens); want[adapter] == "" {
					want[adapter] = got.Text
				}
				if got.Text != want[adapter] {
					t.Errorf("%v, adapter %q, head %t: %q, want %q", kind, adapter, head, got.Text, want[adapter])
				}
			}
		}
		if texts := slices.Sorted(maps.Values(want)); len(slices.Compact(texts)) != 3 {
			t.Errorf("%v: the adapters say the same: %q", kind, want)
		}
		for i, n := range kept { // the third time from the file; in the second the prefix comes twice
			if read := i >= 8 || i == 6; read != (n > 0) {
				t.Errorf("%v: text %d took %d tokens from what was kept", kind, i, n)
			}
		}
	}
}

// TestPrefixTakesItsPositions: a prefix leaves a text as many positions fewer, and the base has them all again after it.
func TestPrefixTakesItsPositions(t *testing.T) {
	base, _ := tinyFiles(t)
	for _, w := range exactWays(t) {
		if w.eng.Name != engine.Go {
			continue // a graph as well, and slow to compile
		}
		model, err := LoadAs(w.eng, base, w.kind)
		if err != nil {
			t.Fatal(err)
		}
		if err := model.SetAdapter(os.DirFS(prefixFolder)); err != nil {
			t.Fatal(err)
		}
		prompt := "No effusion."
		room := model.Config.MaxPositions - len(model.Tokenizer.Prompt(prompt))
		if _, err := model.Generate(context.Background(), prompt, room); !errors.Is(err, ErrPromptTooLong) {
			t.Errorf("%s: all positions beside a prefix: %v", w.name, err)
		}
		if _, err := model.Generate(context.Background(), prompt, room-6); err != nil {
			t.Errorf("%s: all positions that a prefix leaves: %v", w.name, err)
		}
		if err := model.SetAdapter(nil); err != nil {
			t.Fatal(err)
		}
		if _, err := model.Generate(context.Background(), prompt, room); err != nil {
			t.Errorf("%s: all positions of the base: %v", w.name, err)
		}
	}
}

// TestGraphGoesOnAfterAFailedPass: a pass that fails, as on a GPU whose memory is full, fails its text alone: the next one is what it was before,
// with a prefix and without.
func TestGraphGoesOnAfterAFailedPass(t *testing.T) {
	base, _ := tinyFiles(t)
	for _, w := range ways(t) {
		if w.kind != OnGraph {
			continue
		}
		model, err := LoadAs(w.eng, base, w.kind)
		if err != nil {
			t.Fatal(err)
		}
		for _, adapter := range []fs.FS{os.DirFS(prefixFolder), nil} {
			if err := model.SetAdapter(adapter); err != nil {
				t.Fatal(err)
			}
			want := generate(t, model, "No effusion.")
			exec := model.machine.(*graphMachine).exec
			exec.SetMaxCache(1) // one more length does not compile
			if _, err := model.Generate(context.Background(), strings.Repeat("0.5 ", 12), 1); err == nil {
				t.Fatalf("%s: the pass did not fail", w.name)
			}
			exec.SetMaxCache(10)
			if got := generate(t, model, "No effusion."); got.Text != want.Text {
				t.Errorf("%s: %q after a failed pass, before it %q", w.name, got.Text, want.Text)
			}
		}
	}
}
