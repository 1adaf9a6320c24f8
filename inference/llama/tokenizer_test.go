package llama

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"llamaxr/inference/gguf"
	"llamaxr/internal/peertest"
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

// oracleTokenizer returns one of the tokenizers that oracles/tokenizer.py asked about.
func oracleTokenizer(t testing.TB, name string) *Tokenizer {
	t.Helper()
	var data []byte
	if name == "smollm2" {
		file, err := os.Open(peertest.SmolLM2(t))
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		info, err := file.Stat()
		if err != nil {
			t.Fatal(err)
		}
		content, err := gguf.Read(file, info.Size())
		if err != nil {
			t.Fatal(err)
		}
		if data, err = tokenizerFromGGUF(content); err != nil {
			t.Fatal(err)
		}
	} else if name == "scores" {
		data = sentenceScores(t)
	} else {
		data = read(t, "tokenizer", name, "tokenizer.json")
	}
	tokenizer, err := ParseTokenizer(data)
	if err != nil {
		t.Fatal(err)
	}
	return tokenizer
}

// sentenceScores is the vocabulary of sentence as a GGUF file has it: with scores in the place of merges. llama.cpp makes the same tokens of it
// as Hugging Face's tokenizers of the merges.
func sentenceScores(t testing.TB) []byte {
	t.Helper()
	var file tokenizerJSON
	if err := json.Unmarshal(read(t, "tokenizer", "sentence", "tokenizer.json"), &file); err != nil {
		t.Fatal(err)
	}
	n := len(file.Model.Vocab)
	tokens, scores, kinds := make([]string, n), make([]float64, n), make([]int64, n)
	for token, id := range file.Model.Vocab {
		tokens[id], scores[id], kinds[id] = token, -float64(n), 1
	}
	for i, m := range slices.Backward(file.Model.Merges) {
		scores[file.Model.Vocab[m[0]+m[1]]] = -float64(i)
	}
	for _, a := range file.AddedTokens {
		kinds[a.ID] = kindControl
	}
	data, err := tokenizerFromGGUF(&gguf.File{Metadata: map[string]any{
		"tokenizer.ggml.model": "llama", "tokenizer.ggml.tokens": tokens, "tokenizer.ggml.scores": scores, "tokenizer.ggml.token_type": kinds,
		"tokenizer.ggml.bos_token_id": uint64(1),
	}})
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// TestHuggingFace holds ids and texts to those of Hugging Face's tokenizers (oracles/tokenizer.py), for every pattern.
func TestHuggingFace(t *testing.T) {
	for _, name := range []string{"score", "llama3", "digits", "sentence", "scores", "smollm2"} {
		t.Run(name, func(t *testing.T) {
			tokenizer := oracleTokenizer(t, name)
			if name == "scores" {
				name = "sentence"
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
			var checks struct{ Random, Reports string }
			if err := json.Unmarshal(read(t, "tokenizer", name, "checks.json"), &checks); err != nil {
				t.Fatal(err)
			}
			sameTokens(t, tokenizer, "random", randomTexts(10000), checks.Random)
			sameTokens(t, tokenizer, "reports", sharedReports(t), checks.Reports)
		})
	}
}

// sameTokens compares CRC-32s of ids, eight hexadecimal digits a text.
func sameTokens(t *testing.T, tokenizer *Tokenizer, what string, texts []string, want string) {
	t.Helper()
	if len(want) != 8*len(texts) || len(texts) < 1000 {
		t.Fatalf("%s: %d texts, %d sums", what, len(texts), len(want)/8)
	}
	wrong := 0
	for i, text := range texts {
		var packed []byte
		ids := tokenizer.Encode(text)
		for _, id := range ids {
			packed = binary.LittleEndian.AppendUint32(packed, uint32(id))
		}
		if fmt.Sprintf("%08x", crc32.ChecksumIEEE(packed)) != want[8*i:8*i+8] {
			if wrong++; wrong <= 5 {
				t.Errorf("%s %d: %+q has other tokens: %v", what, i, text, ids)
			}
		}
	}
	if wrong > 0 {
		t.Errorf("%s: %d of %d differ", what, wrong, len(texts))
	}
}

// randomTexts draws what random_texts of oracles/tokenizer.py draws.
func randomTexts(count int) []string {
	state := uint64(20261124)
	below := func(n uint64) rune {
		state = state*6364136223846793005 + 1442695040888963407
		return rune((state >> 33) % n)
	}
	character := func() rune {
		switch kind := below(8); {
		case kind < 3:
			return 32 + below(95)
		case kind == 3:
			return []rune(" \n\t\r\u00a0\u2003\u0085\u200b\u3000\u2028")[below(10)]
		case kind == 4:
			return 0xA1 + below(0x24F-0xA1)
		case kind == 5:
			return 0x370 + below(0x3000-0x370)
		}
		for {
			if c := below(0x110000); c < 0xD800 || c >= 0xE000 {
				return c
			}
		}
	}
	texts := make([]string, count)
	for i := range texts {
		runes := make([]rune, 1+below(24))
		for k := range runes {
			runes[k] = character()
		}
		texts[i] = string(runes)
	}
	return texts
}

func sharedReports(t testing.TB) []string {
	t.Helper()
	file, err := os.Open(peertest.SharedData(t, "reports/iu_reports.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var out []string
	for lines := json.NewDecoder(file); ; {
		var report struct{ Findings, Impression string }
		if err := lines.Decode(&report); errors.Is(err, io.EOF) {
			return out
		} else if err != nil {
			t.Fatal(err)
		}
		out = append(out, "FINDINGS: "+report.Findings+"\nIMPRESSION: "+report.Impression)
	}
}

func template(bos string) map[string]any {
	return map[string]any{"type": "TemplateProcessing", "single": []any{map[string]any{"SpecialToken": map[string]any{"id": bos, "type_id": 0}}}}
}

func TestBadTokenizersAreRefused(t *testing.T) {
	good := string(read(t, "tokenizer", "score", "tokenizer.json"))
	for name, edit := range map[string]func(file map[string]any){
		"other model":   func(f map[string]any) { f["model"].(map[string]any)["type"] = "Unigram" },
		"other pattern": func(f map[string]any) { f["pre_tokenizer"] = map[string]any{"type": "Whitespace"} },
		"missing byte":  func(f map[string]any) { delete(f["model"].(map[string]any)["vocab"].(map[string]any), "a") },
		"taken id":      func(f map[string]any) { f["model"].(map[string]any)["vocab"].(map[string]any)["a"] = 66 },
		"huge id":       func(f map[string]any) { f["model"].(map[string]any)["vocab"].(map[string]any)["a"] = 1 << 40 },
		"strip":         func(f map[string]any) { f["added_tokens"].([]any)[1].(map[string]any)["lstrip"] = true },
		"normalizer":    func(f map[string]any) { f["normalizer"] = map[string]any{"type": "NFKC"} },
		"processor":     func(f map[string]any) { f["post_processor"] = map[string]any{"type": "BertProcessing"} },
		"no such BOS":   func(f map[string]any) { f["post_processor"] = template("<|other|>") },
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

// FuzzTokenizer: any text survives encoding and decoding, in every byte-level pattern, unless it spells a special token.
func FuzzTokenizer(f *testing.F) {
	for _, text := range []string{"", " ", "0.5 0.49", "it's \r\n\n x", "é🫁 \xff\xfe", "Effusion: 0.1", "<|eot_id|>"} {
		f.Add(text)
	}
	var both []*Tokenizer
	for _, name := range []string{"score", "llama3", "digits"} {
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
