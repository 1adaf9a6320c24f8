package llama

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

var update = flag.Bool("update", false, "write the files that oracles read")

// ownTokenizer is a small tokenizer of our own making, with text among its added tokens as the starter's has.
func ownTokenizer(t testing.TB) []byte {
	t.Helper()
	data, err := TrainTokenizer([]string{
		"FINDINGS: The heart is not enlarged. No effusion. No pleural effusion.", "IMPRESSION: Possible pleural effusion.",
		" 0.82 0.10", " 0.05 n/a", "0.1 0.9", "naïve Größe",
	}, []string{"Effusion:", "Pleural Thickening:", "### Instruction:\n"}, 60)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// TestOwnTokenizerIsReproducible: the same corpus gives the same file, the one that the oracle was given.
func TestOwnTokenizerIsReproducible(t *testing.T) {
	path := filepath.Join("testdata", "tokenizer", "score", "tokenizer.json")
	got := ownTokenizer(t)
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(want) {
		t.Error("training gives another tokenizer.json than before")
	}
}

// TestHuggingFace holds ids and texts to those of Hugging Face's tokenizers (oracles/tokenizer.py), for both patterns.
func TestHuggingFace(t *testing.T) {
	for _, name := range []string{"score", "llama3"} {
		t.Run(name, func(t *testing.T) {
			tokenizer, err := ParseTokenizer(read(t, "tokenizer", name, "tokenizer.json"))
			if err != nil {
				t.Fatal(err)
			}
			var cases []struct {
				Text    string
				IDs     []int
				Decoded string
			}
			if err := json.Unmarshal(read(t, "tokenizer", name, "cases.json"), &cases); err != nil {
				t.Fatal(err)
			}
			if len(cases) < 10 {
				t.Fatalf("%d cases", len(cases))
			}
			for _, c := range cases {
				if got := tokenizer.Encode(c.Text); !slices.Equal(got, c.IDs) {
					t.Errorf("%q\n got %v\nwant %v", c.Text, got, c.IDs)
				}
				if got := tokenizer.Decode(c.IDs); got != c.Decoded {
					t.Errorf("decoded %q, want %q", got, c.Decoded)
				}
			}
		})
	}
}

func TestBadTokenizersAreRefused(t *testing.T) {
	good := string(read(t, "tokenizer", "score", "tokenizer.json"))
	for name, edit := range map[string]func(file map[string]any){
		"other model":   func(f map[string]any) { f["model"].(map[string]any)["type"] = "Unigram" },
		"other pattern": func(f map[string]any) { f["pre_tokenizer"] = map[string]any{"type": "Whitespace"} },
		"missing byte":  func(f map[string]any) { delete(f["model"].(map[string]any)["vocab"].(map[string]any), "a") },
		"taken id":      func(f map[string]any) { f["model"].(map[string]any)["vocab"].(map[string]any)["a"] = 66 },
		"huge id":       func(f map[string]any) { f["model"].(map[string]any)["vocab"].(map[string]any)["a"] = 1 << 40 },
		"no EOS":        func(f map[string]any) { f["added_tokens"].([]any)[1].(map[string]any)["content"] = "<|other|>" },
		"empty added":   func(f map[string]any) { f["added_tokens"].([]any)[2].(map[string]any)["content"] = "" },
		"stray merge":   func(f map[string]any) { f["model"].(map[string]any)["merges"] = []any{[]any{"q", "x"}} },
		"merge of 3":    func(f map[string]any) { f["model"].(map[string]any)["merges"] = []any{[]any{"q", "x", "y"}} },
	} {
		t.Run(name, func(t *testing.T) {
			var file map[string]any
			if err := json.Unmarshal([]byte(good), &file); err != nil {
				t.Fatal(err)
			}
			edit(file)
			data, err := json.Marshal(file)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := ParseTokenizer(data); err == nil {
				t.Error("accepted")
			}
		})
	}
}

// FuzzTokenizer: any text survives encoding and decoding, in both patterns, unless it spells a special token.
func FuzzTokenizer(f *testing.F) {
	for _, text := range []string{"", " ", "0.5 0.49", "it's \r\n\n x", "é🫁 \xff\xfe", "Effusion: 0.1", "<|eot_id|>"} {
		f.Add(text)
	}
	var both []*Tokenizer
	for _, name := range []string{"score", "llama3"} {
		tokenizer, err := ParseTokenizer(read(f, "tokenizer", name, "tokenizer.json"))
		if err != nil {
			f.Fatal(err)
		}
		both = append(both, tokenizer)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, tokenizer := range both {
			want := ""
			for rest := text; rest != ""; {
				at, token := tokenizer.nextAdded(rest)
				want += rest[:at]
				if !tokenizer.hidden[tokenizer.ids[token]] {
					want += token
				}
				rest = rest[at+len(token):]
			}
			if got := tokenizer.Decode(tokenizer.Encode(text)); got != valid(want) {
				t.Errorf("%q came back as %q", want, got)
			}
		}
	})
}

// FuzzParseTokenizer: no file makes it panic, and what it accepts it can use.
func FuzzParseTokenizer(f *testing.F) {
	f.Add(read(f, "tokenizer", "score", "tokenizer.json"))
	f.Add([]byte(`{"model":{"type":"BPE","vocab":{},"merges":["a b",["c","d"]]}}`))
	f.Add([]byte(`{`))
	f.Fuzz(func(_ *testing.T, data []byte) {
		if tokenizer, err := ParseTokenizer(data); err == nil {
			tokenizer.Decode(tokenizer.Encode("No effusion. 0.5"))
		}
	})
}

func read(t testing.TB, path ...string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(append([]string{"testdata"}, path...)...))
	if err != nil {
		t.Fatal(err)
	}
	return data
}
